#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/status.h"
#include "engine/kv_engine.h"
#include "mvcc/reader.h"
#include "mvcc/types.h"

namespace rutile::mvcc {

// What a transaction reads in a range: the pairs in order of their keys and, in between, the locks
// that keep it from knowing a key. Two iterators, over locks and over writes, walk side by side.
//
// Not thread-safe; must not outlive the snapshot.
class ForwardScanner {
 public:
  struct Options {
    std::string lower = {};  // User keys.
    std::string upper = {};  // Exclusive; empty: no bound.
    View view = {};
    bool key_only = false;  // Values are left empty, and long ones are not read.
  };
  struct Pair {
    std::string key = {};
    std::string value = {};
  };
  using Item = std::variant<Pair, KeyIsLocked>;

  ForwardScanner(const engine::Snapshot& snapshot, Options options);

  // The next pair or lock; nothing at the end. After an error it must not be called again.
  Result<std::optional<Item>> Next();

 private:
  // The lock key of the next user key that has any record; empty at the end.
  Result<std::string> NextLockKey() const;
  // If the key has a lock, moves past it and returns it.
  Result<std::optional<Lock>> TakeLock(std::string_view lock_key);
  // Moves past the key's records to its newest put or deletion in view, or to the next key.
  Result<std::optional<Write>> FindVersion(std::string_view lock_key);
  void SkipVersions(std::string_view lock_key);
  // Whether the writes' iterator stands on a record of the key; if so, says at which timestamp.
  bool AtVersionOf(std::string_view lock_key, Timestamp* timestamp) const;
  // Moves the writes' iterator to the first record at or after `target`, which lies ahead: by
  // steps when it is near.
  void Advance(const std::string& target);

  const Options options_;
  Reader reader_;  // For long values.
  const std::unique_ptr<engine::Iterator> locks_;
  const std::unique_ptr<engine::Iterator> writes_;
};

}  // namespace rutile::mvcc
