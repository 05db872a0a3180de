// The rules of the Raft paper ("In Search of an Understandable Consensus Algorithm", extended
// version), one test for each, with the section that has it. The choice of rules and their names
// are those of etcd's raft_paper_test.go, so that a reader can lay both side by side.
//
// Where the paper's server campaigns when its time is up, ours first asks whether it would win
// (pre-vote, dissertation 9.6); these tests then say yes for the others.

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>

#include "raft/testing/lone_server.h"
#include "raft/testing/test_cluster.h"

namespace rutile::raft {
namespace {

using testing::LoneServer;
using testing::TestCluster;
using Terms = std::vector<std::uint64_t>;

LogId Id(std::uint64_t term, std::uint64_t index) { return {Term(term), Index(index)}; }

// Of the type, and in the order of receivers.
std::vector<Message> Of(MessageType type, const std::vector<Message>& messages) {
  std::vector<Message> chosen;
  std::copy_if(messages.begin(), messages.end(), std::back_inserter(chosen),
               [type](const Message& m) { return m.type == type; });
  std::stable_sort(chosen.begin(), chosen.end(),
                   [](const Message& a, const Message& b) { return a.to < b.to; });
  return chosen;
}

std::vector<std::string> Payloads(const Entries& entries) {
  std::vector<std::string> payloads;
  for (const Entry& entry : entries) payloads.emplace_back(entry.payload.view());
  return payloads;
}

Terms TermsOf(const Entries& entries) {
  Terms terms;
  for (const Entry& entry : entries) terms.push_back(entry.id.term.value());
  return terms;
}

// The others would vote for it in the term after its own.
void GrantPreVotes(LoneServer& server) {
  const std::uint64_t next = server.raft().term().value() + 1;
  for (std::uint64_t from = 2; from <= 3; ++from) {
    Message grant = server.From(from, MessageType::kPreVoteReply, next);
    grant.granted = true;
    server.Step(grant);
  }
}

// --- 5.1: terms.

void ExpectFollowsTheHigherTerm(LoneServer& server) {
  const std::uint64_t next = server.raft().term().value() + 1;
  server.TakeWrites();
  server.Step(server.Append(2, next, {}, {}));
  EXPECT_EQ(Term(next), server.raft().term());
  EXPECT_EQ(Role::kFollower, server.raft().role());
  EXPECT_EQ(PeerId(2), server.raft().leader());
  const std::vector<LogWrite> writes = server.TakeWrites();
  ASSERT_EQ(1u, writes.size());
  EXPECT_EQ(Term(next), writes[0].hard_state->term) << "on disk";
  EXPECT_TRUE(writes[0].hard_state->vote.IsZero());
  // An answer teaches as well.
  server.Step(server.VoteReply(3, next + 1, false));
  EXPECT_EQ(Term(next + 1), server.raft().term());
  EXPECT_TRUE(server.raft().leader().IsZero());
}

TEST(RaftPaper, FollowerUpdateTermFromMessage) {
  LoneServer server({});
  server.Step(server.Append(2, 1, {}, {}));
  ExpectFollowsTheHigherTerm(server);
}

TEST(RaftPaper, CandidateUpdateTermFromMessage) {
  LoneServer server({});
  server.Campaign();
  ASSERT_EQ(Role::kCandidate, server.raft().role());
  ExpectFollowsTheHigherTerm(server);
}

TEST(RaftPaper, LeaderUpdateTermFromMessage) {
  LoneServer server({.state = {.term = Term(1)}});
  server.Campaign();
  server.Step(server.VoteReply(2, 2, true));
  ASSERT_EQ(Role::kLeader, server.raft().role());
  ExpectFollowsTheHigherTerm(server);
}

TEST(RaftPaper, RejectStaleTermMessage) {
  LoneServer server({.log = {1}, .state = {.term = Term(2)}});
  server.Step(server.Append(2, 1, Id(1, 1), {1}, 1));
  server.Step(server.VoteRequest(3, 1, Id(1, 9)));
  EXPECT_EQ(Terms{1}, server.Log());
  EXPECT_EQ(Index(), server.raft().tail().committed());
  EXPECT_TRUE(server.raft().leader().IsZero());
  EXPECT_TRUE(server.raft().hard_state().vote.IsZero());
  const std::vector<Message> answers = server.TakeMessages();
  ASSERT_EQ(2u, answers.size());
  EXPECT_TRUE(answers[0].type == MessageType::kAppendReply && answers[0].rejected);
  EXPECT_TRUE(answers[1].type == MessageType::kVoteReply && !answers[1].granted);
  for (const Message& answer : answers) EXPECT_EQ(Term(2), answer.term) << "to update itself";
}

// --- 5.2: leader election.

TEST(RaftPaper, StartAsFollower) {
  for (const HardState& state : {HardState{}, HardState{.term = Term(5), .vote = PeerId(1)}}) {
    LoneServer server({.log = state.term.IsZero() ? Terms{} : Terms{4, 5}, .state = state});
    EXPECT_EQ(Role::kFollower, server.raft().role());
    EXPECT_EQ(state.term, server.raft().term());
    EXPECT_TRUE(server.raft().leader().IsZero());
    EXPECT_TRUE(server.TakeMessages().empty());
  }
}

TEST(RaftPaper, LeaderBcastBeat) {
  LoneServer server({});
  server.Lead();
  for (int i = 0; i < 10; ++i) server.Propose("x");
  server.TakeMessages();
  server.Tick();
  EXPECT_TRUE(server.TakeMessages().empty()) << "a beat is two ticks";
  server.Tick();
  const std::vector<Message> beats = server.TakeMessages();
  ASSERT_EQ(2u, beats.size());
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(MessageType::kHeartbeat, beats[i].type);
    EXPECT_EQ(PeerId(i + 2), beats[i].to);
    EXPECT_EQ(server.raft().term(), beats[i].term);
    EXPECT_TRUE(beats[i].slice.empty());
    EXPECT_EQ(Index(1), beats[i].commit) << "what is known to be there, no further";
  }
}

void ExpectStartsElection(LoneServer& server) {
  const std::uint64_t term = server.raft().term().value();
  server.TakeMessages();
  server.TakeWrites();
  ASSERT_LT(server.TickUntil(MessageType::kPreVote), 2 * 10);
  EXPECT_EQ(Term(term), server.raft().term()) << "asking costs nobody a term";
  EXPECT_EQ(2u, Of(MessageType::kPreVote, server.TakeMessages()).size());
  GrantPreVotes(server);
  EXPECT_EQ(Term(term + 1), server.raft().term());
  EXPECT_EQ(Role::kCandidate, server.raft().role());
  const std::vector<LogWrite> writes = server.TakeWrites();
  ASSERT_EQ(1u, writes.size());
  EXPECT_EQ((HardState{.term = Term(term + 1), .vote = PeerId(1)}), writes[0].hard_state);
  const std::vector<Message> requests = Of(MessageType::kVote, server.TakeMessages());
  ASSERT_EQ(2u, requests.size());
  EXPECT_EQ(PeerId(2), requests[0].to);
  EXPECT_EQ(PeerId(3), requests[1].to);
  for (const Message& request : requests) EXPECT_EQ(Term(term + 1), request.term);
}

TEST(RaftPaper, FollowerStartElection) {
  LoneServer server({});
  server.Step(server.Append(2, 1, {}, {}));
  ExpectStartsElection(server);
}

TEST(RaftPaper, CandidateStartNewElection) {
  LoneServer server({});
  server.Campaign();
  ASSERT_EQ(Term(1), server.raft().term());
  ExpectStartsElection(server);
}

TEST(RaftPaper, LeaderElectionInOneRoundRPC) {
  struct Case {
    std::uint64_t voters;
    int yes;
    int no;
    Role role;
  };
  for (const auto& [voters, yes, no, role] :
       {Case{1, 0, 0, Role::kLeader}, Case{3, 2, 0, Role::kLeader}, Case{3, 1, 0, Role::kLeader},
        Case{5, 4, 0, Role::kLeader}, Case{5, 3, 0, Role::kLeader}, Case{5, 2, 0, Role::kLeader},
        Case{5, 2, 2, Role::kLeader}, Case{3, 0, 2, Role::kFollower},
        Case{5, 0, 4, Role::kFollower}, Case{5, 1, 3, Role::kFollower},
        Case{3, 0, 0, Role::kCandidate}, Case{3, 0, 1, Role::kCandidate},
        Case{5, 1, 0, Role::kCandidate}, Case{5, 0, 2, Role::kCandidate},
        Case{5, 1, 2, Role::kCandidate}, Case{5, 0, 0, Role::kCandidate}}) {
    for (const bool yes_first : {true, false}) {
      LoneServer server({.voters = voters});
      server.Campaign();
      for (int i = 0; i < yes + no; ++i) {
        const bool granted = yes_first ? i < yes : i >= no;
        const Message vote = server.VoteReply(static_cast<std::uint64_t>(i) + 2, 1, granted);
        server.Step(vote);
        server.Step(vote);  // Counts once.
      }
      EXPECT_EQ(role, server.raft().role()) << voters << " " << yes << " " << no;
      EXPECT_EQ(Term(1), server.raft().term());
    }
  }
}

TEST(RaftPaper, FollowerVote) {
  struct Case {
    std::uint64_t voted_for;
    std::uint64_t candidate;
    bool granted;
  };
  for (const auto& [voted_for, candidate, granted] :
       {Case{0, 2, true}, Case{0, 3, true}, Case{2, 2, true}, Case{3, 3, true}, Case{2, 3, false},
        Case{3, 2, false}}) {
    LoneServer server({.state = {.term = Term(1), .vote = PeerId(voted_for)}});
    server.Step(server.VoteRequest(candidate, 1, {}));
    const std::vector<Message> replies = server.TakeMessages();
    ASSERT_EQ(1u, replies.size());
    EXPECT_EQ(MessageType::kVoteReply, replies[0].type);
    EXPECT_EQ(PeerId(candidate), replies[0].to);
    EXPECT_EQ(granted, replies[0].granted) << voted_for << " " << candidate;
    EXPECT_EQ(PeerId(granted ? candidate : voted_for), server.raft().hard_state().vote);
  }
}

TEST(RaftPaper, CandidateFallback) {
  for (std::uint64_t term = 1; term <= 2; ++term) {
    for (const MessageType type : {MessageType::kAppend, MessageType::kHeartbeat}) {
      LoneServer server({});
      server.Campaign();
      ASSERT_EQ(Role::kCandidate, server.raft().role());
      server.Step(server.From(2, type, term));
      EXPECT_EQ(Role::kFollower, server.raft().role());
      EXPECT_EQ(PeerId(2), server.raft().leader());
      EXPECT_EQ(Term(term), server.raft().term());
    }
  }
}

// A follower hears a new leader, a candidate begins anew: both draw a timeout.
void DrawTimeout(LoneServer& server, Role role) {
  const std::uint64_t next = server.raft().term().value() + 1;
  if (role == Role::kFollower) {
    server.Step(server.Append(2, next, {}, {}));
  } else {
    server.Campaign();
  }
  ASSERT_EQ(role, server.raft().role());
  server.TakeMessages();
}

void ExpectRandomTimeouts(Role role) {
  LoneServer server({});
  std::set<int> seen;
  for (int round = 0; round < 200; ++round) {
    DrawTimeout(server, role);
    seen.insert(server.TickUntil(MessageType::kPreVote));
  }
  EXPECT_EQ((std::set<int>{10, 11, 12, 13, 14}), seen) << "from one timeout to one and a half";
}

TEST(RaftPaper, FollowerElectionTimeoutRandomized) { ExpectRandomTimeouts(Role::kFollower); }

TEST(RaftPaper, CandidateElectionTimeoutRandomized) { ExpectRandomTimeouts(Role::kCandidate); }

void ExpectFewConflicts(Role role) {
  constexpr int kRounds = 1000;
  std::vector<std::unique_ptr<LoneServer>> servers;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    servers.push_back(std::make_unique<LoneServer>(
        LoneServer::Setup{.voters = 5, .election_ticks = Options().election_ticks, .seed = seed}));
  }
  int conflicts = 0;
  for (int round = 0; round < kRounds; ++round) {
    for (const auto& server : servers) DrawTimeout(*server, role);
    int timed_out = 0;
    while (timed_out == 0) {
      for (const auto& server : servers) {
        server->Tick();
        if (!server->TakeMessages().empty()) ++timed_out;
      }
    }
    if (timed_out > 1) ++conflicts;
  }
  EXPECT_LE(conflicts, kRounds * 3 / 10);
}

