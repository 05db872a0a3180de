#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/kv_engine.h"
#include "mvcc/types.h"

namespace rutile::mvcc {

// Which locks are looked for.
struct LockScan {
  std::string lower = {};            // User keys.
  std::string upper = {};            // Exclusive; empty: no bound.
  Timestamp latest = kMaxTimestamp;  // Of transactions that started no later.
  std::set<Timestamp> starts = {};   // Of these only; empty: of all.
  std::size_t limit = 0;             // So many at most; zero: all.
};

bool Matches(const LockScan& scan, const Lock& lock);

// The locks of a range, as far as it lies within bounds of the engine, in order of their keys.
// kCorruption for a record that is none.
Result<std::vector<KeyIsLocked>> ScanLocks(const engine::Snapshot& snapshot, const LockScan& scan,
                                           engine::Bounds within);

}  // namespace rutile::mvcc
