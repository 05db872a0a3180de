#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "engine/kv_engine.h"
#include "mvcc/reader.h"
#include "mvcc/types.h"

namespace rutile::mvcc {

// For whoever looks into the records: what is there, whatever it means to readers.

// A value that stands in family default.
struct StoredValue {
  Timestamp start = {};
  std::string value = {};

  friend bool operator==(const StoredValue&, const StoredValue&) = default;
};

// All records of one key, the newest first.
struct KeyRecords {
  std::optional<Lock> lock = {};
  std::vector<Version> writes = {};
  std::vector<StoredValue> values = {};  // Those that are not in their lock or write record.

  bool empty() const { return !lock && writes.empty() && values.empty(); }
};

// How much is looked at. What goes beyond is kResourceExhausted.
struct InspectLimits {
  std::size_t records = 0;
  std::size_t bytes = 0;  // Of the records that are kept.
};

// What the snapshot has of a user key. kCorruption for a record that is none.
Result<KeyRecords> RecordsOf(const engine::Snapshot& snapshot, std::string_view key,
                             const InspectLimits& limits);

// The first user key within bounds of the engine that has a lock or a write record of the
// transaction that started at `start`; nothing where there is none. Walks over locks and writes,
// `limits.records` of them at most, and keeps none.
Result<std::optional<std::string>> FirstKeyOf(const engine::Snapshot& snapshot, Timestamp start,
                                              engine::Bounds within, const InspectLimits& limits);

}  // namespace rutile::mvcc
