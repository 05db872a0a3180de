// A core whose disk takes its time: acknowledgements that come late, twice, in another order or for
// what is not there any more, what waits for them, and crashes between any two steps.

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "raft/testing/test_cluster.h"

namespace rutile::raft {
namespace {

using testing::kTick;
using testing::SmallOptions;
using testing::TestCluster;

bool HoldAll(const Message&) { return true; }

Entry EntryOf(std::uint64_t term, std::uint64_t index) {
  return {.id = {Term(term), Index(index)}, .type = EntryType::kNormal, .payload = Bytes("x")};
}

Message FromLeader(std::size_t from, std::uint64_t term, LogSlice slice, std::uint64_t commit = 0) {
  return {.type = MessageType::kAppend,
          .from = PeerId(from),
          .to = PeerId(2),
          .term = Term(term),
          .slice = std::move(slice),
          .commit = Index(commit)};
}

// Node 2 has three writes under way, of one entry each, and is told of none.
class Acknowledgements : public ::testing::Test {
 protected:
  void SetUp() override {
    cluster_.hold = HoldAll;
    cluster_.PauseWriter(2);
    for (std::uint64_t index = 1; index <= 3; ++index) {
      const LogId prev = index == 1 ? LogId{} : LogId{Term(1), Index(index - 1)};
      cluster_.Inject(FromLeader(1, 1, {.prev = prev, .entries = {EntryOf(1, index)}}));
    }
    ASSERT_EQ(3u, cluster_.writes_in_flight(2));
  }
  void TearDown() override { EXPECT_EQ("", cluster_.violation()); }
  void WriteUntold(int times) {
    while (times-- > 0) cluster_.CompleteWrite(2, false);
  }
  Index Durable() { return cluster_.raft(2).tail().durable(); }
  // What 2 has acknowledged so far, newest first; zero for nothing.
  Index Acknowledged() const {
    for (auto m = network().rbegin(); m != network().rend(); ++m) {
      if (m->type == MessageType::kAppendReply && !m->rejected) return m->match;
    }
    return {};
  }
  std::deque<Message>& network() { return cluster_.network(); }
  const std::deque<Message>& network() const {
    return const_cast<TestCluster&>(cluster_).network();
  }

