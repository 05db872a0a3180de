#include "txn/prewrite.h"

#include <optional>
#include <utility>

#include "mvcc/keys.h"
#include "mvcc/records.h"

namespace rutile::txn {
namespace {

using engine::Family;
using mvcc::Lock;
using mvcc::Write;

Status CheckRequest(const PrewriteRequest& request) {
  if (request.start.IsZero()) return Status(Code::kInvalidArgument, "prewrite at timestamp zero");
  if (request.primary.empty()) return Status(Code::kInvalidArgument, "prewrite without a primary");
  std::vector<std::string> keys;
  keys.reserve(request.mutations.size());
  for (const Mutation& mutation : request.mutations) keys.push_back(mutation.key);
  return CheckKeys(keys, "prewrite");
}

// What the records at and above the start say to a prewrite.
struct Newer {
  std::optional<KeyError> error = {};
  bool committed_before = false;  // By this very transaction: the request comes twice.
};

Result<Newer> CheckNewer(mvcc::Reader& reader, const std::string& key, Timestamp start) {
  for (Timestamp at = mvcc::kMaxTimestamp; at >= start;) {
    RUTILE_ASSIGN_OR_RETURN(const std::optional<mvcc::Version> record,
                            reader.NewestRecord(key, at));
    if (!record || record->commit < start) break;
    const bool is_rollback = record->write.kind == Write::Kind::kRollback;
    WriteConflict conflict = {.key = key,
                              .start = start,
                              .other_start = record->write.start,
                              .other_commit = record->commit};
    if (record->commit == start) {
      if (!is_rollback && !record->write.has_overlapped_rollback) break;
      conflict.reason = WriteConflict::Reason::kRolledBack;
      return Newer{.error = std::move(conflict)};
    }
    if (!is_rollback) {
      if (record->write.start == start) return Newer{.committed_before = true};
      return Newer{.error = std::move(conflict)};
    }
    // Another's rollback wrote nothing. This one's own stands further down, at the start.
    at = record->commit.Prev();
  }
  return Newer();
}

Result<std::optional<KeyError>> CheckAbsent(mvcc::Reader& reader, const std::string& key,
                                            Timestamp start) {
  RUTILE_ASSIGN_OR_RETURN(const std::optional<mvcc::Version> version,
                          reader.NewestVersion(key, start));
  if (!version || version->write.kind == Write::Kind::kDelete) return std::optional<KeyError>();
  return std::optional<KeyError>(AlreadyExists{.key = key, .existing_commit = version->commit});
}

void AddLock(const PrewriteRequest& request, const Mutation& mutation, Outcome* outcome) {
  Lock lock = {.primary = request.primary,
               .start = request.start,
               .ttl_ms = request.ttl_ms,
               .transaction_keys = request.transaction_keys,
               .min_commit = request.min_commit};
  switch (mutation.kind) {
    case Mutation::Kind::kCheckNotExists: return;
    case Mutation::Kind::kDelete: lock.kind = Lock::Kind::kDelete; break;
    case Mutation::Kind::kLock: lock.kind = Lock::Kind::kLock; break;
    case Mutation::Kind::kPut:
    case Mutation::Kind::kInsert:
      lock.kind = Lock::Kind::kPut;
      if (mutation.value.size() <= mvcc::kShortValueMaxBytes) {
        lock.short_value = mutation.value;
      } else {
        outcome->changes.Put(Family::kDefault, mvcc::VersionKey(mutation.key, request.start),
                             mutation.value);
      }
      break;
  }
  outcome->changes.Put(Family::kLock, mvcc::LockKey(mutation.key), mvcc::EncodeLock(lock));
}

Status PrewriteKey(mvcc::Reader& reader, const PrewriteRequest& request, const Mutation& mutation,
                   Outcome* outcome) {
  RUTILE_ASSIGN_OR_RETURN(std::optional<Lock> lock, reader.LoadLock(mutation.key));
  if (lock) {
    if (lock->start != request.start) {
      outcome->errors.emplace_back(KeyIsLocked{.key = mutation.key, .lock = *std::move(lock)});
    }
    return {};
  }
  RUTILE_ASSIGN_OR_RETURN(Newer newer, CheckNewer(reader, mutation.key, request.start));
  if (newer.committed_before) return {};
  if (!newer.error && (mutation.kind == Mutation::Kind::kInsert ||
                       mutation.kind == Mutation::Kind::kCheckNotExists)) {
    RUTILE_ASSIGN_OR_RETURN(newer.error, CheckAbsent(reader, mutation.key, request.start));
  }
  if (newer.error) {
    outcome->errors.push_back(*std::move(newer.error));
  } else {
    AddLock(request, mutation, outcome);
  }
  return {};
}

}  // namespace

Result<Outcome> Prewrite(mvcc::Reader& reader, const PrewriteRequest& request) {
  RUTILE_RETURN_IF_ERROR(CheckRequest(request));
  Outcome outcome;
  for (const Mutation& mutation : request.mutations) {
    RUTILE_RETURN_IF_ERROR(PrewriteKey(reader, request, mutation, &outcome));
  }
  if (!outcome.errors.empty()) outcome.changes.Clear();
  return outcome;
}

}  // namespace rutile::txn
