#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"
#include "raft/testing/test_cluster.h"
#include "sim/oracle_group.h"

namespace rutile::sim {
namespace {

using raft::CoreChange;
using raft::CoreView;
using raft::Effects;
using raft::Message;
using raft::MessageType;
using raft::Role;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Three replicas played by hand: their logs are real tails, everything else is as the test says.
class OracleTest : public ::testing::Test {
 protected:
  struct Node {
    raft::LogTail tail{LogId{}};
    raft::HardState state = {};
    raft::HardState written = {};
    Role role = Role::kFollower;
    std::vector<raft::Mark> marks = {};
  };

  OracleTest() {
    for (std::uint64_t id : {1u, 2u, 3u}) Start(id);
  }

  Node& At(std::uint64_t id) { return nodes_[id]; }

  CoreView View(std::uint64_t id) {
    const Node& node = At(id);
    return {.id = PeerId(id),
            .term = node.state.term,
            .vote = node.state.vote,
            .role = node.role,
            .base = node.tail.base(),
            .last = node.tail.last(),
            .applied = node.tail.applied(),
            .applying = node.tail.applying(),
            .committed = node.tail.committed(),
            .durable = node.tail.durable(),
            .submitted = node.tail.submitted(),
            .first_resident = node.tail.first_resident(),
            .resident_bytes = node.tail.resident_bytes(),
            .configuration = &configuration_,
            .base_configuration = &configuration_,
            .tail = &node.tail};
  }

  void Start(std::uint64_t id) { oracle_.OnStart(View(id), At(id).state); }

  // What the core would ask for now, and `effects` besides.
  Effects Take(std::uint64_t id, Effects effects = {}) {
    Node& node = At(id);
    node.state.commit = node.tail.committed();
    if (node.tail.HasWrite() || node.state != node.written) {
      effects.write =
          raft::LogWrite{.hard_state = node.state, .log = node.tail.TakeWrite(node.state.term)};
      node.written = node.state;
      node.marks.push_back(effects.write->log.mark);
    }
    return effects;
  }
  void Finish(std::uint64_t id, Effects effects = {}) {
    effects = Take(id, std::move(effects));
    oracle_.OnFinish(View(id), effects);
  }
  // All writes of `id` are on disk. Whether its core hears of it is up to `tell`.
  void Land(std::uint64_t id, bool tell = true) {
    Node& node = At(id);
    for (const raft::Mark& mark : node.marks) {
      oracle_.OnInput(View(id), {.kind = raft::CoreInput::Kind::kDurable, .mark = &mark});
      if (tell) node.tail.OnDurable(mark);
    }
    node.marks.clear();
  }
  void SetTerm(std::uint64_t id, std::uint64_t term, std::uint64_t vote, Role role) {
    Node& node = At(id);
    node.state.term = Term(term);
    node.state.vote = PeerId(vote);
    node.role = role;
  }
  void Change(std::uint64_t id, CoreChange change) { oracle_.OnChange(View(id), change); }

