// Changes of who is a member: Raft 4, rule by rule.

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "raft/testing/test_cluster.h"

namespace rutile::raft {
namespace {

using testing::SmallOptions;
using testing::TestCluster;
using Kind = ChangeStep::Kind;

ConfigurationChange Change(std::vector<ChangeStep> steps, Transition how = Transition::kAuto) {
  return {.transition = how, .steps = std::move(steps)};
}
ChangeStep Voter(std::uint64_t id) { return {Kind::kAddVoter, PeerId(id)}; }
ChangeStep Learner(std::uint64_t id) { return {Kind::kAddLearner, PeerId(id)}; }
ChangeStep Remove(std::uint64_t id) { return {Kind::kRemove, PeerId(id)}; }

std::vector<std::size_t> Nodes(std::vector<std::size_t> ids) { return ids; }

std::string Members(TestCluster& cluster, std::size_t id) {
  return ToString(cluster.raft(id).configuration());
}

class Membership : public ::testing::Test {
 protected:
  // A cluster that has a leader, 1, and is at rest.
  TestCluster& Begin(std::size_t voters, std::size_t learners = 0) {
    cluster_ = std::make_unique<TestCluster>(
        TestCluster::Setup{.voters = voters, .learners = learners, .begins = {Term(1), Index(1)}});
    cluster_->Elect(1);
    cluster_->TickAll(3);
    return *cluster_;
  }
  void TearDown() override { EXPECT_EQ("", cluster_->violation()); }
  // Settled, and a change later.
  void Make(std::size_t leader, const ConfigurationChange& change) {
    const auto made = cluster_->ProposeChange(leader, change);
    ASSERT_TRUE(made.ok()) << made.status().ToString();
    cluster_->TickAll(4);
  }
  std::string Refusal(std::size_t id, const ConfigurationChange& change) {
    const std::string before = cluster_->Log(id) + Members(*cluster_, id);
    const std::string why = cluster_->ProposeChange(id, change).status().ToString();
    EXPECT_EQ(before, cluster_->Log(id) + Members(*cluster_, id));
    return why;
  }

