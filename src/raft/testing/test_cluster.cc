#include "raft/testing/test_cluster.h"

#include <algorithm>

#include "base/check.h"

namespace rutile::raft::testing {
namespace {

constexpr std::uint64_t kMaxMoves = 100'000;  // Beyond this something talks to itself for ever.

std::uint64_t Mix(std::uint64_t hash, const Entry& entry) {
  for (const std::uint64_t part : {entry.id.index.value(), entry.id.term.value()}) {
    hash = (hash ^ part) * 0x9E3779B97F4A7C15u;
  }
  for (const char c : entry.payload.view()) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  }
  return hash;
}

}  // namespace

Options SmallOptions() {
  return {.election_ticks = kElectionTicks,
          .heartbeat_ticks = 2,
          .lease = Milliseconds(800),
          .vote_refusal = Milliseconds(900)};
}

TestCluster::TestCluster(Setup setup) : setup_(std::move(setup)) {
  const std::size_t count = setup_.voters + setup_.learners;
  for (std::size_t id = 1; id <= count; ++id) {
    (id <= setup_.voters ? configuration_.voters : configuration_.learners).emplace_back(id);
    const bool witness = id <= setup_.voters && id + setup_.witnesses > setup_.voters;
    if (witness) configuration_.witnesses.emplace_back(id);
  }
  for (std::size_t i = 0; i < count + setup_.spares; ++i) {
    Node& node = AddNode();
    if (i >= count) continue;
    node.disk.base = setup_.begins;
    node.witness = configuration_.IsWitness(node.id);
    node.machine = {
        .applied = setup_.begins, .configuration = configuration_, .witness = node.witness};
    if (i < setup_.logs.size()) {
      LogSlice slice;
      for (std::uint64_t term : setup_.logs[i]) {
        const LogId id{Term(term), slice.last().index.Next()};
        slice.entries.push_back(
            {.id = id, .type = EntryType::kNormal, .payload = Bytes("e" + ToString(id))});
        node.disk.log[id.index] = slice.entries.back();
      }
      checker_.OnWrite(node.id, slice);
    }
  }
  // Terms that some node has entries of are over for all.
  Term term;
  for (const Node& node : nodes_) term = std::max(term, node.disk.last().term);
  for (Node& node : nodes_) {
    node.disk.hard_state.term = term;
    Start(node, setup_.fresh);
  }
}

TestCluster::Node& TestCluster::AddNode() {
  Node& node = nodes_.emplace_back();
  node.id = PeerId(nodes_.size());
  node.random = std::make_unique<SeededRandom>(setup_.seed * 1000 + nodes_.size() - 1);
  disks_[node.id] = &node.disk;
  return node;
}

Raft& TestCluster::raft(std::size_t id) {
  RUTILE_CHECK(alive(id));
  return *At(id).raft;
}

void TestCluster::Start(Node& node, bool fresh) {
  // A snapshot whose log reset is durable is installed before anything else.
  if (node.machine.applied.index < node.disk.base.index) {
    node.machine = node.snapshots.at(node.disk.base);
  }
  node.flushed = node.machine;
  node.joined = false;  // What was not flushed is forgotten.
  NoteJoined(node);
  LogTail::Recovered found{.base = node.disk.base,
                           .committed = node.disk.hard_state.commit,
                           .applied = node.machine.applied};
  const Index last = std::min(node.disk.last().index, node.machine.applied.index);
  const Index from =
      node.disk.base.index.Plus(node.random->Below(last.DistanceFrom(node.disk.base.index) + 1));
  found.resident.prev = from == node.disk.base.index ? node.disk.base : node.disk.log.at(from).id;
  for (const auto& [index, entry] : node.disk.log) {
    if (found.runs.empty() || found.runs.back().term != entry.id.term) {
      found.runs.push_back({index, entry.id.term});
    }
    if (index > from) found.resident.entries.push_back(entry);
  }
  Options options = setup_.options;
  options.id = node.id;
  options.witness = node.witness;
  Raft::Start start{.hard_state = node.disk.hard_state,
                    .tail = LogTail::Recover(std::move(found)),
                    .configuration = node.machine.configuration,
                    .fresh = fresh};
  node.raft = std::make_unique<Raft>(options, std::move(start), *node.random, now_);
  checker_.OnStart(node.id, node.disk, node.machine);
}