TEST(RaftPaper, FollowersElectionTimeoutNonconflict) { ExpectFewConflicts(Role::kFollower); }

TEST(RaftPaper, CandidatesElectionTimeoutNonconflict) { ExpectFewConflicts(Role::kCandidate); }

// --- 5.3: log replication.

TEST(RaftPaper, LeaderStartReplication) {
  LoneServer server({});
  server.Lead();
  server.Propose("some data");
  EXPECT_EQ(Id(1, 2), server.raft().tail().last());
  EXPECT_EQ(Index(1), server.raft().tail().committed());
  const std::vector<Message> appends = server.TakeMessages();
  ASSERT_EQ(2u, appends.size());
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(MessageType::kAppend, appends[i].type);
    EXPECT_EQ(PeerId(i + 2), appends[i].to);
    EXPECT_EQ(Id(1, 1), appends[i].slice.prev) << "what precedes it";
    EXPECT_EQ(std::vector<std::string>{"some data"}, Payloads(appends[i].slice.entries));
    EXPECT_EQ(Index(1), appends[i].commit);
  }
  const std::vector<LogWrite> writes = server.TakeWrites();
  ASSERT_EQ(1u, writes.size());
  EXPECT_EQ(std::vector<std::string>{"some data"}, Payloads(writes[0].log.slice.entries));
}

