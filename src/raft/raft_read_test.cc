// Raft 6.4 and 3.10: reads that see everything, leases that never overlap, and handing over.

#include <gtest/gtest.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "base/random.h"
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

// However many reads come while a round is on its way, they share the next one.
TEST(RaftRead, ReadsAreBatchedInRounds) {
  TestCluster cluster({.options = WithoutLease()});
  cluster.Elect(1);
  std::set<Round> rounds;
  cluster.hold = [&rounds](const Message& m) {
    if (m.type == MessageType::kHeartbeat) rounds.insert(m.round);
    return m.type == MessageType::kHeartbeatReply;
  };
  for (int i = 0; i < 20; ++i) cluster.ReadIndex(1);
  cluster.ReadIndex(2);
  cluster.Settle();
  EXPECT_EQ(1u, rounds.size()) << "the second waits for the first";
  EXPECT_TRUE(cluster.reads(1).empty());
  rounds.clear();
  while (!cluster.network().empty()) {
    if (cluster.network().front().type == MessageType::kHeartbeat) {
      rounds.insert(cluster.network().front().round);
    }
    cluster.Deliver(0);
    while (cluster.writes_in_flight(1) > 0) cluster.CompleteWrite(1);
  }
  EXPECT_EQ(1u, rounds.size()) << "twenty reads, two rounds";
  EXPECT_EQ(20u, cluster.reads(1).size());
  EXPECT_EQ(1u, cluster.reads(2).size());
  EXPECT_EQ("", cluster.violation());
}

// A round whose answers are lost is made good by the next, which the clock sends.
TEST(RaftRead, LostAnswersToARoundAreMadeGood) {
  TestCluster cluster({.options = WithoutLease()});
  cluster.Elect(1);
  cluster.hold = [](const Message& m) { return m.type == MessageType::kHeartbeatReply; };
  cluster.ReadIndex(1);
  cluster.Settle();
  cluster.network().clear();
  cluster.hold = nullptr;
  EXPECT_TRUE(cluster.reads(1).empty());
  cluster.TickAll(SmallOptions().heartbeat_ticks);
  ASSERT_EQ(1u, cluster.reads(1).size());
  EXPECT_EQ(Index(1), cluster.reads(1)[0].index);
}

// Answers of the leader come in another order, twice, or never: each answers its own question, once
// (museum G3, G4).
TEST(RaftRead, LostAndReorderedRepliesAnswerTheirOwnQuestions) {
  TestCluster cluster({.options = WithoutLease()});
  cluster.Elect(1);
  cluster.TickAll(3);
  cluster.hold = [](const Message& m) { return m.type == MessageType::kReadIndexReply; };
  std::vector<ReadId> ids;
  for (int i = 0; i < 3; ++i) {
    ids.push_back(cluster.ReadIndex(2));
    cluster.Settle();
    ASSERT_TRUE(cluster.Propose(1, "x"));
    cluster.Settle();
  }
  ASSERT_EQ(3u, cluster.network().size());
  cluster.network().pop_front();  // The first is lost,
  cluster.Deliver(1, true);       // the third comes first,
  cluster.Deliver(1);             // and again,
  cluster.Deliver(0);             // then the second.
  ASSERT_EQ(2u, cluster.reads(2).size());
  EXPECT_EQ(ids[2], cluster.reads(2)[0].id);
  EXPECT_EQ(Index(3), cluster.reads(2)[0].index);
  EXPECT_EQ(ids[1], cluster.reads(2)[1].id);
  EXPECT_EQ(Index(2), cluster.reads(2)[1].index);
  cluster.TickAll(SmallOptions().election_ticks);
  ASSERT_EQ(3u, cluster.reads(2).size()) << "it is not left waiting";
  EXPECT_EQ(ids[0], cluster.reads(2)[2].id);
  EXPECT_EQ(Index(0), cluster.reads(2)[2].index);
  EXPECT_EQ("", cluster.violation());
}

