#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "mvcc/reader.h"
#include "txn/outcome.h"

namespace rutile::txn {

struct ResolveRequest {
  std::vector<std::string> keys = {};
  Timestamp start = {};
  Timestamp commit = {};  // Zero: the transaction was rolled back.
};

// Brings the locks of a transaction whose fate is known to their end, for whoever has met them.
// Keys without a lock of it are left alone: somebody else was faster. Terms as for Prewrite().
Result<Outcome> Resolve(mvcc::Reader& reader, const ResolveRequest& request);

}  // namespace rutile::txn
