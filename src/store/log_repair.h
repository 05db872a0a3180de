#pragma once

#include "base/ids.h"
#include "base/log.h"
#include "base/status.h"
#include "raft/raft.h"
#include "wal/wal.h"

// What a store does about entries of a region's log that its disk has lost, when it is known which
// (wal::RegionLog::lost). docs/design/wal-recovery.md argues for it.
namespace rutile::store {

struct LogRepair {
  // Must come before any other write of the region. It need not be durable before the replica acts:
  // all that the replica promises is in later writes.
  wal::RegionWrite write = {};
  wal::LostEntries lost = {};
  LogId now_ends = {};
  bool impaired = false;  // Only the region's other peers have what was lost.
};

// Decides, and makes `log` what it is after the decision. `applied` is what the state machine has
// durably, or what the log begins with if that is later. Requires log.lost.
//
//   all that was lost is applied    only old log is missing: the log begins behind it
//   some of it is                   the log begins anew where the state machine is
//   nothing of it is                the log is cut before it
//
// In the latter two the hard state says up to where the log went: until it goes there again, the
// replica does not vote.
LogRepair PlanLogRepair(RegionId region, LogId applied, wal::RegionLog* log);

// An error when nobody is there who could bring back what was lost. `raft` is the core that starts
// with the log as it was planned.
Status CheckPeersCanRepair(RegionId region, const LogRepair& repair, const raft::Raft& raft);

// One warning: which entries of which region, where they should be, and what follows.
void Report(Logger& logger, const LogRepair& repair);

}  // namespace rutile::store
