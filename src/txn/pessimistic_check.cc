#include "txn/pessimistic_check.h"

#include <utility>
#include <variant>

namespace rutile::txn {
namespace {

using mvcc::Lock;
using mvcc::Write;
using Check = Mutation::Check;

KeyError NotFound(const PrewriteRequest& request, const Mutation& mutation) {
  return PessimisticLockNotFound{.key = mutation.key, .start = request.start};
}

// Why the records keep the transaction from a key that no lock protects.
Result<std::optional<KeyError>> CheckRecords(mvcc::Reader& reader, const PrewriteRequest& request,
                                             const Mutation& mutation) {
  const bool from_start = mutation.check == Check::kConstraint;
  WriteConflict conflict = {.key = mutation.key, .start = request.start};
  RUTILE_ASSIGN_OR_RETURN(const bool rolled_back,
                          WasRolledBack(reader, mutation.key, request.start));
  if (rolled_back) {
    conflict.other_start = conflict.other_commit = request.start;
    conflict.reason = WriteConflict::Reason::kRolledBack;
    return std::optional<KeyError>(std::move(conflict));
  }
  RUTILE_ASSIGN_OR_RETURN(
      const std::optional<mvcc::Version> newer,
      NewestChange(reader, mutation.key, from_start ? request.start : request.for_update));
  if (!newer) return std::optional<KeyError>();
  if (!from_start) return std::optional(NotFound(request, mutation));
  conflict.other_start = newer->write.start;
  conflict.other_commit = newer->commit;
  conflict.reason = WriteConflict::Reason::kDeferredConstraint;
  return std::optional<KeyError>(std::move(conflict));
}

// A lock that is not there: it was lost, or somebody lost patience. If nobody has been at the key
// since the transaction's start, what it read of it under the lock is still true.
Result<std::optional<KeyError>> CheckWithoutLock(mvcc::Reader& reader,
                                                 const PrewriteRequest& request,
                                                 const Mutation& mutation) {
  RUTILE_ASSIGN_OR_RETURN(const std::optional<mvcc::Version> newest,
                          reader.NewestRecord(mutation.key, mvcc::kMaxTimestamp));
  if (!newest || newest->commit < request.start) return std::optional<KeyError>();
  return std::optional(NotFound(request, mutation));
}

Result<std::optional<KeyError>> FindError(mvcc::Reader& reader, const PrewriteRequest& request,
                                          const Mutation& mutation,
                                          const std::optional<Lock>& lock) {
  if (lock && lock->start != request.start) {
    if (mutation.check == Check::kLocked) return std::optional(NotFound(request, mutation));
    return std::optional<KeyError>(KeyIsLocked{.key = mutation.key, .lock = *lock});
  }
  if (mutation.check != Check::kLocked) return CheckRecords(reader, request, mutation);
  if (!lock) return CheckWithoutLock(reader, request, mutation);
  const std::optional<Timestamp>& expected = mutation.locked_for_update;
  if (!expected || *expected == lock->for_update) return std::optional<KeyError>();
  return std::optional(NotFound(request, mutation));
}

}  // namespace

Result<PessimisticCheck> CheckPessimistic(mvcc::Reader& reader, const PrewriteRequest& request,
                                          const Mutation& mutation,
                                          const std::optional<Lock>& lock) {
  PessimisticCheck check;
  RUTILE_ASSIGN_OR_RETURN(check.error, FindError(reader, request, mutation, lock));
  if (!check.error) return check;
  // What came after its commit is no reason to fail.
  RUTILE_ASSIGN_OR_RETURN(const mvcc::Fate fate, reader.FateOf(mutation.key, request.start));
  if (const auto* committed = std::get_if<mvcc::Committed>(&fate)) {
    check = PessimisticCheck{.committed = committed->commit};
  }
  return check;
}

Result<bool> WasRolledBack(mvcc::Reader& reader, const std::string& key, Timestamp start) {
  RUTILE_ASSIGN_OR_RETURN(const std::optional<Write> record, reader.RecordAt(key, start));
  return record && (record->kind == Write::Kind::kRollback || record->has_overlapped_rollback);
}

Result<std::optional<mvcc::Version>> NewestChange(mvcc::Reader& reader, const std::string& key,
                                                  Timestamp since) {
  for (Timestamp at = mvcc::kMaxTimestamp; at > since;) {
    RUTILE_ASSIGN_OR_RETURN(std::optional<mvcc::Version> record, reader.NewestRecord(key, at));
    if (!record || record->commit <= since) break;
    if (record->write.kind != Write::Kind::kRollback) return record;
    at = record->commit.Prev();
  }
  return std::optional<mvcc::Version>();
}

}  // namespace rutile::txn
