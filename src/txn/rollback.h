#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "mvcc/reader.h"
#include "txn/outcome.h"

namespace rutile::txn {

struct RollbackRequest {
  std::vector<std::string> keys = {};
  Timestamp start = {};
  // Not zero: a lock whose client may still live by then is left, which is an error; and so is one
  // of an asynchronous commit, which may be committed (see CheckSecondaryLocks()).
  Timestamp unless_alive_at = {};
};

// Takes back a prewrite, and keeps one that has not arrived yet from succeeding: on every key a
// record stays behind at `start`.
//
// Fails on a key where the transaction is committed. Terms as for Prewrite().
Result<Outcome> Rollback(mvcc::Reader& reader, const RollbackRequest& request);

}  // namespace rutile::txn
