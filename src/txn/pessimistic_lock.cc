#include "txn/pessimistic_lock.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "mvcc/keys.h"
#include "mvcc/records.h"
#include "txn/pessimistic_check.h"

namespace rutile::txn {
namespace {

using engine::Family;
using mvcc::Lock;
using mvcc::Version;
using mvcc::Write;

Status CheckRequest(const PessimisticLockRequest& request, Timestamp safe_point) {
  const auto invalid = [](const char* what) { return Status(Code::kInvalidArgument, what); };
  if (request.start.IsZero()) return invalid("pessimistic lock at timestamp zero");
  if (request.primary.empty()) return invalid("pessimistic lock without a primary");
  // Its own rollback may have been removed.
  RUTILE_RETURN_IF_ERROR(mvcc::CheckNotCollected(request.start, safe_point));
  if (request.for_update < request.start) return invalid("pessimistic lock from before its start");
  if (request.lock_only_if_exists && !request.return_values) {
    return invalid("a lock of what exists only is asked for without its value");
  }
  return CheckKeys(KeysOf(request), "pessimistic lock");
}

KeyError ConflictWith(const PessimisticLockRequest& request, const std::string& key,
                      const Version& newer) {
  return WriteConflict{.key = key,
                       .start = request.start,
                       .other_start = newer.write.start,
                       .other_commit = newer.commit,
                       .reason = WriteConflict::Reason::kPessimisticRetry};
}

// One key of a request, and what is found out about it.
class KeyLocker {
 public:
  KeyLocker(mvcc::Reader& reader, const PessimisticLockRequest& request,
            const PessimisticLockRequest::Key& key)
      : reader_(reader), request_(request), must_not_exist_(key.must_not_exist), key_(key.key) {}

  Status Run(PessimisticLockOutcome* result) {
    RUTILE_ASSIGN_OR_RETURN(own_, reader_.LoadLock(key_));
    if (own_ && own_->start != request_.start) {
      result->outcome.errors.emplace_back(KeyIsLocked{.key = key_, .lock = *std::move(own_)});
      return {};
    }
    RUTILE_ASSIGN_OR_RETURN(std::optional<KeyError> error, FindConflict());
    if (!error) {
      RUTILE_ASSIGN_OR_RETURN(error, LookAtValue());
    }
    if (error) {
      result->outcome.errors.push_back(*std::move(error));
      return {};
    }
    AddLock(&result->outcome);
    result->keys.push_back(std::move(answer_));
    return {};
  }

 private:
  // Decides as of when the key is locked.
  Result<std::optional<KeyError>> FindConflict() {
    locked_at_ = request_.for_update;
    RUTILE_ASSIGN_OR_RETURN(newer_, NewestChange(reader_, key_, request_.for_update));
    if (newer_ && !request_.allow_lock_with_conflict) {
      return std::optional(ConflictWith(request_, key_, *newer_));
    }
    if (newer_) {
      // The request may come late, after its own commit, which others have followed. It must not
      // take the key again: who met such a lock would take the transaction for undecided.
      RUTILE_ASSIGN_OR_RETURN(const mvcc::Fate fate, reader_.FateOf(key_, request_.start));
      if (std::holds_alternative<mvcc::Committed>(fate)) {
        return std::optional(ConflictWith(request_, key_, *newer_));
      }
      locked_at_ = newer_->commit;
    }
    // What was locked with a conflict before: the answer may have been lost.
    if (own_ && request_.allow_lock_with_conflict) {
      locked_at_ = std::max(locked_at_, own_->for_update);
    }
    if (own_) return std::optional<KeyError>();
    RUTILE_ASSIGN_OR_RETURN(const bool rolled_back, WasRolledBack(reader_, key_, request_.start));
    if (!rolled_back) return std::optional<KeyError>();
    return std::optional<KeyError>(WriteConflict{.key = key_,
                                                 .start = request_.start,
                                                 .other_start = request_.start,
                                                 .other_commit = request_.start,
                                                 .reason = WriteConflict::Reason::kRolledBack});
  }

  bool has_conflict() const { return locked_at_ > request_.for_update; }

  Result<std::optional<KeyError>> LookAtValue() {
    const bool wants_value = request_.return_values || has_conflict();
    if (!wants_value && !request_.check_existence && !must_not_exist_) {
      return std::optional<KeyError>();
    }
    RUTILE_ASSIGN_OR_RETURN(const std::optional<Version> version,
                            reader_.NewestVersion(key_, locked_at_));
    answer_.exists = version && version->write.kind == Write::Kind::kPut;
    if (has_conflict()) {
      answer_.locked_with_conflict_at = locked_at_;
    } else if (must_not_exist_ && answer_.exists) {
      return std::optional<KeyError>(
          AlreadyExists{.key = key_, .existing_commit = version->commit});
    }
    if (!answer_.exists && request_.lock_only_if_exists && newer_) {
      // There would be no lock that keeps the absence true.
      return std::optional(ConflictWith(request_, key_, *newer_));
    }
    if (answer_.exists && wants_value) {
      RUTILE_ASSIGN_OR_RETURN(answer_.value, reader_.LoadValue(key_, version->write));
    }
    return std::optional<KeyError>();
  }

  void AddLock(Outcome* outcome) {
    if (request_.lock_only_if_exists && !answer_.exists) return;
    if (own_ && own_->kind != Lock::Kind::kPessimistic) return;  // Prewritten: it comes late.
    if (own_ && own_->for_update >= locked_at_) return;
    Lock lock = {.kind = Lock::Kind::kPessimistic,
                 .primary = request_.primary,
                 .start = request_.start,
                 .ttl_ms = request_.ttl_ms,
                 .min_commit = request_.min_commit,
                 .for_update = locked_at_};
    if (own_) {
      lock.ttl_ms = std::max(lock.ttl_ms, own_->ttl_ms);
      lock.min_commit = std::max(lock.min_commit, own_->min_commit);
    }
    outcome->changes.Put(Family::kLock, mvcc::LockKey(key_), mvcc::EncodeLock(lock));
  }

  mvcc::Reader& reader_;
  const PessimisticLockRequest& request_;
  const bool must_not_exist_;
  const std::string& key_;
  std::optional<Lock> own_ = {};
  std::optional<Version> newer_ = {};  // What was committed above `for_update`.
  Timestamp locked_at_ = {};
  LockedKey answer_ = {};
};

}  // namespace

std::vector<std::string> KeysOf(const PessimisticLockRequest& request) {
  std::vector<std::string> keys;
  keys.reserve(request.keys.size());
  for (const auto& key : request.keys) keys.push_back(key.key);
  return keys;
}

Result<PessimisticLockOutcome> PessimisticLock(mvcc::Reader& reader,
                                               const PessimisticLockRequest& request) {
  RUTILE_RETURN_IF_ERROR(CheckRequest(request, reader.safe_point()));
  PessimisticLockOutcome result;
  for (const auto& key : request.keys) {
    RUTILE_RETURN_IF_ERROR(KeyLocker(reader, request, key).Run(&result));
  }
  if (!result.outcome.errors.empty()) {
    result.outcome.changes.Clear();
    result.keys.clear();
  }
  return result;
}

}  // namespace rutile::txn
