#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "raft/raft.h"

namespace rutile::raft::testing {

// What a node of a test has on its disk, and nothing else.
struct Disk {
  HardState hard_state = {};
  LogId base = {};
  std::map<Index, Entry> log = {};
  // Was here, durable, and the disk has lost it: TestCluster::LoseEntries(). Others count on it.
  std::set<LogId> lost = {};

  LogId last() const { return log.empty() ? base : log.rbegin()->second.id; }
  // Whether the entry is there, or is covered by what was compacted.
  bool Has(LogId id) const;
  bool HadOnce(LogId id) const { return Has(id) || lost.contains(id); }
};

// The state machine of the tests: a chain of hashes over all that was applied.
struct MachineState {
  LogId applied = {};
  std::uint64_t hash = 0;
  Configuration configuration = {};  // The newest that was applied.
  bool witness = false;              // Has applied where it says, and has no data.
};

// Stands outside, sees everything a cluster does, remembers it, and knows little: it never asks the
// code that it checks what is right. The codes are those of the invariants:
//
//   ES one leader a term                       LM same id, same prefix
//   LC leaders have what is committed          SM all apply the same, in order
//   L3 the order of cursors                    CD committed is durable on a quorum
//   M1 in force is what the log says last,     V1 one vote a term, durable
//      and neighbours cannot decide apart      L4 no promise before the disk
//   S1 snapshots say what was in force there   Q1 reads and leases are not stale
//   V2 who has lost entries does not vote
class ClusterChecker {
 public:
  // Empty while all is well, else the first thing that was not.
  const std::string& violation() const { return violation_; }
  void Violate(const std::string& what);

  // A node begins, again or for the first time.
  void OnStart(PeerId node, const Disk& disk, const MachineState& machine);
  // A node handed these entries to its disk; after `installed`, in place of all its log.
  void OnWrite(PeerId node, const LogSlice& slice, const SnapshotMeta* installed = nullptr);
  // A node says what it has applied, which is `state`.
  void OnSnapshot(PeerId node, const SnapshotMeta& meta, const MachineState& state);
  // A message leaves a node with this disk and core.
  void OnSend(const Message& message, const Disk& disk, const Raft& raft);
  void OnApply(PeerId node, const MachineState& before, const Entry& entry,
               const MachineState& after);
  void OnInstall(PeerId node, const MachineState& state);
  // After every step, for the node that made it.
  void OnStep(const Raft& raft, Instant now, const std::map<PeerId, const Disk*>& disks);
  // A read began: what it returns later must be at least this.
  Index highest_commit() const { return highest_commit_; }
  void OnRead(PeerId node, Index asked_at, Index answered);

 private:
  void CheckLeader(const Raft& raft);
  void CheckCommit(const Raft& raft, const std::map<PeerId, const Disk*>& disks);
  void CheckMembership(const Raft& raft);
  // By the record kept here, at an index of a node's log.
  const Configuration& InForce(PeerId node, Index at) const;
  void CheckCursors(const Raft& raft);

  std::string violation_ = {};
  std::map<Term, PeerId> leaders_ = {};
  std::map<std::pair<PeerId, Term>, PeerId> votes_ = {};
  // Every entry that ever was: what stood before it, and its payload, which nobody but witnesses
  // may have so far.
  std::map<LogId, std::pair<LogId, std::optional<std::string>>> entries_ = {};
  std::map<Index, LogId> committed_ = {};
  std::map<Index, std::uint64_t> hashes_ = {};
  Index highest_commit_ = {};
  // Of each node, by the index that brought it; what the log follows is at zero.
  std::map<PeerId, std::map<Index, Configuration>> configurations_ = {};
  std::set<std::pair<Term, Index>> neighbours_ = {};  // Of leaders: looked at.
};

}  // namespace rutile::raft::testing
