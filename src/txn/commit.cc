#include "txn/commit.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

#include "mvcc/keys.h"
#include "txn/commit_record.h"

namespace rutile::txn {
namespace {

using engine::Family;
using mvcc::Lock;
using mvcc::Write;

Write::Kind KindOf(Lock::Kind kind) {
  switch (kind) {
    case Lock::Kind::kPut: return Write::Kind::kPut;
    case Lock::Kind::kDelete: return Write::Kind::kDelete;
    case Lock::Kind::kLock: return Write::Kind::kLock;
    case Lock::Kind::kPessimistic: break;  // Not prewritten.
  }
  RUTILE_UNREACHABLE();
}

Status CommitKey(mvcc::Reader& reader, const CommitRequest& request, const std::string& key,
                 Outcome* outcome) {
  RUTILE_ASSIGN_OR_RETURN(std::optional<Lock> lock, reader.LoadLock(key));
  if (!lock || lock->start != request.start || lock->kind == Lock::Kind::kPessimistic) {
    RUTILE_ASSIGN_OR_RETURN(const mvcc::Fate fate, reader.FateOf(key, request.start));
    if (!std::holds_alternative<mvcc::Committed>(fate)) {
      outcome->errors.emplace_back(LockNotFound{.key = key, .start = request.start});
    }
    return {};
  }
  // A pessimistic transaction has seen what was committed up to `for_update`.
  const Timestamp seen = lock->for_update.IsZero() ? Timestamp() : lock->for_update.Next();
  const Timestamp least = std::max(lock->min_commit, seen);
  if (request.commit < least) {
    outcome->errors.emplace_back(CommitTooEarly{
        .key = key, .start = request.start, .commit = request.commit, .min_commit = least});
    return {};
  }
  Write write = {.kind = KindOf(lock->kind),
                 .start = request.start,
                 .short_value = std::move(lock->short_value)};
  RUTILE_RETURN_IF_ERROR(AddCommitRecord(reader, key, request.commit, std::move(write), outcome));
  outcome->changes.Delete(Family::kLock, mvcc::LockKey(key));
  return {};
}

}  // namespace

Result<Outcome> Commit(mvcc::Reader& reader, const CommitRequest& request) {
  RUTILE_RETURN_IF_ERROR(CheckKeys(request.keys, "commit"));
  if (request.commit <= request.start) {
    return Status(Code::kInvalidArgument, "commit at " + ToString(request.commit) +
                                              ", not after its start at " +
                                              ToString(request.start));
  }
  Outcome outcome;
  for (const std::string& key : request.keys) {
    RUTILE_RETURN_IF_ERROR(CommitKey(reader, request, key, &outcome));
  }
  if (!outcome.errors.empty()) outcome.changes.Clear();
  return outcome;
}

}  // namespace rutile::txn
