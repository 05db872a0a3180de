// Groups that stop their clocks: raft_quiet.cc. The museum's F11.

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>

#include "raft/testing/test_cluster.h"

namespace rutile::raft {
namespace {

using testing::kElectionTicks;
using testing::SmallOptions;
using testing::TestCluster;

TestCluster::Setup Sleepers(std::size_t voters = 3, std::uint64_t seed = 1) {
  Options options = SmallOptions();
  options.quiet = true;
  return {.voters = voters, .options = options, .seed = seed};
}

// What hosts learn when a node dies or lives again.
void TellAll(TestCluster& cluster, std::size_t peer, bool live) {
  for (std::size_t id = 1; id <= cluster.size(); ++id) {
    if (cluster.alive(id) && id != peer) cluster.SetLive(id, peer, live);
  }
}

bool AllQuiet(TestCluster& cluster) {
  for (std::size_t id = 1; id <= cluster.size(); ++id) {
    if (cluster.alive(id) && !cluster.raft(id).is_quiet()) return false;
  }
  return true;
}

bool NoneQuiet(TestCluster& cluster) {
  for (std::size_t id = 1; id <= cluster.size(); ++id) {
    if (cluster.alive(id) && cluster.raft(id).is_quiet()) return false;
  }
  return true;
}

// Led by 1, all nodes known to live, some entries, and time to fall asleep.
void FallAsleep(TestCluster& cluster) {
  for (std::size_t id = 1; id <= cluster.size(); ++id) TellAll(cluster, id, true);
  cluster.Elect(1);
  ASSERT_TRUE(cluster.Propose(1, "x"));
  cluster.TickAll(3 * kElectionTicks);
  ASSERT_TRUE(AllQuiet(cluster));
  ASSERT_EQ(1u, cluster.Leader());
}

TEST(RaftQuiet, AnIdleGroupSendsNothingAndKeepsItsLeader) {
  TestCluster cluster(Sleepers());
  FallAsleep(cluster);
  cluster.TakeTrace();
  cluster.TickAll(100 * kElectionTicks);
  EXPECT_EQ("", cluster.TakeTrace());
  EXPECT_EQ(Term(1), cluster.raft(3).term());
  EXPECT_FALSE(cluster.raft(1).LeaseUntil() > cluster.now()) << "leases end by the clock";
  EXPECT_EQ("", cluster.violation());
}

TEST(RaftQuiet, NobodySleepsUnlessTheHostWatchesNodes) {
  TestCluster cluster(Sleepers());
  cluster.Elect(1);
  cluster.TickAll(5 * kElectionTicks);
  EXPECT_TRUE(NoneQuiet(cluster));
  // The leader believes all alive, one follower does not know: it keeps its clock, and is heard.
  cluster.SetLive(1, 2, true);
  cluster.SetLive(1, 3, true);
  cluster.SetLive(2, 1, true);
  cluster.TickAll(5 * kElectionTicks);
  EXPECT_FALSE(cluster.raft(1).is_quiet());
  EXPECT_FALSE(cluster.raft(3).is_quiet());
  EXPECT_EQ(1u, cluster.Leader());
  EXPECT_EQ(Term(1), cluster.raft(3).term());
}

TEST(RaftQuiet, WorkKeepsItAwake) {
  TestCluster cluster(Sleepers());
  FallAsleep(cluster);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(cluster.Propose(1, "x"));
    cluster.TickAll(kElectionTicks / 2);
    EXPECT_TRUE(NoneQuiet(cluster));
    EXPECT_EQ(cluster.machine(1).applied, cluster.machine(3).applied);
  }
  for (int i = 0; i < 5; ++i) {
    cluster.ReadIndex(3);
    cluster.TickAll(kElectionTicks / 2);
    EXPECT_TRUE(NoneQuiet(cluster));
  }
  EXPECT_EQ(5u, cluster.reads(3).size());
  cluster.TickAll(3 * kElectionTicks);
  EXPECT_TRUE(AllQuiet(cluster));
  EXPECT_EQ("", cluster.violation());
}

TEST(RaftQuiet, AReadOfASleepingLeaderAsksItsQuorum) {
  TestCluster cluster(Sleepers());
  FallAsleep(cluster);
  cluster.ReadIndex(1);
  EXPECT_TRUE(cluster.reads(1).empty());
  cluster.Settle();
  ASSERT_EQ(1u, cluster.reads(1).size());
  EXPECT_EQ(cluster.raft(1).tail().committed(), cluster.reads(1)[0].index);
}

// The leader's node dies. Followers sleep until their hosts notice, and elect at once then.
TEST(RaftQuiet, ADeadLeaderIsReplacedWhenItsNodeIsKnownToBeDead) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    TestCluster cluster(Sleepers(3, seed));
    FallAsleep(cluster);
    cluster.Crash(1);
    cluster.TickAll(5 * kElectionTicks);
    EXPECT_TRUE(AllQuiet(cluster));
    TellAll(cluster, 1, false);
    EXPECT_TRUE(NoneQuiet(cluster));
    int ticks = 0;
    for (; ticks < 10 * kElectionTicks && cluster.Leader() == 0; ++ticks) cluster.TickAll();
    // The host has waited out the timeout; what chance adds to it is left, and a split vote.
    EXPECT_LE(ticks, 2 * kElectionTicks + kElectionTicks / 2) << seed;
    EXPECT_NE(0u, cluster.Leader());
    EXPECT_EQ("", cluster.violation());
  }
}

