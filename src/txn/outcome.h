#pragma once

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
  Timestamp existing_commit = {};
};
// Readers were told that the commit would not come below `min_commit`. Commit at a later one.
struct CommitTooEarly {
  std::string key = {};
  Timestamp commit = {};
  Timestamp min_commit = {};
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

using KeyError = std::variant<KeyIsLocked, WriteConflict, AlreadyExists, CommitTooEarly,
                              LockNotFound, AlreadyCommitted>;

// What an action comes to. With errors, nothing is to be written; otherwise `changes` (which may be
// empty when all has been done before) are, in one step.
struct Outcome {
  std::vector<KeyError> errors = {};  // In the order of the request's keys.
  engine::WriteBatch changes = {};
};

// OK for keys that an action can take: at least one, and none twice. `what` is for the message.
Status CheckKeys(const std::vector<std::string>& keys, const char* what);

}  // namespace rutile::txn
