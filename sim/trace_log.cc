// Messages, and what they do to logs.

#include <algorithm>
#include <utility>

#include "sim/trace_group.h"

namespace rutile::sim {
namespace {

// Of all that a message says: two that agree in it are the same to everybody.
std::uint64_t KeyOf(const TraceMessage& m) {
  std::uint64_t key = 0xCBF29CE484222325u;
  for (const std::uint64_t value :
       {static_cast<std::uint64_t>(m.type), m.term.value(), m.from.value(), m.to.value(), m.entries,
        m.log_term.value(), m.index.value(), m.commit.value(), std::uint64_t{m.reject},
        m.reject_hint.value()}) {
    key = (key ^ value) * 0x9E3779B97F4A7C15u;
    key ^= key >> 29;
  }
  return key;
}

}  // namespace

std::optional<std::string> TraceChecker::Group::Replicate(Node& node, const TraceEvent& event) {
  if (auto wrong = Compare(node, event)) return wrong;
  if (node.role != TraceRole::kLeader) return std::string("only a leader appends of its own");
  const LogId before = node.log.LastId();
  const LogId id{node.term, before.index.Next()};
  const auto [known, is_new] = before_.try_emplace(id, before);
  if (!is_new) return "entry " + ToString(id) + " was written before";
  node.log.terms.push_back(node.term);
  return std::nullopt;
}

std::optional<std::string> TraceChecker::Group::Commit(Node& node, const TraceEvent& event) {
  const Index before = node.commit;
  node.commit = std::max(before, event.commit);
  auto differs = Compare(node, event);
  node.commit = before;
  if (differs) return differs;
  if (node.role != TraceRole::kLeader) return std::string("only a leader commits by counting");
  if (event.commit == before) return std::nullopt;
  const std::optional<Term> term = node.log.TermAt(event.commit);
  if (!term) return "commits " + ToString(event.commit) + ", beyond the end of its log";
  if (*term != node.term) {
    return "commits entry " + ToString(event.commit) + " of the older term " + ToString(*term) +
           " by counting";
  }
  std::set<PeerId> have;
  for (const auto& [peer, match] : node.matches) {
    if (match >= event.commit) have.insert(peer);
  }
  if (!IsQuorum(*node.conf, have)) {
    return "commits " + ToString(event.commit) + ", which " + std::to_string(have.size()) +
           " have acknowledged: no quorum";
  }
  for (Index i = before.Next(); i <= event.commit; i = i.Next()) {
    const Term at = node.log.TermAt(i).value_or(Term());
    const Term* known = CommittedAt(i);
    if (known == nullptr && i > begin_) {
      committed_.push_back(at);
    } else if (known != nullptr && *known != at) {
      return "commits " + ToString(LogId{at, i}) + ", committed was " + ToString(LogId{*known, i});
    }
  }
  LogId& newest = committed_by_[node.term];
  newest = std::max(newest, LogId{*term, event.commit});
  node.commit = event.commit;
  return std::nullopt;
}

std::optional<std::string> TraceChecker::Group::Ready(Node& node, const TraceEvent& event) {
  if (auto wrong = Compare(node, event)) return wrong;
  if (!event.durable) {
    if (node.durable) return std::string("prop.durable is missing: InitState had it");
    return std::nullopt;
  }
  const TraceDurable& now = *event.durable;
  if (now.term > node.term) return std::string("a term is durable that the node is not in");
  if (now.log > node.log.last()) return std::string("more is durable than is in the log");
  if (now.term == node.term && !now.vote.IsZero() && now.vote != node.vote) {
    return "a vote for " + ToString(now.vote) + " is durable, the node's is for " +
           ToString(node.vote);
  }
  if (node.durable && now.term < node.durable->term) {
    return std::string("the durable term goes back");
  }
  if (node.durable && now.term == node.durable->term && !node.durable->vote.IsZero() &&
      now.vote != node.durable->vote) {
    return std::string("the durable vote changes within a term");
  }
  node.durable = now;
  return std::nullopt;
}

std::optional<std::string> TraceChecker::Group::IsDurable(const Node& node, Term term) {
  if (!node.durable || node.durable->term >= term) return std::nullopt;
  return "speaks in term " + ToString(term) + ", durable is " + ToString(node.durable->term);
}

std::optional<std::string> TraceChecker::Group::Send(Node& node, const TraceEvent& event) {
  if (auto wrong = Compare(node, event)) return wrong;
  const TraceMessage& message = *event.message;
  if (message.from != event.node) return std::string("sends in the name of another node");
  if (message.term != node.term) {
    return "sends in term " + ToString(message.term) + ", it is in " + ToString(node.term);
  }
  if (auto wrong = IsDurable(node, message.term)) return wrong;
  Verdict wrong;
  switch (message.type) {
    case TraceMessageType::kMsgApp: wrong = SendAppend(node, message); break;
    case TraceMessageType::kMsgHeartbeat: wrong = SendHeartbeat(node, message); break;
    case TraceMessageType::kMsgAppResp: wrong = SendAck(node, message); break;
    case TraceMessageType::kMsgVote: wrong = SendVoteRequest(node, message); break;
    case TraceMessageType::kMsgVoteResp: wrong = SendVote(node, message); break;
    case TraceMessageType::kMsgHeartbeatResp:
    case TraceMessageType::kMsgSnap: break;  // A snapshot is judged where it arrives.
  }
  if (wrong) return wrong;
  Sent& sent = sent_[KeyOf(message)];
  if (message.type == TraceMessageType::kMsgApp && sent.terms.empty()) {
    for (std::uint64_t i = 1; i <= message.entries; ++i) {
      sent.terms.push_back(node.log.TermAt(Index(message.index.value() + i)).value_or(Term()));
    }
  }
  sent.message = message;
  return std::nullopt;
}

// Whoever has won the term: it may have stepped down in the very step in which it sent this.
std::optional<std::string> TraceChecker::Group::SendAppend(Node& node,
                                                           const TraceMessage& message) {
  const auto leader = leaders_.find(message.term);
  if (leader == leaders_.end() || leader->second != message.from) {
    return "sends entries in term " + ToString(message.term) + ", which it does not lead";
  }
  if (!node.log.Contains({message.log_term, message.index})) {
    return "sends what follows " + ToString(LogId{message.log_term, message.index}) +
           ", which is not in its log";
  }
  if (message.entries > node.log.last().DistanceFrom(message.index)) {
    return std::string("sends more entries than it has");
  }
  if (message.commit > node.commit) {
    return "tells of commit index " + ToString(message.commit) + ", its own is " +
           ToString(node.commit);
  }
  return std::nullopt;
}

std::optional<std::string> TraceChecker::Group::SendHeartbeat(const Node& node,
                                                              const TraceMessage& message) const {
  const auto leader = leaders_.find(message.term);
  if (leader == leaders_.end() || leader->second != message.from) {
    return "sends a heartbeat in term " + ToString(message.term) + ", which it does not lead";
  }
  if (message.commit > node.commit) {
    return "tells of commit index " + ToString(message.commit) + ", its own is " +
           ToString(node.commit);
  }
  if (node.role != TraceRole::kLeader) return std::nullopt;  // Its matches are forgotten.
  const auto match = node.matches.find(message.to);
  const Index known = match == node.matches.end() ? Index() : match->second;
  // Where logs begin is committed and everybody's.
  if (message.commit > std::max(known, begin_)) {
    return "tells node " + ToString(message.to) + " of commit index " + ToString(message.commit) +
           ", which is known to have its log only up to " + ToString(known);
  }
  return std::nullopt;
}

std::optional<std::string> TraceChecker::Group::SendAck(const Node& node,
                                                        const TraceMessage& message) const {
  if (message.reject) return std::nullopt;
  if (message.index > node.log.last()) {
    return "acknowledges " + ToString(message.index) + ", its log ends at " +
           ToString(node.log.last());
  }
  if (node.durable && message.index > node.durable->log) {
    return "acknowledges " + ToString(message.index) + ", durable is " +
           ToString(node.durable->log);
  }
  const auto leader = leaders_.find(message.term);
  if (leader == leaders_.end() || leader->second != message.to) return std::nullopt;
  const Node& other = nodes_.at(message.to);
  const Log& log = other.log;
  // Once it has stepped down or restarted, what it had sent may be gone from its own log.
  if (other.term != message.term || other.role != TraceRole::kLeader ||
      message.index < log.base.index || message.index < node.log.base.index) {
    return std::nullopt;
  }
  if (log.TermAt(message.index) != node.log.TermAt(message.index)) {
    return "acknowledges " + ToString(message.index) + ", where its log is not the leader's";
  }
  return std::nullopt;
}

std::optional<std::string> TraceChecker::Group::SendVoteRequest(const Node& node,
                                                                const TraceMessage& message) const {
  if (node.vote != message.from) return std::string("asks for votes and has another candidate");
  if (node.durable && node.durable->impaired) return std::string("asks for votes while impaired");
  if (node.durable && (node.durable->term != message.term || node.durable->vote != message.from)) {
    return std::string("asks for votes before its own is durable");
  }
  if (node.role != TraceRole::kCandidate) return std::nullopt;  // Asked before, leaves late.
  if (LogId{message.log_term, message.index} != node.log.LastId()) {
    return "says that its log ends at " + ToString(LogId{message.log_term, message.index}) +
           ", it ends at " + ToString(node.log.LastId());
  }
  return std::nullopt;
}

std::optional<std::string> TraceChecker::Group::SendVote(const Node& node,
                                                         const TraceMessage& message) {
  if (message.reject) return std::nullopt;
  if (node.durable && node.durable->impaired) return std::string("votes while impaired");
  if (node.vote != message.to) {
    return "votes for " + ToString(message.to) + ", its vote is for " + ToString(node.vote);
  }
  if (node.durable && (node.durable->term != message.term || node.durable->vote != message.to)) {
    return std::string("votes before the vote is durable");
  }
  const auto [vote, is_new] = votes_.try_emplace({message.from, message.term}, message.to);
  if (vote->second != message.to) {
    return "votes for " + ToString(message.to) + " and has voted for " + ToString(vote->second) +
           " in term " + ToString(message.term);
  }
  return std::nullopt;
}

std::optional<std::string> TraceChecker::Group::Receive(Node& node, const TraceEvent& event) {
  if (auto wrong = Compare(node, event)) return wrong;
  const TraceMessage& message = *event.message;
  if (message.to != event.node) return std::string("receives what was sent to another node");
  if (message.type == TraceMessageType::kMsgSnap) {
    if (!event.snapshot) return std::string("prop.snapshot is missing");
    if (!IsCommitted(*event.snapshot)) {
      return "a snapshot of " + ToString(*event.snapshot) + ", which is not committed";
    }
    // Of an entry that is later than its message: not looked at.
    if (event.snapshot->term > message.term) return std::nullopt;
    node.pending = Sent{.message = message};
    node.snapshot = event.snapshot;
    return std::nullopt;
  }
  const auto sent = sent_.find(KeyOf(message));
  if (sent == sent_.end()) {
    return "receives a " + std::string(ToString(message.type)) + " that was never sent";
  }
  const bool current = message.term == node.term;
  switch (message.type) {
    case TraceMessageType::kMsgVoteResp:
      if (current && node.role == TraceRole::kCandidate && !message.reject) {
        node.votes.insert(message.from);
      }
      return std::nullopt;
    case TraceMessageType::kMsgAppResp:
      if (current && node.role == TraceRole::kLeader && !message.reject) {
        Index& match = node.matches[message.from];
        match = std::max(match, message.index);
      }
      return std::nullopt;
    case TraceMessageType::kMsgHeartbeatResp: return std::nullopt;
    default: node.pending = sent->second; return std::nullopt;
  }
}

std::optional<std::string> TraceChecker::Group::Settle(Node& node, const TraceEvent& shown) {
  if (!node.pending) return std::nullopt;
  const Sent received = *std::exchange(node.pending, std::nullopt);
  const TraceMessage& message = received.message;
  if (message.type == TraceMessageType::kMsgSnap) {
    return SettleSnapshot(node, *std::exchange(node.snapshot, std::nullopt));
  }
  if (message.type == TraceMessageType::kMsgVote) return SettleVote(node, message, shown);
  if (message.term < node.term) return std::nullopt;
  if (message.term > node.term) {
    return "has received a " + std::string(ToString(message.type)) + " of term " +
           ToString(message.term) + " and is still in " + ToString(node.term);
  }
  if (message.type == TraceMessageType::kMsgApp) return SettleAppend(node, received);
  return FollowCommit(node, std::min(message.commit, node.log.last()));
}

std::optional<std::string> TraceChecker::Group::SettleAppend(Node& node, const Sent& received) {
  const TraceMessage& message = received.message;
  if (node.role == TraceRole::kLeader) return std::string("two nodes lead the same term");
  Log& log = node.log;
  // What a log begins with is committed, and so everybody's.
  if (message.index >= log.base.index && !log.Contains({message.log_term, message.index})) {
    return std::nullopt;  // Rejected: nothing changes.
  }
  LogId before{message.log_term, message.index};
  for (const Term term : received.terms) {
    const LogId id{term, before.index.Next()};
    before = id;
    if (id.index <= log.base.index || log.Contains(id)) continue;
    if (id.index <= node.commit) {
      return "entry " + ToString(id) + " replaces what is committed";
    }
    if (id.index <= log.last()) {
      log.CutAfter(id.index.Prev());
      if (node.durable) node.durable->log = std::min(node.durable->log, log.last());
    }
    log.terms.push_back(term);
  }
  return FollowCommit(node, std::min(message.commit, before.index));
}

std::optional<std::string> TraceChecker::Group::SettleSnapshot(Node& node, LogId snapshot) {
  if (node.role == TraceRole::kLeader || node.role == TraceRole::kCandidate ||
      snapshot.index <= node.commit) {
    return std::nullopt;
  }
  if (!node.log.Contains(snapshot)) {
    node.log.base = snapshot;
    node.log.terms.clear();
    if (node.durable) node.durable->log = snapshot.index;
  }
  node.commit = snapshot.index;
  return std::nullopt;
}

std::optional<std::string> TraceChecker::Group::SettleVote(Node& node, const TraceMessage& message,
                                                           const TraceEvent& shown) {
  const bool granted = message.term == node.term && shown.term == node.term && node.vote.IsZero() &&
                       shown.vote == message.from;
  if (!granted) return std::nullopt;  // Refused, or ignored for the sake of a leader.
  if (LogId{message.log_term, message.index} < node.log.LastId()) {
    return "votes for a candidate whose log ends at " +
           ToString(LogId{message.log_term, message.index}) + ", its own at " +
           ToString(node.log.LastId());
  }
  node.vote = message.from;
  return std::nullopt;
}

std::optional<std::string> TraceChecker::Group::FollowCommit(Node& node, Index commit) {
  for (Index i = node.commit.Next(); i <= commit; i = i.Next()) {
    const std::optional<Term> term = node.log.TermAt(i);
    const Term* known = CommittedAt(i);
    if (known == nullptr && i > begin_) {
      return "follows to commit index " + ToString(i) + ", which no leader has committed";
    }
    if (known != nullptr && term && *known != *term) {
      return "takes " + ToString(LogId{*term, i}) + " to be committed, committed was " +
             ToString(LogId{*known, i});
    }
  }
  node.commit = std::max(node.commit, commit);
  return std::nullopt;
}

}  // namespace rutile::sim