TEST(RaftPaper, LeaderCommitEntry) {
  LoneServer server({});
  server.Lead();
  server.Propose("some data");
  EXPECT_TRUE(server.TakeApplied().empty());
  server.AcceptAppends();
  EXPECT_EQ(Index(2), server.raft().tail().committed());
  EXPECT_EQ(std::vector<std::string>{"some data"}, Payloads(server.TakeApplied()));
  server.Propose("more");
  const std::vector<Message> appends = Of(MessageType::kAppend, server.TakeMessages());
  ASSERT_EQ(2u, appends.size());
  for (const Message& append : appends) EXPECT_EQ(Index(2), append.commit);
}

TEST(RaftPaper, LeaderAcknowledgeCommit) {
  struct Case {
    std::uint64_t voters;
    std::uint64_t accept;  // Besides the leader.
    bool committed;
  };
  for (const auto& [voters, accept, committed] :
       {Case{1, 0, true}, Case{3, 0, false}, Case{3, 1, true}, Case{3, 2, true}, Case{5, 0, false},
        Case{5, 1, false}, Case{5, 2, true}, Case{5, 3, true}, Case{5, 4, true}}) {
    LoneServer server({.voters = voters});
    server.Lead();
    server.Propose("some data");
    const std::vector<Message> appends = server.TakeMessages();
    for (std::uint64_t id = 2; id < 2 + accept; ++id) {
      Message reply = server.From(id, MessageType::kAppendReply, 1);
      reply.match = Index(2);
      server.Step(reply);
      server.Step(reply);  // Counts once.
    }
    EXPECT_EQ(voters - 1, appends.size());
    EXPECT_EQ(Index(committed ? 2 : 1), server.raft().tail().committed())
        << voters << " " << accept;
  }
}