  Message Make(MessageType type, std::uint64_t from, std::uint64_t to) {
    Message message;
    message.type = type;
    message.from = PeerId(from);
    message.to = PeerId(to);
    message.term = At(from).state.term;
    return message;
  }
  void Send(const Message& message) {
    Finish(message.from.value(), Effects{.messages = {message}});
  }
  void Acknowledge(std::uint64_t id, std::uint64_t leader, std::uint64_t match) {
    Message reply = Make(MessageType::kAppendReply, id, leader);
    reply.match = Index(match);
    Send(reply);
  }
  void Grant(std::uint64_t voter, std::uint64_t candidate, std::uint64_t term) {
    SetTerm(voter, term, candidate, Role::kFollower);
    Change(voter, CoreChange::kFollower);
    Finish(voter);
    Land(voter);
    Message reply = Make(MessageType::kVoteReply, voter, candidate);
    reply.granted = true;
    Send(reply);
  }
  void Elect(std::uint64_t id, std::uint64_t term, std::uint64_t voter) {
    SetTerm(id, term, id, Role::kCandidate);
    Change(id, CoreChange::kCandidate);
    Finish(id);
    Land(id);
    Change(id, CoreChange::kOwnVote);
    Grant(voter, id, term);
    Lead(id);
  }
  void Lead(std::uint64_t id) {
    At(id).role = Role::kLeader;
    Change(id, CoreChange::kLeader);
    At(id).tail.AppendOwn(At(id).state.term, EntryType::kEmpty, Bytes());
    Finish(id);
  }
  void Propose(std::uint64_t id, const std::string& payload) {
    At(id).tail.AppendOwn(At(id).state.term, EntryType::kNormal, Bytes(payload));
    Finish(id);
  }
  void Append(std::uint64_t id, LogSlice slice) {
    ASSERT_TRUE(At(id).tail.Append(std::move(slice)));
    Finish(id);
  }
  // The disk of 2 has lost its log, and says up to where it was.
  void LoseLog(LogId until) {
    Node& node = At(2);
    node.tail = raft::LogTail(LogId{});
    node.role = Role::kFollower;
    node.state.commit = Index();
    node.state.impaired_until = until;
    node.written = node.state;
    Start(2);
  }
  // `to` gets the log of `from`, on its disk.
  void Replicate(std::uint64_t from, std::uint64_t to) {
    const raft::LogTail& tail = At(from).tail;
    Append(to, *tail.Read(tail.base().index, tail.last().index, SIZE_MAX));
    Land(to);
    Finish(to);
  }
  void Commit(std::uint64_t id, std::uint64_t index) {
    At(id).tail.CommitTo(Index(index));
    Finish(id);
  }
  LogSlice HandOut(std::uint64_t id) {
    Node& node = At(id);
    return node.tail.HandOut(
        {.is_leader = node.role == Role::kLeader, .term = node.state.term, .max_bytes = SIZE_MAX});
  }
  // 1 leads term 1, and 1@1, 2@1 are committed and on all disks.
  void Begin() {
    Elect(1, 1, 2);
    SetTerm(3, 1, 0, Role::kFollower);
    Finish(3);
    Propose(1, "x");
    Land(1);
    for (std::uint64_t id : {2u, 3u}) {
      Replicate(1, id);
      Acknowledge(id, 1, 2);
    }
    Commit(1, 2);
  }
  // The first problem, and nothing else was one before it.
  void ExpectFirst(const std::string& code, const std::string& what) {
    ASSERT_FALSE(problems_.empty()) << code;
    EXPECT_THAT(problems_.front(), HasSubstr(code + ": g peer ")) << problems_.front();
    EXPECT_THAT(problems_.front(), HasSubstr(what));
  }

