// What a scenario of `level: core` can ask.

#include <algorithm>
#include <utility>

#include "sim/scenario_core.h"

namespace rutile::sim {

using raft::Message;
using raft::testing::Disk;

std::vector<std::string> CoreLevel::conditions() const {
  return {
      // NOLINTNEXTLINE(bugprone-suspicious-missing-comma): one line, too long for one literal.
      "NODE.term|committed|applied|applying|durable|last|base|resident|writes|stored_commit|cuts "
      "OP "
      "VALUE",
      "NODE.role|vote|leader|log|disk OP \"TEXT\"   (log, disk: \"1..3@1 4@2\")",
      "NODE.configuration OP \"TEXT\" | NODE.configured_at OP INDEX   (of its log: \"A D outgoing "
      "A B "
      "learners E next B auto-leave\", \"nobody\")",
      "NODE.match(NODE)|next(NODE)|progress(NODE) OP VALUE   (what a leader knows of a follower)",
      "leader NODE | no leader",
      "up NODE | down NODE | poisoned NODE | lease NODE | no lease NODE | quiet NODE | "
      "no quiet NODE",
      "joint NODE | not joint NODE",
      "log NODE has|lacks ID | disk NODE has|lacks ID",
      "same logs [NODE...] | same states [NODE...]",
      "message LINK [KIND,...] [\"SAYING\"] | no message LINK [KIND,...] [\"SAYING\"]",
      "read NAME waits|refused | read NAME answers INDEX",
      "told \"LINE\" | not told \"LINE\"   (of the story so far: \"A applies 11@2\")",
  };
}

ScenarioCondition CoreLevel::Whether(std::function<bool()> holds,
                                     const std::string& otherwise) const {
  return [holds = std::move(holds), otherwise]() -> std::string {
    return holds() ? std::string() : otherwise;
  };
}

std::vector<LogId> CoreLevel::LogOf(std::size_t node) {
  std::vector<LogId> ids;
  const raft::LogTail& tail = cluster_->raft(node).tail();
  for (Index i = tail.first(); i <= tail.last().index; i = i.Next()) {
    ids.push_back({*tail.TermAt(i), i});
  }
  return ids;
}

std::string CoreLevel::Describe(const raft::Configuration& configuration) const {
  std::string text;
  const auto add = [&](const std::string& title, const raft::PeerIds& ids) {
    if (ids.empty()) return;
    if (!title.empty()) text += (text.empty() ? "" : " ") + title;
    for (PeerId id : ids) text += (text.empty() ? "" : " ") + NameOf(id.value());
  };
  add("", configuration.voters);
  add("outgoing", configuration.outgoing);
  add("learners", configuration.learners);
  add("next", configuration.learners_next);
  if (configuration.auto_leave) text += " auto-leave";
  return text.empty() ? "nobody" : text;
}

// "1->2 Append ..." becomes "A->B Append ...", "(1,2)" becomes "(A,B)".
std::string CoreLevel::NamesInsteadOfNumbers(const std::string& trace) const {
  std::string text;
  bool at_name = true;
  bool in_list = false;
  for (std::size_t i = 0; i < trace.size(); ++i) {
    const char c = trace[i];
    const bool is_digit = c >= '0' && c <= '9';
    if (at_name && is_digit) {
      std::size_t end = i;
      while (end < trace.size() && trace[end] >= '0' && trace[end] <= '9') ++end;
      const std::size_t node = std::stoull(trace.substr(i, end - i));
      text += node >= 1 && node <= nodes().size() ? NameOf(node) : trace.substr(i, end - i);
      i = end - 1;
      at_name = end + 1 < trace.size() && trace.compare(end, 2, "->") == 0;
      if (at_name) {
        text += "->";
        i += 2;
      }
      continue;
    }
    text += c;
    if (c == '(' || c == ')') in_list = c == '(';
    at_name = c == '\n' || in_list;
  }
  return text;
}

void CoreLevel::CollectStory() {
  const std::string more = NamesInsteadOfNumbers(cluster_->TakeTrace());
  story_ += more;
  told_ += more;
}

std::string CoreLevel::TakeStory() { return std::exchange(story_, {}); }

ScenarioField CoreLevel::OfCore(std::size_t node, std::function<ScenarioValue(raft::Raft&)> read) {
  return [this, node, read = std::move(read)]() -> ScenarioValue {
    return cluster_->alive(node) ? read(cluster_->raft(node)) : ScenarioValue("down");
  };
}

std::optional<ScenarioField> CoreLevel::CompileCursor(std::size_t node, const std::string& field) {
  using raft::LogTail;
  using Get = std::function<Index(const LogTail&)>;
  static const std::map<std::string, Get> kCursors = {
      {"committed", &LogTail::committed},
      {"applied", &LogTail::applied},
      {"applying", &LogTail::applying},
      {"durable", &LogTail::durable},
      {"resident", &LogTail::first_resident},
      {"last", [](const LogTail& tail) { return tail.last().index; }},
      {"base", [](const LogTail& tail) { return tail.base().index; }},
  };
  const auto it = kCursors.find(field);
  if (it == kCursors.end()) return std::nullopt;
  return OfCore(node, [get = it->second](raft::Raft& raft) { return get(raft.tail()).value(); });
}

Result<ScenarioField> CoreLevel::CompileField(std::size_t node, const std::string& field,
                                              const std::string& argument,
                                              const ScenarioWords& words) {
  if (std::optional<ScenarioField> cursor = CompileCursor(node, field)) return *std::move(cursor);
  const auto name_of = [this](PeerId id) -> ScenarioValue {
    return id.IsZero() ? std::string("nobody") : NameOf(id.value());
  };
  if (field == "term") {
    return OfCore(node, [](raft::Raft& raft) { return raft.term().value(); });
  }
  if (field == "cuts") {
    return OfCore(node, [](raft::Raft& raft) { return raft.tail().epoch().value(); });
  }
  if (field == "stored_commit") {
    return ScenarioField(
        [this, node]() -> ScenarioValue { return cluster_->disk(node).hard_state.commit.value(); });
  }
  if (field == "writes") {
    return ScenarioField([this, node]() -> ScenarioValue {
      return std::uint64_t{cluster_->writes_in_flight(node)};
    });
  }
  if (field == "role") {
    return OfCore(node, [](raft::Raft& raft) { return std::string(ToString(raft.role())); });
  }
  if (field == "vote") {
    return OfCore(node, [=](raft::Raft& raft) { return name_of(raft.hard_state().vote); });
  }
  if (field == "leader") {
    return OfCore(node, [=](raft::Raft& raft) { return name_of(raft.leader()); });
  }
  if (field == "log") {
    return OfCore(node, [this, node](raft::Raft&) { return DescribeScenarioLog(LogOf(node)); });
  }
  if (field == "disk") {
    return ScenarioField([this, node]() -> ScenarioValue {
      std::vector<LogId> ids;
      for (const auto& [index, entry] : cluster_->disk(node).log) ids.push_back(entry.id);
      return DescribeScenarioLog(ids);
    });
  }
  if (field == "configuration") {
    return OfCore(node, [this](raft::Raft& raft) { return Describe(raft.configuration()); });
  }
  if (field == "configured_at") {
    return OfCore(node, [](raft::Raft& raft) { return raft.configuration_since().value(); });
  }
  if (field == "match" || field == "next" || field == "progress") {
    RUTILE_ASSIGN_OR_RETURN(const std::size_t peer, words.NodeNamed(argument));
    return OfCore(node, [field, peer](raft::Raft& raft) -> ScenarioValue {
      for (const raft::PeerStatus& status : raft.Peers()) {
        if (status.id != PeerId(peer)) continue;
        if (field == "progress") return status.state;
        return (field == "match" ? status.match : status.next).value();
      }
      return "unknown";
    });
  }
  return ScenarioWords::Mismatch(
      "a field (term, committed, applied, applying, durable, last, base, resident, writes, "
      "stored_commit, cuts, role, vote, leader, log, disk, configuration, configured_at, "
      "match(NODE), next(NODE) or progress(NODE))",
      field);
}

Result<ScenarioCondition> CoreLevel::CompileMessage(ScenarioWords& words, bool there) {
  RUTILE_ASSIGN_OR_RETURN(const Filter filter, ReadFilter(words));
  std::string text;
  if (words.PeekIsText()) {
    RUTILE_ASSIGN_OR_RETURN(text, words.Text());
  }
  return ScenarioCondition([=, this]() -> std::string {
    std::string all;
    for (const Message& message : cluster_->network()) {
      const std::string line = NamesInsteadOfNumbers(ToString(message));
      all += "\n    " + line;
      if (!filter.Match(message) || line.find(text) == std::string::npos) continue;
      return there ? std::string() : "there is such a message: " + line;
    }
    if (!there) return {};
    return all.empty() ? "the network is empty" : "no such message; in the network are" + all;
  });
}

Result<ScenarioCondition> CoreLevel::CompileHas(ScenarioWords& words) {
  const bool on_disk = words.Take("disk");
  if (!on_disk) RUTILE_RETURN_IF_ERROR(words.Need("log"));
  RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
  const bool has = words.Take("has");
  if (!has) RUTILE_RETURN_IF_ERROR(words.Need("lacks"));
  RUTILE_ASSIGN_OR_RETURN(const LogId id, words.Id());
  return ScenarioCondition([=, this]() -> std::string {
    const Disk& disk = cluster_->disk(node);
    const auto it = disk.log.find(id.index);
    const bool is = on_disk ? it != disk.log.end() && it->second.id == id
                            : cluster_->alive(node) && cluster_->raft(node).tail().Contains(id);
    if (is == has) return {};
    return std::string(on_disk ? "the disk of " : "the log of ") + NameOf(node) +
           (is ? " has " : " lacks ") + ToString(id);
  });
}

Result<ScenarioCondition> CoreLevel::CompileSame(ScenarioWords& words) {
  const bool states = words.Take("states");
  if (!states) RUTILE_RETURN_IF_ERROR(words.Need("logs"));
  std::vector<std::size_t> which;
  while (!words.done()) {
    RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
    which.push_back(node);
  }
  return ScenarioCondition(
      [=, this] { return DescribeDifference(which.empty() ? Group() : which, states); });
}

Result<ScenarioCondition> CoreLevel::CompileRead(ScenarioWords& words) {
  RUTILE_ASSIGN_OR_RETURN(const std::string name, words.Word("the name of a read"));
  std::string due;
  if (words.Take("answers")) {
    RUTILE_ASSIGN_OR_RETURN(const std::uint64_t index, words.Number());
    due = "answers " + std::to_string(index);
  } else {
    RUTILE_ASSIGN_OR_RETURN(due, words.Word("waits, refused or answers INDEX"));
    if (due != "waits" && due != "refused") {
      return ScenarioWords::Mismatch("waits, refused or answers INDEX", due);
    }
  }
  return ScenarioCondition([=, this]() -> std::string {
    const auto read = reads_.find(name);
    if (read == reads_.end()) return "nobody has asked for a read called " + name;
    std::string is = "waits";
    for (const raft::ReadReady& answer : cluster_->reads(read->second.first)) {
      if (answer.id != read->second.second) continue;
      is = answer.index.IsZero() ? "refused" : "answers " + ToString(answer.index);
    }
    return is == due ? std::string() : "read " + name + " " + is + ", expected " + due;
  });
}

Result<ScenarioCondition> CoreLevel::CompileStory(ScenarioWords& words, bool told) {
  RUTILE_ASSIGN_OR_RETURN(const std::string line, words.Text());
  return ScenarioCondition([=, this]() -> std::string {
    const bool is = told_.find(line) != std::string::npos;
    if (is == told) return {};
    return is ? "this has happened: " + line : "this has not happened: " + line;
  });
}

Result<ScenarioCondition> CoreLevel::CompileCondition(ScenarioWords& words) {
  const bool negated = words.Take("no") || words.Take("not");
  if (words.Take("message")) return CompileMessage(words, !negated);
  if (words.Take("told")) return CompileStory(words, !negated);
  if (negated && words.Take("leader")) {
    return Whether([this] { return cluster_->Leader() == 0; }, "somebody leads");
  }
  if (words.Take("lease")) {
    RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
    return Whether(
        [=, this] {
          if (!cluster_->alive(node)) return negated;
          const auto until = cluster_->raft(node).LeaseUntil();
          return (until && cluster_->now() < *until) != negated;
        },
        NameOf(node) + (negated ? " has a lease" : " has no lease"));
  }
  if (words.Take("joint")) {
    RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
    return Whether(
        [=, this] {
          return cluster_->alive(node) && cluster_->raft(node).configuration().IsJoint() != negated;
        },
        NameOf(node) + (negated ? " goes by" : " does not go by") + " a joint configuration");
  }
  if (words.Take("quiet")) {
    RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
    return Whether(
        [=, this] { return (cluster_->alive(node) && cluster_->raft(node).is_quiet()) != negated; },
        NameOf(node) + (negated ? " is quiet" : " is not quiet"));
  }
  if (negated) return words.Expected("message, told, leader, lease, joint or quiet");
  if (words.Take("same")) return CompileSame(words);
  if (words.Peek() == "log" || words.Peek() == "disk") return CompileHas(words);
  if (words.Take("read")) return CompileRead(words);
  if (words.Take("leader")) {
    RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
    return Whether([=, this] { return cluster_->Leader() == node; },
                   NameOf(node) + " does not lead the newest term that has a leader");
  }
  for (const bool up : {true, false}) {
    if (!words.Take(up ? "up" : "down")) continue;
    RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
    return Whether([=, this] { return cluster_->alive(node) == up; },
                   NameOf(node) + (up ? " is down" : " is up"));
  }
  if (words.Take("poisoned")) {
    RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
    return Whether([=, this] { return cluster_->alive(node) && cluster_->raft(node).poisoned(); },
                   NameOf(node) + " is not poisoned");
  }
  return words.Expected(
      "a condition (NODE.FIELD, leader, up, down, poisoned, lease, joint, quiet, log, disk, same, "
      "message, read or told)");
}

}  // namespace rutile::sim
