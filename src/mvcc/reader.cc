#include "mvcc/reader.h"

#include <utility>

#include "mvcc/keys.h"
#include "mvcc/records.h"
#include "mvcc/value_cursor.h"

namespace rutile::mvcc {

using engine::Family;

bool Blocks(const Lock& lock, const View& view) {
  const bool hides = lock.kind != Lock::Kind::kLock && lock.kind != Lock::Kind::kPessimistic;
  return hides && !view.ignores_locks && lock.start <= view.at && lock.min_commit <= view.at &&
         !view.bypassed.contains(lock.start);
}

Status CheckNotCollected(Timestamp at, Timestamp safe_point) {
  if (at >= safe_point) return {};
  return Status(Code::kNotFound,
                "timestamp " + ToString(at) + " is older than the safe point " +
                    ToString(safe_point) +
                    ", below which versions are not kept; start a new transaction");
}

Result<ReadAnswer> Reader::Get(std::string_view key, const View& view) {
  RUTILE_ASSIGN_OR_RETURN(std::optional<Lock> lock, LoadLock(key));
  if (lock && Blocks(*lock, view)) {
    if (!view.committed.contains(lock->start)) {
      return ReadAnswer(KeyIsLocked{.key = std::string(key), .lock = *std::move(lock)});
    }
    RUTILE_ASSIGN_OR_RETURN(std::optional<std::string> value, LoadValue(key, *lock));
    if (!value) return ReadAnswer(std::optional<Found>());
    return ReadAnswer(std::optional(Found{.value = *std::move(value)}));
  }
  RUTILE_ASSIGN_OR_RETURN(const std::optional<Version> version, NewestVersion(key, view.at));
  if (!version || version->write.kind == Write::Kind::kDelete) {
    return ReadAnswer(std::optional<Found>());
  }
  RUTILE_ASSIGN_OR_RETURN(std::string value, LoadValue(key, version->write));
  return ReadAnswer(std::optional(Found{.value = std::move(value), .commit = version->commit}));
}

Result<std::optional<Lock>> Reader::LoadLock(std::string_view key) {
  if (!in_memory_.empty()) {
    const auto found = in_memory_.find(key);
    if (found != in_memory_.end()) return std::optional(found->second);
  }
  RUTILE_ASSIGN_OR_RETURN(const std::optional<std::string> bytes,
                          snapshot_.Get(Family::kLock, LockKey(key)));
  if (!bytes) return std::optional<Lock>();
  has_met_stored_lock_ = true;
  RUTILE_ASSIGN_OR_RETURN(Lock lock, DecodeLock(*bytes));
  return std::optional(std::move(lock));
}

Result<std::optional<Version>> Reader::NewestRecord(std::string_view key, Timestamp at) {
  if (!writes_) writes_ = snapshot_.NewVersionCursor();
  const std::string lock_key = LockKey(key);
  writes_->Seek(VersionOfLockKey(lock_key, at));
  if (!writes_->Valid()) {
    RUTILE_RETURN_IF_ERROR(writes_->status());
    return std::optional<Version>();
  }
  const std::optional<VersionKeyParts> parts = SplitVersionKey(writes_->key());
  if (!parts || parts->lock_key != lock_key) return std::optional<Version>();
  RUTILE_ASSIGN_OR_RETURN(Write write, DecodeWrite(writes_->value()));
  return std::optional(Version{.commit = parts->timestamp, .write = std::move(write)});
}

Result<std::optional<Version>> Reader::NewestVersion(std::string_view key, Timestamp at) {
  while (true) {
    RUTILE_ASSIGN_OR_RETURN(std::optional<Version> record, NewestRecord(key, at));
    if (!record || record->write.kind == Write::Kind::kPut ||
        record->write.kind == Write::Kind::kDelete || record->commit.IsZero()) {
      return record;
    }
    at = record->commit.Prev();
  }
}

Result<std::optional<Write>> Reader::RecordAt(std::string_view key, Timestamp at) {
  RUTILE_ASSIGN_OR_RETURN(const std::optional<std::string> bytes,
                          snapshot_.Get(Family::kWrite, VersionKey(key, at)));
  if (!bytes) return std::optional<Write>();
  RUTILE_ASSIGN_OR_RETURN(Write write, DecodeWrite(*bytes));
  return std::optional(std::move(write));
}

Result<Fate> Reader::FateOf(std::string_view key, Timestamp start) {
  // A commit stands above the start, a rollback at it.
  for (Timestamp at = kMaxTimestamp;;) {
    RUTILE_ASSIGN_OR_RETURN(std::optional<Version> record, NewestRecord(key, at));
    if (!record || record->commit < start) return Fate(Unknown());
    if (record->write.kind == Write::Kind::kRollback) {
      if (record->commit == start) return Fate(RolledBack());
    } else if (record->write.start == start) {
      return Fate(Committed{.commit = record->commit, .write = std::move(record->write)});
    } else if (record->commit == start && record->write.has_overlapped_rollback) {
      return Fate(RolledBack());
    }
    if (record->commit.IsZero()) return Fate(Unknown());
    at = record->commit.Prev();
  }
}

Result<std::string> Reader::LoadValue(std::string_view key, const Write& write) {
  if (write.short_value) return *write.short_value;
  return LoadLongValue(key, write.start);
}

Result<std::optional<std::string>> Reader::LoadValue(std::string_view key, const Lock& lock) {
  if (lock.kind != Lock::Kind::kPut) return std::optional<std::string>();
  if (lock.short_value) return std::optional(*lock.short_value);
  RUTILE_ASSIGN_OR_RETURN(std::string value, LoadLongValue(key, lock.start));
  return std::optional(std::move(value));
}

Result<std::string> Reader::LoadLongValue(std::string_view key, Timestamp start) {
  RUTILE_ASSIGN_OR_RETURN(std::optional<std::string> value,
                          snapshot_.Get(Family::kDefault, VersionKey(key, start)));
  if (!value) return MissingValue(start);
  return *std::move(value);
}

}  // namespace rutile::mvcc
