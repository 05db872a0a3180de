#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "mvcc/reader.h"
#include "txn/outcome.h"

namespace rutile::txn {

struct CommitRequest {
  std::vector<std::string> keys = {};
  Timestamp start = {};
  Timestamp commit = {};
};

// The second phase: turns locks into write records at `commit`. Once the primary key's record is
// there the transaction is committed, whatever becomes of its client; anybody may commit the
// others.
//
// Fails on a key that has no lock of this transaction unless it is committed already. Terms as for
// Prewrite().
Result<Outcome> Commit(mvcc::Reader& reader, const CommitRequest& request);

}  // namespace rutile::txn
