// Who votes: Raft 4, with configurations in force from the moment they are appended.

#include <algorithm>
#include <iterator>

#include "sim/trace_group.h"

namespace rutile::sim {
namespace {

std::string Text(const TraceConf& conf) {
  std::string text;
  for (const auto* voters : {&conf.voters, &conf.outgoing}) {
    if (voters->empty() && voters == &conf.outgoing) continue;
    text += text.empty() ? "(" : "&&(";
    for (std::size_t i = 0; i < voters->size(); ++i) {
      text += (i == 0 ? "" : " ") + ToString((*voters)[i]);
    }
    text += ")";
  }
  return text;
}

// Whether any majority of the one and any of the other have somebody in common, by the rules that
// Raft 4 gives for it: one voter more or less, or into a joint configuration, or out of it.
bool MayFollow(const TraceConf& before, const TraceConf& after) {
  if (after.voters.empty()) return false;
  if (!before.outgoing.empty()) return after.outgoing.empty() && after.voters == before.voters;
  if (!after.outgoing.empty()) return after.outgoing == before.voters;
  raft::PeerIds changed;
  std::set_symmetric_difference(before.voters.begin(), before.voters.end(), after.voters.begin(),
                                after.voters.end(), std::back_inserter(changed));
  return changed.size() <= 1;
}

}  // namespace

const std::pair<const LogId, std::shared_ptr<const TraceConf>>* TraceChecker::Group::NewestConf(
    const Log& log) const {
  const std::pair<const LogId, std::shared_ptr<const TraceConf>>* newest = nullptr;
  for (const auto& item : confs_) {
    if (item.first.index <= log.base.index || !log.Contains(item.first)) continue;
    if (newest == nullptr || newest->first.index < item.first.index) newest = &item;
  }
  return newest;
}

// Where a log begins is committed: what is in force there, the group has decided.
std::shared_ptr<const TraceConf> TraceChecker::Group::ExpectedConf(const Node& node) const {
  if (const auto* newest = NewestConf(node.log)) return newest->second;
  // Who is added later begins before all others, and knows nothing.
  const bool knows = node.log.base.index >= begin_;
  std::shared_ptr<const TraceConf> expected = knows ? first_conf_ : node.first_conf;
  Index at;
  for (const auto& [id, conf] : confs_) {
    if (id.index > node.log.base.index || id.index < at || !IsCommitted(id)) continue;
    at = id.index;
    expected = conf;
  }
  return expected;
}

std::optional<std::string> TraceChecker::Group::CheckConf(const Node& node) const {
  if (confs_.empty()) return std::nullopt;
  const std::shared_ptr<const TraceConf> expected = ExpectedConf(node);
  if (*expected == *node.conf) return std::nullopt;
  return "goes by " + Text(*node.conf) + ", the newest of its log is " + Text(*expected);
}

std::optional<std::string> TraceChecker::Group::ChangeConf(Node& node, const TraceEvent& event) {
  if (event.new_conf == nullptr) return Replicate(node, event);
  // Else two leaders could each add one to the same old one, and decide apart.
  if (node.log.TermAt(node.commit) != std::optional(node.term)) {
    return std::string("changes the configuration before an entry of its term is committed");
  }
  const auto* newest = NewestConf(node.log);
  if (newest != nullptr && newest->first.index > node.commit) {
    return "changes the configuration while the one of " + ToString(newest->first) +
           " is not committed";
  }
  if (!MayFollow(*node.conf, *event.new_conf)) {
    return "changes the configuration from " + Text(*node.conf) + " to " + Text(*event.new_conf);
  }
  if (auto wrong = Replicate(node, event)) return wrong;
  confs_[node.log.LastId()] = event.new_conf;
  return std::nullopt;
}

std::optional<std::string> TraceChecker::Group::ApplyConf(Node& node, const TraceEvent& event) {
  node.conf = event.new_conf;
  if (auto wrong = Compare(node, event)) return wrong;
  return CheckConf(node);
}

}  // namespace rutile::sim
