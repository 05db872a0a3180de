#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sim/trace_checker.h"

namespace rutile::sim {

// The variables of one group, and the rules. Part of TraceChecker.
class TraceChecker::Group {
 public:
  std::optional<std::string> Take(const TraceEvent& event);

 private:
  // A log as terms by index; `base` is the entry before the first.
  struct Log {
    LogId base = {};
    std::deque<Term> terms = {};

    Index last() const { return Index(base.index.value() + terms.size()); }
    std::optional<Term> TermAt(Index index) const;
    bool Contains(LogId id) const { return TermAt(id.index) == std::optional(id.term); }
    LogId LastId() const { return {*TermAt(last()), last()}; }
    void CutAfter(Index kept) { terms.resize(kept.DistanceFrom(base.index)); }
  };
  struct Sent {
    TraceMessage message = {};
    std::vector<Term> terms = {};  // MsgApp: of its entries.
  };
  struct Node {
    Term term = {};
    PeerId vote = {};
    Index commit = {};
    TraceRole role = TraceRole::kFollower;
    Log log = {};
    std::shared_ptr<const TraceConf> conf = {};        // In force.
    std::shared_ptr<const TraceConf> first_conf = {};  // With which it began, first of all.
    std::optional<TraceDurable> durable = {};
    std::set<PeerId> votes = {};           // Granted to this candidate.
    std::map<PeerId, Index> matches = {};  // Of this leader.
    // What was received last, until the effect that it must have is seen.
    std::optional<Sent> pending = {};
    std::optional<LogId> snapshot = {};
  };

  // Each returns why the event may not be, or nothing.
  using Verdict = std::optional<std::string>;

  Verdict Init(const TraceEvent& event);
  bool MayBeginAnew(const TraceEvent& event, const Node& before) const;
  Verdict CheckFound(const TraceEvent& event, const Node* before, const Log& log) const;
  Verdict Become(Node& node, const TraceEvent& event);
  Verdict BecomeFollower(Node& node, const TraceEvent& event);
  Verdict BecomeCandidate(Node& node, const TraceEvent& event);
  Verdict BecomeLeader(Node& node, const TraceEvent& event);
  Verdict Replicate(Node& node, const TraceEvent& event);
  Verdict ChangeConf(Node& node, const TraceEvent& event);
  Verdict ApplyConf(Node& node, const TraceEvent& event);
  // Whether what is in force is the newest that the log says.
  Verdict CheckConf(const Node& node) const;
  // The newest configuration in the log; null if it has none.
  const std::pair<const LogId, std::shared_ptr<const TraceConf>>* NewestConf(const Log& log) const;
  std::shared_ptr<const TraceConf> ExpectedConf(const Node& node) const;
  Verdict Commit(Node& node, const TraceEvent& event);
  Verdict Ready(Node& node, const TraceEvent& event);
  Verdict Send(Node& node, const TraceEvent& event);
  Verdict SendAppend(Node& node, const TraceMessage& message);
  Verdict SendHeartbeat(const Node& node, const TraceMessage& message) const;
  Verdict SendAck(const Node& node, const TraceMessage& message) const;
  Verdict SendVoteRequest(const Node& node, const TraceMessage& message) const;
  Verdict SendVote(const Node& node, const TraceMessage& message);
  Verdict Receive(Node& node, const TraceEvent& event);
  // The effect of what was received last, now that the next event shows it.
  Verdict Settle(Node& node, const TraceEvent& shown);
  Verdict SettleAppend(Node& node, const Sent& received);
  Verdict SettleSnapshot(Node& node, LogId snapshot);
  Verdict SettleVote(Node& node, const TraceMessage& message, const TraceEvent& shown);
  // Whether the event shows the state that the node must have.
  static Verdict Compare(const Node& node, const TraceEvent& event);
  Verdict FollowCommit(Node& node, Index commit);
  bool IsQuorum(const TraceConf& conf, const std::set<PeerId>& nodes) const;
  const Term* CommittedAt(Index index) const;
  bool IsCommitted(LogId id) const;
  static Verdict IsDurable(const Node& node, Term term);

  std::map<PeerId, Node> nodes_;
  std::map<Term, PeerId> leaders_;
  std::map<std::pair<PeerId, Term>, PeerId> votes_;
  std::map<LogId, LogId> before_;  // What each entry that ever was followed.
  // Looked up only: by a hash of all that a message says.
  std::unordered_map<std::uint64_t, Sent> sent_;
  std::deque<Term> committed_;  // Of (begin_, ...].
  Index begin_ = {};
  Term newest_term_ = {};               // That anybody has campaigned in, or was found with.
  std::map<Term, LogId> committed_by_;  // The newest entry committed by leaders of each term.
  // What each entry says that changes who votes. Empty for traces that do not tell.
  std::map<LogId, std::shared_ptr<const TraceConf>> confs_;
  std::shared_ptr<const TraceConf> first_conf_ = {};  // Of the first node, at begin_.
  std::optional<std::string> rejected_;
};

}  // namespace rutile::sim
