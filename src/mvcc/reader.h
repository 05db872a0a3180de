#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/status.h"
#include "engine/kv_engine.h"
#include "mvcc/types.h"

namespace rutile::mvcc {

// How a transaction looks at the data.
struct View {
  Timestamp at = {};
  // Transactions that the reader knows to be rolled back, or to commit after `at`: their locks
  // hide nothing.
  std::set<Timestamp> bypassed = {};
  // Transactions that the reader knows to be committed at or below `at`: it reads what their locks
  // are about to write.
  std::set<Timestamp> committed = {};
  // What is committed, and no questions asked: no lock hides anything.
  bool ignores_locks = false;
};

// Whether a reader cannot go by what is committed to the key, since the lock's transaction may yet
// commit at or below `view.at`. He must wait for it, unless it is one of `view.committed`.
bool Blocks(const Lock& lock, const View& view);

// A write record and where it stands.
struct Version {
  Timestamp commit = {};
  Write write = {};
};

// What became of a transaction on one key.
struct Unknown {};  // Nothing is recorded.
struct RolledBack {};
struct Committed {
  Timestamp commit = {};
  Write write = {};
};
using Fate = std::variant<Unknown, RolledBack, Committed>;

// What a transaction reads of a key that is present.
struct Found {
  std::string value = {};
  // Of the transaction that wrote it; zero when it was read from the lock of one that is committed.
  Timestamp commit = {};

  friend bool operator==(const Found&, const Found&) = default;
};
// Nothing: absent.
using ReadAnswer = std::variant<std::optional<Found>, KeyIsLocked>;

// OK for a timestamp at which data can be read of which all that only matters below `safe_point`
// may have been removed; else kNotFound.
Status CheckNotCollected(Timestamp at, Timestamp safe_point);

// Locks that stand in memory, by their keys.
using LockMap = std::map<std::string, Lock, std::less<>>;

// Reads single keys of one snapshot. Any number of keys costs one iterator. Keys are users'.
// Errors: those of the engine, and kCorruption for records that contradict each other.
//
// Not thread-safe; must not outlive the snapshot.
class Reader {
 public:
  // `safe_point`: up to there garbage may have been collected in the snapshot (see FindGarbage).
  // Who calls sees to it that nobody reads below. `in_memory`: locks beside those of the snapshot.
  explicit Reader(const engine::Snapshot& snapshot, Timestamp safe_point = {},
                  LockMap in_memory = {})
      : snapshot_(snapshot), safe_point_(safe_point), in_memory_(std::move(in_memory)) {}

  Timestamp safe_point() const { return safe_point_; }
  const LockMap& in_memory() const { return in_memory_; }
  // Whether LoadLock() has found one in the snapshot.
  bool has_met_stored_lock() const { return has_met_stored_lock_; }

  // The value that a transaction reads, and since when it is there.
  Result<ReadAnswer> Get(std::string_view key, const View& view);

  Result<std::optional<Lock>> LoadLock(std::string_view key);
  // The newest record at or below `at`, of any kind.
  Result<std::optional<Version>> NewestRecord(std::string_view key, Timestamp at);
  // The newest put or deletion at or below `at`.
  Result<std::optional<Version>> NewestVersion(std::string_view key, Timestamp at);
  // The record at exactly `at`.
  Result<std::optional<Write>> RecordAt(std::string_view key, Timestamp at);
  Result<Fate> FateOf(std::string_view key, Timestamp start);
  // The value of a put.
  Result<std::string> LoadValue(std::string_view key, const Write& write);
  // What the lock's transaction will have written when it is committed; nothing: no value.
  Result<std::optional<std::string>> LoadValue(std::string_view key, const Lock& lock);

 private:
  Result<std::string> LoadLongValue(std::string_view key, Timestamp start);

  const engine::Snapshot& snapshot_;
  const Timestamp safe_point_;
  const LockMap in_memory_;
  bool has_met_stored_lock_ = false;
  std::unique_ptr<engine::Cursor> writes_;  // Made when first needed.
};

}  // namespace rutile::mvcc