TEST(RaftPaper, LeaderCommitPrecedingEntries) {
  for (const Terms& before : {Terms{}, Terms{2}, Terms{1, 2}, Terms{1}}) {
    LoneServer server({.log = before, .state = {.term = Term(2)}});
    server.Campaign();
    server.Step(server.VoteReply(2, 3, true));
    ASSERT_TRUE(server.raft().is_leader());
    server.AcceptAppends(PeerId(2));
    server.Propose("some data");
    server.AcceptAppends(PeerId(2));
    const Entries applied = server.TakeApplied();
    Terms expected = before;
    expected.insert(expected.end(), {3, 3});
    EXPECT_EQ(expected, TermsOf(applied));
    for (std::size_t i = 0; i < applied.size(); ++i) {
      EXPECT_EQ(Index(i + 1), applied[i].id.index) << "in log order";
    }
    EXPECT_EQ("some data", Payloads(applied).back());
  }
}

TEST(RaftPaper, FollowerCommitEntry) {
  for (const auto& [entries, commit] :
       {std::pair(Terms{1}, 1u), std::pair(Terms{1, 1}, 2u), std::pair(Terms{1, 1}, 1u),
        std::pair(Terms{1, 1, 1}, 0u)}) {
    LoneServer server({});
    server.Step(server.Append(2, 1, {}, entries, commit));
    EXPECT_EQ(Index(commit), server.raft().tail().committed());
    std::vector<std::string> expected;
    for (std::uint64_t i = 1; i <= commit; ++i) expected.push_back(ToString(Id(1, i)));
    EXPECT_EQ(expected, Payloads(server.TakeApplied())) << "in log order";
  }
  // What it has beyond what this message speaks of may be another leader's.
  LoneServer server({.log = {1, 1, 1}, .state = {.term = Term(2)}});
  server.Step(server.Append(2, 2, Id(1, 1), {}, 3));
  EXPECT_EQ(Index(1), server.raft().tail().committed());
  EXPECT_EQ(1u, server.TakeApplied().size());
}

