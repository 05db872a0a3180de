#include "txn/check_status.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "mvcc/keys.h"
#include "mvcc/records.h"
#include "txn/rollback.h"

namespace rutile::txn {
namespace {

using Action = TransactionStatus::Action;

Result<StatusOutcome> RollBack(mvcc::Reader& reader, const StatusRequest& request, Action action) {
  StatusOutcome result;
  result.status.action = action;
  RUTILE_ASSIGN_OR_RETURN(result.outcome,
                          Rollback(reader, {.keys = {request.primary}, .start = request.start}));
  return result;
}

// Removes an expired pessimistic lock and leaves no record.
StatusOutcome Unlock(const StatusRequest& request) {
  StatusOutcome result;
  result.status.action = Action::kPessimisticExpired;
  result.outcome.changes.Delete(engine::Family::kLock, mvcc::LockKey(request.primary));
  return result;
}

// Who comes from a prewritten lock has been told the transaction's last word on its primary key. A
// pessimistic lock that names another is of a statement that was given up.
bool IsLeftover(const mvcc::Lock& lock, const StatusRequest& request) {
  return request.must_be_primary && !request.resolving_pessimistic &&
         lock.kind == mvcc::Lock::Kind::kPessimistic && lock.primary != request.primary;
}

// Readers below the least commit timestamp need not wait: so it is raised above the one who asks.
// Only of a transaction that has one: another's client does not know that it must not commit below.
// The locks of an asynchronous commit are its commit timestamp.
bool IsToBePushed(const mvcc::Lock& lock, const StatusRequest& request) {
  return !lock.is_async_commit && !lock.min_commit.IsZero() &&
         request.caller != mvcc::kMaxTimestamp && request.caller >= lock.min_commit;
}

StatusOutcome Undecided(const StatusRequest& request, mvcc::Lock lock) {
  StatusOutcome result;
  if (IsToBePushed(lock, request)) {
    lock.min_commit = std::max(request.caller.Next(), request.now);
    result.outcome.changes.Put(engine::Family::kLock, mvcc::LockKey(request.primary),
                               mvcc::EncodeLock(lock));
  }
  // Who reads whatever is newest (the maximum) is not kept from it by what will commit later.
  const bool is_pushed = request.caller == mvcc::kMaxTimestamp ||
                         (!request.caller.IsZero() && lock.min_commit > request.caller);
  if (is_pushed) result.status.action = Action::kMinCommitPushed;
  result.status.lock = std::move(lock);
  return result;
}

}  // namespace

Result<StatusOutcome> CheckStatus(mvcc::Reader& reader, const StatusRequest& request) {
  RUTILE_RETURN_IF_ERROR(CheckKeys({request.primary}, "status"));
  if (request.start.IsZero()) return Status(Code::kInvalidArgument, "status at timestamp zero");
  RUTILE_ASSIGN_OR_RETURN(std::optional<mvcc::Lock> lock, reader.LoadLock(request.primary));
  StatusOutcome result;
  if (lock && lock->start == request.start && !IsLeftover(*lock, request)) {
    if (request.must_be_primary && lock->primary != request.primary) {
      result.outcome.errors.emplace_back(
          PrimaryMismatch{.key = request.primary, .lock = *std::move(lock)});
      return result;
    }
    if (lock->is_async_commit && !request.force_sync_commit) {
      result.status.lock = *std::move(lock);
      return result;
    }
    if (lock->IsExpired(request.now)) {
      const bool is_pessimistic = lock->kind == mvcc::Lock::Kind::kPessimistic;
      if (is_pessimistic && request.resolving_pessimistic) return Unlock(request);
      return RollBack(reader, request, Action::kExpired);
    }
    return Undecided(request, *std::move(lock));
  }
  RUTILE_ASSIGN_OR_RETURN(const mvcc::Fate fate, reader.FateOf(request.primary, request.start));
  if (const auto* committed = std::get_if<mvcc::Committed>(&fate)) {
    result.status.commit = committed->commit;
  } else if (std::holds_alternative<mvcc::Unknown>(fate)) {
    if (request.rollback_if_absent && request.resolving_pessimistic) {
      result.status.action = Action::kAbsentLeft;
      return result;
    }
    if (request.rollback_if_absent) return RollBack(reader, request, Action::kAbsent);
    result.outcome.errors.emplace_back(
        TransactionNotFound{.primary = request.primary, .start = request.start});
  }
  return result;
}

}  // namespace rutile::txn