// The process dies and is back before anybody could have missed it: it is another one, and leads
// nobody.
TEST(RaftQuiet, ALeaderThatRestartedIsNoLeader) {
  TestCluster cluster(Sleepers());
  FallAsleep(cluster);
  cluster.Crash(1);
  cluster.Restart(1);
  TellAll(cluster, 1, false);
  TellAll(cluster, 1, true);
  cluster.SetLive(1, 2, true);
  cluster.SetLive(1, 3, true);
  EXPECT_TRUE(NoneQuiet(cluster));
  cluster.TickAll(3 * kElectionTicks);
  EXPECT_NE(0u, cluster.Leader());
  cluster.TickAll(3 * kElectionTicks);
  EXPECT_TRUE(AllQuiet(cluster));
  EXPECT_EQ("", cluster.violation());
}

TEST(RaftQuiet, AMemberOnADeadNodeIsLeftBehindAndBroughtUpLater) {
  TestCluster cluster(Sleepers());
  FallAsleep(cluster);
  cluster.Crash(3);
  TellAll(cluster, 3, false);
  EXPECT_FALSE(cluster.raft(1).is_quiet()) << "it looks whether it still has a quorum";
  ASSERT_TRUE(cluster.Propose(1, "while 3 is down"));
  cluster.TickAll(3 * kElectionTicks);
  EXPECT_TRUE(AllQuiet(cluster));
  cluster.Restart(3);
  cluster.SetLive(3, 1, true);
  cluster.SetLive(3, 2, true);
  TellAll(cluster, 3, true);
  cluster.Settle();
  cluster.TickAll(2);
  EXPECT_EQ(cluster.machine(1).applied, cluster.machine(3).applied);
  EXPECT_EQ(1u, cluster.Leader());
  cluster.TickAll(3 * kElectionTicks);
  EXPECT_TRUE(AllQuiet(cluster));
  EXPECT_EQ("", cluster.violation());
}

TEST(RaftQuiet, WithoutAQuorumOfLiveNodesItStaysAwakeAndMakesWay) {
  TestCluster cluster(Sleepers());
  FallAsleep(cluster);
  cluster.Crash(2);
  cluster.Crash(3);
  TellAll(cluster, 2, false);
  TellAll(cluster, 3, false);
  cluster.TickAll(3 * kElectionTicks);
  EXPECT_FALSE(cluster.raft(1).is_quiet());
  EXPECT_FALSE(cluster.raft(1).is_leader());
}

// One that was left out of everything campaigns among sleepers. They have heard no leader for long,
// and still unseat nobody.
TEST(RaftQuiet, AStrayCandidateWakesTheGroupAndUnseatsNobody) {
  TestCluster cluster(Sleepers(5));
  FallAsleep(cluster);
  // Does not reach the leader, whose host takes it for dead; it does not for the leader.
  cluster.CutLink(1, 5);
  cluster.CutLink(5, 1);
  cluster.SetLive(5, 1, false);
  cluster.TickAll(kElectionTicks);
  EXPECT_FALSE(cluster.raft(5).is_quiet());
  EXPECT_TRUE(cluster.raft(1).is_leader());
  cluster.TickAll(20 * kElectionTicks);
  EXPECT_TRUE(cluster.raft(1).is_leader());
  EXPECT_EQ(Term(1), cluster.raft(1).term());
  EXPECT_EQ("", cluster.violation());
}

