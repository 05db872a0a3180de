#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/status.h"
#include "mvcc/reader.h"
#include "txn/outcome.h"

namespace rutile::txn {

// Keys that shall be again what they were.
struct FlashbackRequest {
  std::vector<std::string> keys = {};
  Timestamp version = {};  // As of this.
  Timestamp start = {};    // Of the flashback, which is a transaction like any other.
  Timestamp commit = {};
  std::size_t max_bytes = 0;  // Of changes, or a little more; at least one key is done.
};

struct FlashbackOutcome {
  Outcome outcome = {};
  std::size_t done = 0;  // Of the keys, so many.
};

// Writes what each key had at `version` once more, at `commit`: its value, or its deletion. Later
// versions stay, and are read between the two. Keys that have a change at `commit` have been done
// before.
//
// Requires that no key is locked. Terms as for Prewrite().
Result<FlashbackOutcome> Flashback(mvcc::Reader& reader, const FlashbackRequest& request);

// Rolls the transactions back that have a lock on the keys, whoever's they are, on these keys.
Result<Outcome> RollBackLocks(mvcc::Reader& reader, const std::vector<std::string>& keys);

}  // namespace rutile::txn
