#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "mvcc/reader.h"
#include "txn/outcome.h"

namespace rutile::txn {

// One key of a transaction.
struct Mutation {
  enum class Kind : std::uint8_t {
    kPut,
    kInsert,  // A put of a key that must not exist.
    kDelete,
    kLock,            // Writes nothing, but conflicts as a write does.
    kCheckNotExists,  // Only looks.
  };
  Kind kind = Kind::kPut;
  std::string key = {};
  std::string value = {};  // kPut, kInsert.
};

struct PrewriteRequest {
  std::vector<Mutation> mutations = {};
  std::string primary = {};
  Timestamp start = {};
  std::uint64_t ttl_ms = 0;
  std::uint64_t transaction_keys = 0;
  Timestamp min_commit = {};
};

// The first phase of a commit: locks the keys and leaves the values beside them. (Peng and Dabek:
// "Large-scale incremental processing using distributed transactions and notifications", 2010.)
//
// Fails on a key with another transaction's lock, with a commit above `start`, or where this
// transaction was rolled back before. Doing it again changes nothing, not even after the commit.
//
// A function of what `reader` shows. What it shows of the keys must stay so until the changes are
// applied: that is what latches are for. kInvalidArgument for what no client should send.
Result<Outcome> Prewrite(mvcc::Reader& reader, const PrewriteRequest& request);

}  // namespace rutile::txn