// What a sleeper would say to its leader as it wakes is void if it wakes by a later term.
TEST(RaftQuiet, NobodySpeaksInATermThatItHasLeft) {
  TestCluster cluster(Sleepers());
  FallAsleep(cluster);
  int late = 0, sent = 0;
  cluster.hold = [&](const Message& m) {
    if (m.from == PeerId(3)) {
      ++sent;
      late += m.term < cluster.raft(3).term();
    }
    return false;
  };
  Message order;  // Of a candidate that its leader has told to campaign.
  order.type = MessageType::kVote;
  order.from = PeerId(2);
  order.to = PeerId(3);
  order.term = cluster.raft(3).term().Next();
  order.transfer = true;
  order.last_log = cluster.raft(3).tail().last();
  cluster.Inject(order);
  cluster.Settle();
  EXPECT_EQ(order.term, cluster.raft(3).term());
  EXPECT_GT(sent, 0);
  EXPECT_EQ(0, late);
}

// A candidate whose requests do reach the voters and not the leader; and whose leader cannot reach
// anybody: then the sleepers must not protect it.
TEST(RaftQuiet, SleepersDoNotKeepALeaderThatIsCutOff) {
  TestCluster cluster(Sleepers());
  FallAsleep(cluster);
  cluster.Isolate(1);
  TellAll(cluster, 1, false);
  cluster.SetLive(1, 2, false);
  cluster.SetLive(1, 3, false);
  cluster.TickAll(4 * kElectionTicks);
  EXPECT_FALSE(cluster.raft(1).is_leader());
  EXPECT_NE(0u, cluster.Leader());
  EXPECT_EQ("", cluster.violation());
}

TEST(RaftQuiet, MembersChangeAndLeadershipMovesFromSleep) {
  TestCluster cluster(Sleepers());
  FallAsleep(cluster);
  cluster.Transfer(1, 2);
  cluster.TickAll(2);
  EXPECT_EQ(2u, cluster.Leader());
  cluster.TickAll(3 * kElectionTicks);
  ASSERT_TRUE(AllQuiet(cluster));
  // A priority is an opinion of the one that has it: it wakes the leader to tell it.
  cluster.SetPriority(3, 5);
  cluster.TickAll(3 * kElectionTicks);
  EXPECT_EQ(3u, cluster.Leader());
  cluster.TickAll(3 * kElectionTicks);
  ASSERT_TRUE(AllQuiet(cluster));
  ASSERT_TRUE(cluster.ProposeChange(3, {.steps = {{ChangeStep::Kind::kRemove, PeerId(1)}}}).ok());
  cluster.TickAll(1);
  EXPECT_EQ(2u, cluster.raft(3).configuration().voters.size());
  cluster.Destroy(1);
  TellAll(cluster, 1, false);
  cluster.TickAll(3 * kElectionTicks);
  EXPECT_TRUE(AllQuiet(cluster));
  EXPECT_EQ("", cluster.violation());
}

TEST(RaftQuiet, AGroupOfOneSleepsToo) {
  TestCluster cluster(Sleepers(1));
  cluster.TickAll(4 * kElectionTicks);
  ASSERT_TRUE(AllQuiet(cluster));
  EXPECT_TRUE(cluster.Propose(1, "x"));
  cluster.Settle();
  EXPECT_EQ(Index(2), cluster.machine(1).applied.index);
  EXPECT_EQ("", cluster.violation());
}

TEST(RaftQuiet, AnAgreementThatIsLostIsAskedForAgain) {
  TestCluster cluster(Sleepers());
  for (std::size_t id = 1; id <= 3; ++id) TellAll(cluster, id, true);
  cluster.Elect(1);
  int lost = 0;
  cluster.hold = [&lost](const Message& m) {
    return m.type == MessageType::kHeartbeatReply && m.quiet && m.from == PeerId(3) && lost < 3;
  };
  for (int tick = 0; tick < 3 * kElectionTicks; ++tick) {
    cluster.TickAll();
    if (!cluster.network().empty()) ++lost;
    cluster.network().clear();
    EXPECT_TRUE(lost >= 3 || !cluster.raft(1).is_quiet());
  }
  EXPECT_EQ(3, lost);
  EXPECT_TRUE(AllQuiet(cluster));
}

}  // namespace
}  // namespace rutile::raft
