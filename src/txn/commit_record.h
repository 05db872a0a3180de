#pragma once

#include <string>

#include "base/status.h"
#include "mvcc/reader.h"
#include "txn/outcome.h"

namespace rutile::txn {

// Adds the record of a commit at `commit` to the changes. A rollback whose record stands there
// goes on protecting: the new record tells of both. kCorruption when another commit stands there.
Status AddCommitRecord(mvcc::Reader& reader, const std::string& key, Timestamp commit,
                       mvcc::Write write, Outcome* outcome);

}  // namespace rutile::txn
