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
};

// Takes back a prewrite, and keeps one that has not arrived yet from succeeding: on every key a
// record stays behind at `start`.
//
// Fails on a key where the transaction is committed. Terms as for Prewrite().
Result<Outcome> Rollback(mvcc::Reader& reader, const RollbackRequest& request);

}  // namespace rutile::txn
