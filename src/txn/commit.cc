#include "txn/commit.h"

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

Write::Kind KindOf(Lock::Kind kind) {
  switch (kind) {
    case Lock::Kind::kPut: return Write::Kind::kPut;
    case Lock::Kind::kDelete: return Write::Kind::kDelete;
    case Lock::Kind::kLock: return Write::Kind::kLock;
  }
  RUTILE_UNREACHABLE();
}

Status CommitKey(mvcc::Reader& reader, const CommitRequest& request, const std::string& key,
                 Outcome* outcome) {
  RUTILE_ASSIGN_OR_RETURN(std::optional<Lock> lock, reader.LoadLock(key));
  if (!lock || lock->start != request.start) {
    RUTILE_ASSIGN_OR_RETURN(const mvcc::Fate fate, reader.FateOf(key, request.start));
    if (!std::holds_alternative<mvcc::Committed>(fate)) {
      outcome->errors.emplace_back(LockNotFound{.key = key, .start = request.start});
    }
    return {};
  }
  if (request.commit < lock->min_commit) {
    outcome->errors.emplace_back(
        CommitTooEarly{.key = key, .commit = request.commit, .min_commit = lock->min_commit});
    return {};
  }
  Write write = {.kind = KindOf(lock->kind),
                 .start = request.start,
                 .short_value = std::move(lock->short_value)};
  // A transaction that started at this one's commit may have been rolled back here. Its record is
  // about to be replaced, and must go on protecting.
  RUTILE_ASSIGN_OR_RETURN(const std::optional<Write> there, reader.RecordAt(key, request.commit));
  if (there && there->kind != Write::Kind::kRollback) {
    // It would have met the lock, or this transaction its commit.
    return Status(Code::kCorruption, "a lock that started at " + ToString(request.start) +
                                         " beside another transaction's commit at " +
                                         ToString(request.commit));
  }
  write.has_overlapped_rollback = there.has_value();
  outcome->changes.Put(Family::kWrite, mvcc::VersionKey(key, request.commit),
                       mvcc::EncodeWrite(write));
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
