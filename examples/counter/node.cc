#include "node.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace counter {
namespace {

raft::Raft::Start Recover(const Disk& disk, bool first_start) {
  // Which term which stretch of the log has.
  std::vector<raft::TermRun> runs;
  for (const rutile::Entry& entry : disk.log.entries) {
    if (runs.empty() || runs.back().term != entry.id.term) {
      runs.push_back({.start = entry.id.index, .term = entry.id.term});
    }
  }
  return {.hard_state = disk.hard_state,
          .tail = raft::LogTail::Recover({.base = disk.log.prev,
                                          .runs = std::move(runs),
                                          .resident = disk.log,
                                          .committed = disk.hard_state.commit,
                                          .applied = disk.counter.applied}),
          .configuration = disk.configuration,
          .fresh = first_start};
}

void Execute(std::string_view command, Counter* counter) {
  const char* const end = command.data() + command.size();
  std::uint64_t request = 0;
  std::int64_t number = 0;
  const char* const space = std::from_chars(command.data(), end, request).ptr;
  std::from_chars(space + 1, end, number);
  if (request <= counter->request) return;  // An earlier attempt did it.
  counter->request = request;
  counter->value += number;
}

}  // namespace

Node::Node(rutile::PeerId id, Disk& disk, bool first_start, rutile::Instant now, Send send)
    : id_(id), disk_(disk), send_(std::move(send)), now_(now), random_(id.value()) {
  raft_ = std::make_unique<raft::Raft>(raft::Options{.id = id}, Recover(disk, first_start), random_,
                                       now);
}

void Node::Tick(rutile::Instant now) {
  now_ = now;
  CarryOut(raft_->Tick(now));
}

void Node::Receive(rutile::Instant now, Packet packet) {
  now_ = now;
  if (auto* snapshot = std::get_if<Snapshot>(&packet)) {
    // The data have to be safe before the core hears of them. It may not want them any more.
    received_[snapshot->counter.applied] = snapshot->counter;
    CarryOut(raft_->Step(now, std::move(snapshot->message)));
    received_.clear();
    return;
  }
  CarryOut(raft_->Step(now, std::get<raft::Message>(std::move(packet))));
}

bool Node::Add(rutile::Instant now, std::uint64_t request, std::int64_t number,
               std::function<void()> done) {
  now_ = now;
  const std::string command = std::to_string(request) + " " + std::to_string(number);
  auto [outcome, effects] = raft_->Propose(now, {rutile::Bytes(command)});
  const auto* proposed = std::get_if<raft::Proposed>(&outcome);
  // Before the effects are carried out: a group of one has applied it at their end.
  if (proposed != nullptr) adding_[proposed->id] = std::move(done);
  CarryOut(std::move(effects));
  return proposed != nullptr;
}

void Node::Read(rutile::Instant now, std::function<void(const std::int64_t*)> done) {
  now_ = now;
  const raft::ReadId id(++last_read_);
  asking_[id] = std::move(done);
  CarryOut(raft_->ReadIndex(now, id));
}

void Node::Compact() {
  raft_->CompactTo(disk_.counter.applied.index);
  const rutile::LogId base = raft_->tail().base();
  auto& entries = disk_.log.entries;
  const auto kept = std::ranges::find_if(
      entries, [&](const rutile::Entry& entry) { return entry.id.index > base.index; });
  entries.erase(entries.begin(), kept);
  disk_.log.prev = base;
  disk_.configuration = raft_->configuration();
}

// Everything in one Effects may be done in any order, even at the same time, since a message that
// has to wait for a write is held back by the core until it is told of the write. Here the disk is
// fast, so all is done on the spot, and each completion brings the next effects.
void Node::CarryOut(raft::Effects first) {
  std::deque<raft::Effects> todo;
  todo.push_back(std::move(first));
  for (; !todo.empty(); todo.pop_front()) {
    raft::Effects effects = std::move(todo.front());
    for (raft::Message& message : effects.messages) {
      const rutile::PeerId to = message.to;
      send_(to, std::move(message));
    }
    // Before anything is applied on top of it.
    if (effects.install) {
      disk_.counter = received_.at(effects.install->id);
      disk_.configuration = effects.install->configuration;
      todo.push_back(raft_->OnApplied(now_, effects.install->id.index));
    }
    if (effects.write) {
      Write(*effects.write);
      todo.push_back(raft_->OnDurable(now_, effects.write->log.mark));
    }
    if (!effects.committed.empty()) {
      Apply(effects.committed);
      todo.push_back(raft_->OnApplied(now_, disk_.counter.applied.index));
    }
    for (const raft::ReadReady& ready : effects.reads) {
      auto asked = asking_.extract(ready.id);
      if (ready.index.IsZero()) {
        asked.mapped()(nullptr);
      } else {
        reading_.emplace(ready.index, std::move(asked.mapped()));
      }
    }
    for (const raft::SnapshotWanted& wanted : effects.snapshots) {
      SendSnapshot(wanted);
      todo.push_back(raft_->OnSnapshotSent(now_, wanted.to_peer, disk_.counter.applied, true));
    }
    AnswerReads();
  }
}

// On disk the log becomes write.log.slice.prev followed by its entries.
void Node::Write(const raft::LogWrite& write) {
  if (write.hard_state) disk_.hard_state = *write.hard_state;
  if (write.log.reset) disk_.log = {.prev = write.log.slice.prev};
  auto& entries = disk_.log.entries;
  while (!entries.empty() && entries.back().id.index > write.log.slice.prev.index) {
    entries.pop_back();
  }
  entries.insert(entries.end(), write.log.slice.entries.begin(), write.log.slice.entries.end());
}

void Node::Apply(const rutile::LogSlice& committed) {
  for (const rutile::Entry& entry : committed.entries) {
    if (entry.type == rutile::EntryType::kNormal) Execute(entry.payload.view(), &disk_.counter);
    // Together with the value, so that a restart applies nothing twice.
    disk_.counter.applied = entry.id;
    // The index alone does not do: another leader's entry may have got it.
    if (auto waiting = adding_.extract(entry.id)) waiting.mapped()();
  }
}

void Node::AnswerReads() {
  while (!reading_.empty() && reading_.begin()->first <= disk_.counter.applied.index) {
    auto ready = reading_.extract(reading_.begin());
    ready.mapped()(&disk_.counter.value);
  }
}

void Node::SendSnapshot(const raft::SnapshotWanted& wanted) {
  send_(wanted.to_peer,
        Snapshot{.message = {.type = raft::MessageType::kSnapshot,
                             .from = id_,
                             .to = wanted.to_peer,
                             .term = raft_->term(),
                             .snapshot = {{.id = disk_.counter.applied,
                                           .configuration = raft_->configuration()}}},
                 .counter = disk_.counter});
}

}  // namespace counter
