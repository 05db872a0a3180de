#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "client/txn_core.h"
#include "client/txn_error.h"

namespace kvrpcpb {
class LockInfo;
}

namespace rutile::client {

// A lock of another transaction that stands in the way.
struct MetLock {
  std::string key = {};
  std::string primary = {};
  Timestamp start = {};
  std::uint64_t ttl_ms = 0;
  bool is_pessimistic = false;
  Timestamp for_update = {};  // Of a pessimistic lock.
};
MetLock ToMetLock(const kvrpcpb::LockInfo& lock);

// What became of the locks.
struct LocksResolved {
  std::set<Timestamp> blocking = {};  // Of transactions that live: wait and look again.
  std::set<Timestamp> passed = {};    // These live and will commit after the reader: ignore them.

  bool is_blocked() const { return !blocking.empty(); }
};

// Asks for the fate of each transaction at its primary key, ends those whose clients are silent,
// and brings the locks of those that are over to the same end; of those that had pessimistic locks
// only, these are taken away and nothing else is said of them. `reader` is the timestamp of who
// reads; zero: somebody writes. Fails if a region cannot be reached by the deadline.
void ResolveLocks(const std::shared_ptr<TxnCore>& core, const std::vector<MetLock>& locks,
                  Timestamp reader, Instant deadline,
                  std::function<void(Result<LocksResolved>)> done);

}  // namespace rutile::client
