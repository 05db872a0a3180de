// A peer whose disk has lost what it had acknowledged (raft_impaired.cc).

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "raft/testing/lone_server.h"
#include "raft/testing/test_cluster.h"

namespace rutile::raft {
namespace {

using testing::LoneServer;
using testing::TestCluster;

constexpr LogId At(std::uint64_t term, std::uint64_t index) { return {Term(term), Index(index)}; }

// Three entries of term 1 are left of a log that went to `until`, which is of term 2.
LoneServer::Setup Impaired(LogId until = At(2, 6)) {
  return {.log = {1, 1, 1}, .state = {.term = Term(2), .impaired_until = until}};
}

const Message* Find(const std::vector<Message>& messages, MessageType type) {
  const auto at = std::find_if(messages.begin(), messages.end(),
                               [type](const Message& m) { return m.type == type; });
  return at == messages.end() ? nullptr : &*at;
}

TEST(RaftImpaired, GivesNoVoteAndNoPreVote) {
  LoneServer server(Impaired());
  server.Step(server.VoteRequest(2, 3, At(2, 9)));
  const std::vector<Message> votes = server.TakeMessages();
  ASSERT_NE(Find(votes, MessageType::kVoteReply), nullptr);
  EXPECT_FALSE(votes.front().granted);
  EXPECT_EQ(votes.front().term, Term(3)) << "but the term counts";
  Message ask = server.From(2, MessageType::kPreVote, 4);
  ask.last_log = At(2, 9);
  server.Step(std::move(ask));
  const std::vector<Message> pre_votes = server.TakeMessages();
  ASSERT_NE(Find(pre_votes, MessageType::kPreVoteReply), nullptr);
  EXPECT_FALSE(pre_votes.front().granted);
}

TEST(RaftImpaired, NeverCampaigns) {
  LoneServer server(Impaired());
  for (int i = 0; i < 100; ++i) server.Tick();
  server.Campaign();
  EXPECT_EQ(server.raft().role(), Role::kFollower);
  server.Step(server.Append(2, 2, At(1, 3), {}));
  server.Step(server.From(2, MessageType::kTimeoutNow, 2));
  EXPECT_EQ(server.raft().role(), Role::kFollower);
  EXPECT_EQ(server.raft().term(), Term(2));
}

TEST(RaftImpaired, SaysSoInEveryAnswer) {
  LoneServer server(Impaired());
  server.Step(server.From(2, MessageType::kHeartbeat, 2));
  server.Step(server.Append(2, 2, At(2, 6), {2}));
  server.Step(server.Append(2, 2, At(1, 3), {2}));
  const std::vector<Message> answers = server.TakeMessages();
  ASSERT_EQ(answers.size(), 3u);
  for (const Message& answer : answers) EXPECT_TRUE(answer.impaired) << ToString(answer);
  EXPECT_TRUE(answers[1].rejected);
  EXPECT_EQ(answers[1].hint, At(1, 3));
}

TEST(RaftImpaired, IsNotPoisonedByALeaderThatCountsOnWhatWasLost) {
  LoneServer server(Impaired());
  Message beat = server.From(2, MessageType::kHeartbeat, 2);
  beat.commit = Index(5);
  server.Step(std::move(beat));
  EXPECT_FALSE(server.raft().poisoned());
  EXPECT_EQ(server.raft().tail().committed(), Index(3));
}

TEST(RaftImpaired, IsWholeWhenItsLogIsAsNewAsTheLostOne) {
  LoneServer server(Impaired(At(2, 6)));
  server.Step(server.Append(2, 2, At(1, 3), {2, 2}, 5));
  EXPECT_TRUE(server.raft().hard_state().impaired_until) << "committed is not enough";
  EXPECT_EQ(server.raft().tail().committed(), Index(5));
  server.TakeWrites();
  server.Step(server.Append(2, 2, At(2, 5), {2}, 5));
  EXPECT_FALSE(server.raft().hard_state().impaired_until);
  const std::vector<LogWrite> writes = server.TakeWrites();
  ASSERT_FALSE(writes.empty());
  ASSERT_TRUE(writes.back().hard_state) << "the disk is told";
  EXPECT_FALSE(writes.back().hard_state->impaired_until);
}

TEST(RaftImpaired, IsWholeWithAShorterLogOfALaterTerm) {
  LoneServer server(Impaired(At(2, 6)));
  server.Step(server.Append(3, 3, At(1, 3), {3}));
  EXPECT_FALSE(server.raft().hard_state().impaired_until);
  server.TakeMessages();
  EXPECT_EQ(server.raft().role(), Role::kFollower);
  for (int i = 0; i < 20; ++i) server.Tick();
  EXPECT_EQ(server.raft().role(), Role::kPreCandidate);
}

TEST(RaftImpaired, IsNotWholeWithALongerLogOfAnEarlierTerm) {
  LoneServer server(Impaired(At(2, 6)));
  server.Step(server.Append(2, 2, At(1, 3), {1, 1, 1, 1, 1}));
  EXPECT_TRUE(server.raft().hard_state().impaired_until);
}

TEST(RaftImpaired, IsWholeWithASnapshotOfLater) {
  LoneServer server(Impaired(At(2, 6)));
  Message snapshot = server.From(2, MessageType::kSnapshot, 3);
  snapshot.snapshot = SnapshotMeta{.id = At(3, 8), .configuration = server.raft().configuration()};
  server.Step(std::move(snapshot));
  EXPECT_FALSE(server.raft().hard_state().impaired_until);
}

TEST(RaftImpaired, TheTermOfAnotherElectionChangesNothing) {
  LoneServer server(Impaired());
  server.Step(server.From(2, MessageType::kHeartbeat, 7));
  ASSERT_EQ(server.raft().term(), Term(7));
  ASSERT_TRUE(server.raft().hard_state().impaired_until);
  EXPECT_EQ(*server.raft().hard_state().impaired_until, At(2, 6));
}

// --- Groups.

class ImpairedGroup : public ::testing::Test {
 protected:
  // Node 1 leads, and all have what it has proposed.
  void SetUp() override {
    cluster_.Elect(1);
    for (const char* payload : {"a", "b", "c"}) cluster_.Propose(1, payload);
    cluster_.Settle();
    ASSERT_EQ(cluster_.Log(3), cluster_.Log(1));
  }
  void TearDown() override { EXPECT_EQ(cluster_.violation(), ""); }

