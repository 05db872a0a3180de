#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "mvcc/reader.h"
#include "txn/outcome.h"

namespace rutile::txn {

struct PessimisticLockRequest {
  struct Key {
    std::string key = {};
    bool must_not_exist = false;
  };
  std::vector<Key> keys = {};
  std::string primary = {};
  Timestamp start = {};
  Timestamp for_update = {};  // As of when the client knows the keys. Not before `start`.
  std::uint64_t ttl_ms = 0;   // After `start`, as in every lock.
  Timestamp min_commit = {};
  bool return_values = false;
  bool check_existence = false;
  bool lock_only_if_exists = false;  // Only with `return_values`.
  // A commit above `for_update` is no conflict: the key is locked as of that commit.
  bool allow_lock_with_conflict = false;
};

// Which are asked for, in the order of the request.
std::vector<std::string> KeysOf(const PessimisticLockRequest& request);

// What is told of a key that is locked.
struct LockedKey {
  bool exists = false;                     // As far as it was asked for.
  std::optional<std::string> value = {};   // Likewise; always where it was locked with conflict.
  Timestamp locked_with_conflict_at = {};  // Not zero: above `for_update`, by that commit.

  friend bool operator==(const LockedKey&, const LockedKey&) = default;
};

struct PessimisticLockOutcome {
  Outcome outcome = {};
  std::vector<LockedKey> keys = {};  // In the order of the request; empty with errors.
};

// Takes keys before their transaction knows what it will write, so that what it reads of them is
// still true when it commits. Nobody else can lock or write them from then on; readers pass.
//
// Fails on a key with another transaction's lock, with a commit above `for_update` (reason
// kPessimisticRetry), where it must not exist and does, or where this transaction was rolled back.
// Doing it again changes nothing; with a larger `for_update` a lock is raised to it.
//
// Terms as for Prewrite().
Result<PessimisticLockOutcome> PessimisticLock(mvcc::Reader& reader,
                                               const PessimisticLockRequest& request);

}  // namespace rutile::txn
