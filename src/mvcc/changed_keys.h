#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/kv_engine.h"
#include "mvcc/types.h"

namespace rutile::mvcc {

// Where to look for keys that were changed, and how far at once.
struct ChangeScan {
  std::string lower = {};  // User keys.
  std::string upper = {};  // Exclusive; empty: no bound.
  Timestamp after = {};    // Changed later than this.
  Timestamp until = {};    // Whoever has a change at this one is passed over.
  std::size_t max_keys = 0;
  std::size_t max_records = 0;  // Looked at, or a little more.
};

struct ChangesFound {
  std::vector<std::string> keys = {};  // In order.
  std::string next = {};               // Where to go on; empty: the range is done.
};

// The keys of a range whose newest put or deletion was committed later than `after`. Locks do not
// count. `within` are bounds of the engine. kFailedPrecondition for a change above `until`,
// kCorruption for a record that is none.
Result<ChangesFound> FindChanges(const engine::Snapshot& snapshot, const ChangeScan& scan,
                                 engine::Bounds within);

}  // namespace rutile::mvcc
