#include "raft/testing/etcd_world.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <sstream>
#include <utility>

namespace rutile::raft::testing {
namespace {

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

std::vector<std::string> Values(const EtcdCommand& command, const std::string& key) {
  const auto it = command.args.find(key);
  return it == command.args.end() ? std::vector<std::string>() : it->second;
}

std::uint64_t Number(const EtcdCommand& command, const std::string& key) {
  const std::vector<std::string> values = Values(command, key);
  return values.empty() ? 0 : std::stoull(values.front());
}

bool Flag(const EtcdCommand& command, const std::string& key) {
  const std::vector<std::string> values = Values(command, key);
  return !values.empty() && values.front() == "true";
}

}  // namespace

std::vector<std::string> EtcdWorld::Run(const EtcdCommand& command) {
  lines_.clear();
  const std::string before = level_;
  const std::vector<std::string> level = Values(command, "log-level");
  if (!level.empty()) level_ = Lower(level.front());
  Do(command);
  SayOffices();
  std::vector<std::string> lines = std::exchange(lines_, {});
  if (level_ == "none") std::erase_if(lines, [](const auto& line) { return line != "refused"; });
  if (level_ != "debug" && level_ != "info") {
    std::erase_if(lines, [](const auto& line) {
      return line.find(" config ") != line.npos || line.find(" becomes ") != line.npos ||
             line.find(" as stored") != line.npos;
    });
  }
  if (!level.empty()) level_ = before;
  Normalize(lines);
  return lines;
}

std::string EtcdWorld::violation() const {
  std::string all;
  for (const EtcdNode& node : nodes_) {
    if (!node.violation().empty()) all += "node " + ToString(node.id()) + ": " + node.violation();
  }
  return all;
}

// What a node became by what it was told just now.
void EtcdWorld::SayOffices() {
  for (EtcdNode& node : nodes_) {
    for (std::string& line : node.TakeOffices()) lines_.push_back(std::move(line));
  }
}

void EtcdWorld::Do(const EtcdCommand& command) {
  if (command.name == "log-level") {
    level_ = Lower(command.words.front());
  } else if (command.name == "add-nodes") {
    AddNodes(command);
  } else if (command.name == "transfer-leadership") {
    At(Number(command, "from")).Transfer(PeerId(Number(command, "to")));
  } else {
    Ids ids;
    for (const std::string& word : command.words) {
      if (std::isdigit(static_cast<unsigned char>(word.front())) == 0) break;
      ids.push_back(std::stoull(word));
    }
    const bool nobody = !ids.empty() && (ids.front() == 0 || ids.front() > nodes_.size());
    if (nobody || (!DoToNode(command, ids) && !DoInTurn(command, ids) && !Show(command, ids))) {
      lines_.push_back("not done: " + command.name);
    }
  }
}

void EtcdWorld::AddNodes(const EtcdCommand& command) {
  EtcdGroup group{
      .index = Index(Number(command, "index")),
      .inflight = Number(command, "inflight"),
      .max_committed_bytes = Number(command, "max-committed-size-per-ready"),
      .async = Flag(command, "async-storage-writes"),
      .pre_vote = Flag(command, "prevote"),
      .check_quorum = Flag(command, "checkquorum"),
      .lease_reads = Values(command, "read-only") == std::vector<std::string>{"lease-based"}};
  for (const std::string& id : Values(command, "voters")) {
    group.configuration.voters.emplace_back(std::stoull(id));
  }
  for (const std::string& id : Values(command, "learners")) {
    group.configuration.learners.emplace_back(std::stoull(id));
  }
  for (std::uint64_t count = std::stoull(command.words.front()); count > 0; --count) {
    const EtcdNode& node = nodes_.emplace_back(PeerId(nodes_.size() + 1), group);
    lines_.push_back(ToString(node.id()) + " config " +
                     ConfigurationText(node.raft().configuration()));
  }
}

bool EtcdWorld::DoToNode(const EtcdCommand& command, const Ids& ids) {
  if (ids.empty()) return false;
  EtcdNode& node = At(ids.front());
  if (command.name == "campaign") {
    node.Campaign();
  } else if (command.name == "propose") {
    if (!node.Propose(command.words[1])) lines_.emplace_back("refused");
  } else if (command.name == "propose-conf-change") {
    // Ours does not forward what is proposed: its host asks whoever leads.
    const PeerId leader = node.raft().leader();
    ProposeChange(command, leader.IsZero() ? node : At(leader.value()));
  } else if (command.name == "tick-election") {
    node.Tick(3);
  } else if (command.name == "tick-heartbeat") {
    node.Tick(1);
  } else if (command.name == "forget-leader") {
    node.ForgetLeader();
  } else if (command.name == "set-randomized-election-timeout") {
    node.StretchTimeout(static_cast<int>(Number(command, "timeout")));
  } else if (command.name == "report-unreachable") {
    node.Unreachable(PeerId(ids[1]));
  } else if (command.name == "send-snapshot") {
    const Message message = node.MakeSnapshot(PeerId(ids[1]));
    lines_.push_back(std::to_string(ids[0]) + " sends " + node.MessageText(message));
    network_.push_back({.message = message});
  } else {
    return false;
  }
  return true;
}

void EtcdWorld::ProposeChange(const EtcdCommand& command, EtcdNode& node) {
  static const std::map<char, ChangeStep::Kind> kKinds = {{'v', ChangeStep::Kind::kAddVoter},
                                                          {'l', ChangeStep::Kind::kAddLearner},
                                                          {'r', ChangeStep::Kind::kRemove},
                                                          {'u', ChangeStep::Kind::kUpdate}};
  ConfigurationChange change;
  const std::vector<std::string> transition = Values(command, "transition");
  if (!transition.empty() && transition.front() != "auto") {
    change.transition =
        transition.front() == "explicit" ? Transition::kExplicit : Transition::kImplicit;
  }
  std::istringstream in(command.input);
  for (std::string word; in >> word;) {
    change.steps.push_back({kKinds.at(word[0]), PeerId(std::stoull(word.substr(1)))});
    change.context += (change.context.empty() ? "" : " ") + word;
  }
  if (!node.ProposeChange(change)) lines_.emplace_back("refused");
}

bool EtcdWorld::DoInTurn(const EtcdCommand& command, const Ids& ids) {
  if (command.name == "stabilize") {
    Stabilize(ids);
  } else if (command.name == "deliver-msgs") {
    DeliverMessages(command, ids);
  } else if (command.name == "process-ready") {
    for (std::size_t id : ids) ProcessReady(id);
  } else if (command.name == "process-append-thread") {
    for (std::size_t id : ids) ProcessAppendThread(id);
  } else if (command.name == "process-apply-thread") {
    for (std::size_t id : ids) At(id).ProcessApplyThread(lines_, network_);
  } else {
    return false;
  }
  return true;
}

bool EtcdWorld::Show(const EtcdCommand& command, const Ids& ids) {
  std::vector<std::string> lines;
  if (command.name == "status") {
    lines = At(ids.front()).StatusLines();
  } else if (command.name == "raft-log" || command.name == "compact") {
    if (command.name == "compact") At(ids[0]).Compact(Index(ids[1]));
    lines = At(ids.front()).LogLines();
  } else if (command.name == "raft-state") {
    for (const EtcdNode& node : nodes_) lines.push_back(node.StateLine());
  } else {
    return false;
  }
  lines_.insert(lines_.end(), lines.begin(), lines.end());
  return true;
}

void EtcdWorld::DeliverMessages(const EtcdCommand& command, const Ids& ids) {
  const std::vector<std::string> type = Values(command, "type");
  for (std::size_t id : ids) DeliverTo(id, false, type.empty() ? "" : type.front());
  for (const std::string& id : Values(command, "drop")) {
    DeliverTo(std::stoull(id), true, type.empty() ? "" : type.front());
  }
}

void EtcdWorld::DeliverTo(std::size_t id, bool drop, const std::string& type) {
  std::vector<EtcdDelivery> mail;
  std::vector<EtcdDelivery> rest;
  for (EtcdDelivery& delivery : network_) {
    bool takes = delivery.message.to == PeerId(id) && !(drop && delivery.local);
    if (takes && !type.empty()) {
      const std::string text = nodes_.front().MessageText(delivery.message);
      takes = !delivery.local && text.find(" " + type + " ") != std::string::npos;
    }
    (takes ? mail : rest).push_back(std::move(delivery));
  }
  network_ = std::move(rest);
  for (const EtcdDelivery& delivery : mail) {
    if (!delivery.local) {
      lines_.push_back(std::to_string(id) + (drop ? " loses " : " gets ") +
                       nodes_.front().MessageText(delivery.message));
    }
    if (drop) continue;
    At(id).Deliver(delivery, lines_);
    SayOffices();
  }
}

void EtcdWorld::ProcessAppendThread(std::size_t id) {
  At(id).ProcessAppendThread(lines_, network_);
  SayOffices();
}

void EtcdWorld::ProcessReady(std::size_t id) {
  At(id).ProcessReady(lines_, network_);
  SayOffices();
}

bool EtcdWorld::HasMail(std::size_t id) const {
  return std::any_of(network_.begin(), network_.end(), [id](const EtcdDelivery& delivery) {
    return delivery.message.to == PeerId(id);
  });
}

// Rounds of four: all turns, all mail, all writers, all appliers.
void EtcdWorld::Stabilize(Ids ids) {
  if (ids.empty()) {
    for (std::size_t id = 1; id <= nodes_.size(); ++id) ids.push_back(id);
  }
  for (bool done = false; !std::exchange(done, true);) {
    for (std::size_t id : ids) {
      if (!At(id).HasReady()) continue;
      ProcessReady(id);
      done = false;
    }
    for (std::size_t id : ids) {
      if (!HasMail(id)) continue;
      DeliverTo(id, false, "");
      done = false;
    }
    for (std::size_t id : ids) {
      for (; At(id).HasAppendWork(); done = false) ProcessAppendThread(id);
    }
    for (std::size_t id : ids) {
      for (; At(id).HasApplyWork(); done = false) At(id).ProcessApplyThread(lines_, network_);
    }
  }
}

}  // namespace rutile::raft::testing
