#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/mutex.h"
#include "engine/kv_engine.h"
#include "mvcc/lock_scan.h"
#include "mvcc/reader.h"
#include "mvcc/types.h"

namespace rutile::txn {

// Pessimistic locks that stand in the memory of the store which leads their region, and nowhere
// else: taking one and giving it up cost no entry of the log. They last for the leader's term.
//
// The loss of one harms nobody but its own transaction, and mostly not even that: its prewrite goes
// by whether anybody has written the key since it began (see CheckPessimistic). So whatever would
// have to work hard to keep them may drop them. What somebody was told of a lock, and must not be
// lost (how long it lives, below what it does not commit), is written to the log together with the
// lock, which then is none of these any more.
//
// A key is locked here only while it has no lock in the engine. Whoever adds, removes or looks for
// single keys has their latches; anything may drop the locks of a region at any time.
//
// Thread-safe. Costs a read of one number while nothing is locked.
class MemoryLocks {
 public:
  // Of keys and records. What has no room goes through the log.
  struct Options {
    std::size_t max_region_bytes = std::size_t{512} << 10;  // Zero: none have.
    std::size_t max_bytes = std::size_t{100} << 20;
  };

  explicit MemoryLocks(Options options) : options_(options) {}

  // Those of `keys`, or of the scan, that are locked here in the term.
  mvcc::LockMap Find(RegionId region, Term term, const std::vector<std::string>& keys) const;
  mvcc::LockMap Scan(RegionId region, Term term, const mvcc::LockScan& scan) const;

  // Carries `changes` out here and returns true if they do nothing but lock keys pessimistically,
  // of which the engine has no locks, and give up such locks. Else does nothing.
  bool Apply(RegionId region, Term term, const engine::WriteBatch& changes);
  // The keys locked here whose locks `changes` replace or remove: once the engine has done so they
  // are to be forgotten.
  std::vector<std::string> Concerned(RegionId region, Term term,
                                     const engine::WriteBatch& changes) const;
  void Forget(RegionId region, Term term, const std::vector<std::string>& keys);

  // Until Reopen() no key is locked here in the term. Returns the keys that are.
  std::vector<std::string> Close(RegionId region, Term term);
  void Reopen(RegionId region, Term term);
  // Those of terms below go.
  void DropBefore(RegionId region, Term term);
  void Drop(RegionId region);
  // Those whose keys `which` says so of.
  void DropSome(RegionId region, const std::function<bool(const std::string& key)>& which);

  std::size_t size() const { return count_.load(std::memory_order_relaxed); }
  std::size_t bytes() const;

 private:
  struct Held {
    Term term = {};
    bool is_closed = false;
    std::size_t bytes = 0;
    mvcc::LockMap locks = {};
  };
  // As of which state the term is asked for; null: it is over.
  Held* Enter(RegionId region, Term term) REQUIRES(mutex_);
  bool HasRoom(const Held& held, std::size_t more) const REQUIRES(mutex_);
  void Add(Held& held, std::string key, mvcc::Lock lock) REQUIRES(mutex_);
  void Remove(Held& held, const std::string& key) REQUIRES(mutex_);
  void Clear(Held& held) REQUIRES(mutex_);

  const Options options_;
  std::atomic<std::size_t> count_ = 0;  // Of all locks.
  mutable Mutex mutex_;
  std::size_t bytes_ GUARDED_BY(mutex_) = 0;
  std::map<RegionId, Held> regions_ GUARDED_BY(mutex_);
};

}  // namespace rutile::txn
