#include "txn/heartbeat.h"

#include <optional>

#include "mvcc/keys.h"
#include "mvcc/records.h"

namespace rutile::txn {

Result<HeartbeatOutcome> Heartbeat(mvcc::Reader& reader, const HeartbeatRequest& request) {
  RUTILE_RETURN_IF_ERROR(CheckKeys({request.primary}, "heartbeat"));
  if (request.start.IsZero()) return Status(Code::kInvalidArgument, "heartbeat at timestamp zero");
  HeartbeatOutcome result;
  RUTILE_ASSIGN_OR_RETURN(std::optional<mvcc::Lock> lock, reader.LoadLock(request.primary));
  if (!lock || lock->start != request.start) {
    result.outcome.errors.emplace_back(
        TransactionNotFound{.primary = request.primary, .start = request.start});
    return result;
  }
  const bool prolongs = lock->ttl_ms < request.ttl_ms;
  // Another's commit may be chosen by what its locks had said when they were written.
  const bool defers = lock->generation != 0 && lock->min_commit < request.min_commit;
  if (prolongs) lock->ttl_ms = request.ttl_ms;
  if (defers) lock->min_commit = request.min_commit;
  if (prolongs || defers) {
    result.outcome.changes.Put(engine::Family::kLock, mvcc::LockKey(request.primary),
                               mvcc::EncodeLock(*lock));
  }
  result.ttl_ms = lock->ttl_ms;
  return result;
}

}  // namespace rutile::txn
