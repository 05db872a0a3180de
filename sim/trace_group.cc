// Elections, restarts, and what every event must show.

#include "sim/trace_group.h"

#include <algorithm>
#include <utility>

namespace rutile::sim {
namespace {

std::string Said(const TraceEvent& event) {
  return "node " + ToString(event.node) + " " + std::string(ToString(event.name));
}

}  // namespace

std::optional<Term> TraceChecker::Group::Log::TermAt(Index index) const {
  if (index == base.index) return base.term;
  if (index < base.index || index > last()) return std::nullopt;
  return terms[index.DistanceFrom(base.index) - 1];
}

const Term* TraceChecker::Group::CommittedAt(Index index) const {
  if (index <= begin_ || index.DistanceFrom(begin_) > committed_.size()) return nullptr;
  return &committed_[index.DistanceFrom(begin_) - 1];
}

bool TraceChecker::Group::IsCommitted(LogId id) const {
  const Term* term = CommittedAt(id.index);
  return id.index <= begin_ || (term != nullptr && *term == id.term);
}

std::optional<std::string> TraceChecker::Group::Take(const TraceEvent& event) {
  if (rejected_) return std::nullopt;
  Verdict verdict;
  const auto found = nodes_.find(event.node);
  if (event.name == TraceName::kInitState) {
    verdict = Init(event);
  } else if (found == nodes_.end()) {
    verdict = "the node has not begun: InitState was expected";
  } else {
    Node& node = found->second;
    // Asking first whether an election can be won is no event; a candidate that does has given up.
    if (event.role == TraceRole::kPreCandidate && node.role == TraceRole::kCandidate) {
      node.role = TraceRole::kFollower;
    }
    const bool becomes = Becomes(event.name);
    verdict = becomes ? Become(node, event) : Settle(node, event);
    if (!verdict && !becomes && event.name != TraceName::kApplyConfChange) {
      verdict = CheckConf(node);
    }
    if (!verdict && !becomes) {
      switch (event.name) {
        case TraceName::kReplicate: verdict = Replicate(node, event); break;
        case TraceName::kChangeConf: verdict = ChangeConf(node, event); break;
        case TraceName::kCommit: verdict = Commit(node, event); break;
        case TraceName::kReady: verdict = Ready(node, event); break;
        case TraceName::kApplyConfChange: verdict = ApplyConf(node, event); break;
        default: {
          const bool sends = ToString(event.name).starts_with("Send");
          verdict = sends ? Send(node, event) : Receive(node, event);
        }
      }
    }
  }
  if (!verdict) return std::nullopt;
  rejected_ = Said(event) + ": " + *verdict;
  return rejected_;
}

std::optional<std::string> TraceChecker::Group::Compare(const Node& node, const TraceEvent& event) {
  if (event.term < node.term) {
    return "the term goes back from " + ToString(node.term) + " to " + ToString(event.term);
  }
  if (event.term != node.term) {
    return "the term is " + ToString(event.term) + " and must be " + ToString(node.term) +
           ": no election and no message has changed it";
  }
  if (event.vote != node.vote) {
    return "the vote is for " + ToString(event.vote) + " and must be for " + ToString(node.vote);
  }
  if (event.log != node.log.last()) {
    return "the log ends at " + ToString(event.log) + " and must end at " +
           ToString(node.log.last());
  }
  if (event.commit < node.commit) {
    return "the commit index goes back from " + ToString(node.commit) + " to " +
           ToString(event.commit);
  }
  if (event.commit != node.commit) {
    return "the commit index is " + ToString(event.commit) + " and must be " +
           ToString(node.commit);
  }
  const auto visible = [](TraceRole role) {
    return role == TraceRole::kPreCandidate ? TraceRole::kFollower : role;
  };
  if (visible(event.role) != visible(node.role)) {
    return "the role is " + std::string(ToString(event.role)) + " and must be " +
           std::string(ToString(node.role));
  }
  if (event.conf != node.conf && *event.conf != *node.conf) {
    return std::string("the configuration has changed without ApplyConfChange");
  }
  return std::nullopt;
}

std::optional<std::string> TraceChecker::Group::Init(const TraceEvent& event) {
  const auto known = nodes_.find(event.node);
  Node* before = known == nodes_.end() ? nullptr : &known->second;
  Log log;
  if (event.found) {
    log.base = event.found->base;
    const std::vector<TraceRun>& runs = event.found->runs;
    for (std::size_t i = 0; i < runs.size(); ++i) {
      const Index end = i + 1 < runs.size() ? runs[i + 1].start : event.log.Next();
      if (runs[i].start != log.last().Next() || end <= runs[i].start) {
        return std::string("prop.log.terms are not in order, or do not begin after the base");
      }
      log.terms.insert(log.terms.end(), end.DistanceFrom(runs[i].start), runs[i].term);
    }
  } else if (before != nullptr) {
    log = before->log;  // Nothing is said of disks: all was durable.
  }
  if (before != nullptr && MayBeginAnew(event, *before)) {
    std::erase_if(votes_, [&](const auto& vote) { return vote.first.first == event.node; });
    before = nullptr;
  }
  if (log.last() != event.log) return std::string("prop.log ends elsewhere than log says");
  if (event.role != TraceRole::kFollower) return std::string("a node begins as a follower");
  if (nodes_.empty()) {
    begin_ = log.base.index;
    first_conf_ = event.conf;
  }
  if (auto wrong = CheckFound(event, before, log)) return wrong;
  if (event.commit > log.last() || event.commit.value() > begin_.value() + committed_.size()) {
    return "begins with commit index " + ToString(event.commit) + ", which was never reached";
  }
  newest_term_ = std::max(newest_term_, before == nullptr ? event.term : newest_term_);
  if (event.term > newest_term_) return std::string("begins with a term that never was");
  Node found{.term = event.term,
             .vote = event.vote,
             .commit = event.commit,
             .log = std::move(log),
             .conf = event.conf,
             .first_conf = before == nullptr ? event.conf : before->first_conf,
             .durable = event.durable};
  if (auto wrong = CheckConf(found)) return wrong;
  nodes_[event.node] = std::move(found);
  return std::nullopt;
}

// A node that was created for a member that there never was, and dropped again, had an empty log
// all the time: it may have forgotten its votes, as long as nobody may count them.
bool TraceChecker::Group::MayBeginAnew(const TraceEvent& event, const Node& before) const {
  const bool has_nothing = before.log.last().IsZero() && event.log.IsZero() &&
                           event.term.IsZero() && event.vote.IsZero();
  if (!has_nothing || confs_.empty() || first_conf_ == nullptr) return false;
  const auto votes = [&](const TraceConf& conf) {
    return std::count(conf.voters.begin(), conf.voters.end(), event.node) +
               std::count(conf.outgoing.begin(), conf.outgoing.end(), event.node) >
           0;
  };
  return !votes(*first_conf_) && std::none_of(confs_.begin(), confs_.end(), [&](const auto& item) {
    return item.second != nullptr && votes(*item.second);
  });
}

// What a disk has promised to keep must be there, and nothing that never was.
std::optional<std::string> TraceChecker::Group::CheckFound(const TraceEvent& event,
                                                           const Node* before,
                                                           const Log& log) const {
  LogId last = log.base;
  for (const Term term : log.terms) {
    const LogId id{term, last.index.Next()};
    const auto entry = before_.find(id);
    if (entry == before_.end() || entry->second != last) {
      return "begins with entry " + ToString(id) + " after " + ToString(last) +
             ", which nobody has written there";
    }
    last = id;
  }
  if (before == nullptr) return std::nullopt;
  TraceDurable promised =
      before->durable.value_or(TraceDurable{before->term, before->vote, before->log.last()});
  if (event.term < promised.term) {
    return "begins in term " + ToString(event.term) + ", durable was " + ToString(promised.term);
  }
  if (event.term == promised.term && !promised.vote.IsZero() && event.vote != promised.vote) {
    return "has forgotten its vote for " + ToString(promised.vote);
  }
  // A state machine that was ahead of the log stands for the log that it has applied.
  if (log.terms.empty() && IsCommitted(log.base)) return std::nullopt;
  const Index from = std::max(log.base.index, before->log.base.index);
  if (event.durable && event.durable->impaired && log.last() < promised.log) {
    // What there is of it is judged below; it knows what is missing.
    const LogId until{before->log.TermAt(promised.log).value_or(Term()), promised.log};
    if (*event.durable->impaired < until) {
      return "is impaired until " + ToString(*event.durable->impaired) + " only, durable was " +
             ToString(until);
    }
    promised.log = log.last();
  }
  for (Index i = from.Next(); i <= promised.log; i = i.Next()) {
    if (log.TermAt(i) == before->log.TermAt(i)) continue;
    // The last message before the crash may have replaced it and all that follows, and the disk
    // may have been that far. What a leader of a later term has there may be older than it was.
    if (log.TermAt(i).has_value() && before->log.TermAt(i) < event.term) return std::nullopt;
    return "entry " + ToString(i) + " was durable and is not there";
  }
  return std::nullopt;
}

std::optional<std::string> TraceChecker::Group::Become(Node& node, const TraceEvent& event) {
  // Following another is often the first part of what a message does.
  const bool first = event.name == TraceName::kBecomeFollower && event.log == node.log.last() &&
                     event.commit == node.commit &&
                     (event.vote == node.vote || event.term > node.term);
  if (!first) {
    if (auto wrong = Settle(node, event)) return wrong;
  }
  // What becomes of these is judged below.
  const Term term = std::exchange(node.term, event.term);
  const PeerId vote = std::exchange(node.vote, event.vote);
  const TraceRole role = std::exchange(node.role, event.role);
  auto differs = Compare(node, event);
  node.term = term;
  node.vote = vote;
  node.role = role;
  if (differs) return differs;
  switch (event.name) {
    case TraceName::kBecomeFollower: return BecomeFollower(node, event);
    case TraceName::kBecomeCandidate: return BecomeCandidate(node, event);
    default: return BecomeLeader(node, event);
  }
}

std::optional<std::string> TraceChecker::Group::BecomeFollower(Node& node,
                                                               const TraceEvent& event) {
  if (event.role != TraceRole::kFollower) return std::string("the role must be StateFollower");
  if (event.term < node.term) {
    return "the term goes back from " + ToString(node.term) + " to " + ToString(event.term);
  }
  if (event.term > newest_term_) {
    return "nobody has campaigned in term " + ToString(event.term) + " yet";
  }
  if (event.term > node.term && !event.vote.IsZero()) {
    return std::string("has a vote in a term that it has just heard of");
  }
  if (event.term == node.term && event.vote != node.vote) {
    return "the vote changes from " + ToString(node.vote) + " to " + ToString(event.vote) +
           " within a term";
  }
  node.term = event.term;
  node.vote = event.vote;
  node.role = TraceRole::kFollower;
  node.votes.clear();
  node.matches.clear();
  return std::nullopt;
}

std::optional<std::string> TraceChecker::Group::BecomeCandidate(Node& node,
                                                                const TraceEvent& event) {
  if (event.role != TraceRole::kCandidate) return std::string("the role must be StateCandidate");
  if (node.role == TraceRole::kLeader) return std::string("a leader does not campaign");
  if (event.term != node.term.Next()) {
    return "campaigns in term " + ToString(event.term) + ", the next one is " +
           ToString(node.term.Next());
  }
  if (event.vote != event.node) return std::string("a candidate votes for itself");
  node.term = event.term;
  node.vote = event.vote;
  node.role = TraceRole::kCandidate;
  node.votes.clear();
  newest_term_ = std::max(newest_term_, node.term);
  return std::nullopt;
}

bool TraceChecker::Group::IsQuorum(const TraceConf& conf, const std::set<PeerId>& nodes) const {
  for (const raft::PeerIds* voters : {&conf.voters, &conf.outgoing}) {
    const auto have = std::count_if(voters->begin(), voters->end(),
                                    [&](PeerId voter) { return nodes.contains(voter); });
    const bool is_second = voters == &conf.outgoing;
    if (voters->empty() && is_second) continue;
    if (static_cast<std::size_t>(have) * 2 <= voters->size()) return false;
  }
  return true;
}

std::optional<std::string> TraceChecker::Group::BecomeLeader(Node& node, const TraceEvent& event) {
  if (event.role != TraceRole::kLeader) return std::string("the role must be StateLeader");
  if (node.role != TraceRole::kCandidate) return std::string("only a candidate becomes leader");
  if (event.term != node.term || event.vote != node.vote) {
    return std::string("term and vote do not change when an election is won");
  }
  const auto [leader, is_new] = leaders_.try_emplace(node.term, event.node);
  if (!is_new && leader->second != event.node) {
    return "node " + ToString(leader->second) + " leads term " + ToString(node.term) + " already";
  }
  if (!IsQuorum(*node.conf, node.votes)) {
    return "has " + std::to_string(node.votes.size()) + " votes, which is no quorum";
  }
  LogId newest;
  for (const auto& [term, id] : committed_by_) {
    if (term < node.term) newest = std::max(newest, id);
  }
  if (newest.index > node.log.base.index && !node.log.Contains(newest)) {
    return "lacks the committed entry " + ToString(newest);
  }
  node.role = TraceRole::kLeader;
  node.matches.clear();
  return std::nullopt;
}

TraceChecker::TraceChecker() = default;
TraceChecker::~TraceChecker() = default;

std::optional<std::string> TraceChecker::Take(const TraceEvent& event) {
  std::unique_ptr<Group>& group = groups_[event.group];
  if (group == nullptr) group = std::make_unique<Group>();
  auto rejected = group->Take(event);
  if (!rejected) ++events_;
  return rejected;
}

Result<std::uint64_t> CheckTrace(std::string_view text, const std::string& file) {
  TraceChecker checker;
  std::uint64_t line = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view one = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++line;
    if (one.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const auto where = [&] { return file + ":" + std::to_string(line) + ": "; };
    const auto event = ParseTraceEvent(one);
    if (!event.ok())
      return Status(event.status().code(), where() + std::string(event.status().message()));
    if (!event.value()) continue;
    if (const auto wrong = checker.Take(*event.value())) {
      return Status(Code::kInvalidArgument, where() + *wrong);
    }
  }
  return checker.events();
}

}  // namespace rutile::sim
