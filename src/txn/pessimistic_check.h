#pragma once

#include <optional>

#include "base/status.h"
#include "mvcc/reader.h"
#include "txn/outcome.h"
#include "txn/prewrite.h"

namespace rutile::txn {

// What a key says to the prewrite of a pessimistic transaction.
struct PessimisticCheck {
  Timestamp committed = {};  // Not zero: by this very transaction, the request comes twice.
  std::optional<KeyError> error = {};
};

// `lock` is the one on the mutation's key, whosever it is, unless it is the prewritten one of this
// transaction. Terms as for Prewrite().
Result<PessimisticCheck> CheckPessimistic(mvcc::Reader& reader, const PrewriteRequest& request,
                                          const Mutation& mutation,
                                          const std::optional<mvcc::Lock>& lock);

// Whether the transaction was rolled back on the key.
Result<bool> WasRolledBack(mvcc::Reader& reader, const std::string& key, Timestamp start);

// The newest record above `since` that tells of more than a rollback.
Result<std::optional<mvcc::Version>> NewestChange(mvcc::Reader& reader, const std::string& key,
                                                  Timestamp since);

}  // namespace rutile::txn