  TestCluster cluster_{TestCluster::Setup()};
};

TEST_F(Acknowledgements, Reordered) {
  WriteUntold(3);
  const std::vector<Mark> marks = cluster_.marks(2);
  EXPECT_EQ(Index(0), Durable());
  cluster_.TellDurable(2, marks[1]);
  EXPECT_EQ(Index(2), Durable()) << "whatever was written before it is written";
  EXPECT_EQ(Index(2), Acknowledged());
  const std::size_t sent = network().size();
  cluster_.TellDurable(2, marks[0]);
  EXPECT_EQ(Index(2), Durable()) << "and does not go back";
  EXPECT_EQ(sent, network().size());
  cluster_.TellDurable(2, marks[2]);
  EXPECT_EQ(Index(3), Durable());
  EXPECT_EQ(Index(3), Acknowledged());
}

TEST_F(Acknowledgements, Duplicated) {
  WriteUntold(1);
  const Mark mark = cluster_.marks(2).front();
  cluster_.TellDurable(2, mark);
  EXPECT_EQ(Index(1), Acknowledged());
  const std::size_t sent = network().size();
  for (int i = 0; i < 3; ++i) cluster_.TellDurable(2, mark);
  EXPECT_EQ(Index(1), Durable());
  EXPECT_EQ(sent, network().size());
}

TEST_F(Acknowledgements, OfAWriteThatWasNeverMade) {
  Mark mark{.term = Term(1), .epoch = Epoch(0), .index = Index(3), .write = WriteNumber(99)};
  cluster_.TellDurable(2, mark);
  EXPECT_EQ(Index(0), Durable());
  EXPECT_TRUE(network().empty());
}

// The entries are what they were, and durable. What was promised to the leader of then is void.
TEST_F(Acknowledgements, LateByATerm) {
  WriteUntold(3);
  cluster_.Elapse(SmallOptions().vote_refusal);
  cluster_.Inject({.type = MessageType::kVote,
                   .from = PeerId(3),
                   .to = PeerId(2),
                   .term = Term(2),
                   .last_log = {Term(1), Index(3)}});
  for (const Mark& mark : cluster_.marks(2)) cluster_.TellDurable(2, mark);
  EXPECT_EQ(Index(3), Durable());
  EXPECT_TRUE(network().empty()) << "neither the old promise nor the new vote";
  cluster_.CompleteWrite(2);
  ASSERT_EQ(1u, network().size());
  EXPECT_EQ(MessageType::kVoteReply, network().front().type);
}

// Another leader replaces entries 2 and 3 while they are on their way to the disk.
TEST_F(Acknowledgements, VoidForWhatWasCut) {
  WriteUntold(3);
  cluster_.Inject(
      FromLeader(3, 2, {.prev = {Term(1), Index(1)}, .entries = {EntryOf(2, 2), EntryOf(2, 3)}}));
  for (const Mark& mark : cluster_.marks(2)) cluster_.TellDurable(2, mark);
  EXPECT_EQ(Index(1), Durable());
  EXPECT_EQ(Index(0), Acknowledged());
  cluster_.CompleteWrite(2);
  EXPECT_EQ(Index(3), Durable());
  EXPECT_EQ(Index(3), Acknowledged());
  EXPECT_EQ(PeerId(3), network().back().to);
}

// Cut and sent again by a third leader: the same entries, by another write.
TEST_F(Acknowledgements, VoidForWhatWasCutAndCameBack) {
  WriteUntold(3);
  const Mark first = cluster_.marks(2).back();
  cluster_.Inject(FromLeader(3, 2, {.prev = {Term(1), Index(1)}, .entries = {EntryOf(2, 2)}}));
  cluster_.Inject(
      FromLeader(1, 3, {.prev = {Term(1), Index(1)}, .entries = {EntryOf(1, 2), EntryOf(1, 3)}}));
  ASSERT_EQ("0@0 1 1 1", cluster_.Log(2));
  cluster_.TellDurable(2, first);
  EXPECT_EQ(Index(1), Durable());
  cluster_.CompleteWrite(2);
  EXPECT_EQ(Index(1), Durable()) << "the disk has 2@2 now";
  cluster_.CompleteWrite(2);
  EXPECT_EQ(Index(3), Durable());
  EXPECT_EQ(Index(3), Acknowledged());
}

// --- What waits for the disk, by type of message.

struct Question {
  std::string name;
  Message message;
  MessageType answer;
  std::size_t to;
};

Message Ask(MessageType type, std::size_t from, std::uint64_t term) {
  return {.type = type, .from = PeerId(from), .to = PeerId(2), .term = Term(term)};
}

// Node 2 has voted for 3 in term 5, and its disk does not know.
std::vector<Question> QuestionsInTerm5() {
  const LogSlice entry{.prev = {}, .entries = {EntryOf(4, 1)}};
  const LogSlice gap{.prev = {Term(3), Index(4)}};
  return {
      {"a second vote", Ask(MessageType::kVote, 1, 5), MessageType::kVoteReply, 1},
      {"a vote of an old term", Ask(MessageType::kVote, 1, 4), MessageType::kVoteReply, 1},
      {"a pre-vote", Ask(MessageType::kPreVote, 1, 6), MessageType::kPreVoteReply, 1},
      {"a pre-vote without hope", Ask(MessageType::kPreVote, 1, 5), MessageType::kPreVoteReply, 1},
      {"entries", FromLeader(3, 5, entry), MessageType::kAppendReply, 3},
      {"nothing new", FromLeader(3, 5, {}), MessageType::kAppendReply, 3},
      {"entries behind a gap", FromLeader(3, 5, gap), MessageType::kAppendReply, 3},
      {"entries of an old term", FromLeader(1, 4, entry), MessageType::kAppendReply, 1},
      {"a heartbeat", Ask(MessageType::kHeartbeat, 3, 5), MessageType::kHeartbeatReply, 3},
      {"an old heartbeat", Ask(MessageType::kHeartbeat, 1, 4), MessageType::kHeartbeatReply, 1},
      {"an old read", Ask(MessageType::kReadIndex, 1, 4), MessageType::kReadIndexReply, 1},
  };
}

TEST(RaftStorage, EveryAnswerWaitsForWhatItPromises) {
  for (const Question& question : QuestionsInTerm5()) {
    TestCluster cluster({});
    cluster.hold = HoldAll;
    cluster.PauseWriter(2);
    cluster.Inject(Ask(MessageType::kVote, 3, 5));
    cluster.Inject(question.message);
    EXPECT_TRUE(cluster.network().empty()) << question.name;
    while (cluster.writes_in_flight(2) > 0) cluster.CompleteWrite(2);
    EXPECT_TRUE(cluster.InNetwork(MessageType::kVoteReply, 2, 3)) << question.name;
    EXPECT_TRUE(cluster.InNetwork(question.answer, 2, question.to)) << question.name;
    EXPECT_EQ("", cluster.violation()) << question.name;
  }
}

// An order to campaign is obeyed at once, and nobody is asked before the own vote is durable.
TEST(RaftStorage, EveryRequestForAVoteWaitsForTheOwnVote) {
  TestCluster cluster({});
  cluster.hold = HoldAll;
  cluster.Inject(Ask(MessageType::kHeartbeat, 3, 5));
  cluster.CompleteWrite(2);
  cluster.network().clear();
  cluster.Inject(Ask(MessageType::kTimeoutNow, 3, 5));
  EXPECT_EQ(Role::kCandidate, cluster.raft(2).role());
  EXPECT_TRUE(cluster.network().empty());
  cluster.CompleteWrite(2);
  EXPECT_TRUE(cluster.InNetwork(MessageType::kVote, 2, 1));
  EXPECT_TRUE(cluster.InNetwork(MessageType::kVote, 2, 3));
  EXPECT_EQ("", cluster.violation());
}

// They promise nothing, and a slow disk must not hold them up: the questions of a pre-candidate and
// of a reader, and all that a leader says (its term is durable since it was elected).
TEST(RaftStorage, WhatPromisesNothingDoesNotWait) {
  TestCluster cluster({.voters = 3});
  cluster.Elect(1);
  cluster.TickAll(4);
  cluster.hold = HoldAll;
  for (std::size_t id = 1; id <= 3; ++id) cluster.PauseWriter(id);
  ASSERT_TRUE(cluster.Propose(1, "x"));
  EXPECT_TRUE(cluster.InNetwork(MessageType::kAppend, 1, 2));
  for (int i = 0; i < SmallOptions().heartbeat_ticks; ++i) cluster.Tick(1);
  EXPECT_TRUE(cluster.InNetwork(MessageType::kHeartbeat, 1, 2));
  cluster.ReadIndex(2);
  EXPECT_TRUE(cluster.InNetwork(MessageType::kReadIndex, 2, 1));
  cluster.Inject({.type = MessageType::kReadIndex,
                  .from = PeerId(2),
                  .to = PeerId(1),
                  .term = Term(1),
                  .read = ReadId(7)});
  EXPECT_TRUE(cluster.InNetwork(MessageType::kReadIndexReply, 1, 2)) << "under the lease";
  cluster.Elapse(Seconds(2));
  for (int i = 0; i < 2 * SmallOptions().election_ticks; ++i) cluster.Tick(3);
  EXPECT_TRUE(cluster.InNetwork(MessageType::kPreVote, 3, 1));
  EXPECT_EQ("", cluster.violation());
}

TEST(RaftStorage, LeaderCountsItselfWhenItsDiskHasTheEntry) {
  TestCluster cluster({});
  cluster.Elect(1);
  cluster.PauseWriter(1);
  cluster.Isolate(3);
  ASSERT_TRUE(cluster.Propose(1, "x"));
  cluster.Settle();
  ASSERT_EQ(Index(2), cluster.raft(2).tail().durable());
  EXPECT_EQ(Index(1), cluster.raft(1).tail().committed()) << "2 alone has it";
  cluster.CompleteWrite(1, false);
  EXPECT_EQ(Index(1), cluster.raft(1).tail().committed()) << "the core is not told";
  cluster.TellDurable(1, cluster.marks(1).front());
  EXPECT_EQ(Index(2), cluster.raft(1).tail().committed());
  EXPECT_EQ("", cluster.violation());
}

// --- Crashes.

// A leader applies what its own disk lacks, and dies. What was applied is what its log begins from,
// and it says nothing before that is on its disk.
TEST(RaftStorage, RestartWithAppliedAboveTheDurableLog) {
  for (const std::size_t surviving : {0u, 1u}) {
    TestCluster cluster({});
    cluster.Elect(1);
    cluster.PauseWriter(1);
    for (const char* payload : {"a", "b", "c"}) {
      ASSERT_TRUE(cluster.Propose(1, payload));
      cluster.Settle();
    }
    ASSERT_EQ(Index(4), cluster.machine(1).applied.index);
    ASSERT_EQ(Index(1), cluster.raft(1).tail().durable());
    cluster.Crash(1, surviving);
    cluster.Restart(1);
    EXPECT_EQ("4@1", cluster.Log(1));
    EXPECT_EQ(Index(4), cluster.raft(1).tail().committed());

    cluster.hold = [](const Message& m) { return m.from == PeerId(1); };
    cluster.Elect(2);
    ASSERT_TRUE(cluster.raft(2).is_leader());
    cluster.TickAll(2);
    for (const Message& message : cluster.network()) ADD_FAILURE() << ToString(message);
    cluster.PauseWriter(1, false);
    cluster.Settle();
    EXPECT_TRUE(cluster.InNetwork(MessageType::kAppendReply, 1, 2));
    cluster.hold = nullptr;
    cluster.TickAll(4);
    EXPECT_EQ(cluster.machine(2).applied, cluster.machine(1).applied);
    EXPECT_EQ(cluster.machine(2).hash, cluster.machine(1).hash);
    cluster.Crash(1);
    cluster.Restart(1);
    EXPECT_EQ("4@1 2", cluster.Log(1)) << "as its disk says, too";
    EXPECT_EQ("", cluster.violation());
  }
}

// A story of two leaders and a conflict, in which nothing moves by itself: each step is one message
// delivered, one write done, one acknowledgement told or one entry applied.
class Story {
 public:
  struct Crash {
    std::size_t node = 0;  // Zero: nobody crashes.
    int after = 0;         // Steps.
    std::size_t surviving_writes = 0;
    bool keep_machine = true;
    int again = 0;  // Steps after which it crashes once more. Zero: it does not.
  };

