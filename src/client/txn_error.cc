#include "client/txn_error.h"

#include <utility>

#include "base/check.h"

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
  }
  RUTILE_UNREACHABLE();
}

std::string ToString(const TxnError& error) {
  std::string text(ToString(error.code));
  text += ": " + error.message;
  if (!error.key.empty()) text += ", key " + error.key;
  return text;
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
