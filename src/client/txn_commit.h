#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/time.h"
#include "client/held_locks.h"
#include "client/txn_client.h"
#include "client/txn_core.h"
#include "client/txn_error.h"
#include "client/write_buffer.h"

namespace rutile::client {

// A transaction that is to be committed.
struct Commitment {
  Timestamp start = {};
  Instant began = {};  // When the timestamp of the start was asked for.
  TransactionOptions options = {};
  // Of a pessimistic one as PrepareWrites() has made them.
  std::map<std::string, BufferedWrite> writes = {};
  std::shared_ptr<HeldLocks> held = {};  // Of a pessimistic one.
};

// What a pessimistic transaction has to write, with what it knows of the keys that it has locked:
// an insert of one becomes a put, or an error, and one without a write a lock.
TxnResult<std::map<std::string, BufferedWrite>> PrepareWrites(
    std::map<std::string, BufferedWrite> writes, const HeldLocks::Values& held);

// Commits a transaction: locks all keys (prewrite), which is all if the stores choose the timestamp
// of the commit; otherwise takes it, commits the primary key, which decides, and then the others in
// the background. What fails before the decision is rolled back, likewise in the background.
// Requires writes. Internal to the room; on the executor.
void CommitTransaction(const std::shared_ptr<TxnCore>& core, Commitment commitment,
                       TxnDone<Timestamp> done);

}  // namespace rutile::client
