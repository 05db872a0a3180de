// Raft 5.2, 5.4.1, 6.4.1, 9.6: who may lead, and when. One test for each rule.

#include <gtest/gtest.h>

#include <set>
#include <utility>

#include "raft/testing/test_cluster.h"

namespace rutile::raft {
namespace {

using testing::kTick;
using testing::SmallOptions;
using testing::TestCluster;

TEST(RaftElection, OnlyAnUpToDateLogCanWin) {
  TestCluster cluster({.logs = {{1, 1, 2}, {1, 1}, {1, 1, 1, 1}}});
  cluster.Elect(2);
  EXPECT_EQ(0u, cluster.Leader()) << "shorter";
  cluster.Elect(3);
  EXPECT_EQ(3u, cluster.Leader()) << "longer than one of two; 1 refuses, 2 does not";
  TestCluster other({.logs = {{1, 1, 2}, {1, 1, 2}, {1, 1, 1, 1}}});
  other.Elect(3);
  EXPECT_EQ(0u, other.Leader()) << "longer, but of an older term";
  other.Elect(1);
  other.Elect(1);
  EXPECT_EQ(1u, other.Leader());
}

TEST(RaftElection, CandidatesOfOneTermShareTheVotes) {
  TestCluster cluster({.voters = 4});
  cluster.Campaign(1);
  cluster.Campaign(2);
  cluster.Settle();
  // Two each at most: nobody has three.
  int leaders = 0;
  for (std::size_t id = 1; id <= 4; ++id) leaders += cluster.raft(id).is_leader() ? 1 : 0;
  EXPECT_LE(leaders, 1);
  EXPECT_EQ("", cluster.violation());
}

TEST(RaftElection, VoteLeavesWhenItIsDurable) {
  TestCluster cluster({});
  cluster.PauseWriter(2);
  cluster.PauseWriter(3);
  cluster.Campaign(1);
  cluster.Settle();
  EXPECT_FALSE(cluster.InNetwork(MessageType::kVoteReply, 2, 1));
  EXPECT_FALSE(cluster.raft(1).is_leader());
  cluster.CompleteWrite(2);
  EXPECT_TRUE(cluster.InNetwork(MessageType::kVoteReply, 2, 1));
  cluster.Settle();
  EXPECT_TRUE(cluster.raft(1).is_leader());
  EXPECT_EQ("", cluster.violation());
}

TEST(RaftElection, VoteSurvivesARestartAndOneThatWasNotDurableWasNotGiven) {
  for (const bool durable : {true, false}) {
    TestCluster cluster({});
    cluster.hold = [](const Message& m) { return m.type == MessageType::kVoteReply; };
    cluster.PauseWriter(3);
    cluster.Isolate(2);
    cluster.Campaign(1);
    cluster.Settle();
    cluster.Crash(3, durable ? 1 : 0);
    cluster.PauseWriter(3, false);
    cluster.Restart(3);
    cluster.Elapse(Seconds(1));
    cluster.Heal();
    cluster.Isolate(1);
    cluster.hold = nullptr;
    cluster.Campaign(2);  // In the same term.
    cluster.Settle();
    EXPECT_EQ(durable ? 0u : 2u, cluster.Leader());
    EXPECT_EQ("", cluster.violation());
  }
}

TEST(RaftElection, OwnVoteCountsWhenItIsDurable) {
  TestCluster cluster({});
  cluster.PauseWriter(1);
  cluster.Campaign(1);
  cluster.Settle();
  EXPECT_TRUE(cluster.network().empty()) << "nobody is asked before";
  EXPECT_EQ(Role::kCandidate, cluster.raft(1).role());
  cluster.CompleteWrite(1);
  cluster.Settle();
  EXPECT_TRUE(cluster.raft(1).is_leader());
}

TEST(RaftElection, SoleVoterLeadsAtTheFirstTickWhenItsDiskAgrees) {
  TestCluster cluster({.voters = 1, .learners = 1, .fresh = false});
  cluster.PauseWriter(1);
  for (int i = 0; i < 50; ++i) cluster.Tick(1);
  EXPECT_EQ(Role::kCandidate, cluster.raft(1).role());
  EXPECT_EQ(Term(1), cluster.raft(1).term());
  cluster.CompleteWrite(1);
  EXPECT_TRUE(cluster.raft(1).is_leader());
  EXPECT_EQ(Index(0), cluster.raft(1).tail().committed());
  cluster.CompleteWrite(1);
  EXPECT_EQ(Index(1), cluster.raft(1).tail().committed());
}

TEST(RaftElection, TimeoutsAreRandomBetweenOneAndOneAndAHalf) {
  std::set<int> seen;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    TestCluster cluster({.seed = seed});
    int ticks = 0;
    while (cluster.raft(1).role() == Role::kFollower) {
      cluster.Elapse(kTick);
      cluster.Tick(1);
      ++ticks;
    }
    seen.insert(ticks);
  }
  EXPECT_EQ((std::set<int>{10, 11, 12, 13, 14}), seen);
}

TEST(RaftElection, LearnerDoesNotCampaignButVotesWhenAsked) {
  TestCluster cluster({.voters = 3, .learners = 1});
  for (int i = 0; i < 100; ++i) cluster.Tick(4);
  cluster.Campaign(4);
  EXPECT_EQ(Role::kFollower, cluster.raft(4).role());
  // The asker knows of a configuration in which 4 votes (museum F12).
  Message ask{.type = MessageType::kVote, .from = PeerId(9), .to = PeerId(4), .term = Term(3)};
  cluster.hold = [](const Message&) { return true; };
  cluster.Inject(ask);
  cluster.Settle();
  ASSERT_EQ(1u, cluster.network().size());
  EXPECT_TRUE(cluster.network().front().granted);
}

TEST(RaftElection, CandidateYieldsToTheLeaderOfItsTerm) {
  TestCluster cluster({});
  cluster.CutLink(2, 1);
  cluster.CutLink(2, 3);
  cluster.Campaign(2);
  cluster.Settle();
  cluster.Elect(1);
  ASSERT_EQ(cluster.raft(1).term(), cluster.raft(2).term());
  EXPECT_EQ(Role::kFollower, cluster.raft(2).role());
  EXPECT_EQ(PeerId(1), cluster.raft(2).leader());
}

// --- Pre-vote (9.6) and stickiness (6.4.1).

TEST(RaftElection, PartitionedNodeDoesNotDisturb) {
  TestCluster cluster({});
  cluster.Elect(1);
  const Term term = cluster.raft(1).term();
  cluster.Isolate(3);
  cluster.TickAll(100);
  EXPECT_EQ(term, cluster.raft(3).term()) << "its pre-votes were not granted";
  cluster.Heal();
  cluster.TickAll(20);
  EXPECT_EQ(term, cluster.raft(1).term());
  EXPECT_TRUE(cluster.raft(1).is_leader());
  EXPECT_EQ(PeerId(1), cluster.raft(3).leader());
}

TEST(RaftElection, GrantedPreVoteIsNotAVote) {
  TestCluster cluster({.voters = 5});
  cluster.hold = [](const Message& m) { return m.type == MessageType::kPreVoteReply; };
  while (cluster.raft(1).role() == Role::kFollower) {
    cluster.Elapse(kTick);
    cluster.Tick(1);
  }
  cluster.Settle();
  ASSERT_TRUE(cluster.InNetwork(MessageType::kPreVoteReply, 2, 1));
  for (std::size_t id = 2; id <= 5; ++id) cluster.CutLink(1, id);
  cluster.Campaign(1);
  cluster.hold = nullptr;
  cluster.Settle();
  EXPECT_EQ(Role::kCandidate, cluster.raft(1).role());
}

TEST(RaftElection, VotesAreRefusedWhileThereIsALeader) {
  TestCluster cluster({});
  cluster.Elect(1);
  const Term term = cluster.raft(2).term();
  cluster.CutLink(3, 1);
  cluster.Campaign(3);
  cluster.Settle();
  EXPECT_FALSE(cluster.raft(3).is_leader());
  EXPECT_EQ(term, cluster.raft(2).term()) << "not even its term is taken over";
}

// Its term is ahead and its log behind: it cannot win, and hears nobody. The leader learns the term
// from its answers, and a new election frees it (museum F1).
TEST(RaftElection, NodeWithATermAheadIsNotStuck) {
  TestCluster cluster({});
  cluster.Elect(1);
  cluster.Isolate(3);
  cluster.Campaign(3);
  cluster.Settle();
  ASSERT_TRUE(cluster.Propose(1, "x"));
  cluster.Settle();
  cluster.Heal();
  cluster.TickAll(60);
  ASSERT_NE(0u, cluster.Leader());
  EXPECT_NE(3u, cluster.Leader());
  EXPECT_EQ(cluster.raft(1).term(), cluster.raft(3).term());
  EXPECT_EQ(cluster.Log(1), cluster.Log(3));
}

// It may have promised a leader before the restart, and has forgotten (museum F9).
TEST(RaftElection, VotesAreRefusedAfterARestart) {
  TestCluster cluster({.fresh = false});
  cluster.Campaign(1);
  cluster.Settle();
  EXPECT_FALSE(cluster.raft(1).is_leader());
  cluster.Elapse(SmallOptions().vote_refusal);
  cluster.Campaign(1);
  cluster.Settle();
  EXPECT_TRUE(cluster.raft(1).is_leader());
}

// For just as long as it would have kept to its promise.
TEST(RaftElection, VotesAreRefusedForOneLeaseAfterARestart) {
  const Duration refusal = SmallOptions().vote_refusal;
  for (const Duration wait : {refusal - Milliseconds(1), refusal}) {
    TestCluster cluster({});
    cluster.Elect(1);
    cluster.TickAll(4);
    ASSERT_TRUE(cluster.raft(1).LeaseUntil().has_value());
    cluster.Isolate(1);
    cluster.Elapse(Milliseconds(500));  // The lease, which 2 gave, still runs when 2 is back.
    cluster.Crash(2);
    cluster.Restart(2);
    ASSERT_LT(cluster.now(), *cluster.raft(1).LeaseUntil());
    cluster.Elapse(wait);
    cluster.Campaign(3);
    cluster.Settle();
    EXPECT_EQ(wait == refusal, cluster.raft(3).is_leader());
    EXPECT_EQ("", cluster.violation());
  }
}

// Ticks that were held up come in a burst; the lease that counts on this peer is on the clock.
TEST(RaftElection, BurstOfTicksDoesNotOutrunTheClock) {
  TestCluster cluster({});
  cluster.Elect(1);
  for (int i = 0; i < 100; ++i) cluster.Tick(2);
  EXPECT_EQ(Role::kFollower, cluster.raft(2).role());
  cluster.Elapse(SmallOptions().vote_refusal);
  cluster.Tick(2);
  EXPECT_EQ(Role::kPreCandidate, cluster.raft(2).role());
}

// --- CheckQuorum.

TEST(RaftElection, LeaderWithoutAQuorumStepsDown) {
  TestCluster cluster({});
  cluster.Elect(1);
  cluster.TickAll(30);
  ASSERT_TRUE(cluster.raft(1).is_leader());
  cluster.Isolate(1);
  cluster.TickAll(60);
  EXPECT_FALSE(cluster.raft(1).is_leader());
  EXPECT_NE(0u, cluster.Leader()) << "and the others have another";
  EXPECT_EQ("", cluster.violation());
}

TEST(RaftElection, LeaderKeepsOnWithABareQuorum) {
  TestCluster cluster({.voters = 5});
  cluster.Elect(1);
  cluster.Isolate(4);
  cluster.Isolate(5);
  cluster.TickAll(100);
  EXPECT_TRUE(cluster.raft(1).is_leader());
}

// A learner's answers are not a voter's.
TEST(RaftElection, LearnersDoNotMakeAQuorum) {
  TestCluster cluster({.voters = 2, .learners = 2});
  cluster.Elect(1);
  cluster.Isolate(2);
  ASSERT_TRUE(cluster.Propose(1, "x"));
  cluster.TickAll(5);
  EXPECT_EQ(Index(1), cluster.raft(1).tail().committed());
  cluster.TickAll(20);
  EXPECT_FALSE(cluster.raft(1).is_leader());
}

// --- Partial partitions: pre-votes and CheckQuorum together (museum F6).

// Whoever is not named together cannot hear each other.
void ConnectOnly(TestCluster& cluster, const std::set<std::pair<std::size_t, std::size_t>>& links) {
  cluster.Heal();
  for (std::size_t from = 1; from <= cluster.size(); ++from) {
    for (std::size_t to = 1; to <= cluster.size(); ++to) {
      if (!links.contains({from, to}) && !links.contains({to, from})) cluster.CutLink(from, to);
    }
  }
}

// Whether `leader` leads on in its term for a hundred ticks, and commits.
::testing::AssertionResult LeadsInPeace(TestCluster& cluster, std::size_t leader) {
  const Term term = cluster.raft(leader).term();
  for (int tick = 0; tick < 100; ++tick) {
    cluster.TickAll();
    if (cluster.Leader() != leader || cluster.raft(leader).term() != term) {
      return ::testing::AssertionFailure() << "unseated after " << tick << " ticks";
    }
  }
  const Index last = cluster.raft(leader).tail().last().index;
  cluster.Propose(leader, "x");
  cluster.Settle();
  if (cluster.raft(leader).tail().committed() == last.Next()) {
    return ::testing::AssertionSuccess();
  }
  return ::testing::AssertionFailure() << "commits nothing";
}

// One link is down, between the leader and one of two: the switch of 2 November 2020. Without
// pre-votes leadership goes back and forth for as long as that lasts.
TEST(RaftElection, PartialPartitionCloudflare2020) {
  for (const std::size_t leader : {1u, 3u}) {
    TestCluster cluster({});
    cluster.Elect(leader);
    ConnectOnly(cluster, {{1, 2}, {2, 3}});
    EXPECT_TRUE(LeadsInPeace(cluster, leader)) << leader;
    EXPECT_EQ("", cluster.violation());
  }
}

// Three of five see each other, the others one of them each: Howard and Abraham's example. And one
// in which the leader is at the edge and no majority is without who hears it.
TEST(RaftElection, PartialPartitionOfFive) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    TestCluster cluster({.voters = 5, .seed = seed});
    cluster.Elect(3);
    ConnectOnly(cluster, {{1, 2}, {2, 3}, {1, 3}, {2, 4}, {3, 5}});
    EXPECT_TRUE(LeadsInPeace(cluster, 3)) << seed;
    cluster.Heal();
    cluster.TickAll(20);
    cluster.Elect(4);
    ASSERT_TRUE(cluster.raft(4).is_leader()) << seed;
    ConnectOnly(cluster, {{1, 2}, {2, 3}, {1, 3}, {2, 4}});
    cluster.TickAll(60);
    const std::size_t leader = cluster.Leader();
    EXPECT_TRUE(leader >= 1 && leader <= 3) << leader << " with seed " << seed;
    EXPECT_FALSE(cluster.raft(4).is_leader());
    EXPECT_TRUE(LeadsInPeace(cluster, leader)) << seed;
    EXPECT_EQ("", cluster.violation());
  }
}

