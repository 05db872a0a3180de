#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/strong_id.h"

namespace rutile::mvcc {

// What the timestamp oracle gives out: milliseconds since the Unix epoch shifted left by 18, plus a
// count. Here it is only compared, and tells the age of locks. A transaction is named by the one it
// started with.
using Timestamp = StrongId<struct TimestampTag>;
inline constexpr Timestamp kMaxTimestamp{UINT64_MAX};
inline constexpr int kLogicalBits = 18;
constexpr std::uint64_t PhysicalMillis(Timestamp timestamp) {
  return timestamp.value() >> kLogicalBits;
}

// Values up to this size are kept in the lock and write records, and cost no read of their own.
inline constexpr std::size_t kShortValueMaxBytes = 255;

// What a transaction is about to do to a key, seen by those who come across it.
struct Lock {
  enum class Kind : char {
    kPut = 'P',
    kDelete = 'D',
    kLock = 'L',  // Keeps others from writing; changes nothing and hides nothing from readers.
    // Likewise, and before the transaction knows what it will write: its prewrite replaces it.
    kPessimistic = 'S',
  };
  Kind kind = Kind::kPut;
  std::string primary = {};  // User key whose records decide the fate of the whole transaction.
  Timestamp start = {};
  std::uint64_t ttl_ms = 0;  // After `start`'s physical part; then others may roll it back.
  std::uint64_t transaction_keys = 0;  // How many the transaction has, roughly; zero: not told.
  Timestamp min_commit = {};  // It will not commit below this. Readers below need not wait.
  // Of an asynchronous commit: once all keys have such a lock the transaction is committed, at the
  // highest `min_commit` of them. No lock says so alone: who meets one asks at all the keys.
  bool is_async_commit = false;
  std::vector<std::string> secondaries = {};  // is_async_commit, on the primary: all other keys.
  // Of a pessimistic transaction, else zero: as of when it knows the key. Nobody has committed
  // between then and the lock.
  Timestamp for_update = {};
  // Of a pipelined transaction, else zero: which of its flushes has left the lock. A later one may
  // write the key again.
  std::uint64_t generation = 0;
  std::optional<std::string> short_value = {};  // kPut only; without it the value is in default.

  // Whether its client has been silent for so long that others may end the transaction.
  bool IsExpired(Timestamp now) const {
    const std::uint64_t began = PhysicalMillis(start), is = PhysicalMillis(now);
    return is > began && is - began > ttl_ms;
  }

  friend bool operator==(const Lock&, const Lock&) = default;
};

// What a transaction did to a key. Stored at the timestamp of the commit, or, for a rollback, of
// the start.
struct Write {
  enum class Kind : char {
    kPut = 'P',
    kDelete = 'D',
    kLock = 'L',      // Of a Lock::kLock: makes others conflict, is no version.
    kRollback = 'R',  // Keeps a prewrite that comes late from succeeding.
  };
  Kind kind = Kind::kPut;
  Timestamp start = {};
  // A transaction that started at this record's very timestamp was rolled back on this key: the
  // two records fall on one place.
  bool has_overlapped_rollback = false;
  std::optional<std::string> short_value = {};  // kPut only; without it the value is in default.

  friend bool operator==(const Write&, const Write&) = default;
};

// An answer, not a failure: the reader or writer has to wait for `lock` or resolve it.
struct KeyIsLocked {
  std::string key = {};  // The user's.
  Lock lock = {};

  friend bool operator==(const KeyIsLocked&, const KeyIsLocked&) = default;
};

}  // namespace rutile::mvcc
