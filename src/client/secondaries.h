#pragma once

#include <functional>
#include <memory>

#include "base/status.h"
#include "base/time.h"
#include "client/txn_core.h"
#include "client/txn_error.h"

namespace kvrpcpb {
class LockInfo;
}

namespace rutile::client {

// What the locks of an asynchronous commit come to.
struct SecondariesFound {
  // Of the commit: the highest least commit timestamp of all locks, or what a key says that is
  // committed already. Zero: it is rolled back.
  Timestamp commit = {};
  // One of the locks is of a commit in two phases, and so is the transaction, for as long as its
  // primary key is undecided. `commit` means nothing.
  bool is_in_two_phases = false;
};

// Looks for the locks of all keys that the lock of a primary key names. Where one is missing it
// never comes any more. Fails when a region cannot be reached by the deadline. Internal to the
// room; on the executor.
void CheckSecondaries(const std::shared_ptr<TxnCore>& core, Timestamp start,
                      const kvrpcpb::LockInfo& primary, Instant deadline,
                      std::function<void(Result<SecondariesFound>)> done);

}  // namespace rutile::client
