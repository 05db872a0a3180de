#include "client/txn_error.h"

#include <utility>

#include "base/check.h"
#include "proto/kvrpcpb.pb.h"

namespace rutile::client {

std::string_view ToString(TxnCode code) {
  switch (code) {
    case TxnCode::kWriteConflict: return "write-conflict";
    case TxnCode::kAlreadyExists: return "already-exists";
    case TxnCode::kRolledBack: return "rolled-back";
    case TxnCode::kLocked: return "locked";
    case TxnCode::kUnavailable: return "unavailable";
    case TxnCode::kUndetermined: return "undetermined";
    case TxnCode::kRefused: return "refused";
    case TxnCode::kInternal: return "internal";
    case TxnCode::kDeadlock: return "deadlock";
  }
  RUTILE_UNREACHABLE();
}

std::string ToString(const TxnError& error) {
  std::string text(ToString(error.code));
  text += ": " + error.message;
  if (!error.key.empty()) text += ", key " + error.key;
  return text;
}

namespace {

TxnError OfConflict(const kvrpcpb::WriteConflict& conflict) {
  using Conflict = kvrpcpb::WriteConflict;
  switch (conflict.reason()) {
    case Conflict::SelfRolledBack:
      return {.code = TxnCode::kRolledBack,
              .message = "somebody who met its locks has ended the transaction",
              .key = conflict.key()};
    case Conflict::NotLockedKeyConflict:
      return {.code = TxnCode::kRolledBack,
              .message = "somebody has taken a key that the transaction had locked",
              .key = conflict.key()};
    default: break;
  }
  return {.code = TxnCode::kWriteConflict,
          .message = "another transaction has committed after this one's start",
          .key = conflict.key(),
          .conflict_start = Timestamp(conflict.conflict_ts()),
          .conflict_commit = Timestamp(conflict.conflict_commit_ts())};
}

TxnError OfDeadlock(const kvrpcpb::Deadlock& deadlock) {
  std::string circle;
  for (const auto& wait : deadlock.wait_chain()) {
    circle += (circle.empty() ? "" : "; ") + std::to_string(wait.txn()) + " waits for " +
              std::to_string(wait.wait_for_txn()) + " on " + wait.key();
  }
  return {.code = TxnCode::kDeadlock,
          .message = "it would wait for itself: " + circle,
          .key = deadlock.lock_key(),
          .conflict_start = Timestamp(deadlock.lock_ts())};
}

}  // namespace

TxnError ErrorOf(const kvrpcpb::KeyError& error) {
  if (error.has_conflict()) return OfConflict(error.conflict());
  if (error.has_deadlock()) return OfDeadlock(error.deadlock());
  if (error.has_already_exist()) return KeyExists(error.already_exist().key());
  if (error.has_txn_lock_not_found() || error.has_txn_not_found()) {
    return {.code = TxnCode::kRolledBack,
            .message = "somebody who met its locks has ended the transaction",
            .key = error.txn_lock_not_found().key()};
  }
  if (!error.retryable().empty()) {
    return {.code = TxnCode::kWriteConflict, .message = error.retryable()};
  }
  if (!error.abort().empty()) return {.code = TxnCode::kRefused, .message = error.abort()};
  return {.code = TxnCode::kInternal, .message = error.ShortDebugString()};
}

TxnError KeyExists(std::string key) {
  return {.code = TxnCode::kAlreadyExists, .message = "the key exists", .key = std::move(key)};
}

TxnError HeldForTooLong(std::string key) {
  return {.code = TxnCode::kLocked,
          .message = "a transaction that lives holds its lock for too long",
          .key = std::move(key)};
}

TxnError ErrorOf(const Status& status) {
  TxnError error{.message = std::string(status.message())};
  switch (status.code()) {
    case Code::kUnavailable:
    case Code::kDeadlineExceeded:
    case Code::kResourceExhausted: error.code = TxnCode::kUnavailable; break;
    case Code::kInvalidArgument:
    case Code::kUnimplemented:
    case Code::kFailedPrecondition: error.code = TxnCode::kRefused; break;
    default: error.code = TxnCode::kInternal; break;
  }
  return error;
}

}  // namespace rutile::client
