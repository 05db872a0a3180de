#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/status.h"
#include "engine/kv_engine.h"
#include "mvcc/reader.h"
#include "mvcc/types.h"
#include "mvcc/value_cursor.h"

namespace rutile::mvcc {

// What a transaction reads in a range: the pairs in order of their keys, up or down, and in between
// the locks that keep it from knowing a key. Two iterators, over locks and over writes, walk side
// by side, and one over long values behind them.
//
// Not thread-safe; must not outlive the snapshot.
class Scanner {
 public:
  struct Options {
    std::string lower = {};  // User keys.
    std::string upper = {};  // Exclusive; empty: no bound.
    View view = {};
    bool key_only = false;  // Values are left empty, and long ones are not read.
    // Of the pairs the first and then every so manieth, counted without locks, of which all are
    // shown; zero and one: every pair.
    std::uint32_t sample_step = 0;
    engine::Bounds within = {};  // Engine keys: what lies outside is not looked at either.
  };
  struct Pair {
    std::string key = {};
    std::string value = {};
    Timestamp commit = {};  // As in Found.
  };
  using Item = std::variant<Pair, KeyIsLocked>;

  virtual ~Scanner() = default;
  Scanner(const Scanner&) = delete;
  Scanner& operator=(const Scanner&) = delete;

  // The next pair or lock; nothing at the end. After an error it must not be called again.
  Result<std::optional<Item>> Next();

 protected:
  using Direction = ValueCursor::Direction;

  Scanner(const engine::Snapshot& snapshot, Options options, Direction direction);

  const View& view() const { return options_.view; }
  engine::Iterator& writes() { return *writes_; }
  // The timestamp of the record that the writes' iterator stands on, if it is one of the key's.
  std::optional<Timestamp> RecordOf(std::string_view lock_key) const;

 private:
  // The newest put or deletion of the key in view. The writes' iterator stands on the record of the
  // key that comes first in the scan's direction, or on none of it.
  virtual Result<std::optional<Version>> FindVersion(std::string_view lock_key) = 0;
  // Moves the writes' iterator from a record of the key, if it stands on one, to the next key's
  // first.
  virtual void SkipVersions(std::string_view lock_key) = 0;

  // Takes the next user key that has any record into lock_key_; empty at the end.
  Status TakeLockKey();
  // If the key has a lock, moves past it and returns it.
  Result<std::optional<Lock>> TakeLock(std::string_view lock_key);
  // The pair that a lock leads to, of a transaction that the reader knows to be committed; nothing
  // if it leaves none, or one that is not shown.
  Result<std::optional<Item>> ReadLock(std::string_view lock_key, Lock lock);
  // Of a put, whose record may have it.
  Result<std::string> ValueOf(std::string_view lock_key, std::optional<std::string> short_value,
                              Timestamp start);
  // Whether the next pair is one of those to be shown.
  bool IsSampled();

  const Options options_;
  const Direction direction_;
  ValueCursor values_;  // Long ones.
  const std::unique_ptr<engine::Iterator> locks_;
  const std::unique_ptr<engine::Iterator> writes_;
  std::string lock_key_ = {};  // Of the key that is being read.
  std::uint32_t skipped_ = 0;  // Pairs since the last one shown.
  bool has_shown_ = false;
};

// From the lower bound up.
class ForwardScanner final : public Scanner {
 public:
  ForwardScanner(const engine::Snapshot& snapshot, Options options);

 private:
  Result<std::optional<Version>> FindVersion(std::string_view lock_key) override;
  void SkipVersions(std::string_view lock_key) override;
  // Moves the writes' iterator to the first record of the key that is in view, or behind its last
  // one.
  void AdvanceIntoView(std::string_view lock_key);
};

}  // namespace rutile::mvcc
