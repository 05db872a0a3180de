#include "txn/check_secondary_locks.h"

#include <optional>
#include <utility>
#include <variant>

#include "txn/rollback.h"

namespace rutile::txn {

Result<SecondaryLocksOutcome> CheckSecondaryLocks(mvcc::Reader& reader,
                                                  const SecondaryLocksRequest& request) {
  RUTILE_RETURN_IF_ERROR(CheckKeys(request.keys, "check of secondary locks"));
  if (request.start.IsZero()) {
    return Status(Code::kInvalidArgument, "check of secondary locks at timestamp zero");
  }
  SecondaryLocksOutcome result;
  for (const std::string& key : request.keys) {
    RUTILE_ASSIGN_OR_RETURN(std::optional<mvcc::Lock> lock, reader.LoadLock(key));
    // A pessimistic one says that the key is not prewritten, as none does.
    const bool is_prewritten =
        lock && lock->start == request.start && lock->kind != mvcc::Lock::Kind::kPessimistic;
    if (is_prewritten) {
      result.locks.push_back({.key = key, .lock = *std::move(lock)});
      continue;
    }
    // One key that is decided decides for all: no need to look at the others.
    result.locks.clear();
    RUTILE_ASSIGN_OR_RETURN(const mvcc::Fate fate, reader.FateOf(key, request.start));
    if (const auto* committed = std::get_if<mvcc::Committed>(&fate)) {
      result.commit = committed->commit;
    } else {
      RUTILE_ASSIGN_OR_RETURN(result.outcome,
                              Rollback(reader, {.keys = {key}, .start = request.start}));
    }
    return result;
  }
  return result;
}

}  // namespace rutile::txn
