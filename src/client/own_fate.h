#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "base/time.h"
#include "client/txn_core.h"
#include "client/txn_error.h"

namespace rutile::client {

// Finds out, and sees to it that it stays so, what became of a transaction whose own client does
// not know: it has sent prewrites of an asynchronous commit or of one in one phase, one of them
// failed, and others, or attempts before, were not answered. These may yet lock the last key, which
// commits it. So it asks as anybody would who has met a lock: what is not locked by now is rolled
// back there, and can then not be any more.
//
// Hands on the timestamp of the commit; zero: it is not committed and never will be, unless its
// client commits the primary key itself. Fails when a region cannot be reached by the deadline, or
// when the transaction is so old that records of it need not be kept.
// Internal to the room; on the executor.
void FindOwnFate(const std::shared_ptr<TxnCore>& core, Timestamp start, std::string primary,
                 Instant deadline, std::function<void(Result<Timestamp>)> done);

}  // namespace rutile::client
