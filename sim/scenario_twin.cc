#include "sim/scenario_twin.h"

#include <algorithm>
#include <utility>

namespace rutile::sim {

using raft::LogTail;
using raft::Message;
using raft::MessageType;
using raft::Role;

ScenarioTwin::ScenarioTwin(raft::testing::TestCluster& cluster)
    : cluster_(cluster), nodes_(cluster.size()) {
  for (std::size_t id = 1; id <= nodes_.size(); ++id) {
    for (const auto& [index, entry] : cluster.disk(id).log) Append(At(id), entry);
    At(id).disk = At(id).log;
    At(id).at_base = cluster.machine(id).configuration;
  }
}

bool ScenarioTwin::IsLive(std::size_t node) const {
  return cluster_.alive(node) && !cluster_.raft(node).poisoned();
}

LogId ScenarioTwin::Last(const Node& node) const {
  return node.log.empty() ? node.base : node.log.rbegin()->second.entry.id;
}

bool ScenarioTwin::Contains(const Node& node, LogId id) const {
  if (id == node.base) return true;
  const auto it = node.log.find(id.index);
  return it != node.log.end() && it->second.entry.id == id;
}

void ScenarioTwin::Append(Node& node, Entry entry) {
  const Index index = entry.id.index;
  node.log.erase(node.log.lower_bound(index), node.log.end());
  node.log[index] = {.entry = std::move(entry), .number = next_number_++};
}

// Raft 5.3, the receiver's rules 3 and 4.
void ScenarioTwin::TakeSlice(Node& node, const LogSlice& slice) {
  bool conflict = false;
  for (const Entry& entry : slice.entries) {
    if (entry.id.index <= node.base.index) continue;
    conflict = conflict || !Contains(node, entry.id);
    if (conflict) Append(node, entry);
  }
}

void ScenarioTwin::BeforeMessage(const Message& message) {
  const std::size_t id = message.to.value();
  if (!IsLive(id)) return;
  Node& node = At(id);
  const raft::Raft& raft = cluster_.raft(id);
  if (message.type == MessageType::kAppend) {
    const LogId prev = message.slice.prev;
    const bool follows = prev.index < node.base.index || Contains(node, prev) ||
                         prev.index < raft.tail().base().index;
    if (message.term >= raft.term() && follows) TakeSlice(node, message.slice);
  } else if (message.type == MessageType::kSnapshot) {
    const LogId at = message.snapshot->id;
    const bool listens = message.term > raft.term() ||
                         (raft.role() != Role::kLeader && raft.role() != Role::kCandidate);
    if (!listens || at.index <= raft.tail().committed() || Contains(node, at)) return;
    node.base = at;
    node.at_base = message.snapshot->configuration;
    node.log.clear();
    node.applying = at.index;
  }
}

void ScenarioTwin::AfterPropose(std::size_t node, const std::vector<Bytes>& payloads) {
  for (const Bytes& payload : payloads) {
    Append(At(node), {.id = {cluster_.raft(node).term(), Last(At(node)).index.Next()},
                      .type = EntryType::kNormal,
                      .payload = payload});
  }
}

raft::Configuration ScenarioTwin::InForce(const Node& node) const {
  for (auto it = node.log.rbegin(); it != node.log.rend(); ++it) {
    const Entry& entry = it->second.entry;
    if (entry.type != EntryType::kConfig) continue;
    return raft::DecodeConfiguration(entry.payload.view()).value_or(raft::Configuration());
  }
  return node.at_base;
}

void ScenarioTwin::AppendConfiguration(std::size_t id, const Result<raft::Configuration>& next) {
  if (!next.ok()) return Violate(id, "M1: a change that may not be: " + next.status().ToString());
  Append(At(id), {.id = {cluster_.raft(id).term(), Last(At(id)).index.Next()},
                  .type = EntryType::kConfig,
                  .payload = raft::EncodeConfiguration(next.value())});
}

void ScenarioTwin::AfterChange(std::size_t node, const raft::ConfigurationChange& change) {
  AppendConfiguration(node, raft::Apply(InForce(At(node)), change));
}

// A leader leaves a joint configuration by itself, if it was entered so and is committed. When, is
// its own business; that it does at all shows at the end.
void ScenarioTwin::NoteLeave(std::size_t id) {
  const raft::Raft& raft = cluster_.raft(id);
  const raft::Configuration in_force = InForce(At(id));
  const Index end = Last(At(id)).index;
  if (!raft.is_leader() || !in_force.auto_leave || raft.tail().last().index <= end) return;
  AppendConfiguration(id, raft::LeaveJoint(in_force));
}

void ScenarioTwin::Land(Node& node, const Flight& flight) {
  if (flight.reset) {
    node.disk.clear();
    node.disk_base = flight.after;
  }
  node.disk.erase(node.disk.upper_bound(flight.after.index), node.disk.end());
  for (const auto& [index, item] : flight.items) node.disk[index] = item;
}

void ScenarioTwin::AfterDiskWrite(std::size_t node) {
  if (At(node).flights.empty()) return Violate(node, "a write reached the disk that nobody made");
  Land(At(node), At(node).flights.front());
  At(node).flights.pop_front();
}

void ScenarioTwin::AfterCrash(std::size_t id, std::size_t surviving_writes) {
  Node& node = At(id);
  for (std::size_t i = 0; i < std::min(surviving_writes, node.flights.size()); ++i) {
    Land(node, node.flights[i]);
  }
  node.flights.clear();
}

void ScenarioTwin::AfterStart(std::size_t id) {
  Node& node = At(id);
  const LogId applied = cluster_.machine(id).applied;
  node.issued_writes = 0;
  node.led = Term();
  node.applying = applied.index;
  node.base = node.disk_base;
  node.log = node.disk;
  node.at_base = cluster_.machine(id).configuration;
  if (applied.index > node.base.index && !Contains(node, applied)) {
    node.base = applied;  // A local snapshot: nothing here follows what was applied.
    node.log.clear();
  }
}

void ScenarioTwin::AfterWipe(std::size_t id) { At(id) = {}; }

void ScenarioTwin::AfterLoss(std::size_t id, Index last) {
  Node& node = At(id);
  node.disk.erase(node.disk.upper_bound(last), node.disk.end());
  node.lost = true;
}

// Up to where the disk has not only the same ids but the very entries of the log in memory.
Index ScenarioTwin::Durable(std::size_t id) {
  const Node& node = At(id);
  Index durable = cluster_.raft(id).tail().base().index;
  for (auto it = node.log.upper_bound(durable); it != node.log.end(); ++it) {
    const auto on_disk = node.disk.find(it->first);
    if (on_disk == node.disk.end() || on_disk->second.number != it->second.number) break;
    durable = it->first;
  }
  return durable;
}

void ScenarioTwin::OnSent(const Message& message) {
  const std::size_t id = message.from.value();
  if (message.type != MessageType::kAppendReply || message.rejected || !IsLive(id)) return;
  if (message.match > Durable(id)) {
    Violate(id, "L4: acknowledges " + ToString(message.match) + ", its disk has this log up to " +
                    ToString(Durable(id)));
  }
}

// A leader begins its term with an entry of its own.
void ScenarioTwin::NoteNewTerm(std::size_t id) {
  const raft::Raft& raft = cluster_.raft(id);
  Node& node = At(id);
  if (!raft.is_leader() || node.led == raft.term()) return;
  node.led = raft.term();
  Append(node, {.id = {raft.term(), Last(node).index.Next()}, .type = EntryType::kEmpty});
}

void ScenarioTwin::NoteWrites(std::size_t id) {
  Node& node = At(id);
  const std::uint64_t issued = cluster_.raft(id).tail().issued_write().value();
  const auto& writes = cluster_.writes(id);
  for (const raft::LogWrite& write : writes) {
    if (write.log.mark.write.value() <= node.issued_writes) continue;
    Flight flight{.after = write.log.slice.prev, .reset = write.log.reset};
    for (const Entry& entry : write.log.slice.entries) {
      const auto it = node.log.find(entry.id.index);
      if (it == node.log.end() || it->second.entry != entry) {
        Violate(id, "L1: writes " + ToString(entry.id) + ", which is not in its log");
        continue;
      }
      flight.items[entry.id.index] = it->second;
    }
    node.flights.push_back(std::move(flight));
  }
  node.issued_writes = issued;
}

void ScenarioTwin::CompareMemory(std::size_t id) {
  Node& node = At(id);
  const LogTail& tail = cluster_.raft(id).tail();
  const bool is_leader = cluster_.raft(id).is_leader();
  if (tail.last() != Last(node)) {
    return Violate(
        id, "L1: ends with " + ToString(tail.last()) + ", must end with " + ToString(Last(node)));
  }
  const std::optional<LogSlice> resident =
      tail.Read(tail.first_resident().Prev(), tail.last().index, SIZE_MAX);
  std::map<Index, const Entry*> read;
  if (resident) {
    for (const Entry& entry : resident->entries) read[entry.id.index] = &entry;
  }
  for (auto it = node.log.upper_bound(tail.base().index); it != node.log.end(); ++it) {
    const auto& [index, item] = *it;
    if (tail.TermAt(index) != std::optional(item.entry.id.term)) {
      return Violate(id, "L7: says another term than that of " + ToString(item.entry.id));
    }
    const bool is_here = index >= tail.first_resident();
    if (is_here && (!read.contains(index) || *read[index] != item.entry)) {
      return Violate(id, "L1: reads something else than " + ToString(item.entry.id));
    }
  }
  const Index durable = Durable(id);
  if (tail.durable() > durable) {
    Violate(id, "L3: believes that " + ToString(tail.durable()) +
                    " is durable, its disk has this log up to " + ToString(durable));
  }
  if (tail.applying() > node.applying && !is_leader && tail.applying() > durable) {
    Violate(id, "L5: hands out " + ToString(tail.applying()) + " as a follower, durable is " +
                    ToString(durable));
  }
  node.applying = tail.applying();
}

void ScenarioTwin::CompareDisk(std::size_t id) {
  const Node& node = At(id);
  const raft::testing::Disk& disk = cluster_.disk(id);
  auto it = node.disk.upper_bound(disk.base.index);
  for (const auto& [index, entry] : disk.log) {
    if (it == node.disk.end() || it->second.entry != entry) {
      return Violate(id, "L1: its disk has " + ToString(entry.id) + ", which must not be there");
    }
    ++it;
  }
  if (it != node.disk.end()) {
    Violate(id, "L1: its disk lacks " + ToString(it->second.entry.id));
  }
}

void ScenarioTwin::CompareMatches(std::size_t leader) {
  const raft::Raft& raft = cluster_.raft(leader);
  for (const raft::PeerStatus& peer : raft.Peers()) {
    const std::size_t id = peer.id.value();
    const bool alive = cluster_.alive(id);
    if (At(id).lost || (alive && cluster_.raft(id).poisoned())) continue;
    // Who has seen a higher term may have cut what this leader believes in.
    const Term term = alive ? cluster_.raft(id).term() : cluster_.disk(id).hard_state.term;
    if (term > raft.term()) continue;
    const auto it = At(leader).log.find(peer.match);
    if (it == At(leader).log.end() || cluster_.disk(id).Has(it->second.entry.id)) continue;
    // After a restart with more applied than was written the log begins there.
    if (alive && cluster_.raft(id).tail().base().index >= peer.match) continue;
    if (!alive && cluster_.machine(id).applied.index >= peer.match) continue;
    Violate(leader, "P1: takes " + ToString(it->second.entry.id) + " to be on the disk of peer " +
                        ToString(peer.id));
  }
}

void ScenarioTwin::Compare() {
  for (std::size_t id = 1; id <= nodes_.size(); ++id) {
    if (!IsLive(id)) continue;
    NoteNewTerm(id);
    NoteLeave(id);
    NoteWrites(id);
    CompareMemory(id);
    CompareDisk(id);
  }
  for (std::size_t id = 1; id <= nodes_.size(); ++id) {
    if (IsLive(id) && cluster_.raft(id).is_leader()) CompareMatches(id);
  }
}

void ScenarioTwin::Violate(std::size_t node, const std::string& what) {
  if (violation_.empty()) violation_ = "node " + std::to_string(node) + ": " + what;
}

}  // namespace rutile::sim