void TestCluster::Absorb(Node& node, Effects effects) {
  if (!effects.poisoned.empty()) {
    Trace(ToString(node.id) + " is poisoned");
    if (!setup_.may_poison) checker_.Violate("poisoned: " + effects.poisoned);
  }
  for (Message& message : effects.messages) {
    checker_.OnSend(message, node.disk, *node.raft);
    Trace(ToString(message));
    network_.push_back(std::move(message));
  }
  if (effects.write) {
    for (const Entry& entry : effects.write->log.slice.entries) {
      const EntryType wrong = node.witness ? EntryType::kNormal : EntryType::kStripped;
      if (entry.type == wrong)
        checker_.Violate("W1: " + ToString(entry.id) + " is of the wrong kind");
    }
    const auto& installed = effects.install;
    checker_.OnWrite(node.id, effects.write->log.slice, installed ? &*installed : nullptr);
    node.writes.push_back(*std::move(effects.write));
  }
  if (effects.install) {
    const LogId id = effects.install->id;
    node.apply.push_back({.entry = std::nullopt, .install = node.snapshots.at(id)});
  }
  for (Entry& entry : effects.committed.entries) {
    node.apply.push_back({.entry = std::move(entry)});
  }
  for (const ReadReady& read : effects.reads) {
    const auto asked = node.asked.find(read.id);
    if (asked == node.asked.end()) {
      checker_.Violate("Q1: an answer to no question, or a second one");
      continue;
    }
    checker_.OnRead(node.id, asked->second, read.index);
    node.asked.erase(asked);
    node.reads.push_back(read);
    Trace(ToString(node.id) + " may read at " + ToString(read.index));
  }
  for (const ColdRead& read : effects.cold_reads) node.cold_reads.push_back(read);
  for (const SnapshotWanted& wanted : effects.snapshots) node.snapshots_wanted.push_back(wanted);
  checker_.OnStep(*node.raft, now_, disks_);
}

void TestCluster::Tick(std::size_t id) {
  if (alive(id)) Absorb(At(id), At(id).raft->Tick(now_));
}

void TestCluster::TickAll(int times) {
  for (int i = 0; i < times; ++i) {
    Elapse(kTick);
    for (std::size_t id = 1; id <= size(); ++id) Tick(id);
    Settle();
  }
}

bool TestCluster::Propose(std::size_t id, const std::string& payload) {
  return std::holds_alternative<Proposed>(ProposeBatch(id, {Bytes(payload)}));
}

std::variant<Proposed, ProposeError> TestCluster::ProposeBatch(std::size_t id,
                                                               std::vector<Bytes> payloads) {
  auto [result, effects] = raft(id).Propose(now_, std::move(payloads));
  Absorb(At(id), std::move(effects));
  return result;
}

Result<Proposed> TestCluster::ProposeChange(std::size_t id, const ConfigurationChange& change) {
  auto [result, effects] = raft(id).ProposeChange(now_, change);
  if (result.ok()) {
    for (PeerId peer : raft(id).configuration().Members()) {
      RUTILE_CHECK(peer.value() <= size() + 1, "numbers follow each other");
      if (peer.value() <= size()) continue;
      Node& node = AddNode();
      node.witness = node.machine.witness = raft(id).configuration().IsWitness(peer);
      Start(node, true);
    }
  }
  if (result.ok()) {
    Trace(ToString(At(id).id) + " changes at " + ToString(result.value().id) + ": " +
          ToString(raft(id).configuration()));
  }
  Absorb(At(id), std::move(effects));
  return result;
}

bool TestCluster::ProposeSomeChange(std::size_t id, Random& random, std::size_t most) {
  ConfigurationChange change{.transition = static_cast<Transition>(random.Below(3))};
  // A joint configuration is left by a change without steps.
  const std::uint64_t steps = raft(id).configuration().IsJoint() ? 0 : 1 + random.Below(2);
  for (std::uint64_t n = 0; n < steps; ++n) {
    change.steps.push_back({static_cast<ChangeStep::Kind>(random.Below(3)),
                            PeerId(1 + random.Below(std::min(most, size() + 1)))});
  }
  return ProposeChange(id, change).ok();
}

