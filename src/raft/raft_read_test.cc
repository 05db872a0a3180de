// Raft 6.4 and 3.10: reads that see everything, leases that never overlap, and handing over.

#include <gtest/gtest.h>

#include "raft/testing/test_cluster.h"

namespace rutile::raft {
namespace {

using testing::kTick;
using testing::SmallOptions;
using testing::TestCluster;

Options WithoutLease() {
  Options options = SmallOptions();
  options.lease = Duration::zero();
  return options;
}

TEST(RaftRead, ConfirmedByAQuorum) {
  TestCluster cluster({.options = WithoutLease()});
  cluster.Elect(1);
  cluster.ReadIndex(1);
  EXPECT_TRUE(cluster.reads(1).empty());
  EXPECT_TRUE(cluster.InNetwork(MessageType::kHeartbeat, 1, 2)) << "at once, not at the next tick";
  cluster.Settle();
  ASSERT_EQ(1u, cluster.reads(1).size());
  EXPECT_EQ(Index(1), cluster.reads(1)[0].index);
}

TEST(RaftRead, SoleVoterAnswersAtOnce) {
  TestCluster cluster({.voters = 1, .options = WithoutLease()});
  cluster.TickAll(1);
  cluster.ReadIndex(1);
  ASSERT_EQ(1u, cluster.reads(1).size());
  EXPECT_EQ(Index(1), cluster.reads(1)[0].index);
}

// Before that it does not know of all that was committed by others (museum G1).
TEST(RaftRead, WaitsForAnEntryOfTheOwnTerm) {
  TestCluster cluster({.options = WithoutLease()});
  cluster.hold = [](const Message& m) { return m.type == MessageType::kAppend; };
  cluster.Elect(1);
  ASSERT_TRUE(cluster.raft(1).is_leader());
  EXPECT_FALSE(cluster.raft(1).HasCommittedInTerm());
  cluster.ReadIndex(1);
  cluster.TickAll(4);
  EXPECT_TRUE(cluster.reads(1).empty());
  cluster.hold = nullptr;
  cluster.Settle();
  EXPECT_TRUE(cluster.raft(1).HasCommittedInTerm());
  ASSERT_EQ(1u, cluster.reads(1).size());
  EXPECT_EQ(Index(1), cluster.reads(1)[0].index);
}

// An answer to an earlier round, delivered late, confirms nothing (museum G2).
TEST(RaftRead, LateAnswerOfAnEarlierRoundConfirmsNothing) {
  TestCluster cluster({.options = WithoutLease()});
  cluster.Elect(1);
  cluster.hold = [](const Message& m) {
    return m.type == MessageType::kHeartbeatReply && m.from == PeerId(3);
  };
  cluster.ReadIndex(1);
  cluster.Settle();
  ASSERT_EQ(1u, cluster.reads(1).size()) << "2 was enough";
  ASSERT_TRUE(cluster.InNetwork(MessageType::kHeartbeatReply, 3, 1));
  cluster.CutLink(1, 2);
  cluster.CutLink(1, 3);
  cluster.Elect(2);
  ASSERT_TRUE(cluster.Propose(2, "newer"));
  cluster.CutLink(2, 1);
  cluster.Settle();
  cluster.ReadIndex(1);
  cluster.hold = nullptr;
  cluster.Settle();
  EXPECT_EQ(1u, cluster.reads(1).size()) << "the old answer must not release the new read";
  cluster.TickAll(12);
  ASSERT_EQ(2u, cluster.reads(1).size());
  EXPECT_EQ(Index(0), cluster.reads(1)[1].index) << "given up with the leadership";
  EXPECT_EQ("", cluster.violation());
}

TEST(RaftRead, FollowerAsksTheLeader) {
  TestCluster cluster({.options = WithoutLease()});
  cluster.ReadIndex(2);
  ASSERT_EQ(1u, cluster.reads(2).size());
  EXPECT_EQ(Index(0), cluster.reads(2)[0].index) << "nobody to ask";
  cluster.Elect(1);
  ASSERT_TRUE(cluster.Propose(1, "x"));
  cluster.Settle();
  cluster.ReadIndex(2);
  cluster.Settle();
  ASSERT_EQ(2u, cluster.reads(2).size());
  EXPECT_EQ(Index(2), cluster.reads(2)[1].index);
  EXPECT_EQ(Index(2), cluster.raft(2).tail().committed()) << "told by the same round";
}

TEST(RaftRead, FollowerIsNotLeftWaiting) {
  TestCluster cluster({});
  cluster.Elect(1);
  cluster.hold = [](const Message& m) { return m.type == MessageType::kReadIndex; };
  cluster.ReadIndex(2);
  cluster.TickAll(SmallOptions().election_ticks);
  ASSERT_EQ(1u, cluster.reads(2).size()) << "the question was lost";
  EXPECT_EQ(Index(0), cluster.reads(2)[0].index);
  cluster.ReadIndex(2);
  cluster.Elect(3);
  EXPECT_EQ(2u, cluster.reads(2).size()) << "its leader is no more";
}

// --- The lease.

// From the sending, not from the answer (museum G9).
TEST(RaftRead, LeaseRunsFromTheSendingOfTheRound) {
  TestCluster cluster({});
  cluster.Elect(1);
  EXPECT_FALSE(cluster.raft(1).LeaseUntil().has_value()) << "no round was answered yet";
  cluster.hold = [](const Message& m) { return m.type == MessageType::kHeartbeatReply; };
  cluster.TickAll(SmallOptions().heartbeat_ticks);
  const Instant sent = cluster.now();
  cluster.Elapse(Milliseconds(300));
  cluster.hold = nullptr;
  cluster.Settle();
  ASSERT_TRUE(cluster.raft(1).LeaseUntil().has_value());
  EXPECT_EQ(sent + SmallOptions().lease, *cluster.raft(1).LeaseUntil());
  cluster.ReadIndex(1);
  EXPECT_EQ(1u, cluster.reads(1).size()) << "no round needed";
  cluster.Elapse(Milliseconds(500));
  cluster.ReadIndex(1);
  EXPECT_EQ(1u, cluster.reads(1).size()) << "the lease is over";
}

// The checker compares each lease with what is committed anywhere, at every step.
TEST(RaftRead, LeaseIsOverBeforeAnotherLeads) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    TestCluster cluster({.seed = seed});
    cluster.Elect(1);
    cluster.TickAll(4);
    ASSERT_TRUE(cluster.raft(1).LeaseUntil().has_value());
    cluster.Isolate(1);
    bool told = false;
    for (int i = 0; i < 400 && !told; ++i) {
      cluster.Elapse(kTick / 2);
      for (const std::size_t id : {2u, 3u}) cluster.Tick(id);  // Its own ticks are late.
      cluster.Settle();
      if (cluster.Leader() != 1) told = cluster.Propose(cluster.Leader(), "new");
    }
    cluster.Settle();
    cluster.TickAll(1);
    ASSERT_TRUE(told);
    EXPECT_EQ("", cluster.violation()) << seed;
  }
}

