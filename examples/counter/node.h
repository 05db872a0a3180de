#pragma once

#include <rutile/raft/raft.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <variant>
#include <vector>

namespace counter {

namespace raft = rutile::raft;

// The state machine: one number, and the newest request that is in it. It is what all entries up to
// `applied` make of it.
struct Counter {
  std::int64_t value = 0;
  std::uint64_t request = 0;
  rutile::LogId applied = {};
};

// What outlives a crash. A real host has files here, and every write to them must have been synced
// before the core is told of it.
struct Disk {
  raft::HardState hard_state = {};
  rutile::LogSlice log = {};               // log.prev is where the log was compacted to.
  raft::Configuration configuration = {};  // In force at log.prev.
  Counter counter = {};
};

// A snapshot on its way. The core knows of `meta` only: the data are the host's business.
struct Snapshot {
  raft::Message message = {};
  Counter counter = {};
};
using Packet = std::variant<raft::Message, Snapshot>;

// One member of the group, while its process lives: drives a raft::Raft and carries out what each
// of its Effects asks for. Everything happens on the calling thread.
class Node {
 public:
  using Send = std::function<void(rutile::PeerId to, Packet packet)>;

  // Goes on from what is on `disk`, which outlives it. `first_start`: there never was anything.
  Node(rutile::PeerId id, Disk& disk, bool first_start, rutile::Instant now, Send send);

  void Tick(rutile::Instant now);
  void Receive(rutile::Instant now, Packet packet);

  // Proposes to add `number`, once for all attempts with the same `request`; each new one is
  // higher. False if another node has to be asked. `done` is called when it has been added. If
  // leadership is lost on the way it may never be, whether the number is added or not: repeat it.
  bool Add(rutile::Instant now, std::uint64_t request, std::int64_t number,
           std::function<void()> done);
  // Linearizable: `done` gets a value that was current at some time since this call. On a follower
  // too. It gets nothing if the leader is unknown or was lost: ask again.
  void Read(rutile::Instant now, std::function<void(const std::int64_t*)> done);
  // Makes all of the log go that is applied. Followers who needed it get a snapshot.
  void Compact();

  bool is_leader() const { return raft_->is_leader(); }
  const Counter& counter() const { return disk_.counter; }

 private:
  void CarryOut(raft::Effects first);
  void Write(const raft::LogWrite& write);
  void Apply(const rutile::LogSlice& committed);
  void AnswerReads();
  void SendSnapshot(const raft::SnapshotWanted& wanted);

  const rutile::PeerId id_;
  Disk& disk_;
  const Send send_;
  rutile::Instant now_;
  rutile::SeededRandom random_;
  std::unique_ptr<raft::Raft> raft_;
  std::map<rutile::LogId, Counter> received_;  // Snapshots that came and are not installed yet.
  std::map<rutile::LogId, std::function<void()>> adding_;
  std::map<raft::ReadId, std::function<void(const std::int64_t*)>> asking_;
  std::multimap<rutile::Index, std::function<void(const std::int64_t*)>> reading_;  // By index.
  std::uint64_t last_read_ = 0;
};

}  // namespace counter