// The leader may have committed more than the follower knows: the read waits for that.
TEST(RaftRead, FollowerReadsWhatTheLeaderHasCommitted) {
  TestCluster cluster({.options = WithoutLease()});
  cluster.Elect(1);
  cluster.TickAll(3);
  cluster.PauseApply(3);
  cluster.hold = [](const Message& m) { return m.to == PeerId(3) && !m.slice.empty(); };
  ASSERT_TRUE(cluster.Propose(1, "x"));
  cluster.Settle();
  cluster.ReadIndex(3);
  cluster.Settle();
  ASSERT_EQ(1u, cluster.reads(3).size());
  EXPECT_EQ(Index(2), cluster.reads(3)[0].index);
  EXPECT_EQ(Index(1), cluster.raft(3).tail().last().index) << "it has not even got the entry";
  cluster.hold = nullptr;
  cluster.PauseApply(3, false);
  cluster.TickAll(3);
  EXPECT_EQ(Index(2), cluster.machine(3).applied.index);
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

TEST(RaftRead, NoLeaseBeforeTheTermsFirstCommit) {
  TestCluster cluster({});
  cluster.hold = [](const Message& m) { return m.type == MessageType::kAppend; };
  cluster.Elect(1);
  cluster.TickAll(2 * SmallOptions().heartbeat_ticks);
  ASSERT_TRUE(cluster.raft(1).is_leader());
  EXPECT_FALSE(cluster.raft(1).LeaseUntil().has_value()) << "rounds are answered all the same";
  cluster.ReadIndex(2);
  cluster.Settle();
  EXPECT_TRUE(cluster.reads(2).empty()) << "nor is a follower's read answered";
  cluster.hold = nullptr;
  cluster.Settle();
  EXPECT_TRUE(cluster.raft(1).LeaseUntil().has_value());
  ASSERT_EQ(1u, cluster.reads(2).size());
  EXPECT_EQ(Index(1), cluster.reads(2)[0].index);
}

// A leader whose clock is slow by `drift` and a follower whose clock is fast by as much: for how
// long, in true time, does the lease run while the follower would already vote for another?
Duration LeaseAfterTheVote(double drift) {
  const auto at = [](double true_ms, double rate) {
    return Instant() + Seconds(100) +
           Microseconds(static_cast<std::int64_t>(true_ms * 1000 * rate));
  };
  const Configuration three{.voters = {PeerId(1), PeerId(2), PeerId(3)}};
  SeededRandom random(1);
  Options options = SmallOptions();
  const auto start = [&](std::uint64_t id) {
    options.id = PeerId(id);
    return std::make_unique<Raft>(options, Raft::Start{.configuration = three, .fresh = true},
                                  random, Instant());
  };
  const auto leader = start(1);
  const auto follower = start(2);
  const double slow = 1 - drift;
  const double fast = 1 + drift;
  // Between these two, without delay, at true time zero.
  std::deque<Message> network;
  const auto absorb = [&](Raft& raft, double rate, Effects effects) {
    for (bool more = true; more;) {
      for (Message& message : effects.messages) network.push_back(std::move(message));
      more = effects.write.has_value();
      if (more) effects = raft.OnDurable(at(0, rate), effects.write->log.mark);
    }
  };
  absorb(*leader, slow, leader->Campaign(at(0, slow)));
  const auto deliver = [&] {
    while (!network.empty()) {
      const Message message = std::move(network.front());
      network.pop_front();
      if (message.to == PeerId(1)) absorb(*leader, slow, leader->Step(at(0, slow), message));
      if (message.to == PeerId(2)) absorb(*follower, fast, follower->Step(at(0, fast), message));
    }
  };
  deliver();
  for (int i = 0; i < options.heartbeat_ticks; ++i)
    absorb(*leader, slow, leader->Tick(at(0, slow)));
  deliver();
  EXPECT_TRUE(leader->LeaseUntil().has_value());
  // The first true millisecond at which 3 gets the follower's vote.
  double voted = 0;
  for (; follower->term() == leader->term(); voted += 1) {
    const Message ask{.type = MessageType::kVote,
                      .from = PeerId(3),
                      .to = PeerId(2),
                      .term = leader->term().Next(),
                      .last_log = follower->tail().last()};
    follower->Step(at(voted, fast), ask);
  }
  double until = 0;
  while (at(until, slow) < *leader->LeaseUntil()) until += 1;
  return Milliseconds(static_cast<std::int64_t>(until - voted));
}

// Lease and refusal are 800 ms and 900 ms: clocks may differ by 100 / 1700 each.
TEST(RaftRead, LeaseIsOverBeforeTheVoteAlthoughClocksDrift) {
  for (const double drift : {0.0, 0.01, 0.03, 0.055}) {
    EXPECT_LE(LeaseAfterTheVote(drift), Duration::zero()) << drift;
  }
  EXPECT_GT(LeaseAfterTheVote(0.07), Duration::zero()) << "the bound is where it should be";
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

// With the word, not with the order, which waits for the other's log (museum G8).
TEST(RaftTransfer, LeaseIsGivenUpBeforeTheTransferStarts) {
  TestCluster cluster({});
  cluster.Elect(1);
  cluster.PauseWriter(3);
  ASSERT_TRUE(cluster.Propose(1, "x"));
  cluster.TickAll(4);
  ASSERT_TRUE(cluster.raft(1).LeaseUntil().has_value());
  cluster.hold = [](const Message&) { return true; };
  cluster.Transfer(1, 3);
  EXPECT_FALSE(cluster.InNetwork(MessageType::kTimeoutNow, 1, 3)) << "3 has not got it all";
  EXPECT_FALSE(cluster.raft(1).LeaseUntil().has_value());
  cluster.ReadIndex(1);
  EXPECT_TRUE(cluster.reads(1).empty());
  EXPECT_TRUE(cluster.InNetwork(MessageType::kHeartbeat, 1, 2)) << "the read takes a round";
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