void TestCluster::Wipe(std::size_t id) {
  if (alive(id)) Crash(id);
  Node& node = At(id);
  node.disk = {};
  node.machine = node.flushed = {};
  node.snapshots.clear();
  Trace(ToString(node.id) + " forgets everything");
}

void TestCluster::Destroy(std::size_t id) {
  Wipe(id);
  At(id).destroyed = true;
}

ReadId TestCluster::ReadIndex(std::size_t id) {
  const ReadId read = next_read_;
  next_read_ = next_read_.Next();
  At(id).asked[read] = checker_.highest_commit();
  Absorb(At(id), raft(id).ReadIndex(now_, read));
  return read;
}

void TestCluster::Campaign(std::size_t id) { Absorb(At(id), raft(id).Campaign(now_)); }

void TestCluster::Transfer(std::size_t from, std::size_t to) {
  Absorb(At(from), raft(from).TransferLeadership(now_, PeerId(to)));
}

void TestCluster::SetPriority(std::size_t id, std::int32_t priority) {
  Absorb(At(id), raft(id).SetPriority(now_, priority));
}

void TestCluster::SetLimits(std::size_t id, const Limits& limits) {
  Absorb(At(id), raft(id).SetLimits(now_, limits));
}

void TestCluster::SetLive(std::size_t id, std::size_t peer, bool live) {
  Absorb(At(id), raft(id).OnPeerLiveness(now_, PeerId(peer), live));
}

void TestCluster::Compact(std::size_t id, std::uint64_t index) {
  Node& node = At(id);
  FlushMachine(id);
  node.raft->CompactTo(std::min(Index(index), node.flushed.applied.index));
  const LogId base = node.raft->tail().base();
  // Writes in flight are after what is durable, so the disk can let go now.
  if (base.index <= node.disk.base.index || !node.disk.Has(base)) return;
  node.disk.base = base;
  node.disk.log.erase(node.disk.log.begin(), node.disk.log.upper_bound(base.index));
}

void TestCluster::Unreachable(std::size_t id, std::size_t peer) {
  Absorb(At(id), raft(id).OnUnreachable(now_, PeerId(peer)));
}

std::size_t TestCluster::Leader() const {
  std::size_t leader = 0;
  for (const Node& node : nodes_) {
    if (node.raft == nullptr || !node.raft->is_leader()) continue;
    if (leader == 0 || node.raft->term() > At(leader).raft->term()) leader = node.id.value();
  }
  return leader;
}

bool TestCluster::removed(std::size_t id) const {
  const Node& node = At(id);
  return node.joined && !node.machine.configuration.IsMember(node.id);
}

std::string TestCluster::Log(std::size_t id) const {
  const LogTail& tail = At(id).raft->tail();
  std::string text = ToString(tail.base());
  for (Index i = tail.first(); i <= tail.last().index; i = i.Next()) {
    text += " " + ToString(*tail.TermAt(i));
  }
  return text;
}

bool TestCluster::InNetwork(MessageType type, std::size_t from, std::size_t to) const {
  return std::any_of(network_.begin(), network_.end(), [&](const Message& m) {
    return m.type == type && m.from == PeerId(from) && m.to == PeerId(to);
  });
}

void TestCluster::Elect(std::size_t id) {
  Elapse(setup_.options.vote_refusal);
  Campaign(id);
  Settle();
}

void TestCluster::Inject(Message message) {
  Node& node = At(message.to.value());
  if (node.raft == nullptr) return;
  if (message.type == MessageType::kSnapshot) {
    const auto data = snapshot_data_.find({node.id, message.snapshot->id});
    RUTILE_CHECK(data != snapshot_data_.end());
    node.snapshots[message.snapshot->id] = data->second;
  }
  Absorb(node, node.raft->Step(now_, std::move(message)));
}