  // From the entry on that is the last but `before`; nothing of it was applied.
  void Damage(std::size_t id, std::uint64_t before = 0) {
    const std::uint64_t last = cluster_.disk(id).last().index.value();
    cluster_.LoseEntries(id, last - before);
    ASSERT_TRUE(IsImpaired(id));
  }
  bool IsImpaired(std::size_t id) {
    return cluster_.disk(id).hard_state.impaired_until.has_value();
  }
  Index Match(std::size_t leader, std::size_t of) {
    for (const PeerStatus& peer : cluster_.raft(leader).Peers()) {
      if (peer.id == PeerId(of)) return peer.match;
    }
    return {};
  }
  // Proposes what only the disks of these have; nobody hears of the commit.
  void Commit(std::size_t leader, const std::vector<std::size_t>& by) {
    for (const std::size_t id : {1u, 2u, 3u}) {
      if (std::find(by.begin(), by.end(), id) == by.end()) cluster_.Isolate(id);
    }
    cluster_.hold = [leader](const Message& m) {
      return m.from == PeerId(leader) && (m.type == MessageType::kHeartbeat || m.slice.empty());
    };
    cluster_.Propose(leader, "d");
    cluster_.Settle();
    cluster_.Heal();
  }

  TestCluster cluster_{TestCluster::Setup()};
};

// The reason for all of this. What A and B have committed C has never seen; with the vote of B, who
// has lost it, C would lead without it.
TEST_F(ImpairedGroup, WithWhoIsBehindElectsNobody) {
  Commit(1, {1, 2});
  const Index committed = cluster_.raft(1).tail().committed();
  ASSERT_EQ(committed, cluster_.raft(1).tail().last().index);
  cluster_.Crash(1);
  cluster_.Crash(2);
  Damage(2);
  cluster_.network().clear();
  cluster_.hold = nullptr;
  cluster_.Restart(2);
  cluster_.TickAll(100);
  EXPECT_EQ(cluster_.Leader(), 0u);
  EXPECT_TRUE(IsImpaired(2));
  cluster_.Restart(1);
  cluster_.TickAll(100);
  EXPECT_EQ(cluster_.Leader(), 1u);
  EXPECT_FALSE(IsImpaired(2));
  EXPECT_EQ(cluster_.Log(2), cluster_.Log(1));
  EXPECT_GE(cluster_.raft(2).tail().committed(), committed);
}

// The entry is counted when the leader's own disk has it, long after B has lost it; so B is not
// whole with what the leader had committed before.
TEST_F(ImpairedGroup, IsCountedForWhatItHasAcknowledgedBeforeTheLoss) {
  cluster_.PauseWriter(1);
  Commit(1, {1, 2});
  const Index last = cluster_.raft(1).tail().last().index;
  ASSERT_LT(cluster_.raft(1).tail().committed(), last);
  ASSERT_EQ(Match(1, 2), last);
  cluster_.Crash(2);
  Damage(2);
  cluster_.hold = [](const Message& m) { return m.type == MessageType::kAppend; };
  cluster_.Restart(2);
  cluster_.TickAll(3);
  EXPECT_TRUE(IsImpaired(2)) << "it hears of a commit of this term that it has";
  cluster_.PauseWriter(1, false);
  cluster_.CompleteWrite(1);
  EXPECT_EQ(cluster_.raft(1).tail().committed(), last);
  cluster_.Crash(1);
  cluster_.network().clear();
  cluster_.hold = nullptr;
  cluster_.TickAll(100);
  EXPECT_EQ(cluster_.Leader(), 0u);
}

TEST_F(ImpairedGroup, LeaderOfTheSameTermGoesBackBelowWhatWasAcknowledged) {
  cluster_.Crash(2);
  Damage(2, 1);
  const Index last = cluster_.raft(1).tail().last().index;
  ASSERT_EQ(Match(1, 2), last);
  cluster_.Restart(2);
  cluster_.TickAll(5);
  EXPECT_EQ(cluster_.raft(1).term(), cluster_.raft(2).term());
  EXPECT_EQ(cluster_.Leader(), 1u);
  EXPECT_EQ(cluster_.Log(2), cluster_.Log(1));
  EXPECT_EQ(Match(1, 2), last);
  EXPECT_FALSE(IsImpaired(2));
  EXPECT_FALSE(cluster_.raft(2).poisoned());
}

// Heard after the rejection it makes the leader believe again what it believed before.
TEST_F(ImpairedGroup, AnAcknowledgementFromBeforeTheLossHoldsNobodyUp) {
  const Index last = cluster_.raft(1).tail().last().index;
  Message old{.type = MessageType::kAppendReply,
              .from = PeerId(2),
              .to = PeerId(1),
              .term = cluster_.raft(1).term(),
              .match = last};
  cluster_.Crash(2);
  Damage(2, 2);
  cluster_.hold = [](const Message& m) {
    return m.type == MessageType::kAppend && !m.slice.empty();
  };
  cluster_.Restart(2);
  cluster_.TickAll(3);
  ASSERT_LT(Match(1, 2), last);
  cluster_.network().clear();
  cluster_.Inject(old);
  EXPECT_EQ(Match(1, 2), last);
  cluster_.hold = nullptr;
  cluster_.TickAll(5);
  EXPECT_EQ(cluster_.Log(2), cluster_.Log(1));
  EXPECT_FALSE(IsImpaired(2));
}

TEST_F(ImpairedGroup, GetsASnapshotOfWhatIsCompacted) {
  cluster_.Crash(2);
  Damage(2, 2);
  cluster_.Propose(1, "d");
  cluster_.Settle();
  cluster_.Compact(1, cluster_.raft(1).tail().last().index.value());
  cluster_.Restart(2);
  cluster_.TickAll(30);
  EXPECT_EQ(cluster_.machine(2).applied, cluster_.machine(1).applied);
  EXPECT_FALSE(IsImpaired(2));
}

TEST_F(ImpairedGroup, StaysImpairedOverRestarts) {
  cluster_.Crash(2);
  Damage(2);
  for (int i = 0; i < 3; ++i) {
    cluster_.Restart(2);
    cluster_.Isolate(2);
    cluster_.TickAll(50);
    EXPECT_EQ(cluster_.raft(2).role(), Role::kFollower);
    EXPECT_TRUE(cluster_.raft(2).hard_state().impaired_until);
    cluster_.Crash(2);
  }
  EXPECT_TRUE(IsImpaired(2));
  cluster_.Heal();
  cluster_.Restart(2);
  cluster_.TickAll(5);
  EXPECT_FALSE(IsImpaired(2));
  EXPECT_FALSE(cluster_.raft(2).hard_state().impaired_until);
}

TEST_F(ImpairedGroup, HelpsToCommitWhatItsDiskHas) {
  cluster_.Crash(3);
  cluster_.Crash(2);
  Damage(2);
  cluster_.Restart(2);
  cluster_.Propose(1, "d");
  cluster_.TickAll(5);
  EXPECT_EQ(cluster_.raft(1).tail().committed(), cluster_.raft(1).tail().last().index);
  EXPECT_FALSE(IsImpaired(2));
}

TEST_F(ImpairedGroup, LeaderThatWasDamagedMakesWay) {
  cluster_.PauseApply(1);
  cluster_.Propose(1, "d");
  cluster_.Settle();
  cluster_.Crash(1);
  Damage(1);
  cluster_.PauseApply(1, false);
  cluster_.Restart(1);
  cluster_.TickAll(60);
  EXPECT_NE(cluster_.Leader(), 0u);
  EXPECT_FALSE(IsImpaired(1));
  EXPECT_EQ(cluster_.Log(1), cluster_.Log(cluster_.Leader()));
}

}  // namespace
}  // namespace rutile::raft
