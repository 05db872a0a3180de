#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/status.h"
#include "engine/kv_engine.h"
#include "mvcc/types.h"

namespace rutile::txn {

using mvcc::KeyIsLocked;
using mvcc::Timestamp;

// Why an action cannot be carried out on a key. Answers that a client acts on, not failures: those
// are a Status. Keys are users'.

// Another transaction's commit came between, or this one was rolled back. Start anew.
struct WriteConflict {
  enum class Reason : std::uint8_t {
    kOptimistic,  // `other_start` committed at `other_commit`, after this one's start.
    kRolledBack,  // This transaction, by somebody who met its locks or looked for them.
    // `other_commit` is above the timestamp at which a pessimistic lock was asked for: ask again at
    // a later one, and read again what the statement depends on.
    kPessimisticRetry,
    kDeferredConstraint,  // As kOptimistic, where a pessimistic transaction left it to its end.
  };
  std::string key = {};
  Timestamp start = {};
  Timestamp other_start = {};
  Timestamp other_commit = {};
  Reason reason = Reason::kOptimistic;
};
// The key was not to exist, and does.
struct AlreadyExists {
  std::string key = {};
  Timestamp existing_commit = {};  // Zero: by an earlier flush of this very transaction.
};
// Readers were told that the commit would not come below `min_commit`. Commit at a later one.
struct CommitTooEarly {
  std::string key = {};
  Timestamp start = {};
  Timestamp commit = {};
  Timestamp min_commit = {};
};
// A prewrite of a key that its transaction should have locked, and that it has not, or at another
// timestamp: somebody lost patience with the transaction, or a request for the lock was lost. And
// the key may have been changed since.
struct PessimisticLockNotFound {
  std::string key = {};
  Timestamp start = {};
};
// A commit without the lock of its prewrite, and without a commit: it was rolled back or never
// prewritten.
struct LockNotFound {
  std::string key = {};
  Timestamp start = {};
};
// A rollback of what is committed.
struct AlreadyCommitted {
  std::string key = {};
  Timestamp commit = {};
};

// Nothing is known of the transaction at its primary key: its prewrite has not come, or was lost.
struct TransactionNotFound {
  std::string primary = {};
  Timestamp start = {};
};
// What was taken for the transaction's primary key is another of its keys: `lock` names the right
// one. Whoever asks by a lock of old must not decide the transaction here.
struct PrimaryMismatch {
  std::string key = {};
  mvcc::Lock lock = {};
};

// What a client claims to know of a key that it writes, and what is there instead.
enum class Assertion : std::uint8_t { kNone, kExists, kAbsent };
struct AssertionFailed {
  std::string key = {};
  Timestamp start = {};
  Assertion assertion = Assertion::kNone;
  // The newest put or deletion; zero: there is none.
  Timestamp existing_start = {};
  Timestamp existing_commit = {};
};

// One transaction waits for another.
struct WaitFor {
  Timestamp waiter = {};
  Timestamp holder = {};
  std::string key = {};
  std::uint64_t key_hash = 0;  // CRC-64 of the key, where only that is told.
  std::string tag = {};        // What the waiter's client calls its statement; not looked at.

  friend bool operator==(const WaitFor&, const WaitFor&) = default;
};
// To wait for the lock would be to wait for oneself.
struct Deadlock {
  std::string key = {};   // That was asked for,
  Timestamp holder = {};  // and who has it.
  WaitFor closing = {};   // Who waits for the transaction that asked, and for which key of it.
  // Each waits for the next one: from `holder`, by way of `closing`, to the request itself.
  std::vector<WaitFor> chain = {};

  friend bool operator==(const Deadlock&, const Deadlock&) = default;
};

using KeyError = std::variant<KeyIsLocked, WriteConflict, AlreadyExists, CommitTooEarly,
                              LockNotFound, AlreadyCommitted, TransactionNotFound, PrimaryMismatch,
                              PessimisticLockNotFound, Deadlock, AssertionFailed>;

// What an action comes to. With errors, nothing is to be written; otherwise `changes` (which may be
// empty when all has been done before) are, in one step.
struct Outcome {
  std::vector<KeyError> errors = {};  // In the order of the request's keys.
  engine::WriteBatch changes = {};
};

// OK for keys that an action can take: at least one, and none twice. `what` is for the message.
Status CheckKeys(const std::vector<std::string>& keys, const char* what);

}  // namespace rutile::txn
