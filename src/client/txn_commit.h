#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/time.h"
#include "client/txn_core.h"
#include "client/txn_error.h"
#include "client/write_buffer.h"

namespace rutile::client {

// Commits a transaction: locks all keys (prewrite), takes the timestamp of the commit, commits the
// primary key, which decides, and then the others in the background. What fails before the decision
// is rolled back, likewise in the background. `began`: when the timestamp of the start was asked
// for. Requires writes. Internal to the room.
void CommitInTwoPhases(const std::shared_ptr<TxnCore>& core, Timestamp start, Instant began,
                       std::map<std::string, BufferedWrite> writes, TxnDone<Timestamp> done);

}  // namespace rutile::client