  explicit Story(const Crash& crash) : crash_(crash) {
    for (std::size_t id = 1; id <= 3; ++id) {
      cluster_.PauseWriter(id);
      cluster_.PauseApply(id);
    }
    cluster_.hold = HoldAll;
  }

  // Returns what went wrong, nothing for nothing.
  std::string Tell() {
    If(1, [this] { cluster_.Campaign(1); });
    Rest();
    Propose(1, "a");
    Steps(7);
    Propose(1, "b");
    Rest();
    cluster_.Isolate(1);
    Propose(1, "lost");
    Steps(3);
    Propose(1, "lost too");
    cluster_.Elapse(Seconds(2));
    If(2, [this] { cluster_.Campaign(2); });
    Rest();
    Propose(2, "c");
    cluster_.Heal();
    Steps(9);
    Propose(2, "d");
    Rest();
    return End();
  }
  int steps() const { return steps_; }

 private:
  void If(std::size_t node, const std::function<void()>& act) {
    if (cluster_.alive(node)) act();
  }
  void Propose(std::size_t node, const std::string& payload) {
    If(node, [&] { cluster_.Propose(node, payload); });
  }

  bool Deliver() {
    if (cluster_.network().empty()) return false;
    cluster_.Deliver(0);
    return true;
  }
  bool MoveNode(std::size_t id, int part) {
    if (!cluster_.alive(id)) return false;
    if (part == 2) return cluster_.ApplyOne(id);
    if (part == 0) {
      if (cluster_.writes_in_flight(id) == 0) return false;
      cluster_.CompleteWrite(id, false);
      return true;
    }
    std::vector<Mark>& marks = cluster_.marks(id);
    if (marks.empty()) return false;
    const Mark mark = marks.front();
    marks.erase(marks.begin());
    cluster_.TellDurable(id, mark);
    return true;
  }
  // The next of all parts that has something to do.
  bool Step() {
    if (crash_.node != 0 && steps_ == crash_.after) {
      cluster_.Crash(crash_.node, crash_.surviving_writes, crash_.keep_machine);
      cluster_.Restart(crash_.node);
      if (crash_.again == 0) crash_.node = 0;
      crash_.after += std::exchange(crash_.again, 0);
    }
    constexpr int kParts = 10;
    for (int tried = 0; tried < kParts; ++tried) {
      turn_ = (turn_ + 1) % kParts;
      const bool moved =
          turn_ == 0 ? Deliver()
                     : MoveNode(static_cast<std::size_t>((turn_ - 1) / 3) + 1, (turn_ - 1) % 3);
      if (!moved) continue;
      ++steps_;
      return true;
    }
    return false;
  }
  void Steps(int times) {
    while (times-- > 0 && Step()) continue;
  }
  void Rest() { Steps(10'000); }

  std::string End() {
    cluster_.hold = nullptr;
    for (std::size_t id = 1; id <= 3; ++id) {
      cluster_.PauseWriter(id, false);
      cluster_.PauseApply(id, false);
    }
    cluster_.TickAll(60);
    if (!cluster_.violation().empty()) return cluster_.violation();
    if (cluster_.Leader() == 0) return "nobody leads";
    for (std::size_t id : {2u, 3u}) {
      if (cluster_.machine(id).applied != cluster_.machine(1).applied) return "they differ";
    }
    return {};
  }

  Crash crash_;
  TestCluster cluster_{TestCluster::Setup()};
  int turn_ = 0;
  int steps_ = 0;
};

TEST(RaftStorage, CrashBetweenAnyTwoSteps) {
  Story undisturbed({});
  ASSERT_EQ("", undisturbed.Tell());
  ASSERT_GT(undisturbed.steps(), 80);
  for (int after = 0; after < undisturbed.steps(); ++after) {
    for (std::size_t node = 1; node <= 3; ++node) {
      for (const std::size_t surviving : {0u, 1u, 9u}) {
        for (const bool keep_machine : {true, false}) {
          const int again = after % 6;  // In the middle of coming back, or not.
          Story story({node, after, surviving, keep_machine, again});
          ASSERT_EQ("", story.Tell()) << "node " << node << " after " << after << " steps, with "
                                      << surviving << " writes, machine kept: " << keep_machine;
        }
      }
    }
  }
}

}  // namespace
}  // namespace rutile::raft
