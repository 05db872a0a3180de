#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/status.h"
#include "mvcc/reader.h"
#include "txn/outcome.h"

namespace rutile::txn {

struct StatusRequest {
  std::string primary = {};
  Timestamp start = {};
  Timestamp caller = {};  // The start of who asks: a reader, mostly. Zero: nobody waits.
  Timestamp now = {};     // By which a silent client is judged.
  // Of a transaction of which nothing is known: roll it back, so that its prewrite, if it comes
  // yet, fails. Otherwise that is an error.
  bool rollback_if_absent = false;
  // The lock that led here may be of an older statement: it must name this key as its primary.
  bool must_be_primary = false;
  // A lock of an asynchronous commit is judged as any other: some other key of the transaction has
  // one that is not.
  bool force_sync_commit = false;
  // The lock that led here is a pessimistic one: its transaction may have gone on with another
  // primary key, so nothing may stay behind that keeps it from this one.
  bool resolving_pessimistic = false;
};

// What became of a transaction, by its primary key, and what was done about it.
struct TransactionStatus {
  enum class Action : std::uint8_t {
    kNone,
    kExpired,          // Rolled back: its client is silent for too long.
    kAbsent,           // Rolled back before its prewrite has come.
    kMinCommitPushed,  // It will commit after who asks has read: no need to wait for it.
    // With `resolving_pessimistic`: the lock is removed and nothing else; or there was nothing, and
    // is nothing now.
    kPessimisticExpired,
    kAbsentLeft,
  };
  Action action = Action::kNone;
  std::optional<mvcc::Lock> lock = {};  // Undecided: as it now is.
  Timestamp commit = {};                // Not zero: committed. With no lock either: rolled back.
};

struct StatusOutcome {
  Outcome outcome = {};  // With at most one error.
  TransactionStatus status = {};
};

// Decides, for somebody who has met one of a transaction's locks, whether it is committed, and ends
// it when its client seems to be dead: the primary key's records are the transaction's fate.
//
// A lock of an asynchronous commit is left as it is, whatever its age: the transaction may be
// committed by the locks of all its keys, and is asked for by CheckSecondaryLocks().
//
// Terms as for Prewrite().
Result<StatusOutcome> CheckStatus(mvcc::Reader& reader, const StatusRequest& request);

}  // namespace rutile::txn
