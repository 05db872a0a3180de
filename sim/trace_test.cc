#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "base/random.h"
#include "raft/testing/test_cluster.h"
#include "sim/trace_checker.h"
#include "sim/trace_recorder.h"

namespace rutile::sim {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string Text(const std::vector<TraceEvent>& events) {
  std::string text;
  for (const TraceEvent& event : events) text += ToJson(event) + "\n";
  return text;
}

// Empty when the trace is accepted.
std::string Verdict(const std::vector<TraceEvent>& events) {
  const auto checked = CheckTrace(Text(events), "t");
  return checked.ok() ? "" : std::string(checked.status().message());
}

// Three real cores: 1 is elected, commits two entries; 2 is elected after it, over an entry of 1
// that nobody else has; 3 has restarted in between.
std::vector<TraceEvent> GoodTrace() {
  std::vector<TraceEvent> events;
  TraceRecorder recorder(RegionId(2), [&](const TraceEvent& event) { events.push_back(event); });
  raft::testing::TestCluster::Setup setup{.options = raft::testing::SmallOptions()};
  setup.options.observer = &recorder;
  raft::testing::TestCluster cluster(setup);
  cluster.Elect(1);
  cluster.Propose(1, "a");
  cluster.Settle();
  cluster.TickAll(3);
  cluster.Crash(3);
  cluster.Restart(3);
  cluster.Isolate(1);
  cluster.Propose(1, "lost");
  cluster.Settle();
  cluster.Elect(2);
  cluster.Propose(2, "b");
  cluster.Settle();
  cluster.Heal();
  cluster.TickAll(6);
  EXPECT_THAT(cluster.violation(), IsEmpty());
  return events;
}

class TraceMutation : public ::testing::Test {
 protected:
  using Matches = std::function<bool(const TraceEvent&)>;
  static Matches Named(TraceName name, std::uint64_t node = 0) {
    return [=](const TraceEvent& event) {
      return event.name == name && (node == 0 || event.node == PeerId(node));
    };
  }
  static Matches Message(TraceName name, TraceMessageType type, std::uint64_t from = 0) {
    return [=](const TraceEvent& event) {
      return event.name == name && event.message->type == type &&
             (from == 0 || event.message->from == PeerId(from));
    };
  }
  // The position of the n-th event that matches, from 0.
  std::size_t Find(const Matches& matches, int n = 0) {
    for (std::size_t i = 0; i < events_.size(); ++i) {
      if (matches(events_[i]) && n-- == 0) return i;
    }
    ADD_FAILURE() << "no such event";
    return 0;
  }
  std::size_t FindLast(const Matches& matches) {
    for (std::size_t i = events_.size(); i-- > 0;) {
      if (matches(events_[i])) return i;
    }
    ADD_FAILURE() << "no such event";
    return 0;
  }
  void Erase(std::size_t at) { events_.erase(events_.begin() + static_cast<std::ptrdiff_t>(at)); }
  void EraseAll(const Matches& matches) { std::erase_if(events_, matches); }
  void Insert(std::size_t at, TraceEvent event) {
    events_.insert(events_.begin() + static_cast<std::ptrdiff_t>(at), std::move(event));
  }
  // Rejected at the line of the event `at`, for this reason.
  void ExpectRejected(std::size_t at, const std::string& why) {
    const std::string verdict = Verdict(events_);
    EXPECT_THAT(verdict, HasSubstr("t:" + std::to_string(at + 1) + ": ")) << ToJson(events_[at]);
    EXPECT_THAT(verdict, HasSubstr(why));
  }

