#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/random.h"
#include "raft/raft.h"
#include "raft/testing/cluster_checker.h"

namespace rutile::raft::testing {

// Options that make rare things common and are quick to reason about: a tick is 100 ms, elections
// take 10 of them, the lease is shorter than the time for which votes are refused.
Options SmallOptions();
inline constexpr Duration kTick = Milliseconds(100);
inline constexpr int kElectionTicks = 10;

// Raft cores with disks, state machines and a network in memory, all in the hands of the test:
// nothing moves unless it says so. Nodes are numbered from 1; those up to `voters` vote, `learners`
// and `spares` follow.
//
// Everything that happens is shown to a ClusterChecker; violation() must stay empty.
class TestCluster {
 public:
  struct Setup {
    std::size_t voters = 3;
    std::size_t learners = 0;
    std::size_t witnesses = 0;  // The last of the voters.
    std::size_t spares = 0;     // Begin empty and wait to be told, as whoever is added does.
    Options options = SmallOptions();
    std::uint64_t seed = 1;
    // The terms of the entries that nodes 1, 2 ... have on disk, from index 1, where not empty.
    std::vector<std::vector<std::uint64_t>> logs = {};
    LogId begins = {};        // What all first members begin after; whoever is added begins at 0.
    bool fresh = true;        // No votes refused at the start.
    bool may_poison = false;  // Else a node that finds its own invariants broken is a violation.
  };

  explicit TestCluster(Setup setup);

  std::size_t size() const { return nodes_.size(); }
  Raft& raft(std::size_t id);
  const Disk& disk(std::size_t id) const { return At(id).disk; }
  // For tests of disks that lose what they had promised to keep.
  Disk& faulty_disk(std::size_t id) { return At(id).disk; }
  const MachineState& machine(std::size_t id) const { return At(id).machine; }
  bool alive(std::size_t id) const { return At(id).raft != nullptr; }
  bool destroyed(std::size_t id) const { return At(id).destroyed; }
  // Its state machine was that of a member, and is not any more. (That of a new one may at first be
  // older than the entry that adds it.)
  bool removed(std::size_t id) const;
  const std::string& violation() const { return checker_.violation(); }
  Instant now() const { return now_; }
  // Answers to reads of a node, oldest first.
  const std::vector<ReadReady>& reads(std::size_t id) const { return At(id).reads; }
  // The leader of the highest term; zero when nobody leads.
  std::size_t Leader() const;
  // The core's log: base, then the terms of the entries: "0@0 1 1 2".
  std::string Log(std::size_t id) const;
  bool InNetwork(MessageType type, std::size_t from, std::size_t to) const;
  // All that happened since the last call, a line each.
  std::string TakeTrace() { return std::exchange(trace_, {}); }

  // --- Time. Ticks of a dead node are nothing.
  void Elapse(Duration duration) { now_ += duration; }
  void Tick(std::size_t id);
  void TickAll(int times = 1);  // Each advances the clock by kTick, and settles.

  // --- Inputs.
  bool Propose(std::size_t id, const std::string& payload);
  std::variant<Proposed, ProposeError> ProposeBatch(std::size_t id, std::vector<Bytes> payloads);
  // Who is added, and has the next number, begins to be, with an empty disk.
  Result<Proposed> ProposeChange(std::size_t id, const ConfigurationChange& change);
  // A change of a few steps about nodes up to `most`; refused more often than not.
  bool ProposeSomeChange(std::size_t id, Random& random, std::size_t most);
  // Dies, and its disk is emptied: when it starts again, it knows nothing.
  void Wipe(std::size_t id);
  // Removed, with all that it knew; it never comes back.
  void Destroy(std::size_t id);
  ReadId ReadIndex(std::size_t id);
  void Campaign(std::size_t id);
  void Transfer(std::size_t from, std::size_t to);
  void SetPriority(std::size_t id, std::int32_t priority);
  void SetLimits(std::size_t id, const Limits& limits);
  // What the host of `id` believes of the node of `peer`.
  void SetLive(std::size_t id, std::size_t peer, bool live);
  void Evict(std::size_t id, std::size_t keep = 0) { raft(id).Evict(keep); }
  // Flushes the state machine, then lets go of the log up to `index`, clamped.
  void Compact(std::size_t id, std::uint64_t index);
  void Unreachable(std::size_t id, std::size_t peer);
  // Lets time go by until nobody refuses votes, makes `id` campaign, and settles.
  void Elect(std::size_t id);
  // Until nothing moves that is not held, paused or cut off.
  void Settle();

