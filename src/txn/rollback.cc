#include "txn/rollback.h"

#include <optional>
#include <utility>
#include <variant>

#include "mvcc/keys.h"
#include "mvcc/records.h"

namespace rutile::txn {
namespace {

using engine::Family;
using mvcc::Lock;
using mvcc::Write;

Status RollbackKey(mvcc::Reader& reader, const RollbackRequest& request, const std::string& key,
                   Outcome* outcome) {
  const Timestamp start = request.start;
  RUTILE_ASSIGN_OR_RETURN(std::optional<Lock> lock, reader.LoadLock(key));
  if (lock && lock->start == start) {
    const Timestamp now = request.unless_alive_at;
    if (!now.IsZero() && (lock->is_async_commit || !lock->IsExpired(now))) {
      outcome->errors.emplace_back(KeyIsLocked{.key = key, .lock = *std::move(lock)});
      return {};
    }
    outcome->changes.Delete(Family::kLock, mvcc::LockKey(key));
    if (lock->kind == Lock::Kind::kPut && !lock->short_value) {
      outcome->changes.Delete(Family::kDefault, mvcc::VersionKey(key, start));
    }
  } else {
    RUTILE_ASSIGN_OR_RETURN(const mvcc::Fate fate, reader.FateOf(key, start));
    if (const auto* committed = std::get_if<mvcc::Committed>(&fate)) {
      outcome->errors.emplace_back(AlreadyCommitted{.key = key, .commit = committed->commit});
      return {};
    }
    if (std::holds_alternative<mvcc::RolledBack>(fate)) return {};
  }
  // Where another transaction has committed at this one's start, its record tells of both.
  RUTILE_ASSIGN_OR_RETURN(std::optional<Write> record, reader.RecordAt(key, start));
  if (record) {
    record->has_overlapped_rollback = true;
  } else {
    record = Write{.kind = Write::Kind::kRollback, .start = start};
  }
  outcome->changes.Put(Family::kWrite, mvcc::VersionKey(key, start), mvcc::EncodeWrite(*record));
  return {};
}

}  // namespace

Result<Outcome> Rollback(mvcc::Reader& reader, const RollbackRequest& request) {
  RUTILE_RETURN_IF_ERROR(CheckKeys(request.keys, "rollback"));
  if (request.start.IsZero()) return Status(Code::kInvalidArgument, "rollback at timestamp zero");
  Outcome outcome;
  for (const std::string& key : request.keys) {
    RUTILE_RETURN_IF_ERROR(RollbackKey(reader, request, key, &outcome));
  }
  if (!outcome.errors.empty()) outcome.changes.Clear();
  return outcome;
}

}  // namespace rutile::txn