void TestCluster::Deliver(std::size_t position, bool keep) {
  const auto at = network_.begin() + static_cast<std::ptrdiff_t>(position);
  Message message = *at;
  if (!keep) network_.erase(at);
  if (!cut_.contains({message.from.value(), message.to.value()})) Inject(std::move(message));
}

void TestCluster::Isolate(std::size_t id) {
  for (std::size_t other = 1; other <= size(); ++other) {
    CutLink(id, other);
    CutLink(other, id);
  }
}

void TestCluster::Settle() {
  bool moved = true;
  for (std::uint64_t moves = 0; moved; ++moves) {
    if (moves > kMaxMoves) return checker_.Violate("T1: the cluster never comes to rest");
    moved = MoveNetwork();
    for (Node& node : nodes_) moved |= MoveNode(node);
  }
}

bool TestCluster::MoveNetwork() {
  for (std::size_t i = 0; i < network_.size(); ++i) {
    if (hold && hold(network_[i])) continue;
    Deliver(i);
    return true;
  }
  return false;
}

bool TestCluster::MoveNode(Node& node) {
  const std::size_t id = node.id.value();
  if (node.raft == nullptr) return false;
  bool moved = false;
  if (!node.writer_paused && !node.writes.empty()) {
    CompleteWrite(id);
    moved = true;
  }
  if (!node.apply_paused) moved |= ApplyOne(id);
  if (!node.reader_paused) moved |= AnswerColdRead(id);
  return moved | SendSnapshot(id);
}

void TestCluster::WriteToDisk(Node& node, const LogWrite& write) {
  Disk& disk = node.disk;
  const LogSlice& slice = write.log.slice;
  if (write.log.reset) {
    disk.log.clear();
    disk.base = slice.prev;
  }
  const auto after = disk.log.upper_bound(slice.prev.index);
  if (after != disk.log.end() && !write.log.cut) {
    checker_.Violate("L2: a write replaces entries and does not say so");
  }
  disk.log.erase(after, disk.log.end());
  for (const Entry& entry : slice.entries) {
    if (entry.id.index > disk.base.index) disk.log[entry.id.index] = entry;
  }
  if (write.hard_state) disk.hard_state = *write.hard_state;
  if (!disk.hard_state.impaired_until) disk.lost.clear();
}

void TestCluster::CompleteWrite(std::size_t id, bool tell) {
  Node& node = At(id);
  RUTILE_CHECK(!node.writes.empty());
  const LogWrite write = std::move(node.writes.front());
  node.writes.pop_front();
  WriteToDisk(node, write);
  if (tell) {
    TellDurable(id, write.log.mark);
  } else {
    node.marks.push_back(write.log.mark);
  }
}

void TestCluster::TellDurable(std::size_t id, const Mark& mark) {
  Absorb(At(id), raft(id).OnDurable(now_, mark));
}

bool TestCluster::ApplyOne(std::size_t id) {
  Node& node = At(id);
  if (node.raft == nullptr || node.apply.empty()) return false;
  const ApplyItem item = std::move(node.apply.front());
  node.apply.pop_front();
  if (!item.entry) {
    node.machine = item.install;
    NoteJoined(node);
    checker_.OnInstall(node.id, node.machine);
    Trace(ToString(node.id) + " installs " + ToString(node.machine.applied));
    return true;
  }
  const MachineState before = node.machine;
  node.machine.applied = item.entry->id;
  if (!node.witness) node.machine.hash = Mix(before.hash, *item.entry);
  if (item.entry->type == EntryType::kConfig) {
    node.machine.configuration = DecodeConfiguration(item.entry->payload.view()).value();
    NoteJoined(node);
  }
  checker_.OnApply(node.id, before, *item.entry, node.machine);
  Trace(ToString(node.id) + " applies " + ToString(item.entry->id));
  Absorb(node, node.raft->OnApplied(now_, item.entry->id.index));
  return true;
}

