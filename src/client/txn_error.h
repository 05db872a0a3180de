#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <variant>

#include "base/status.h"
#include "base/strong_id.h"

namespace kvrpcpb {
class KeyError;
}

namespace rutile::client {

// A point in the cluster's order of transactions, from the oracle: milliseconds since the Unix
// epoch, its physical part, above the bits of a count.
using Timestamp = StrongId<struct TxnTimestampTag>;
inline constexpr unsigned kTimestampCountBits = 18;
constexpr std::uint64_t PhysicalMillis(Timestamp timestamp) {
  return timestamp.value() >> kTimestampCountBits;
}

// Why an operation of a transaction failed: what its caller can do. Numbers and names are stable.
enum class TxnCode : std::uint8_t {
  kWriteConflict = 1,  // Another committed one of the keys after this one's start. Start anew.
  kAlreadyExists = 2,  // A key that was to be inserted is there. Nothing is committed.
  kRolledBack =
      3,        // Somebody has ended this transaction: it, or its locks, were too old. Start anew.
  kLocked = 4,  // A lock of a transaction that lives was in the way for too long.
  kUnavailable = 5,  // No answer in time. Nothing is committed.
  kUndetermined =
      6,          // The answer to the commit was lost: it may have been carried out, or may yet.
  kRefused = 7,   // The request can never succeed.
  kInternal = 8,  // Records or answers that make no sense. Nothing is committed.
  // The transactions that have the key wait, one for another, for one that this one has. Roll back.
  kDeadlock = 9,
};
// "write-conflict", "undetermined" ...
std::string_view ToString(TxnCode code);

// Why an operation failed: for programs, and for people.
struct TxnError {
  TxnCode code = TxnCode::kInternal;
  std::string message = {};
  std::string key = {};            // The key that it is about, if it is about one.
  Timestamp conflict_start = {};   // kWriteConflict, kDeadlock: of the other transaction.
  Timestamp conflict_commit = {};  // kWriteConflict; zero: it was not committed yet.
};
// "write-conflict: ..., key k".
std::string ToString(const TxnError& error);

// A T, or why there is none.
template <class T>
using TxnResult = std::variant<T, TxnError>;
template <class T>
using TxnDone = std::function<void(TxnResult<T>)>;

// A key that was to be inserted is there.
TxnError KeyExists(std::string key);
// A lock on `key` was in the way until the time was up, and its transaction lives.
TxnError HeldForTooLong(std::string key);
// Of a request that may be repeated, or was certainly not carried out.
TxnError ErrorOf(const Status& status);
// What a store's answer about a key says of the whole transaction. Not for locks.
TxnError ErrorOf(const kvrpcpb::KeyError& error);

}  // namespace rutile::client
