#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "raft/raft.h"
#include "store/region.h"

namespace rutile::store {

// Numbers of one replica, for status pages and metrics.
struct ReplicaStatus {
  Region region = {};
  PeerId self = {};
  PeerId leader = {};
  raft::Role role = raft::Role::kFollower;
  Term term = {};
  Index base = {};
  Index applied = {};
  Index committed = {};
  Index durable = {};
  Index last = {};
  std::vector<raft::TermRun> terms = {};  // Of the end of the log: the newest runs, in their order.
  Index applying = {};
  Index submitted = {};
  Index first_resident = {};  // last + 1: no payload is in memory.
  std::size_t resident_bytes = 0;
  std::uint64_t log_segments = 0;            // See wal::Wal::SegmentsSince().
  std::vector<raft::PeerStatus> peers = {};  // On the leader.
  bool quiet = false;                        // Its clock is stopped: there is nothing to do.
  std::optional<Index> impaired_until = {};  // See raft::HardState.
  std::string poisoned = {};
  // What waits for an answer: see Admission.
  std::size_t waiting_writes = 0;
  std::size_t waiting_write_bytes = 0;
  std::size_t waiting_reads = 0;
};

}  // namespace rutile::store
