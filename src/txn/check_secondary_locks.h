#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "mvcc/reader.h"
#include "txn/outcome.h"

namespace rutile::txn {

struct SecondaryLocksRequest {
  std::vector<std::string> keys = {};
  Timestamp start = {};
};

struct SecondaryLocksOutcome {
  Outcome outcome = {};  // Without errors.
  // Of every key, in their order. None: at least one has no lock, and the transaction is decided.
  std::vector<KeyIsLocked> locks = {};
  Timestamp commit = {};  // Decided: committed then, or, if zero, rolled back.
};

// Looks for the locks of an asynchronous commit, for somebody who has met its undecided primary.
// Where one is missing and nothing tells why, its prewrite has not come: it is rolled back in
// advance on that key, and with it the whole transaction.
//
// With the locks of all its keys in hand the transaction is committed, at the highest least commit
// timestamp of them; unless one of them is not of an asynchronous commit: then it is in two phases
// after all, and CheckStatus() decides (`force_sync_commit`). Terms as for Prewrite().
Result<SecondaryLocksOutcome> CheckSecondaryLocks(mvcc::Reader& reader,
                                                  const SecondaryLocksRequest& request);

}  // namespace rutile::txn
