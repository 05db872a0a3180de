#pragma once

#include <cstdint>
#include <map>
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

  LogId last() const { return log.empty() ? base : log.rbegin()->second.id; }
  // Whether the entry is there, or is covered by what was compacted.
  bool Has(LogId id) const;
};

// The state machine of the tests: a chain of hashes over all that was applied.
struct MachineState {
  LogId applied = {};
  std::uint64_t hash = 0;
};

// Stands outside, sees everything a cluster does, remembers it, and knows little: it never asks the
// code that it checks what is right. The codes are those of the invariants:
//
//   ES one leader a term             LM same id, same prefix        LC leaders have what is
//   committed SM all apply the same, in order  L3 the order of cursors        CD committed is
//   durable on a quorum V1 one vote a term, durable      L4 no promise before the disk  Q1 reads
//   and leases are not stale
class ClusterChecker {
 public:
  explicit ClusterChecker(std::size_t voters) : voters_(voters) {}

  // Empty while all is well, else the first thing that was not.
  const std::string& violation() const { return violation_; }
  void Violate(const std::string& what);

  // A node handed these entries to its disk.
  void OnWrite(PeerId node, const LogSlice& slice);
  // A message leaves a node with this disk and core.
  void OnSend(const Message& message, const Disk& disk, const Raft& raft);
  void OnApply(PeerId node, const MachineState& before, const Entry& entry,
               const MachineState& after);
  void OnInstall(PeerId node, const MachineState& state);
  // After every step, for the node that made it. `disks` are those of all nodes.
  void OnStep(const Raft& raft, Instant now, const std::vector<const Disk*>& disks);
  // A read began: what it returns later must be at least this.
  Index highest_commit() const { return highest_commit_; }
  void OnRead(PeerId node, Index asked_at, Index answered);

 private:
  void CheckLeader(const Raft& raft);
  void CheckCommit(const Raft& raft, const std::vector<const Disk*>& disks);
  void CheckCursors(const Raft& raft);

  const std::size_t voters_;
  std::string violation_ = {};
  std::map<Term, PeerId> leaders_ = {};
  std::map<std::pair<PeerId, Term>, PeerId> votes_ = {};
  // Every entry that ever was: what stood before it, and its payload.
  std::map<LogId, std::pair<LogId, std::string>> entries_ = {};
  std::map<Index, LogId> committed_ = {};
  std::map<Index, std::uint64_t> hashes_ = {};
  Index highest_commit_ = {};
};

}  // namespace rutile::raft::testing
