// Limits changed while all runs, and what peers under pressure say: raft_limits.cc.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <string>

#include "raft/backlog.h"
#include "raft/testing/test_cluster.h"

namespace rutile::raft {
namespace {

using testing::SmallOptions;
using testing::TestCluster;

PeerStatus Peer(TestCluster& cluster, std::size_t leader, std::size_t peer) {
  for (const PeerStatus& status : cluster.raft(leader).Peers()) {
    if (status.id == PeerId(peer)) return status;
  }
  return {};
}

std::ptrdiff_t AppendsTo(TestCluster& cluster, std::size_t to) {
  return std::count_if(cluster.network().begin(), cluster.network().end(), [to](const Message& m) {
    return m.type == MessageType::kAppend && m.to == PeerId(to) && !m.slice.empty();
  });
}

// A cluster led by 1, with this one limit in place of the usual.
template <class Change>
void Limit(TestCluster& cluster, std::size_t id, Change change) {
  Limits limits = cluster.raft(id).limits();
  change(limits);
  cluster.SetLimits(id, limits);
}

void ProposeSome(TestCluster& cluster, int count, std::size_t bytes = 100) {
  for (int i = 0; i < count; ++i) {
    ASSERT_TRUE(cluster.Propose(1, std::string(bytes, 'x')));
    cluster.Settle();
  }
}

TEST(Backlog, CountsWhatIsNotDone) {
  Backlog backlog;
  backlog.Add(1, 10);
  backlog.Add(3, 5);
  backlog.Add(3, 0);
  EXPECT_EQ(15u, backlog.bytes());
  backlog.DoneUpTo(2);
  EXPECT_EQ(5u, backlog.bytes());
  backlog.DoneUpTo(1);
  EXPECT_EQ(5u, backlog.bytes());
  backlog.DoneUpTo(9);
  EXPECT_EQ(0u, backlog.bytes());
}

TEST(RaftLimits, AWindowSmallerThanWhatIsOnItsWayHoldsTheRestBack) {
  TestCluster cluster({});
  cluster.Elect(1);
  cluster.PauseWriter(2);
  ProposeSome(cluster, 8);
  ASSERT_EQ(8u, Peer(cluster, 1, 2).inflight);
  Limit(cluster, 1, [](Limits& limits) { limits.max_inflight_messages = 2; });
  EXPECT_EQ(2u, cluster.raft(1).limits().max_inflight_messages);
  ProposeSome(cluster, 5);
  EXPECT_EQ(8u, Peer(cluster, 1, 2).inflight);
  std::size_t most = 0;
  while (cluster.writes_in_flight(2) > 0) {
    cluster.CompleteWrite(2);
    cluster.Settle();
    if (Peer(cluster, 1, 2).match >= Index(9)) {
      most = std::max(most, Peer(cluster, 1, 2).inflight);
    }
  }
  EXPECT_LE(most, 2u);
  EXPECT_EQ(cluster.Log(1), cluster.Log(2));
  EXPECT_EQ("", cluster.violation());
}

TEST(RaftLimits, AWiderWindowIsUsedAtOnce) {
  Options options = SmallOptions();
  options.max_inflight_messages = 1;
  options.max_append_bytes = 150;
  TestCluster cluster({.options = options});
  cluster.Elect(1);
  cluster.PauseWriter(2);
  ProposeSome(cluster, 6);
  EXPECT_EQ(1u, Peer(cluster, 1, 2).inflight);
  Limit(cluster, 1, [](Limits& limits) { limits.max_inflight_messages = 4; });
  EXPECT_EQ(3, AppendsTo(cluster, 2));
  cluster.Settle();
  EXPECT_EQ(4u, Peer(cluster, 1, 2).inflight);
  // And by bytes: the two that are left go as one message.
  Limit(cluster, 1, [](Limits& limits) {
    limits.max_inflight_messages = 100;
    limits.max_append_bytes = 1000;
  });
  EXPECT_EQ(1, AppendsTo(cluster, 2));
  Limit(cluster, 1, [](Limits& limits) { limits.max_inflight_bytes = 1; });
  ProposeSome(cluster, 2);
  EXPECT_EQ(5u, Peer(cluster, 1, 2).inflight);
  EXPECT_EQ("", cluster.violation());
}

TEST(RaftLimits, ProposalsMeetTheLimitOfTheMoment) {
  TestCluster cluster({});
  cluster.Elect(1);
  cluster.PauseWriter(2);
  cluster.PauseWriter(3);
  ProposeSome(cluster, 2);
  Limit(cluster, 1, [](Limits& limits) { limits.max_uncommitted_bytes = 200; });
  EXPECT_EQ(ProposeError::kBusy, std::get<ProposeError>(cluster.ProposeBatch(1, {Bytes("x")})));
  Limit(cluster, 1, [](Limits& limits) { limits.max_uncommitted_bytes = 300; });
  EXPECT_TRUE(cluster.Propose(1, "x"));
  Limit(cluster, 1, [](Limits& limits) { limits = {}; });
  EXPECT_FALSE(cluster.Propose(1, "x"));
  cluster.PauseWriter(2, false);
  cluster.Settle();
  EXPECT_TRUE(cluster.Propose(1, "zeroes count as ones, so the group goes on"));
  cluster.Settle();
  EXPECT_EQ(cluster.raft(1).tail().last().index, cluster.machine(1).applied.index);
  EXPECT_EQ("", cluster.violation());
}

// Whatever the follower is slow at, it says how much it takes, is sent no more than that, holds
// nobody up, and is sent the rest as soon as it can take it, without waiting for a tick.
void FollowerUnderPressure(const std::function<void(TestCluster&, bool)>& pause) {
  constexpr std::size_t kLimit = 2000;
  Options options = SmallOptions();
  options.max_append_bytes = 300;
  TestCluster cluster({.options = options});
  cluster.Elect(1);
  Limit(cluster, 2, [](Limits& limits) { limits.max_backlog_bytes = kLimit; });
  pause(cluster, true);
  for (int i = 0; i < 60; ++i) {
    ProposeSome(cluster, 1);
    cluster.TickAll();
  }
  EXPECT_TRUE(cluster.raft(1).is_leader());
  EXPECT_EQ(cluster.raft(1).tail().last().index, cluster.machine(1).applied.index);
  const LogTail& tail = cluster.raft(2).tail();
  const Index done = std::min(tail.durable(), tail.applied());
  const std::size_t held = tail.last().index.DistanceFrom(done) * (Entry::kOverheadBytes + 100);
  EXPECT_GT(held, kLimit / 3);
  EXPECT_LE(held, kLimit + 2 * options.max_append_bytes);
  EXPECT_LT(Peer(cluster, 1, 2).room, kLimit / 2);
  pause(cluster, false);
  cluster.Settle();
  EXPECT_EQ(kAnyRoom, Peer(cluster, 1, 2).room);
  EXPECT_EQ(cluster.Log(1), cluster.Log(2));
  cluster.TickAll(2);
  EXPECT_EQ(cluster.machine(1).applied, cluster.machine(2).applied);
  EXPECT_EQ("", cluster.violation());
}

TEST(RaftLimits, AFollowerThatIsSlowToApplyIsSentNoMoreThanItTakes) {
  FollowerUnderPressure([](TestCluster& cluster, bool paused) { cluster.PauseApply(2, paused); });
}

TEST(RaftLimits, AFollowerWithASlowDiskIsSentNoMoreThanItTakes) {
  // Its heartbeats are answered all the while: the term is on its disk.
  FollowerUnderPressure([](TestCluster& cluster, bool paused) { cluster.PauseWriter(2, paused); });
}

TEST(RaftLimits, WordOfRoomThatIsLostIsSaidAgainWithTheNextRound) {
  Options options = SmallOptions();
  options.max_append_bytes = 300;
  TestCluster cluster({.options = options});
  cluster.Elect(1);
  Limit(cluster, 2, [](Limits& limits) { limits.max_backlog_bytes = 500; });
  cluster.PauseApply(2);
  for (int i = 0; i < 20; ++i) {
    ProposeSome(cluster, 1);
    cluster.TickAll();
  }
  ASSERT_LT(Peer(cluster, 1, 2).match, cluster.raft(1).tail().last().index);
  cluster.CutLink(2, 1);
  cluster.PauseApply(2, false);
  cluster.Settle();
  cluster.Heal();
  ASSERT_LT(Peer(cluster, 1, 2).match, cluster.raft(1).tail().last().index);
  cluster.TickAll(6);
  EXPECT_EQ(cluster.Log(1), cluster.Log(2));
  EXPECT_EQ("", cluster.violation());
}

// What waits to be committed is no pressure: it goes only when more comes.
TEST(RaftLimits, ALongUncommittedTailDoesNotKeepOutTheEntryThatCommitsIt) {
  Options options = SmallOptions();
  options.max_backlog_bytes = 100;
  TestCluster cluster({.options = options, .logs = {{1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1}}});
  cluster.Crash(3);
  cluster.Elect(1);
  cluster.TickAll(4);
  EXPECT_EQ(Index(9), cluster.raft(1).tail().committed());
  EXPECT_EQ(cluster.Log(1), cluster.Log(2));
  EXPECT_EQ("", cluster.violation());
}

TEST(RaftLimits, ALeaderThatIsSlowToApplyRefusesProposals) {
  Options options = SmallOptions();
  options.max_backlog_bytes = 1000;
  TestCluster cluster({.options = options});
  cluster.Elect(1);
  cluster.PauseApply(1);
  ProposeSome(cluster, 8);
  EXPECT_EQ(ProposeError::kBusy, std::get<ProposeError>(cluster.ProposeBatch(1, {Bytes("x")})));
  EXPECT_EQ(Code::kResourceExhausted,
            cluster.ProposeChange(1, {.steps = {{ChangeStep::Kind::kRemove, PeerId(3)}}})
                .status()
                .code());
  cluster.PauseApply(1, false);
  cluster.Settle();
  EXPECT_TRUE(cluster.Propose(1, "x"));
}

// --- Transfer of leadership.

TEST(RaftTransfer, WaitsUntilTheOtherHasAppliedNearlyAll) {
  TestCluster cluster({});
  cluster.Elect(1);
  cluster.PauseApply(2);
  ProposeSome(cluster, 200);
  cluster.TickAll(2);
  cluster.Transfer(1, 2);
  cluster.TickAll(3);
  ASSERT_EQ(cluster.Log(1), cluster.Log(2)) << "it has the log";
  EXPECT_TRUE(cluster.raft(1).is_leader());
  EXPECT_FALSE(cluster.raft(1).LeaseUntil().has_value());
  EXPECT_EQ(ProposeError::kTransferring,
            std::get<ProposeError>(cluster.ProposeBatch(1, {Bytes("x")})));
  cluster.PauseApply(2, false);
  cluster.TickAll(3);
  EXPECT_EQ(2u, cluster.Leader());
  EXPECT_EQ("", cluster.violation());
}

TEST(RaftTransfer, IsGivenUpWhenTheOtherDoesNotApply) {
  TestCluster cluster({});
  cluster.Elect(1);
  cluster.PauseApply(2);
  ProposeSome(cluster, 200);
  cluster.Transfer(1, 2);
  cluster.TickAll(12);
  EXPECT_TRUE(cluster.raft(1).is_leader());
  EXPECT_TRUE(cluster.Propose(1, "x"));
  cluster.PauseApply(2, false);
  cluster.TickAll(12);
  EXPECT_TRUE(cluster.raft(1).is_leader()) << "what is given up is not taken up again";
  EXPECT_EQ("", cluster.violation());
}

}  // namespace
}  // namespace rutile::raft
