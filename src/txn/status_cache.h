#pragma once

#include <cstddef>
#include <cstdint>
#include <map>

#include "base/mutex.h"
#include "mvcc/types.h"

namespace rutile::txn {

// How far pipelined transactions are, as their clients tell all stores: below which timestamp each
// will not be committed. The locks of one stay for as long as it works, and say only when it began;
// with this nobody below has to wait for them.
//
// Only what the primary lock holds already may be told, as by a heartbeat: that decides, here and
// on every other store. So it does no harm to forget: of too many, who was not heard of for the
// longest time is forgotten.
//
// Thread-safe.
class StatusCache {
 public:
  explicit StatusCache(std::size_t most = 4096) : most_(most) {}

  // What was told before of the transaction stays true.
  void Tell(mvcc::Timestamp start, mvcc::Timestamp min_commit);
  // None of its locks is left.
  void Forget(mvcc::Timestamp start);
  // Zero: nothing is known.
  mvcc::Timestamp MinCommit(mvcc::Timestamp start) const;

 private:
  struct Status {
    mvcc::Timestamp min_commit = {};
    std::uint64_t told = 0;  // When, by the count.
  };

  const std::size_t most_;
  mutable Mutex mutex_;
  std::map<mvcc::Timestamp, Status> statuses_ GUARDED_BY(mutex_);
  std::uint64_t count_ GUARDED_BY(mutex_) = 0;
};

}  // namespace rutile::txn