// All links but those of 3 are down: nobody else has a majority. It must not stay with a leader
// that only it hears (CheckQuorum), and win.
TEST(RaftElection, PartialPartitionBridge) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    TestCluster cluster({.voters = 5, .seed = seed});
    cluster.Elect(1);
    ConnectOnly(cluster, {{1, 3}, {2, 3}, {3, 4}, {3, 5}});
    cluster.TickAll(80);
    EXPECT_FALSE(cluster.raft(1).is_leader());
    EXPECT_EQ(3u, cluster.Leader()) << seed;
    EXPECT_TRUE(LeadsInPeace(cluster, 3)) << seed;
    EXPECT_EQ("", cluster.violation());
  }
}

// Each hears its neighbours. The middle can lead, the ends cannot, and disturb nobody.
TEST(RaftElection, PartialPartitionChain) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    TestCluster cluster({.voters = 5, .seed = seed});
    cluster.Elect(1);
    ConnectOnly(cluster, {{1, 2}, {2, 3}, {3, 4}, {4, 5}});
    cluster.TickAll(60);
    const std::size_t leader = cluster.Leader();
    EXPECT_TRUE(leader >= 2 && leader <= 4) << leader << " with seed " << seed;
    EXPECT_FALSE(cluster.raft(1).is_leader());
    EXPECT_TRUE(LeadsInPeace(cluster, leader)) << seed;
    EXPECT_EQ("", cluster.violation());
  }
}

}  // namespace
}  // namespace rutile::raft
