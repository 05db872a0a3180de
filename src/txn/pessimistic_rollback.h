#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "mvcc/reader.h"
#include "txn/outcome.h"

namespace rutile::txn {

struct PessimisticRollbackRequest {
  std::vector<std::string> keys = {};
  Timestamp start = {};
  Timestamp for_update = {};  // Locks of later statements stay.
};

// Gives up pessimistic locks of a transaction that goes on, or that has nothing else. No record
// stays behind: the keys can be locked again. Keys without such a lock are left alone. Terms as for
// Prewrite().
Result<Outcome> PessimisticRollback(mvcc::Reader& reader,
                                    const PessimisticRollbackRequest& request);

}  // namespace rutile::txn