  std::vector<TraceEvent> events_ = GoodTrace();
};

TEST(Trace, OfRealCoresIsAccepted) {
  const std::vector<TraceEvent> events = GoodTrace();
  EXPECT_THAT(Verdict(events), IsEmpty());
  EXPECT_GT(events.size(), 100u);
}

TEST(Trace, LinesSayAllOfAnEvent) {
  for (const TraceEvent& event : GoodTrace()) {
    const auto parsed = ParseTraceEvent(ToJson(event));
    ASSERT_TRUE(parsed.ok()) << parsed.status().ToString();
    ASSERT_TRUE(parsed.value());
    EXPECT_EQ(ToJson(*parsed.value()), ToJson(event));
    EXPECT_EQ(parsed.value()->message, event.message);
    EXPECT_EQ(parsed.value()->durable, event.durable);
    EXPECT_EQ(parsed.value()->found, event.found);
  }
}

TEST(Trace, IsInTheFormatOfEtcdsTraceSpecification) {
  TraceEvent event;
  event.group = RegionId(2);
  event.name = TraceName::kSendAppendEntriesRequest;
  event.node = PeerId(1);
  event.term = Term(3);
  event.vote = PeerId(1);
  event.commit = Index(4);
  event.role = TraceRole::kLeader;
  event.log = Index(5);
  event.conf = std::make_shared<const TraceConf>(TraceConf{{PeerId(1), PeerId(2)}, {}});
  event.message = TraceMessage{.type = TraceMessageType::kMsgApp,
                               .term = Term(3),
                               .from = PeerId(1),
                               .to = PeerId(2),
                               .entries = 1,
                               .log_term = Term(2),
                               .index = Index(4),
                               .commit = Index(4)};
  EXPECT_EQ(ToJson(event),
            R"({"tag":"trace","group":2,"event":{"name":"SendAppendEntriesRequest","nid":"1",)"
            R"("state":{"term":3,"vote":"1","commit":4},"role":"StateLeader","log":5,)"
            R"("conf":[["1","2"],[]],"msg":{"type":"MsgApp","term":3,"from":"1","to":"2",)"
            R"("entries":1,"logTerm":2,"index":4,"commit":4,"vote":"0","reject":false,)"
            R"("rejectHint":0}}})");
}

TEST(Trace, WrongLinesAreNamed) {
  const std::string good = ToJson(GoodTrace().front());
  const auto error = [&](std::string line) {
    const auto checked = CheckTrace(good + "\n\n" + line, "dir/file");
    return checked.ok() ? "" : std::string(checked.status().message());
  };
  const auto without = [&](const std::string& from, const std::string& to) {
    std::string line = good;
    const std::size_t at = line.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return error(line.replace(at, from.size(), to));
  };
  EXPECT_EQ(error("{\"tag\":\"other\"}"), "");
  EXPECT_EQ(error("nonsense"), "dir/file:3: this is no JSON object; expected one event");
  EXPECT_EQ(error("{\"tag\":\"trace\"}"), "dir/file:3: event is missing; expected an object");
  EXPECT_EQ(without("\"nid\":\"1\",", ""),
            "dir/file:3: event.nid is missing; expected the number of a node in quotes");
  EXPECT_EQ(without("\"nid\":\"1\"", "\"nid\":1"),
            "dir/file:3: event.nid is 1; expected the number of a node in quotes");
  EXPECT_EQ(without("\"term\":0,", ""),
            "dir/file:3: event.state.term is missing; expected a number");
  EXPECT_EQ(without("\"log\":0,", "\"log\":-1,"), "dir/file:3: event.log is -1; expected a number");
  EXPECT_THAT(without("InitState", "Initialise"),
              HasSubstr("event.name is \"Initialise\"; expected one of InitState BecomeCandidate"));
  EXPECT_THAT(without("StateFollower", "Follower"),
              HasSubstr("event.role is \"Follower\"; expected one of StateFollower"));
  EXPECT_THAT(without("[[\"1\",\"2\",\"3\"],[]]", "[]"), HasSubstr("event.conf is"));
}

TEST(Trace, MessageMembersAreNeeded) {
  std::vector<TraceEvent> events = GoodTrace();
  const auto carries = [](const TraceEvent& event) { return event.message.has_value(); };
  std::string line = ToJson(*std::find_if(events.begin(), events.end(), carries));
  line.replace(line.find("\"reject\":"), 9, "\"denied\":");
  const auto checked = CheckTrace(line, "f");
  EXPECT_EQ(checked.status().message(), "f:1: event.msg.reject is missing; expected true or false");
}

TEST_F(TraceMutation, TwoVotesInATerm) {
  // 3 has voted for 1 in the first election, and does it once more for 2.
  const std::size_t at =
      Find(Message(TraceName::kSendRequestVoteResponse, TraceMessageType::kMsgVoteResp, 3));
  TraceEvent again = events_[at];
  again.message->to = PeerId(2);
  Insert(at + 1, again);
  ExpectRejected(at + 1, "votes for 2, its vote is for 1");
}

TEST_F(TraceMutation, AVoteThatChanges) {
  const std::size_t at =
      Find(Message(TraceName::kSendRequestVoteResponse, TraceMessageType::kMsgVoteResp, 3));
  events_[at].vote = PeerId(2);
  ExpectRejected(at, "the vote is for 2 and must be for 1");
}

TEST_F(TraceMutation, AVoteBeforeItIsDurable) {
  const std::size_t at =
      Find(Message(TraceName::kSendRequestVoteResponse, TraceMessageType::kMsgVoteResp, 3));
  const std::size_t ready = Find(Named(TraceName::kReady, 3));
  ASSERT_LT(ready, at);
  Erase(ready);
  ExpectRejected(at - 1, "speaks in term 1, durable is 0");
}

TEST_F(TraceMutation, ACandidateThatHidesItsLog) {
  // 2 asks 3 in the second election, and names an entry before its last.
  const std::size_t sent = FindLast([](const TraceEvent& event) {
    return event.name == TraceName::kSendRequestVoteRequest && event.message->from == PeerId(2) &&
           event.message->to == PeerId(3);
  });
  events_[sent].message->index = Index(1);
  ExpectRejected(sent, "says that its log ends at 1@1, it ends at 2@1");
}

TEST_F(TraceMutation, AVoteForAShorterLog) {
  events_.clear();
  TraceRecorder recorder(RegionId(2), [&](const TraceEvent& event) { events_.push_back(event); });
  raft::testing::TestCluster::Setup setup{.options = raft::testing::SmallOptions()};
  setup.options.observer = &recorder;
  raft::testing::TestCluster cluster(setup);
  cluster.Elect(1);
  cluster.Isolate(3);
  cluster.Propose(1, "a");
  cluster.Settle();
  cluster.Heal();
  cluster.Isolate(1);
  cluster.Elapse(Seconds(100));
  cluster.Campaign(3);  // Its log is shorter than that of 2, which refuses.
  cluster.Settle();
  ASSERT_THAT(Verdict(events_), IsEmpty());
  const std::size_t at = FindLast([](const TraceEvent& event) {
    return event.name == TraceName::kSendRequestVoteResponse && event.node == PeerId(2);
  });
  ASSERT_TRUE(events_[at].message->reject);
  std::size_t first = at;
  while (events_[first - 1].node != PeerId(2) ||
         events_[first - 1].name != TraceName::kBecomeFollower) {
    --first;
  }
  while (events_[first].node != PeerId(2)) ++first;
  events_[first].vote = PeerId(3);
  ExpectRejected(first, "votes for a candidate whose log ends at 1@1, its own at 2@1");
}

TEST_F(TraceMutation, CommitWithoutQuorum) {
  // Only the leader itself has acknowledged.
  EraseAll([](const TraceEvent& event) {
    return event.name == TraceName::kReceiveAppendEntriesResponse && event.node == PeerId(1) &&
           event.message->from != PeerId(1);
  });
  const std::size_t at = Find([](const TraceEvent& event) {
    return event.name == TraceName::kCommit && event.node == PeerId(1);
  });
  ExpectRejected(at, "which 1 have acknowledged: no quorum");
}

TEST_F(TraceMutation, CommitBeyondTheLog) {
  const std::size_t at = Find(Named(TraceName::kCommit, 1));
  events_[at].commit = Index(99);
  ExpectRejected(at, "commits 99, beyond the end of its log");
}

TEST_F(TraceMutation, CommitByAFollower) {
  const std::size_t at = Find(Named(TraceName::kReady, 2));
  events_[at].name = TraceName::kCommit;
  events_[at].durable.reset();
  ExpectRejected(at, "only a leader commits by counting");
}

TEST_F(TraceMutation, CommitOfAnOlderTermByCounting) {
  events_.clear();
  TraceRecorder recorder(RegionId(2), [&](const TraceEvent& event) { events_.push_back(event); });
  raft::testing::TestCluster::Setup setup{.options = raft::testing::SmallOptions()};
  setup.options.observer = &recorder;
  raft::testing::TestCluster cluster(setup);
  cluster.Elect(1);
  // All have 2@1, and 1 never hears of it.
  for (std::size_t id : {2u, 3u}) cluster.CutLink(id, 1);
  cluster.Propose(1, "a");
  cluster.Settle();
  cluster.Isolate(1);
  cluster.Elect(2);
  ASSERT_THAT(Verdict(events_), IsEmpty());
  const std::size_t at = FindLast(Named(TraceName::kBecomeLeader, 2));
  TraceEvent commit = events_[at];
  commit.name = TraceName::kCommit;
  commit.commit = Index(2);
  ASSERT_LT(events_[at].commit, Index(2));
  Insert(at + 1, commit);
  ExpectRejected(at + 1, "commits entry 2 of the older term 1 by counting");
}

TEST_F(TraceMutation, TheCommitIndexGoesBack) {
  const std::size_t at = FindLast(Named(TraceName::kReady, 2));
  events_[at].commit = Index(1);
  ExpectRejected(at, "the commit index goes back");
}

TEST_F(TraceMutation, TheTermGoesBack) {
  const std::size_t at = FindLast(Named(TraceName::kReady, 2));
  events_[at].term = Term(1);
  ExpectRejected(at, "the term goes back from 2 to 1");
}

TEST_F(TraceMutation, ATermOfNoElection) {
  const std::size_t at = Find(Named(TraceName::kBecomeFollower, 3));
  for (std::size_t i = at; i < events_.size(); ++i) {
    if (events_[i].node == PeerId(3)) events_[i].term = Term(events_[i].term.value() + 7);
  }
  ExpectRejected(at, "nobody has campaigned in term 8 yet");
}

TEST_F(TraceMutation, ACandidateThatSkipsATerm) {
  const std::size_t at = Find(Named(TraceName::kBecomeCandidate));
  events_[at].term = Term(5);
  ExpectRejected(at, "campaigns in term 5, the next one is 1");
}

TEST_F(TraceMutation, ACandidateThatVotesForAnother) {
  const std::size_t at = Find(Named(TraceName::kBecomeCandidate));
  events_[at].vote = PeerId(3);
  ExpectRejected(at, "a candidate votes for itself");
}

TEST_F(TraceMutation, ALeaderWithoutQuorum) {
  const std::size_t at = Find(Named(TraceName::kBecomeLeader));
  std::size_t erased = 0;
  for (std::size_t i = at; i-- > 0;) {
    const TraceEvent& event = events_[i];
    if (event.name == TraceName::kReceiveRequestVoteResponse && event.message->from != event.node) {
      Erase(i);
      ++erased;
    }
  }
  ASSERT_GT(erased, 0u);
  ExpectRejected(at - erased, "has 1 votes, which is no quorum");
}

TEST_F(TraceMutation, ALeaderThatWasNoCandidate) {
  const std::size_t at = Find(Named(TraceName::kReady, 3));
  events_[at].name = TraceName::kBecomeLeader;
  events_[at].role = TraceRole::kLeader;
  ExpectRejected(at, "only a candidate becomes leader");
}

TEST_F(TraceMutation, TwoLeadersInATerm) {
  const std::size_t at = Find(Named(TraceName::kBecomeLeader, 1));
  // 3, without whose vote 1 was elected, campaigns in the same term.
  TraceEvent candidate = events_[Find(Named(TraceName::kInitState, 3))];
  candidate.name = TraceName::kBecomeCandidate;
  candidate.role = TraceRole::kCandidate;
  candidate.term = Term(1);
  candidate.vote = PeerId(3);
  candidate.durable.reset();
  candidate.found.reset();
  std::vector<TraceEvent> trace(events_.begin(),
                                events_.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  std::erase_if(trace, [](const TraceEvent& event) {
    return event.node == PeerId(3) && event.name != TraceName::kInitState;
  });
  std::erase_if(trace, [](const TraceEvent& event) {
    return event.name == TraceName::kReceiveRequestVoteResponse && event.node == PeerId(1) &&
           event.message->from == PeerId(3);
  });
  trace.push_back(candidate);
  TraceEvent leader = candidate;
  leader.name = TraceName::kBecomeLeader;
  leader.role = TraceRole::kLeader;
  trace.push_back(leader);
  events_ = trace;
  ExpectRejected(events_.size() - 1, "node 1 leads term 1 already");
}

TEST_F(TraceMutation, AnAppendThatDoesNotMatchTheSendersLog) {
  const std::size_t at =
      Find(Message(TraceName::kSendAppendEntriesRequest, TraceMessageType::kMsgApp), 2);
  events_[at].message->log_term = Term(9);
  ExpectRejected(at, "which is not in its log");
}

TEST_F(TraceMutation, MoreEntriesThanThereAre) {
  const std::size_t at =
      Find(Message(TraceName::kSendAppendEntriesRequest, TraceMessageType::kMsgApp));
  events_[at].message->entries += 3;
  ExpectRejected(at, "sends more entries than it has");
}

TEST_F(TraceMutation, AnAppendByAFollower) {
  const std::size_t at = Find(Named(TraceName::kReady, 3), 1);
  TraceEvent append = events_[at];
  append.name = TraceName::kSendAppendEntriesRequest;
  append.durable.reset();
  append.message = TraceMessage{.term = append.term, .from = PeerId(3), .to = PeerId(2)};
  Insert(at + 1, append);
  ExpectRejected(at + 1, "sends entries in term 1, which it does not lead");
}

TEST_F(TraceMutation, AMessageThatWasNeverSent) {
  const std::size_t at =
      Find(Message(TraceName::kReceiveAppendEntriesRequest, TraceMessageType::kMsgApp));
  events_[at].message->commit = Index(7);
  ExpectRejected(at, "receives a MsgApp that was never sent");
}

TEST_F(TraceMutation, AnAcknowledgementBeforeItIsDurable) {
  const std::size_t at =
      Find(Message(TraceName::kSendAppendEntriesResponse, TraceMessageType::kMsgAppResp, 2));
  std::size_t ready = at;
  while (events_[ready].name != TraceName::kReady || events_[ready].node != PeerId(2)) --ready;
  events_[ready].durable->log = Index(0);
  ExpectRejected(at, "acknowledges 1, durable is 0");
}

TEST_F(TraceMutation, AnAcknowledgementBeyondTheLog) {
  const std::size_t at =
      Find(Message(TraceName::kSendAppendEntriesResponse, TraceMessageType::kMsgAppResp, 2));
  events_[at].message->index = Index(50);
  ExpectRejected(at, "acknowledges 50, its log ends at 1");
}

TEST_F(TraceMutation, AHeartbeatThatCommitsTooMuch) {
  // To 3 after its restart the old leader knows a match; a new leader knows none.
  const std::size_t at =
      Find(Message(TraceName::kSendAppendEntriesRequest, TraceMessageType::kMsgHeartbeat, 1));
  events_[at].message->commit = Index(events_[at].commit.value() + 1);
  ExpectRejected(at, "tells of commit index");
}

TEST_F(TraceMutation, AnAppendThatIsNotTakenIn) {
  // 2 shows a log without what it has received.
  const std::size_t at =
      Find(Message(TraceName::kReceiveAppendEntriesRequest, TraceMessageType::kMsgApp));
  const PeerId node = events_[at].node;
  std::size_t next = at + 1;
  while (events_[next].node != node || events_[next].name == TraceName::kBecomeFollower) ++next;
  events_[next].log = Index(0);
  ExpectRejected(next, "the log ends at 0 and must end at 1");
}

TEST_F(TraceMutation, AFollowerThatCommitsWhatIsNot) {
  const std::size_t at = FindLast(Named(TraceName::kReady, 3));
  events_[at].commit = Index(events_[at].commit.value() + 1);
  ExpectRejected(at, "the commit index is");
}

TEST_F(TraceMutation, ARestartThatHasForgottenItsVote) {
  const std::size_t at = FindLast(Named(TraceName::kInitState, 3));
  events_[at].vote = PeerId(0);
  ExpectRejected(at, "has forgotten its vote for 1");
}

TEST_F(TraceMutation, ARestartThatHasForgottenItsTerm) {
  const std::size_t at = FindLast(Named(TraceName::kInitState, 3));
  events_[at].term = Term(0);
  ExpectRejected(at, "begins in term 0, durable was 1");
}

TEST_F(TraceMutation, ARestartThatHasLostEntries) {
  const std::size_t at = FindLast(Named(TraceName::kInitState, 3));
  events_[at].log = Index(1);
  ExpectRejected(at, "entry 2 was durable and is not there");
}

TEST_F(TraceMutation, ARestartThatKnowsOfLessThanIsLost) {
  const std::size_t at = FindLast(Named(TraceName::kInitState, 3));
  events_[at].log = Index(1);
  events_[at].durable->impaired = LogId{Term(1), Index(1)};
  ExpectRejected(at, "is impaired until 1@1 only, durable was");
}

TEST_F(TraceMutation, ARestartWithEntriesThatNeverWere) {
  const std::size_t at = FindLast(Named(TraceName::kInitState, 3));
  events_[at].found->runs.back().term = Term(4);
  ExpectRejected(at, "which nobody has written there");
}

TEST_F(TraceMutation, AConfigurationThatChangesByItself) {
  const std::size_t at = Find(Named(TraceName::kCommit));
  events_[at].conf = std::make_shared<const TraceConf>(TraceConf{{PeerId(1)}, {}});
  ExpectRejected(at, "the configuration has changed without ApplyConfChange");
}

TEST_F(TraceMutation, ANodeThatHasNotBegun) {
  const std::size_t first = Find(Named(TraceName::kInitState, 3));
  Erase(first);
  std::size_t at = first;
  while (events_[at].node != PeerId(3)) ++at;
  ExpectRejected(at, "the node has not begun: InitState was expected");
}

TEST_F(TraceMutation, AReplicateByAFollower) {
  const std::size_t at = Find(Named(TraceName::kReady, 3));
  events_[at].name = TraceName::kReplicate;
  events_[at].durable.reset();
  ExpectRejected(at, "only a leader appends of its own");
}

// A voter is added, then two are replaced by way of a joint configuration. What 1 has alone of a
// third change is cut away by 2.
std::vector<TraceEvent> ChangingTrace() {
  using Kind = raft::ChangeStep::Kind;
  std::vector<TraceEvent> events;
  TraceRecorder recorder(RegionId(2), [&](const TraceEvent& event) { events.push_back(event); });
  raft::testing::TestCluster::Setup setup{.options = raft::testing::SmallOptions(),
                                          .begins = {Term(1), Index(1)}};
  setup.options.observer = &recorder;
  raft::testing::TestCluster cluster(setup);
  const auto change = [&](std::size_t leader, std::vector<raft::ChangeStep> steps) {
    EXPECT_TRUE(cluster.ProposeChange(leader, {.steps = std::move(steps)}).ok());
    cluster.Settle();
  };
  cluster.Elect(1);
  change(1, {{Kind::kAddVoter, PeerId(4)}});
  cluster.TickAll(4);
  change(1, {{Kind::kRemove, PeerId(3)}, {Kind::kAddVoter, PeerId(5)}});
  cluster.TickAll(4);
  cluster.Isolate(1);
  change(1, {{Kind::kRemove, PeerId(5)}});
  cluster.Elect(2);
  cluster.Heal();
  cluster.TickAll(4);
  cluster.Crash(5);
  cluster.Restart(5);
  cluster.TickAll(4);
  EXPECT_THAT(cluster.violation(), IsEmpty());
  return events;
}

class TraceOfChanges : public TraceMutation {
 protected:
  TraceOfChanges() { events_ = ChangingTrace(); }
  static std::shared_ptr<const TraceConf> Conf(std::vector<std::uint64_t> voters) {
    TraceConf conf;
    for (std::uint64_t id : voters) conf.voters.emplace_back(id);
    return std::make_shared<const TraceConf>(std::move(conf));
  }
};

TEST_F(TraceOfChanges, IsAcceptedAndRoundTrips) {
  EXPECT_THAT(Verdict(events_), IsEmpty());
  int changes = 0;
  int joint = 0;
  for (const TraceEvent& event : events_) {
    if (event.new_conf == nullptr) continue;
    ++changes;
    joint += event.new_conf->outgoing.empty() ? 0 : 1;
    const auto parsed = ParseTraceEvent(ToJson(event));
    ASSERT_TRUE(parsed.ok() && parsed.value());
    EXPECT_EQ(*event.new_conf, *parsed.value()->new_conf);
  }
  EXPECT_GT(changes, 12);
  EXPECT_GT(joint, 3);
}

TEST_F(TraceOfChanges, ASecondChangeBeforeTheFirstIsCommitted) {
  const std::size_t first = Find(Named(TraceName::kChangeConf));
  std::size_t at = first + 1;
  while (events_[at].name != TraceName::kApplyConfChange) ++at;
  TraceEvent second = events_[first];
  second.conf = events_[at].conf;
  second.log = second.log.Next();
  second.new_conf = Conf({1, 2, 3});
  Insert(at + 1, second);
  ExpectRejected(at + 1, "changes the configuration while the one of 3@2 is not committed");
}

TEST_F(TraceOfChanges, AChangeBeforeAnEntryOfTheTermIsCommitted) {
  const std::size_t change = Find(Named(TraceName::kChangeConf));
  const std::size_t commit = Find(Named(TraceName::kCommit));
  ASSERT_LT(commit, change);
  TraceEvent early = events_[change];
  early.commit = Index(1);
  Insert(commit, early);
  ExpectRejected(commit, "changes the configuration before an entry of its term is committed");
}

TEST_F(TraceOfChanges, TwoVotersAtOnce) {
  const std::size_t at = Find(Named(TraceName::kChangeConf));
  events_[at].new_conf = Conf({1, 2, 3, 4, 5});
  ExpectRejected(at, "changes the configuration from (1 2 3) to (1 2 3 4 5)");
}

TEST_F(TraceOfChanges, OutOfAJointConfigurationToAnother) {
  const std::size_t at = Find(Named(TraceName::kChangeConf), 2);
  ASSERT_THAT(events_[at].conf->outgoing, ::testing::Not(IsEmpty()));
  events_[at].new_conf = Conf({1, 2, 3, 4});
  ExpectRejected(at, "changes the configuration from (1 2 4 5)&&(1 2 3 4) to (1 2 3 4)");
}

TEST_F(TraceOfChanges, AFollowerThatDoesNotTakeItUp) {
  const std::size_t at = Find(Named(TraceName::kApplyConfChange, 2));
  const auto before = Conf({1, 2, 3});
  Erase(at);
  for (std::size_t i = at; i < events_.size(); ++i) {
    if (events_[i].node == PeerId(2)) events_[i].conf = before;
  }
  std::size_t next = at;
  while (events_[next].node != PeerId(2)) ++next;
  ExpectRejected(next, "goes by (1 2 3), the newest of its log is (1 2 3 4)");
}

TEST_F(TraceOfChanges, OneThatIsNotRevertedWithACut) {
  // 1 had removed 5, and 2 has cut that away.
  const std::size_t at = FindLast(Named(TraceName::kApplyConfChange, 1));
  EXPECT_EQ(*Conf({1, 2, 4, 5}), *events_[at].new_conf);
  events_[at].new_conf = events_[at].conf = Conf({1, 2, 4});
  ExpectRejected(at, "goes by (1 2 4), the newest of its log is (1 2 4 5)");
}

TEST_F(TraceOfChanges, ForgottenOverARestart) {
  const std::size_t at = FindLast(Named(TraceName::kInitState, 5));
  events_[at].conf = Conf({1, 2, 3});
  ExpectRejected(at, "goes by (1 2 3), the newest of its log is (1 2 4 5)");
}

// Whatever a network, disks and power cuts do: what the core does is a run of Raft.
TEST(Trace, OfRandomRunsIsAccepted) {
  std::uint64_t accepted = 0;
  int changes = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SeededRandom random(seed);
    std::string wrong;
    TraceChecker checker;
    TraceRecorder recorder(RegionId(2), [&](const TraceEvent& event) {
      const auto verdict = checker.Take(event);
      if (verdict && wrong.empty()) wrong = *verdict + "\n" + ToJson(event);
    });
    raft::testing::TestCluster::Setup setup{
        .options = raft::testing::SmallOptions(), .seed = seed, .begins = {Term(1), Index(1)}};
    setup.options.observer = &recorder;
    setup.options.max_append_bytes = 1 + random.Below(200);
    raft::testing::TestCluster cluster(setup);
    for (int step = 0; step < 8000 && wrong.empty(); ++step) {
      const std::size_t id = 1 + random.Below(cluster.size());
      auto& network = cluster.network();
      const std::uint64_t dice = random.Below(7);
      if (dice == 0) {
        cluster.Tick(id);
      } else if (dice == 1) {
        cluster.Elapse(raft::testing::kTick);
      } else if (dice == 2 && random.OneIn(25)) {
        if (!cluster.alive(id)) {
          cluster.Restart(id);
        } else {
          cluster.Crash(id, random.Below(cluster.writes_in_flight(id) + 1), random.OneIn(2));
        }
      } else if (dice == 6) {
        if (random.OneIn(20)) cluster.Settle();
        if (!network.empty()) cluster.Deliver(random.Below(network.size()), random.OneIn(5));
      } else if (cluster.alive(id)) {
        if (dice == 3) cluster.Propose(id, "p" + std::to_string(step));
        if (random.OneIn(30)) changes += cluster.ProposeSomeChange(id, random, 5) ? 1 : 0;
        if (dice == 4 && cluster.writes_in_flight(id) > 0) cluster.CompleteWrite(id);
        if (dice == 5) cluster.ApplyOne(id);
        if (random.OneIn(30)) cluster.Compact(id, random.Below(100));
        if (random.OneIn(9)) cluster.SendSnapshot(id, random.OneIn(5));
        if (random.OneIn(9)) cluster.AnswerColdRead(id);
      }
    }
    ASSERT_THAT(wrong, IsEmpty()) << "seed " << seed;
    accepted += checker.events();
  }
  EXPECT_GT(accepted, 50'000u);
  EXPECT_GT(changes, 100);
}

}  // namespace
}  // namespace rutile::sim