TEST(RaftPaper, FollowerCheckMsgApp) {
  struct Case {
    LogId prev;
    bool rejected;
    Index match;
    LogId hint;
  };
  for (const auto& [prev, rejected, match, hint] :
       {Case{Id(0, 0), false, Index(1), {}}, Case{Id(1, 1), false, Index(1), {}},
        Case{Id(2, 2), false, Index(2), {}}, Case{Id(1, 2), true, Index(2), Id(1, 1)},
        Case{Id(2, 3), true, Index(3), Id(2, 2)}}) {
    LoneServer server({.log = {1, 2}, .state = {.term = Term(2), .commit = Index(1)}});
    server.Step(server.Append(2, 2, prev, {}));
    const std::vector<Message> replies = server.TakeMessages();
    ASSERT_EQ(1u, replies.size());
    EXPECT_EQ(MessageType::kAppendReply, replies[0].type);
    EXPECT_EQ(rejected, replies[0].rejected) << ToString(prev);
    EXPECT_EQ(match, replies[0].match) << ToString(prev);
    EXPECT_EQ(hint, replies[0].hint) << ToString(prev);
    EXPECT_EQ((Terms{1, 2}), server.Log());
  }
}

TEST(RaftPaper, FollowerAppendEntries) {
  struct Case {
    LogId prev;
    Terms entries;
    Terms log;
    Terms written;
  };
  for (const auto& [prev, entries, log, written] :
       {Case{Id(2, 2), {3}, {1, 2, 3}, {3}}, Case{Id(1, 1), {3, 4}, {1, 3, 4}, {3, 4}},
        Case{Id(0, 0), {1}, {1, 2}, {}}, Case{Id(0, 0), {3}, {3}, {3}},
        Case{Id(0, 0), {1, 3}, {1, 3}, {3}}}) {
    LoneServer server({.log = {1, 2}, .state = {.term = Term(4)}});
    server.Step(server.Append(2, 4, prev, entries));
    EXPECT_EQ(log, server.Log());
    Terms on_disk;
    for (const LogWrite& write : server.TakeWrites()) {
      for (std::uint64_t term : TermsOf(write.log.slice.entries)) on_disk.push_back(term);
    }
    EXPECT_EQ(written, on_disk) << "what was not there already";
  }
}