  std::vector<std::string> problems_;
  const raft::Configuration configuration_ = {.voters = {PeerId(1), PeerId(2), PeerId(3)}};
  std::map<std::uint64_t, Node> nodes_;
  GroupOracle oracle_{"g", [this](const std::string& problem) { problems_.push_back(problem); }};
};

TEST_F(OracleTest, SilentWhenAllIsWell) {
  Begin();
  Finish(1, Effects{.committed = HandOut(1)});
  At(1).tail.OnApplied(Index(2));
  Finish(1);
  Elect(2, 2, 3);
  // A conflict: 1 had one more that nobody has seen.
  Propose(1, "lost");
  SetTerm(1, 2, 0, Role::kFollower);
  Change(1, CoreChange::kFollower);
  Replicate(2, 1);
  Acknowledge(1, 2, 3);
  Land(2);
  Finish(2);
  Commit(2, 3);
  At(1).tail.CompactTo(Index(1));
  oracle_.OnLetGo(View(1));
  EXPECT_THAT(problems_, IsEmpty());
  EXPECT_EQ(oracle_.highest_commit(), Index(3));
  EXPECT_GT(oracle_.compared(), 100u);
}

TEST_F(OracleTest, TwoLeadersInATerm) {
  Begin();
  SetTerm(2, 1, 2, Role::kLeader);
  Change(2, CoreChange::kLeader);
  ExpectFirst("ES", "leads term 1, as does peer 1");
}

TEST_F(OracleTest, SameIdOtherContent) {
  Begin();
  At(1).tail.AppendOwn(Term(1), EntryType::kNormal, Bytes(std::string("a")));
  Finish(1);
  Append(2, {.prev = {Term(1), Index(2)},
             .entries = {{.id = {Term(1), Index(3)},
                          .type = EntryType::kNormal,
                          .payload = Bytes(std::string("b"))}}});
  ExpectFirst("LM", "3@1 has another content");
}

TEST_F(OracleTest, SameIdAfterAnotherEntry) {
  Begin();
  Elect(2, 2, 3);
  Propose(2, "y");  // 4@2 after 3@2.
  SetTerm(1, 2, 0, Role::kFollower);
  Propose(1, "z");  // 3 is of term 2 here too, by a bug, with another content.
  ExpectFirst("LM", "3@2");
}

TEST_F(OracleTest, ALeaderWithoutWhatIsCommitted) {
  Begin();
  // 3 takes nothing of what 1 commits further.
  Propose(1, "w");
  Land(1);
  Append(2, *At(1).tail.Read(Index(2), Index(3), SIZE_MAX));
  Land(2);
  Commit(1, 3);
  Elect(3, 2, 2);
  ExpectFirst("LC", "leads term 2 and lacks 3@1");
}

TEST_F(OracleTest, ACommitThatALaterLeaderLacks) {
  Begin();
  Propose(1, "w");
  Land(1);
  Elect(3, 2, 2);
  Append(2, *At(1).tail.Read(Index(2), Index(3), SIZE_MAX));  // Though it is in term 2 by now.
  Land(2);
  Commit(1, 3);
  ExpectFirst("LC", "which the leader of term 2 lacks");
}

TEST_F(OracleTest, CommitsDiffer) {
  Begin();
  Elect(2, 2, 3);
  Land(2);
  Replicate(2, 3);
  Commit(2, 3);
  Propose(1, "other");
  At(1).tail.CommitTo(Index(3));
  Finish(1);
  ExpectFirst("SM", "commits 3@1, committed was 3@2");
}

TEST_F(OracleTest, HandedOutTwice) {
  Begin();
  const LogSlice slice = HandOut(1);
  Finish(1, Effects{.committed = slice});
  Finish(1, Effects{.committed = slice});
  ExpectFirst("SM", "handed out after 0@0, the last was 2");
}

TEST_F(OracleTest, HandedOutOtherEntry) {
  Begin();
  LogSlice slice = HandOut(1);
  slice.entries[1].payload = Bytes(std::string("forged"));
  Finish(1, Effects{.committed = slice});
  ExpectFirst("L1", "entries that are handed out hold 2@1");
}

TEST_F(OracleTest, HandedOutBeforeCommitted) {
  Begin();
  Propose(1, "w");
  LogSlice slice = HandOut(1);
  slice.entries.push_back(At(1).tail.Read(Index(2), Index(3), SIZE_MAX)->entries[0]);
  Finish(1, Effects{.committed = slice});
  ExpectFirst("SM", "handed out and not committed: 3@1");
}

TEST_F(OracleTest, CommittedWithoutQuorum) {
  Begin();
  Propose(1, "w");
  Land(1);
  Commit(1, 3);
  ExpectFirst("CD", "commits 3@1, durable on 1 of 3");
}

TEST_F(OracleTest, CommittedAnOlderTermByCounting) {
  Begin();
  Propose(1, "w");
  Land(1);
  Elect(1, 2, 2);
  Replicate(1, 2);
  Land(1);
  Commit(1, 3);
  ExpectFirst("CD", "3@1 of an older term by counting");
}

TEST_F(OracleTest, SentWhatIsNotInTheLog) {
  Begin();
  Message append = Make(MessageType::kAppend, 1, 2);
  append.slice = *At(1).tail.Read(Index(1), Index(2), SIZE_MAX);
  append.slice.entries[0].payload = Bytes(std::string("stale"));
  Send(append);
  ExpectFirst("L1", "entries that are sent hold 2@1");
}

TEST_F(OracleTest, CommittedIsCut) {
  Begin();
  Elect(2, 2, 3);
  Effects effects;
  effects.write = raft::LogWrite{.log = {.cut = true, .slice = {.prev = {Term(1), Index(1)}}}};
  oracle_.OnFinish(View(1), effects);
  ExpectFirst("L2", "the log is cut at 2, committed here up to 2");
}

TEST_F(OracleTest, CommittedElsewhereIsCut) {
  Begin();
  Effects effects;
  effects.write = raft::LogWrite{.log = {.cut = true, .slice = {.prev = {Term(1), Index(1)}}}};
  oracle_.OnFinish(View(3), effects);  // 3 has not heard yet that 2@1 is committed.
  ExpectFirst("L2", "the log is cut at 2@1, which is committed");
}

TEST_F(OracleTest, CursorsOutOfOrder) {
  Begin();
  CoreView view = View(1);
  view.submitted = Index(1);
  oracle_.OnFinish(view, Effects());
  ExpectFirst("L3", "durable 2 submitted 1");
}

TEST_F(OracleTest, CommittedGoesBack) {
  Begin();
  CoreView view = View(1);
  view.committed = Index(1);
  oracle_.OnFinish(view, Effects());
  ExpectFirst("L3", "and some of them were further");
}

TEST_F(OracleTest, AcknowledgedBeforeDurable) {
  Begin();
  Propose(1, "w");
  Append(2, *At(1).tail.Read(Index(2), Index(3), SIZE_MAX));
  Acknowledge(2, 1, 3);
  ExpectFirst("L4", "its disk has this log up to 2");
}

// The acknowledgement is of an entry that was cut and came back: the disk has the old one.
TEST_F(OracleTest, AcknowledgedWhatWasCutSince) {
  Begin();
  Propose(1, "w");
  const LogSlice slice = *At(1).tail.Read(Index(2), Index(3), SIZE_MAX);
  Append(2, slice);
  Effects cut;
  cut.write = raft::LogWrite{.log = {.mark = {.write = raft::WriteNumber(90)},
                                     .cut = true,
                                     .slice = {.prev = {Term(1), Index(2)}}}};
  CoreView shorter = View(2);
  shorter.last = {Term(1), Index(2)};
  shorter.submitted = Index(2);
  oracle_.OnFinish(shorter, cut);
  problems_.clear();  // Of the terms that the tail, which knows no cut, still tells.
  Land(2);
  Effects again;
  again.write = raft::LogWrite{.log = {.mark = {.write = raft::WriteNumber(91)}, .slice = slice}};
  Message reply = Make(MessageType::kAppendReply, 2, 1);
  reply.match = Index(3);
  again.messages.push_back(reply);
  oracle_.OnFinish(View(2), again);
  ExpectFirst("L4", "its disk has this log up to 2");
}

TEST_F(OracleTest, HeartbeatsAnsweredBeforeTheTermIsDurable) {
  Begin();
  SetTerm(2, 5, 0, Role::kFollower);
  Send(Make(MessageType::kHeartbeatReply, 2, 1));
  ExpectFirst("L4", "its term is not durable");
}

TEST_F(OracleTest, AFollowerHandsOutBeforeItsDisk) {
  Begin();
  Propose(1, "w");
  Land(1);
  Replicate(1, 3);
  Commit(1, 3);
  At(2).role = Role::kLeader;  // What its core takes it for when it asks its tail.
  Append(2, *At(1).tail.Read(Index(2), Index(3), SIZE_MAX));
  At(2).tail.CommitTo(Index(3));
  const LogSlice slice = HandOut(2);
  At(2).role = Role::kFollower;
  Finish(2, Effects{.committed = slice});
  ExpectFirst("L5", "handed out before its disk has it: 3@1");
}

TEST_F(OracleTest, StoredCommitGoesBack) {
  Begin();
  Effects effects = Take(1);
  raft::HardState back = At(1).written;
  back.commit = Index(1);
  effects.write =
      raft::LogWrite{.hard_state = back, .log = {.slice = {.prev = {Term(1), Index(2)}}}};
  oracle_.OnFinish(View(1), effects);
  ExpectFirst("L6", "the stored commit index goes back");
}

TEST_F(OracleTest, TermsAreGuessed) {
  Begin();
  // The tail that is asked is another than what was written: it takes 2 to be of term 3.
  raft::LogTail other(LogId{});
  other.AppendOwn(Term(1), EntryType::kEmpty, Bytes());
  other.AppendOwn(Term(3), EntryType::kNormal, Bytes(std::string("x")));
  CoreView view = View(1);
  view.tail = &other;
  oracle_.OnFinish(view, Effects());
  ExpectFirst("L7", "the term at 2 is read as 3 and is 1");
}

TEST_F(OracleTest, DurableBeyondTheDisk) {
  Begin();
  Propose(1, "w");
  CoreView view = View(1);
  view.durable = Index(3);
  oracle_.OnFinish(view, Effects());
  ExpectFirst("L8", "takes 3 to be durable");
}

TEST_F(OracleTest, TheLogIsDroppedBeyondWhatIsApplied) {
  Begin();
  CoreView view = View(1);
  view.base = {Term(1), Index(2)};
  oracle_.OnLetGo(view);
  ExpectFirst("L9", "dropped up to 2@1, applied 0");
}

TEST_F(OracleTest, TheStateMachineIsBehindTheLogAfterARestart) {
  Begin();
  Finish(1, Effects{.committed = HandOut(1)});
  At(1).tail.OnApplied(Index(2));
  Finish(1);
  const raft::LogTail before = At(1).tail;
  At(1).tail.CompactTo(Index(2));
  oracle_.OnLetGo(View(1));
  CoreView view = View(1);
  view.applied = view.applying = Index(1);
  oracle_.OnStart(view, At(1).written);
  ExpectFirst("L9", "dropped up to 2, the state machine is at 1");
}

TEST_F(OracleTest, EvictedBeforeDurable) {
  Begin();
  Propose(1, "w");
  CoreView view = View(1);
  view.first_resident = Index(4);
  view.resident_bytes = 0;
  oracle_.OnFinish(view, Effects());
  ExpectFirst("L10", "in memory is what follows 3, durable is 2");
}

TEST_F(OracleTest, TheAccountOfMemoryIsWrong) {
  Begin();
  CoreView view = View(1);
  view.resident_bytes += 1;
  oracle_.OnFinish(view, Effects());
  ExpectFirst("L10", "bytes are said to be in memory");
}

TEST_F(OracleTest, MatchBeyondTheFollowersDisk) {
  Begin();
  Propose(1, "w");
  oracle_.OnProgress(View(1), PeerId(2), Index(3), Index(4));
  ExpectFirst("P1", "counts on 3@1 of peer 2, whose disk ends at 2@1");
}

TEST_F(OracleTest, NextIsNotBeyondMatch) {
  Begin();
  oracle_.OnProgress(View(1), PeerId(2), Index(2), Index(2));
  ExpectFirst("P2", "has match 2 and next 2");
}

TEST_F(OracleTest, ARestartThatHasLostEntries) {
  Begin();
  At(2).tail = raft::LogTail(LogId{});
  At(2).role = Role::kFollower;
  Start(2);
  ExpectFirst("R1", "written: log 0@0 to 2@1");
}

TEST_F(OracleTest, ARestartThatKnowsWhatIsLost) {
  Begin();
  LoseLog(At(2).tail.last());
  EXPECT_THAT(problems_, IsEmpty());
}

TEST_F(OracleTest, ARestartThatKnowsOfLessThanIsLost) {
  Begin();
  LoseLog({Term(1), Index(1)});
  ExpectFirst("R1", "impaired until 1@1; written: log 0@0 to 2@1");
}

TEST_F(OracleTest, AVoteOfWhoHasLostEntries) {
  Begin();
  LoseLog(At(2).tail.last());
  Grant(2, 3, 5);
  ExpectFirst("V2", "has lost entries and votes");
}

TEST_F(OracleTest, WholeWithoutWhatWasLost) {
  Begin();
  LoseLog(At(2).tail.last());
  At(2).state.impaired_until.reset();
  Finish(2);
  ExpectFirst("V2", "its disk has this log up to 0@0 and had it up to 2@1");
}

TEST_F(OracleTest, ARestartThatHasLostTheVote) {
  Begin();
  raft::HardState forgotten = At(2).state;
  forgotten.vote = PeerId();
  oracle_.OnStart(View(2), forgotten);
  ExpectFirst("R1", "found after a restart");
}

// What was not acknowledged may be there or not, from the front.
TEST_F(OracleTest, ARestartFindsSomeOfTheWritesInFlight) {
  Begin();
  const raft::HardState state = At(1).written;
  Propose(1, "kept");
  const raft::LogTail kept = At(1).tail;
  Propose(1, "lost");
  const LogId lost = At(1).tail.last();
  CoreView view = View(1);
  view.role = Role::kFollower;
  view.last = kept.last();
  view.durable = view.submitted = kept.last().index;
  view.resident_bytes = kept.resident_bytes();
  view.tail = &kept;
  oracle_.OnStart(view, state);
  EXPECT_THAT(problems_, IsEmpty());
  EXPECT_EQ(lost.index, Index(4));
}

TEST_F(OracleTest, SnapshotOfWhatIsNotCommitted) {
  Begin();
  At(3).tail.Reset({Term(1), Index(9)});
  Effects effects{.install = raft::SnapshotMeta{{Term(1), Index(9)}, configuration_}};
  Finish(3, std::move(effects));
  ExpectFirst("S1", "a snapshot of 9@1, which is not committed");
}

TEST_F(OracleTest, SnapshotBelowWhatIsCommittedHere) {
  Begin();
  Effects effects{.install = raft::SnapshotMeta{{Term(1), Index(1)}, configuration_}};
  Finish(1, std::move(effects));
  ExpectFirst("S1", "below what is committed here");
}

TEST_F(OracleTest, AConfigurationThatIsNotInTheLog) {
  Begin();
  const raft::Configuration smaller{.voters = {PeerId(1)}};
  CoreView view = View(1);
  view.configuration = &smaller;
  oracle_.OnFinish(view, Effects());
  ExpectFirst("M1", "acts by");
}

TEST_F(OracleTest, TwoVotesInATerm) {
  Begin();
  Grant(3, 2, 2);
  At(3).state.vote = PeerId(1);
  Finish(3);
  ExpectFirst("V1", "the stored vote changes within a term");
}

TEST_F(OracleTest, AVoteThatIsNotDurable) {
  Begin();
  SetTerm(3, 2, 2, Role::kFollower);
  Message reply = Make(MessageType::kVoteReply, 3, 2);
  reply.granted = true;
  Send(reply);
  ExpectFirst("V1", "the vote is not durable");
}

TEST_F(OracleTest, TheTermGoesBack) {
  Begin();
  SetTerm(3, 2, 0, Role::kFollower);
  Change(3, CoreChange::kFollower);
  SetTerm(3, 1, 0, Role::kFollower);
  Change(3, CoreChange::kFollower);
  ExpectFirst("V1", "its term goes back from 2 to 1");
}

// Cores in the hands of chance: whatever a network, disks and power cuts do, the oracle is silent.
TEST(OracleOnCores, SilentOnRandomRuns) {
  std::uint64_t compared = 0, committed = 0, changes = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SeededRandom random(seed);
    std::vector<std::string> problems;
    GroupOracle oracle("g", [&](const std::string& problem) { problems.push_back(problem); });
    raft::testing::TestCluster::Setup setup{
        .options = raft::testing::SmallOptions(), .seed = seed, .begins = {Term(1), Index(1)}};
    setup.options.observer = &oracle;
    setup.options.apply_before_durable = !random.OneIn(3);
    setup.options.max_append_bytes = 1 + random.Below(200);
    raft::testing::TestCluster cluster(setup);
    for (int step = 0; step < 8000 && problems.empty(); ++step) {
      const std::size_t id = 1 + random.Below(cluster.size());
      auto& network = cluster.network();
      switch (random.Below(8)) {
        case 0: cluster.Tick(id); break;
        case 1: cluster.Elapse(raft::testing::kTick); break;
        case 2:
          if (cluster.alive(id)) cluster.Propose(id, "p" + std::to_string(step));
          if (cluster.alive(id) && random.OneIn(6)) {
            changes += cluster.ProposeSomeChange(id, random, 5) ? 1u : 0u;
          }
          break;
        case 3:
          if (cluster.alive(id) && cluster.writes_in_flight(id) > 0) {
            cluster.CompleteWrite(id, !random.OneIn(4));
          } else if (cluster.alive(id) && !cluster.marks(id).empty()) {
            cluster.TellDurable(id, cluster.marks(id)[random.Below(cluster.marks(id).size())]);
          }
          break;
        case 4:
          if (cluster.alive(id)) cluster.ApplyOne(id);
          break;
        case 5:
          if (!random.OneIn(25)) break;
          if (cluster.alive(id)) {
            cluster.Crash(id, random.Below(cluster.writes_in_flight(id) + 1), random.OneIn(2));
          } else {
            cluster.Restart(id);
          }
          break;
        case 6:
          if (cluster.alive(id)) cluster.AnswerColdRead(id, random.OneIn(5));
          if (cluster.alive(id)) cluster.SendSnapshot(id, random.OneIn(5));
          if (cluster.alive(id) && random.OneIn(5)) cluster.Evict(id);
          if (cluster.alive(id) && random.OneIn(9)) cluster.Compact(id, random.Below(100));
          break;
        default:
          if (random.OneIn(20)) cluster.Settle();
          if (!network.empty()) cluster.Deliver(random.Below(network.size()), random.OneIn(5));
      }
    }
    ASSERT_THAT(problems, IsEmpty()) << "seed " << seed;
    ASSERT_THAT(cluster.violation(), IsEmpty()) << "seed " << seed;
    compared += oracle.compared();
    committed += oracle.highest_commit().value();
  }
  // A run in which nothing happens proves nothing.
  EXPECT_GT(compared, 500'000u);
  EXPECT_GT(committed, 3000u);
  EXPECT_GT(changes, 100u);
}

}  // namespace
}  // namespace rutile::sim