bool TestCluster::AnswerColdRead(std::size_t id, bool fail) {
  Node& node = At(id);
  if (node.raft == nullptr || node.cold_reads.empty()) return false;
  const ColdRead read = node.cold_reads.front();
  node.cold_reads.pop_front();
  LogSlice slice;
  slice.prev = read.prev;
  std::size_t bytes = 0;
  // By bare index, as a log engine reads: what is asked for may not be what is there.
  for (Index i = read.prev.index.Next(); i <= read.to && !fail; i = i.Next()) {
    const auto it = node.disk.log.find(i);
    if (it == node.disk.log.end()) break;
    bytes += it->second.size_bytes();
    if (bytes > read.max_bytes && !slice.empty()) break;
    slice.entries.push_back(it->second);
  }
  Trace(ToString(node.id) + " reads " + ToString(slice.prev) + " to " + ToString(slice.last()));
  Absorb(node, node.raft->OnColdRead(now_, read, std::move(slice)));
  return true;
}

bool TestCluster::SendSnapshot(std::size_t id, bool fail) {
  Node& node = At(id);
  if (node.raft == nullptr || node.snapshots_wanted.empty()) return false;
  const SnapshotWanted wanted = node.snapshots_wanted.front();
  node.snapshots_wanted.pop_front();
  MachineState state = node.machine;
  state.witness = wanted.witness;
  if (wanted.witness) state.hash = 0;
  if (fail || state.applied.index < wanted.at_least) {
    Absorb(node, node.raft->OnSnapshotSent(now_, wanted.to_peer, {}, false));
    return true;
  }
  OfferSnapshot(id, wanted.to_peer.value(), state);
  Absorb(node, node.raft->OnSnapshotSent(now_, wanted.to_peer, state.applied, true));
  return true;
}

void TestCluster::OfferSnapshot(std::size_t from, std::size_t to, const MachineState& state) {
  Message message;
  message.type = MessageType::kSnapshot;
  message.from = PeerId(from);
  message.to = PeerId(to);
  message.term = raft(from).term();
  message.snapshot = SnapshotMeta{.id = state.applied, .configuration = state.configuration};
  // A host asks the core, which knows what its state machine may have forgotten.
  if (state.applied == At(from).machine.applied &&
      state.applied.index >= raft(from).tail().base().index) {
    message.snapshot->configuration = raft(from).ConfigurationAt(state.applied.index);
  }
  checker_.OnSnapshot(At(from).id, *message.snapshot, state);
  snapshot_data_[{message.to, state.applied}] = state;
  Trace(ToString(message));
  network_.push_back(std::move(message));
}

void TestCluster::Crash(std::size_t id, std::size_t surviving_writes, bool keep_machine) {
  Node& node = At(id);
  for (; surviving_writes > 0 && !node.writes.empty(); --surviving_writes) {
    WriteToDisk(node, node.writes.front());
    node.writes.pop_front();
  }
  node.writes.clear();
  node.marks.clear();
  node.apply.clear();
  node.cold_reads.clear();
  node.snapshots_wanted.clear();
  node.asked.clear();
  node.raft.reset();
  if (!keep_machine) node.machine = node.flushed;
  Trace(ToString(node.id) + " crashes");
}

void TestCluster::Restart(std::size_t id) {
  RUTILE_CHECK(!alive(id) && !destroyed(id));
  Start(At(id), false);
  Trace(ToString(At(id).id) + " restarts");
}

void TestCluster::LoseEntries(std::size_t id, std::uint64_t from) {
  RUTILE_CHECK(!alive(id) && from > 0);
  Disk& disk = At(id).disk;
  const LogId before = disk.last();
  const LogId applied = At(id).machine.applied;
  // Whatever was applied is in the engine; without it the log begins anew there anyway.
  if (applied.index < disk.base.index || !disk.Has(applied)) return;
  const auto first = disk.log.lower_bound(Index(from));
  for (auto at = first; at != disk.log.end(); ++at) {
    if (at->first > applied.index) disk.lost.insert(at->second.id);
  }
  if (applied.index >= Index(from)) {
    disk.log.clear();
    disk.base = applied;
  } else {
    disk.log.erase(first, disk.log.end());
  }
  if (before > disk.last()) {
    Rare<LogId>& until = disk.hard_state.impaired_until;
    until = until ? std::max(*until, before) : before;
  }
  Trace(ToString(At(id).id) + " loses what it had from " + std::to_string(from) + " up to " +
        ToString(before));
}

}  // namespace rutile::raft::testing