TEST(RaftRead, LearnersGiveNoLease) {
  TestCluster cluster({.voters = 3, .learners = 2});
  cluster.Elect(1);
  cluster.Isolate(2);
  cluster.Isolate(3);
  cluster.TickAll(4);
  EXPECT_FALSE(cluster.raft(1).LeaseUntil().has_value());
}

// --- Transfer.

TEST(RaftTransfer, GoesToOneThatHasEverythingAndStickinessDoesNotStopIt) {
  TestCluster cluster({});
  cluster.Elect(1);
  cluster.TickAll(4);
  ASSERT_TRUE(cluster.raft(1).LeaseUntil().has_value());
  cluster.Transfer(1, 3);
  EXPECT_TRUE(cluster.InNetwork(MessageType::kTimeoutNow, 1, 3));
  EXPECT_FALSE(cluster.raft(1).LeaseUntil().has_value()) << "given up before the order leaves";
  EXPECT_EQ(ProposeError::kTransferring,
            std::get<ProposeError>(cluster.ProposeBatch(1, {Bytes("x")})));
  cluster.Settle();
  EXPECT_EQ(3u, cluster.Leader());
  EXPECT_EQ("", cluster.violation());
}

TEST(RaftTransfer, WaitsUntilTheLogIsThereAndDurable) {
  TestCluster cluster({});
  cluster.Elect(1);
  cluster.PauseWriter(3);
  ASSERT_TRUE(cluster.Propose(1, "x"));
  cluster.Transfer(1, 3);
  cluster.Settle();
  EXPECT_TRUE(cluster.raft(1).is_leader()) << "received, not durable";
  cluster.PauseWriter(3, false);
  cluster.Settle();
  EXPECT_EQ(3u, cluster.Leader());
}

TEST(RaftTransfer, IsGivenUpAfterAnElectionTimeout) {
  TestCluster cluster({});
  cluster.Elect(1);
  cluster.Isolate(3);
  ASSERT_TRUE(cluster.Propose(1, "x"));
  cluster.Transfer(1, 3);
  cluster.TickAll(SmallOptions().election_ticks - 1);
  EXPECT_FALSE(cluster.Propose(1, "x"));
  cluster.TickAll(1);
  EXPECT_TRUE(cluster.Propose(1, "x"));
  cluster.TickAll(3);
  EXPECT_TRUE(cluster.raft(1).LeaseUntil().has_value()) << "no order was sent";
}

// The order may arrive at any later time, and then makes others vote (museum G8).
TEST(RaftTransfer, NoLeaseInThisTermAfterTheOrderWasSent) {
  TestCluster cluster({});
  cluster.Elect(1);
  cluster.TickAll(4);
  cluster.hold = [](const Message& m) { return m.type == MessageType::kTimeoutNow; };
  cluster.Transfer(1, 3);
  cluster.TickAll(2 * SmallOptions().election_ticks);
  ASSERT_TRUE(cluster.Propose(1, "given up"));
  EXPECT_FALSE(cluster.raft(1).LeaseUntil().has_value());
  cluster.Settle();
  cluster.hold = nullptr;
  cluster.CutLink(3, 1);
  cluster.Settle();
  EXPECT_EQ(3u, cluster.Leader());
  EXPECT_EQ("", cluster.violation());
}

TEST(RaftTransfer, OnlyToAnotherVoter) {
  TestCluster cluster({.voters = 3, .learners = 1});
  cluster.Elect(1);
  for (const std::size_t to : {1u, 4u, 9u}) {
    cluster.Transfer(1, to);
    EXPECT_TRUE(cluster.Propose(1, "x")) << to;
  }
  cluster.Transfer(2, 3);
  cluster.Settle();
  EXPECT_EQ(1u, cluster.Leader());
}

}  // namespace
}  // namespace rutile::raft