  std::unique_ptr<TestCluster> cluster_;
};

TEST_F(Membership, AVoterIsAddedCatchesUpAndCounts) {
  TestCluster& c = Begin(1);
  Make(1, Change({Voter(2)}));
  for (std::size_t id : Nodes({1, 2})) EXPECT_EQ("voters (1,2)", Members(c, id));
  EXPECT_EQ(c.raft(1).tail().last(), c.machine(2).applied);
  c.PauseWriter(2);
  ASSERT_TRUE(c.Propose(1, "x"));
  c.Settle();
  EXPECT_LT(c.raft(1).tail().committed(), c.raft(1).tail().last().index);
  c.PauseWriter(2, false);
  c.Settle();
  EXPECT_EQ(c.raft(1).tail().committed(), c.raft(1).tail().last().index);
}

TEST_F(Membership, InForceFromAppendOnBothSides) {
  TestCluster& c = Begin(3);
  c.hold = [](const Message& m) { return m.type == MessageType::kAppendReply; };
  ASSERT_TRUE(c.ProposeChange(1, Change({Remove(3)})).ok());
  EXPECT_EQ("voters (1,2)", Members(c, 1));
  c.Settle();
  EXPECT_EQ("voters (1,2)", Members(c, 2));
  EXPECT_LT(c.raft(1).tail().committed(), c.raft(1).configuration_since());
}

TEST_F(Membership, RevertedWithTheEntryThatBroughtIt) {
  TestCluster& c = Begin(3);
  c.Isolate(1);
  ASSERT_TRUE(c.ProposeChange(1, Change({Remove(2)})).ok());
  c.Settle();
  EXPECT_EQ("voters (1,3)", Members(c, 1));
  c.Elect(2);
  ASSERT_TRUE(c.raft(2).is_leader());
  c.Heal();
  c.TickAll(4);
  EXPECT_EQ("voters (1,2,3)", Members(c, 1));
  EXPECT_EQ(PeerId(2), c.raft(1).leader());
}

TEST_F(Membership, RefusalsSayWhyAndChangeNothing) {
  TestCluster& c = Begin(3);
  EXPECT_EQ("Unavailable: this peer does not lead", Refusal(2, Change({Voter(4)})));
  EXPECT_EQ("FailedPrecondition: the configuration is not joint", Refusal(1, {}));
  c.PauseApply(1);
  ASSERT_TRUE(c.ProposeChange(1, Change({Remove(3)})).ok());
  c.Settle();
  EXPECT_EQ("Unavailable: the change at 3@2 is not applied yet", Refusal(1, Change({Voter(4)})));
  c.PauseApply(1, false);
  c.Settle();
  c.PauseWriter(2);
  c.Transfer(1, 2);
  EXPECT_EQ("Unavailable: leadership is being handed over", Refusal(1, Change({Remove(2)})));
}

// Ongaro's counterexample of 2015 to single changes without this rule.
TEST_F(Membership, NoChangeBeforeAnEntryOfTheTermIsCommitted) {
  TestCluster& c = Begin(4);
  c.Isolate(1);
  ASSERT_TRUE(c.ProposeChange(1, Change({Voter(5)})).ok());  // On 1 alone.
  c.Settle();
  c.hold = [](const Message& m) { return m.type == MessageType::kAppendReply; };
  c.Elect(2);
  ASSERT_TRUE(c.raft(2).is_leader());
  // Without an entry of its term, 2 knows not of that change, and its own would not overlap.
  EXPECT_EQ("Unavailable: no entry of this leader's term is committed yet",
            Refusal(2, Change({Remove(1)})));
  c.hold = nullptr;
  c.Settle();
  EXPECT_TRUE(c.ProposeChange(2, Change({Remove(1)})).ok());
  c.Settle();
  // Now that the change of 2 is committed, 1 cannot win with what it has.
  c.Crash(1);
  c.Restart(1);
  ASSERT_EQ("voters (1,2,3,4,5)", Members(c, 1));
  c.Heal();
  for (std::size_t id : Nodes({2, 3})) {
    c.CutLink(id, 1);
    c.CutLink(1, id);
  }
  c.Elect(1);
  EXPECT_FALSE(c.raft(1).is_leader());
}

TEST_F(Membership, OneChangeAtATime) {
  TestCluster& c = Begin(3);
  c.PauseWriter(2);
  c.PauseWriter(3);
  ASSERT_TRUE(c.ProposeChange(1, Change({Voter(4)})).ok());
  c.PauseWriter(4);
  c.Settle();
  EXPECT_EQ("Unavailable: the change at 3@2 is not applied yet", Refusal(1, Change({Voter(5)})));
  for (std::size_t id : Nodes({2, 3, 4})) c.PauseWriter(id, false);
  c.Settle();
  EXPECT_TRUE(c.ProposeChange(1, Change({Voter(5)})).ok());
}

TEST_F(Membership, JointNeedsBothMajorities) {
  TestCluster& c = Begin(3);
  Make(1, Change({Learner(4)}));
  Make(1, Change({Learner(5)}));
  ASSERT_TRUE(
      c.ProposeChange(1, Change({Voter(4), Voter(5), Remove(2), Remove(3)}, Transition::kExplicit))
          .ok());
  EXPECT_EQ("voters (1,4,5) outgoing (1,2,3)", Members(c, 1));
  c.TickAll(3);
  const Index joint = c.raft(1).configuration_since();
  EXPECT_EQ(joint, c.raft(1).tail().committed());
  c.PauseWriter(2);
  c.PauseWriter(3);
  ASSERT_TRUE(c.Propose(1, "x"));
  c.Settle();
  EXPECT_EQ(joint, c.raft(1).tail().committed()) << "without the old majority";
  c.PauseWriter(2, false);
  c.Settle();
  EXPECT_EQ(joint.Next(), c.raft(1).tail().committed());
  c.PauseWriter(4);
  c.PauseWriter(5);
  ASSERT_TRUE(c.Propose(1, "y"));
  c.Settle();
  EXPECT_EQ(joint.Next(), c.raft(1).tail().committed()) << "without the new majority";
  // Nor can anybody be elected without both.
  c.Crash(1);
  c.Elapse(Seconds(2));
  c.Campaign(2);
  c.Settle();
  c.PauseWriter(3, false);
  c.Settle();
  EXPECT_EQ(Role::kCandidate, c.raft(2).role());
  c.PauseWriter(4, false);
  c.PauseWriter(5, false);
  c.Settle();
  EXPECT_TRUE(c.raft(2).is_leader());
}

TEST_F(Membership, ExplicitJointLastsUntilItIsLeft) {
  TestCluster& c = Begin(3);
  Make(1, Change({Voter(4), Remove(3)}, Transition::kExplicit));
  EXPECT_EQ("voters (1,2,4) outgoing (1,2,3)", Members(c, 2));
  c.TickAll(20);
  EXPECT_EQ("voters (1,2,4) outgoing (1,2,3)", Members(c, 2));
  EXPECT_EQ("FailedPrecondition: the configuration is joint already",
            Refusal(1, Change({Voter(5), Voter(6)})));
  EXPECT_EQ("FailedPrecondition: a joint configuration must be left first",
            Refusal(1, Change({Voter(5)})));
  Make(1, {});
  EXPECT_EQ("voters (1,2,4)", Members(c, 2));
}

TEST_F(Membership, ImplicitJointIsLeftByTheLeaderOnceItIsApplied) {
  TestCluster& c = Begin(3);
  c.PauseApply(1);
  ASSERT_TRUE(c.ProposeChange(1, Change({Voter(4), Remove(3)})).ok());
  c.TickAll(4);
  EXPECT_EQ("voters (1,2,4) outgoing (1,2,3) auto leave", Members(c, 1));
  c.PauseApply(1, false);
  c.TickAll(4);
  for (std::size_t id : Nodes({1, 2, 4})) EXPECT_EQ("voters (1,2,4)", Members(c, id));
}

TEST_F(Membership, ANewLeaderLeavesTheJointConfigurationOfTheOld) {
  TestCluster& c = Begin(3);
  c.PauseApply(1);  // So that 1 never leaves it.
  ASSERT_TRUE(c.ProposeChange(1, Change({Voter(4), Remove(3)})).ok());
  c.TickAll(4);
  ASSERT_EQ("voters (1,2,4) outgoing (1,2,3) auto leave", Members(c, 2));
  c.Crash(1);
  c.TickAll(40);
  const std::size_t leader = c.Leader();
  ASSERT_NE(0u, leader);
  EXPECT_EQ("voters (1,2,4)", Members(c, leader));
}

TEST_F(Membership, ALeaderIsNotReplacedByItsOwnAutoLeaveWhileHandingOver) {
  TestCluster& c = Begin(3);
  c.PauseApply(1);
  ASSERT_TRUE(c.ProposeChange(1, Change({Voter(4), Remove(3)})).ok());
  c.TickAll(4);
  c.PauseWriter(2);
  ASSERT_TRUE(c.Propose(1, "x"));  // 2 has not got it, so the order waits.
  c.Transfer(1, 2);
  c.PauseApply(1, false);
  c.Settle();
  EXPECT_EQ("voters (1,2,4) outgoing (1,2,3) auto leave", Members(c, 1));
  c.PauseWriter(2, false);
  c.TickAll(4);
  EXPECT_TRUE(c.raft(2).is_leader());
  EXPECT_EQ("voters (1,2,4)", Members(c, 2)) << "the new leader has left it";
}

TEST_F(Membership, ARemovedLeaderStepsDownWhenThatIsCommittedAndNotBefore) {
  TestCluster& c = Begin(3);
  c.PauseWriter(2);
  c.PauseWriter(3);
  ASSERT_TRUE(c.ProposeChange(1, Change({Remove(1)})).ok());
  c.Settle();
  EXPECT_TRUE(c.raft(1).is_leader());
  c.PauseWriter(2, false);
  c.Settle();
  EXPECT_TRUE(c.raft(1).is_leader()) << "it does not count itself: 2 is half of (2,3)";
  c.PauseWriter(3, false);
  c.Settle();
  EXPECT_FALSE(c.raft(1).is_leader());
  EXPECT_TRUE(c.raft(1).tail().committed() >= c.raft(1).configuration_since());
  EXPECT_EQ(std::nullopt, c.raft(1).LeaseUntil());
  // Somebody was told to follow at once, without an election timeout.
  EXPECT_NE(0u, c.Leader());
  EXPECT_NE(1u, c.Leader());
  c.TickAll(40);
  EXPECT_EQ(Role::kFollower, c.raft(1).role()) << "it does not campaign";
}

TEST_F(Membership, WhoeverHasTheOnlyCopyOfItsRemovalMustBeElectable) {
  TestCluster& c = Begin(2);
  c.Isolate(1);
  ASSERT_TRUE(c.ProposeChange(1, Change({Remove(1)})).ok());
  c.Settle();
  c.Crash(1);
  c.Restart(1);
  ASSERT_EQ("voters (2)", Members(c, 1));
  ASSERT_EQ("voters (1,2)", Members(c, 2));
  c.Heal();
  // 2 needs the vote of 1, which has the newer log. So 1 leads, until its removal is committed.
  c.TickAll(60);
  EXPECT_TRUE(c.raft(2).is_leader());
  EXPECT_EQ("voters (2)", Members(c, 2));
  EXPECT_EQ(Role::kFollower, c.raft(1).role());
  EXPECT_GE(c.raft(1).tail().committed(), c.raft(1).configuration_since());
}

TEST_F(Membership, ADemotedLeaderStepsDownAndLearns) {
  TestCluster& c = Begin(3);
  Make(1, Change({Learner(1)}));
  EXPECT_FALSE(c.raft(1).is_leader());
  c.TickAll(4);
  const std::size_t leader = c.Leader();
  ASSERT_NE(0u, leader);
  ASSERT_TRUE(c.Propose(leader, "x"));
  c.TickAll(3);
  EXPECT_EQ(c.raft(leader).tail().last(), c.machine(1).applied);
}

TEST_F(Membership, TheCommitIndexMovesWhenTheQuorumShrinks) {
  TestCluster& c = Begin(2);
  c.PauseWriter(2);
  ASSERT_TRUE(c.Propose(1, "x"));
  c.Settle();
  const LogId last = c.raft(1).tail().last();
  EXPECT_LT(c.raft(1).tail().committed(), last.index);
  ASSERT_TRUE(c.ProposeChange(1, Change({Remove(2)})).ok());
  EXPECT_EQ(last.index, c.raft(1).tail().committed()) << "at once, with what is durable here";
  c.Settle();
  EXPECT_EQ(last.index.Next(), c.raft(1).tail().committed());
}

TEST_F(Membership, ReadsWaitForNobodyWhoHasLeft) {
  TestCluster& c = Begin(2);
  c.Elapse(Seconds(2));  // The lease is over.
  c.hold = [](const Message& m) { return m.type == MessageType::kHeartbeatReply; };
  c.ReadIndex(1);
  c.Settle();
  EXPECT_TRUE(c.reads(1).empty());
  ASSERT_TRUE(c.ProposeChange(1, Change({Remove(2)})).ok());
  EXPECT_EQ(1u, c.reads(1).size());
}

TEST_F(Membership, LearnersAreSentEverythingAndCountForNothing) {
  TestCluster& c = Begin(2);
  Make(1, Change({Learner(3)}));
  EXPECT_EQ(c.raft(1).tail().last(), c.machine(3).applied);
  c.PauseWriter(2);
  ASSERT_TRUE(c.Propose(1, "x"));
  c.Settle();
  EXPECT_EQ(c.raft(1).tail().last(), c.raft(3).tail().last());
  EXPECT_LT(c.raft(1).tail().committed(), c.raft(1).tail().last().index);
  c.Crash(1);
  c.TickAll(40);
  EXPECT_EQ(Role::kFollower, c.raft(3).role()) << "it does not campaign";
}

TEST_F(Membership, ALearnerThatDoesNotKnowOfItsPromotionVotesWhenAsked) {
  TestCluster& c = Begin(2, 1);
  c.CutLink(1, 3);
  ASSERT_TRUE(c.ProposeChange(1, Change({Voter(3)})).ok());
  c.TickAll(3);
  ASSERT_EQ("voters (1,2,3)", Members(c, 2));
  ASSERT_EQ("voters (1,2) learners (3)", Members(c, 3));
  c.Crash(1);
  c.Elect(2);
  EXPECT_TRUE(c.raft(2).is_leader());
}

TEST_F(Membership, LeadershipGoesToAVoterThatStaysOne) {
  TestCluster& c = Begin(3, 1);
  c.Transfer(1, 4);
  c.Settle();
  EXPECT_TRUE(c.raft(1).is_leader()) << "4 is a learner";
  Make(1, Change({Remove(3), Voter(4)}, Transition::kExplicit));
  c.Transfer(1, 3);
  c.Settle();
  EXPECT_TRUE(c.raft(1).is_leader()) << "3 is on its way out";
  c.Transfer(1, 4);
  c.Settle();
  EXPECT_TRUE(c.raft(4).is_leader());
}

TEST_F(Membership, ANewVoterHasTimeToAnswerBeforeTheQuorumIsChecked) {
  TestCluster& c = Begin(1);
  for (int tick = 0; tick < 9; ++tick) {  // Until just before the check.
    c.Elapse(testing::kTick);
    c.Tick(1);
  }
  c.hold = [](const Message& m) { return m.from == PeerId(2); };
  ASSERT_TRUE(c.ProposeChange(1, Change({Voter(2)})).ok());
  for (int tick = 0; tick < 8; ++tick) {
    c.Elapse(testing::kTick);
    c.Tick(1);
    c.Settle();
  }
  EXPECT_TRUE(c.raft(1).is_leader());
}

TEST_F(Membership, APeerThatComesBackWithAFreshIdBeginsFromNothing) {
  TestCluster& c = Begin(3);
  Make(1, Change({Remove(3)}));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(c.Propose(1, "x"));
  c.TickAll(3);
  ASSERT_TRUE(c.ProposeChange(1, Change({Learner(4)})).ok());
  for (const PeerStatus& peer : c.raft(1).Peers()) {
    EXPECT_TRUE(peer.id != PeerId(4) || peer.match.IsZero());
    EXPECT_NE(PeerId(3), peer.id);
  }
  c.TickAll(4);
  EXPECT_EQ(c.raft(1).tail().last(), c.machine(4).applied);
}

TEST_F(Membership, ARemovedPeerDisturbsNobody) {
  TestCluster& c = Begin(3);
  c.Isolate(3);
  ASSERT_TRUE(c.ProposeChange(1, Change({Remove(3)})).ok());
  c.TickAll(30);
  c.Heal();
  const Term term = c.raft(1).term();
  c.TickAll(60);
  EXPECT_EQ(term, c.raft(1).term());
  EXPECT_TRUE(c.raft(1).is_leader());
  EXPECT_EQ("voters (1,2,3)", Members(c, 3)) << "nobody has told it";
}

TEST_F(Membership, KeptOverARestart) {
  TestCluster& c = Begin(3);
  Make(1, Change({Voter(4), Remove(3)}, Transition::kExplicit));
  for (const bool compact : {false, true}) {
    for (std::size_t id : Nodes({1, 2, 4})) {
      if (compact) c.Compact(id, c.machine(id).applied.index.value());
      c.FlushMachine(id);
      c.Crash(id);
      c.Restart(id);
      EXPECT_EQ("voters (1,2,4) outgoing (1,2,3)", Members(c, id)) << "compacted: " << compact;
    }
    c.TickAll(40);
  }
}

TEST_F(Membership, KeptOverARestartBeforeItIsCommitted) {
  TestCluster& c = Begin(3);
  c.Isolate(1);
  ASSERT_TRUE(c.ProposeChange(1, Change({Remove(3)})).ok());
  c.Settle();
  c.Crash(1);
  c.Restart(1);
  EXPECT_EQ("voters (1,2)", Members(c, 1));
  c.Heal();
  c.Elect(2);  // Without the entry, under the old configuration.
  c.TickAll(4);
  EXPECT_EQ("voters (1,2,3)", Members(c, 1)) << "and still reverted with a cut";
}

// A message that was long on its way brings a change that others have followed since, to a member
// that has forgotten in a restart what its log says of them.
TEST_F(Membership, AnOldMessageBringsNoOldConfigurationBack) {
  TestCluster& c = Begin(3);
  std::vector<Message> old;
  c.hold = [&old](const Message& m) {
    if (m.type == MessageType::kAppend && m.to == PeerId(2) && !m.slice.empty()) old.push_back(m);
    return false;
  };
  Make(1, Change({Learner(4)}));
  c.hold = nullptr;
  ASSERT_FALSE(old.empty());
  Make(1, Change({Voter(4)}));
  Make(1, Change({Remove(3)}));
  ASSERT_TRUE(c.Propose(1, "x"));
  c.TickAll(4);
  c.FlushMachine(2);
  // How much of its log it has in memory after a restart is drawn.
  for (int i = 0; i < 20; ++i) {
    c.Crash(2);
    c.Restart(2);
    for (const Message& message : old) {
      c.Inject(message);
      c.Settle();
      ASSERT_EQ("voters (1,2,4)", Members(c, 2));
    }
  }
}

TEST_F(Membership, RightAfterASnapshot) {
  TestCluster& c = Begin(3);
  c.Isolate(3);
  Make(1, Change({Voter(4), Learner(2)}, Transition::kExplicit));
  ASSERT_TRUE(c.Propose(1, "x"));
  c.TickAll(2);
  c.Compact(1, c.machine(1).applied.index.value());
  c.Heal();
  c.TickAll(30);
  EXPECT_EQ("voters (1,3,4) outgoing (1,2,3) learners next (2)", Members(c, 3));
  EXPECT_EQ(c.machine(1).applied, c.raft(3).tail().base());
}

// What a snapshot says is what was in force at its place, not what its sender goes by.
TEST_F(Membership, ConfigurationAtAPlaceInTheLog) {
  TestCluster& c = Begin(3);
  const Index before = c.raft(1).tail().last().index;
  Make(1, Change({Remove(3)}));
  const Index removed = c.raft(1).configuration_since();
  c.PauseWriter(2);
  ASSERT_TRUE(c.ProposeChange(1, Change({Learner(4)})).ok());
  EXPECT_EQ("voters (1,2,3)", ToString(c.raft(1).ConfigurationAt(before)));
  EXPECT_EQ("voters (1,2)", ToString(c.raft(1).ConfigurationAt(removed)));
  EXPECT_EQ("voters (1,2) learners (4)",
            ToString(c.raft(1).ConfigurationAt(c.raft(1).tail().last().index)));
  c.Compact(1, removed.value());
  EXPECT_EQ("voters (1,2)", ToString(c.raft(1).ConfigurationAt(removed)));
}

// The last voter does not wait for anybody - unless the leader that has made it so may not know yet
// that this is committed, and reads under a lease.
TEST_F(Membership, TheLastVoterWaitsForTheLeaseOfWhoMadeItSo) {
  TestCluster& c = Begin(2);
  c.hold = [](const Message& m) { return m.to == PeerId(1); };
  ASSERT_TRUE(c.ProposeChange(1, Change({Remove(1)})).ok());
  c.Settle();
  ASSERT_EQ("voters (2)", Members(c, 2));
  ASSERT_TRUE(c.raft(1).is_leader());
  c.Elapse(testing::kTick);
  c.Tick(2);
  c.Settle();
  EXPECT_FALSE(c.raft(2).is_leader());
  for (int tick = 0; tick < 12; ++tick) {
    c.Elapse(testing::kTick);
    c.Tick(2);
    c.Settle();
  }
  EXPECT_TRUE(c.raft(2).is_leader());
}

TEST_F(Membership, ContextTravelsInTheEntry) {
  TestCluster& c = Begin(1);
  ASSERT_TRUE(c.ProposeChange(1, {.steps = {Learner(2)}, .context = std::string("a\0b", 3)}).ok());
  const LogTail& tail = c.raft(1).tail();
  const auto slice = tail.Read(tail.last().index.Prev(), tail.last().index, SIZE_MAX);
  std::string_view context;
  EXPECT_TRUE(DecodeConfiguration(slice->entries[0].payload.view(), &context).has_value());
  EXPECT_EQ(std::string_view("a\0b", 3), context);
}

// What a host judges by whom a group can count on: Raft 4.2.1, and who is silent.
TEST_F(Membership, ALeaderTellsWhoKeepsUp) {
  TestCluster& c = Begin(3);
  const int period = SmallOptions().election_ticks;
  const auto peer = [&](std::size_t id) {
    for (const PeerStatus& one : c.raft(1).Peers()) {
      if (one.id == PeerId(id)) return one;
    }
    return PeerStatus();
  };
  ASSERT_TRUE(c.Propose(1, "x"));
  c.TickAll(period);
  const Index mark = c.raft(1).catch_up_mark();
  EXPECT_EQ(c.raft(1).tail().committed(), mark);
  EXPECT_EQ(Index(), c.raft(2).catch_up_mark()) << "it does not lead";

  c.Isolate(3);
  ASSERT_TRUE(c.Propose(1, "y"));
  c.Settle();
  EXPECT_EQ(mark, c.raft(1).catch_up_mark()) << "no more than an election timeout old";
  EXPECT_LT(mark, c.raft(1).tail().committed());
  EXPECT_TRUE(peer(3).lately_active);
  c.TickAll(period);
  EXPECT_FALSE(peer(3).active);
  EXPECT_TRUE(peer(3).lately_active) << "it had no more than one period to answer in";
  EXPECT_LT(peer(3).match, c.raft(1).catch_up_mark());
  c.TickAll(period);
  EXPECT_FALSE(peer(3).lately_active);
  EXPECT_TRUE(peer(2).lately_active);

  c.Heal();
  c.TickAll(period);
  EXPECT_TRUE(peer(3).lately_active);
  EXPECT_GE(peer(3).match, c.raft(1).catch_up_mark());
}

}  // namespace
}  // namespace rutile::raft
