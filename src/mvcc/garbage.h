#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/kv_engine.h"
#include "mvcc/types.h"

namespace rutile::mvcc {

// A record that nobody needs any more.
struct GarbageRecord {
  Timestamp commit = {};  // Where it stands among the key's records.
  Timestamp start = {};
  bool has_long_value = false;  // In the default family, at `start`.
  // A deletion, without which all that is older would be seen again.
  bool hides_others = false;

  friend bool operator==(const GarbageRecord&, const GarbageRecord&) = default;
};

// Of one user key, the newest first. To be removed all at once or from the oldest on: without the
// newest, a deletion, those that it hides would come back.
struct KeyGarbage {
  std::string key = {};
  std::vector<GarbageRecord> records = {};

  friend bool operator==(const KeyGarbage&, const KeyGarbage&) = default;
};

// Where to look for garbage, and how far at once.
struct GarbageScan {
  std::string lower = {};       // User key.
  Timestamp safe_point = {};    // All who come started there or later.
  std::size_t max_records = 0;  // Looked at, or a little more: a key is not left in its middle.
};

struct GarbageFound {
  std::vector<KeyGarbage> keys = {};  // Only those that have some, in order.
  std::size_t looked_at = 0;          // Records,
  std::size_t above = 0;              // and of those what is at the safe point or above.
  std::string next = {};              // Where to go on; empty: the range is done.
};

// What transactions that start at the safe point or later never see of the records of a range: all
// versions but the newest at or below it, that one too if it is a deletion, and below it records of
// locks and rollbacks: transactions that started so early are over. Keys on which one that is not
// still has a lock are passed over.
//
// `within` are bounds of the engine. kCorruption for a record that is none.
Result<GarbageFound> FindGarbage(const engine::Snapshot& snapshot, const GarbageScan& scan,
                                 engine::Bounds within);

// Removes the records and their values. With a deletion that hides others, all that is older on
// whatever replica this is applied: some may have left out what this one lacks (GarbageFilter in
// store), and others not.
void RemoveGarbage(const KeyGarbage& garbage, engine::WriteBatch* changes);

}  // namespace rutile::mvcc