TEST(RaftPaper, LeaderSyncFollowerLog) {
  // Figure 7: a leader, and the followers that it may meet.
  for (const Terms& follower :
       {Terms{1, 1, 1, 4, 4, 5, 5, 6, 6}, Terms{1, 1, 1, 4}, Terms{1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6},
        Terms{1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7}, Terms{1, 1, 1, 4, 4, 4, 4},
        Terms{1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3}}) {
    // The third votes for the first where the second, which has more, does not.
    TestCluster cluster({.logs = {{1, 1, 1, 4, 4, 5, 5, 6, 6, 6}, follower, {1}}});
    cluster.Elect(1);
    ASSERT_EQ(1u, cluster.Leader());
    ASSERT_TRUE(cluster.Propose(1, "x"));
    cluster.TickAll(4);
    const std::string term = " " + ToString(cluster.raft(1).term());
    EXPECT_EQ("0@0 1 1 1 4 4 5 5 6 6 6" + term + term, cluster.Log(1));
    EXPECT_EQ(cluster.Log(1), cluster.Log(2));
    EXPECT_EQ(cluster.machine(1).applied, cluster.machine(2).applied);
    EXPECT_EQ("", cluster.violation());
  }
}

// --- 5.4: safety.

TEST(RaftPaper, VoteRequest) {
  for (const Terms& log : {Terms{1}, Terms{1, 2}}) {
    LoneServer server({});
    server.Step(server.Append(2, log.back(), {}, log));
    server.TakeMessages();
    ASSERT_GT(server.TickUntil(MessageType::kPreVote), 0);
    std::vector<Message> requests = Of(MessageType::kPreVote, server.TakeMessages());
    GrantPreVotes(server);
    const std::vector<Message> votes = Of(MessageType::kVote, server.TakeMessages());
    EXPECT_EQ(2u, votes.size());
    requests.insert(requests.end(), votes.begin(), votes.end());
    ASSERT_EQ(4u, requests.size());
    for (std::size_t i = 0; i < requests.size(); ++i) {
      EXPECT_EQ(PeerId(i % 2 + 2), requests[i].to) << "to all others";
      EXPECT_EQ(Term(log.back() + 1), requests[i].term);
      EXPECT_EQ(Id(log.back(), log.size()), requests[i].last_log);
    }
  }
}

TEST(RaftPaper, Voter) {
  struct Case {
    Terms log;
    LogId candidate;
    bool granted;
  };
  for (const auto& [log, candidate, granted] :
       {Case{{1}, Id(1, 1), true}, Case{{1}, Id(1, 2), true}, Case{{1, 1}, Id(1, 1), false},
        Case{{1}, Id(2, 1), true}, Case{{1}, Id(2, 2), true}, Case{{1, 1}, Id(2, 1), true},
        Case{{2}, Id(1, 1), false}, Case{{2}, Id(1, 2), false}, Case{{2, 2}, Id(1, 1), false},
        Case{{1, 1}, Id(1, 1), false}}) {
    LoneServer server({.log = log, .state = {.term = Term(2)}});
    server.Step(server.VoteRequest(2, 3, candidate));
    const std::vector<Message> replies = server.TakeMessages();
    ASSERT_EQ(1u, replies.size());
    EXPECT_EQ(MessageType::kVoteReply, replies[0].type);
    EXPECT_EQ(granted, replies[0].granted) << ToString(candidate);
  }
}

TEST(RaftPaper, LeaderOnlyCommitsLogFromCurrentTerm) {
  for (const auto& [match, committed] : {std::pair(1u, 0u), std::pair(2u, 0u), std::pair(3u, 3u)}) {
    LoneServer server({.log = {1, 2}, .state = {.term = Term(2)}});
    server.Campaign();
    server.Step(server.VoteReply(2, 3, true));
    ASSERT_TRUE(server.raft().is_leader());
    server.Propose("x");
    Message reply = server.From(2, MessageType::kAppendReply, 3);
    reply.match = Index(match);
    server.Step(reply);
    EXPECT_EQ(Index(committed), server.raft().tail().committed());
  }
}

}  // namespace
}  // namespace rutile::raft
