#pragma once

#include <atomic>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "mvcc/reader.h"
#include "mvcc/types.h"

namespace rutile::txn {

class ConcurrencyManager;

// Keys that are locked in memory, for as long as this lives. The manager outlives it.
class KeyLocks {
 public:
  KeyLocks() = default;
  KeyLocks(KeyLocks&& other) noexcept;
  KeyLocks& operator=(KeyLocks&& other) noexcept;
  KeyLocks(const KeyLocks&) = delete;
  KeyLocks& operator=(const KeyLocks&) = delete;
  ~KeyLocks() { Release(); }

  // Readers below need not wait any more.
  void SetMinCommit(mvcc::Timestamp min_commit);
  void Release();

 private:
  friend class ConcurrencyManager;
  KeyLocks(ConcurrencyManager* manager, std::vector<std::string> keys)
      : manager_(manager), keys_(std::move(keys)) {}

  ConcurrencyManager* manager_ = nullptr;
  std::vector<std::string> keys_;
};

// What lets a store choose the commit timestamps of transactions that are committed asynchronously
// or in one phase: no reader may have looked at a key at or above the timestamp and missed the
// commit. Readers and writers of one store meet here:
//
//   - a reader at `t` raises max_ts to `t`, then looks for locks in memory, then takes its snapshot
//     of the engine;
//   - a writer locks its keys in memory, then reads max_ts and chooses a timestamp above it, then
//     proposes its changes, and gives up the locks when they are applied.
//
// Either the writer reads max_ts after the reader has raised it: then it commits above `t`. Or it
// read max_ts before: then its locks were there before the reader looked for them. It finds them,
// unless they are given up; and then the changes were applied before it took its snapshot.
//
// Thread-safe. A reader takes no mutex while nothing is locked.
class ConcurrencyManager {
 public:
  // By key, of users.
  using Locks = mvcc::LockMap;

  // The highest timestamp at which anybody has read here, or may have elsewhere before.
  mvcc::Timestamp max_ts() const { return mvcc::Timestamp(max_ts_.load()); }
  // The maximum itself stands for "whatever is newest" and is no timestamp: it raises nothing.
  void RaiseMaxTs(mvcc::Timestamp at);

  // Before the reader's snapshot is taken: the locks in memory that it must wait for.
  Locks AdmitRead(const mvcc::View& view, const std::vector<std::string>& keys);
  // Likewise for a range of keys, the first `limit` of them. `upper` is exclusive; empty: no bound.
  Locks AdmitScan(const mvcc::View& view, std::string_view lower, std::string_view upper,
                  std::size_t limit);

  // Before the writer reads max_ts. The least commit timestamps of `locks` are those that are known
  // without it. Requires keys that are not locked: latches see to that.
  [[nodiscard]] KeyLocks Lock(Locks locks);

  std::size_t locked_keys() const { return count_.load(); }

 private:
  friend class KeyLocks;
  void SetMinCommit(const std::vector<std::string>& keys, mvcc::Timestamp min_commit);
  void Unlock(const std::vector<std::string>& keys);

  // Both sequentially consistent: a reader writes the first and reads the second, a writer the
  // other way round, and at least one of them must see what the other wrote.
  std::atomic<std::uint64_t> max_ts_ = 0;
  std::atomic<std::size_t> count_ = 0;  // Of locks_.

  mutable Mutex mutex_;
  Locks locks_ GUARDED_BY(mutex_);
};

}  // namespace rutile::txn