  // --- Network.
  std::deque<Message>& network() { return network_; }
  void Deliver(std::size_t position, bool keep = false);
  void Inject(Message message);
  // Who comes later is not cut off.
  void Isolate(std::size_t id);
  void CutLink(std::size_t from, std::size_t to) { cut_.insert({from, to}); }
  void Heal() { cut_.clear(); }
  // Messages for which this is true stay in the network.
  std::function<bool(const Message&)> hold = {};

  // --- Disks and state machines.
  void PauseWriter(std::size_t id, bool paused = true) { At(id).writer_paused = paused; }
  void PauseApply(std::size_t id, bool paused = true) { At(id).apply_paused = paused; }
  void PauseReader(std::size_t id, bool paused = true) { At(id).reader_paused = paused; }
  std::size_t writes_in_flight(std::size_t id) const { return At(id).writes.size(); }
  const std::deque<LogWrite>& writes(std::size_t id) const { return At(id).writes; }
  // The oldest write reaches the disk, and, if `tell`, the core learns of it.
  void CompleteWrite(std::size_t id, bool tell = true);
  void TellDurable(std::size_t id, const Mark& mark);
  std::vector<Mark>& marks(std::size_t id) { return At(id).marks; }  // Of completed writes, untold.
  bool ApplyOne(std::size_t id);
  bool AnswerColdRead(std::size_t id, bool fail = false);
  bool SendSnapshot(std::size_t id, bool fail = false);
  // `state` is on its way as a snapshot, whoever asked for it.
  void OfferSnapshot(std::size_t from, std::size_t to, const MachineState& state);
  // What the engine has now survives a power cut.
  void FlushMachine(std::size_t id) { At(id).flushed = At(id).machine; }

  // A power cut: of the writes in flight so many of the oldest survive. The state machine goes back
  // to what was flushed, or not.
  void Crash(std::size_t id, std::size_t surviving_writes = 0, bool keep_machine = true);
  void Restart(std::size_t id);
  // The disk of a dead node has lost the entries from `from` on, which it had as durable, and the
  // host has noticed: see HardState::impaired_until.
  void LoseEntries(std::size_t id, std::uint64_t from);

 private:
  struct ApplyItem {
    std::optional<Entry> entry = {};
    MachineState install = {};  // When there is no entry.
  };
  struct Node {
    PeerId id = {};
    std::unique_ptr<Raft> raft = {};
    std::unique_ptr<SeededRandom> random = {};
    Disk disk = {};
    std::deque<LogWrite> writes = {};
    std::vector<Mark> marks = {};
    std::deque<ApplyItem> apply = {};
    MachineState machine = {};
    MachineState flushed = {};
    std::map<LogId, MachineState> snapshots = {};  // Received, safe on disk.
    std::deque<ColdRead> cold_reads = {};
    std::deque<SnapshotWanted> snapshots_wanted = {};
    std::map<ReadId, Index> asked = {};
    std::vector<ReadReady> reads = {};
    bool writer_paused = false;
    bool apply_paused = false;
    bool reader_paused = false;
    bool joined = false;  // Was a member by what it had applied.
    bool destroyed = false;
    bool witness = false;
  };

  Node& At(std::size_t id) { return nodes_[id - 1]; }
  const Node& At(std::size_t id) const { return nodes_[id - 1]; }
  Node& AddNode();
  void Start(Node& node, bool fresh);
  void NoteJoined(Node& node) {
    node.joined = node.joined || node.machine.configuration.IsMember(node.id);
  }
  void Absorb(Node& node, Effects effects);
  bool MoveNode(Node& node);
  bool MoveNetwork();
  void Trace(const std::string& line) { trace_ += line + "\n"; }
  void WriteToDisk(Node& node, const LogWrite& write);

  const Setup setup_;
  Configuration configuration_ = {};
  std::deque<Node> nodes_ = {};
  std::map<PeerId, const Disk*> disks_ = {};
  std::deque<Message> network_ = {};
  std::map<std::pair<PeerId, LogId>, MachineState> snapshot_data_ =
      {};  // On the wire, by receiver.
  std::set<std::pair<std::size_t, std::size_t>> cut_ = {};
  ClusterChecker checker_ = {};
  Instant now_ = {};
  ReadId next_read_ = ReadId(1);
  std::string trace_ = {};
};

}  // namespace rutile::raft::testing
