#pragma once

#include <cstdint>
#include <optional>
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

  // Of a pessimistic transaction: what keeps others from the key.
  enum class Check : std::uint8_t {
    kNone,  // Another key: this one has no lock, and nobody else comes here.
    // The lock. If there is none, that nobody has changed the key since the start stands in for it.
    kLocked,
    kConstraint,  // Nothing yet: the key must not have changed since the start.
  };
  Check check = Check::kNone;
  // With kLocked, when it is known: the timestamp of the lock.
  std::optional<Timestamp> locked_for_update = {};
  Assertion assertion = Assertion::kNone;
};

struct PrewriteRequest {
  std::vector<Mutation> mutations = {};
  std::string primary = {};
  Timestamp start = {};
  std::uint64_t ttl_ms = 0;
  std::uint64_t transaction_keys = 0;
  Timestamp min_commit = {};
  // Asynchronous commit: committed as soon as every key of the transaction is prewritten so.
  bool use_async_commit = false;
  // Where the primary is among the mutations: all other keys of the transaction that get a lock.
  std::vector<std::string> secondaries = {};
  // The mutations are the whole transaction: commit it here and now, without locks.
  bool try_one_phase = false;
  // Asynchronously or in one phase only up to here; zero: there is no bound.
  Timestamp max_commit = {};
  Timestamp for_update = {};  // The last one of a pessimistic transaction; zero: an optimistic one.
  // Whose assertions are looked at: nobody's; those of keys of which the newest record is looked at
  // anyhow, which are not the ones that a lock protects, nor those with Check::kNone; or all.
  enum class Assertions : std::uint8_t { kOff, kFast, kStrict };
  Assertions assertions = Assertions::kOff;
  // Not zero: one flush of a pipelined transaction, which prewrites while it still works and may
  // write a key again in a flush of a higher number. Optimistic, and commits in two phases.
  std::uint64_t generation = 0;
};

struct PrewriteOutcome {
  Outcome outcome = {};
  // Asynchronous: the transaction commits at the highest that it is told, if it is told one for all
  // its keys. Zero: at least one key is locked for an ordinary commit in two phases.
  Timestamp min_commit = {};
  // Not zero: committed here in one phase. Zero though asked for: as ordinary.
  Timestamp one_phase_commit = {};
};

// Of the mutations, in their order.
std::vector<std::string> KeysOf(const PrewriteRequest& request);

// The first phase of a commit: locks the keys and leaves the values beside them. (Peng and Dabek:
// "Large-scale incremental processing using distributed transactions and notifications", 2010.)
//
// Fails on a key with another transaction's lock, with a commit above `start`, or where this
// transaction was rolled back before. Doing it again changes nothing, not even after the commit,
// and gives the same answer. A pessimistic transaction's own locks are replaced; on how it is kept
// apart from others see Mutation::Check.
//
// A failed assertion is told when nothing but locks stands against the keys, the first one instead
// of them: it is a mistake of the client's, whatever becomes of the locks.
//
// A flush replaces what earlier ones of its transaction have left on its keys, and leaves what
// later ones have.
//
// `max_ts`: no read of these keys above it was served, nor will be before the changes are applied
// without waiting for them. Nothing: it is not known, and who asked for less than two phases gets
// two.
//
// A function of what `reader` shows. What it shows of the keys must stay so until the changes are
// applied: that is what latches are for. kInvalidArgument for what no client should send.
Result<PrewriteOutcome> Prewrite(mvcc::Reader& reader, const PrewriteRequest& request,
                                 std::optional<Timestamp> max_ts = std::nullopt);

}  // namespace rutile::txn
