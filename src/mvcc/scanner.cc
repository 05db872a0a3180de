#include "mvcc/scanner.h"

#include <utility>

#include "codec/keys.h"
#include "mvcc/keys.h"
#include "mvcc/records.h"

namespace rutile::mvcc {
namespace {

using engine::Family;

// Most keys have few versions, and a step costs a small part of a seek.
constexpr int kStepsBeforeSeek = 8;

engine::Bounds BoundsOf(const ForwardScanner::Options& options) {
  return {.lower = LockKey(options.lower),
          .upper = options.upper.empty() ? codec::DataEndKey("") : LockKey(options.upper)};
}

}  // namespace

ForwardScanner::ForwardScanner(const engine::Snapshot& snapshot, Options options)
    : options_(std::move(options)),
      reader_(snapshot),
      locks_(snapshot.NewIterator(Family::kLock, BoundsOf(options_))),
      writes_(snapshot.NewIterator(Family::kWrite, BoundsOf(options_))) {
  locks_->Seek({});
  writes_->Seek({});
}

Result<std::optional<ForwardScanner::Item>> ForwardScanner::Next() {
  while (true) {
    RUTILE_ASSIGN_OR_RETURN(const std::string lock_key, NextLockKey());
    if (lock_key.empty()) return std::optional<Item>();
    RUTILE_ASSIGN_OR_RETURN(std::optional<Lock> lock, TakeLock(lock_key));
    if (lock && Blocks(*lock, options_.view)) {
      SkipVersions(lock_key);
      RUTILE_ASSIGN_OR_RETURN(std::string key, UserKeyOf(lock_key));
      return std::optional<Item>(KeyIsLocked{.key = std::move(key), .lock = *std::move(lock)});
    }
    RUTILE_ASSIGN_OR_RETURN(const std::optional<Write> write, FindVersion(lock_key));
    SkipVersions(lock_key);
    if (!write || write->kind == Write::Kind::kDelete) continue;
    Pair pair;
    RUTILE_ASSIGN_OR_RETURN(pair.key, UserKeyOf(lock_key));
    if (!options_.key_only) {
      RUTILE_ASSIGN_OR_RETURN(pair.value, reader_.LoadValue(pair.key, *write));
    }
    return std::optional<Item>(std::move(pair));
  }
}

Result<std::string> ForwardScanner::NextLockKey() const {
  if (!locks_->Valid()) RUTILE_RETURN_IF_ERROR(locks_->status());
  if (!writes_->Valid()) RUTILE_RETURN_IF_ERROR(writes_->status());
  std::string_view next;
  if (writes_->Valid()) {
    const std::optional<VersionKeyParts> parts = SplitVersionKey(writes_->key());
    if (!parts) return Status(Code::kCorruption, "a write record's key has no timestamp");
    next = parts->lock_key;
  }
  if (locks_->Valid() && (!writes_->Valid() || locks_->key() < next)) next = locks_->key();
  return std::string(next);
}

Result<std::optional<Lock>> ForwardScanner::TakeLock(std::string_view lock_key) {
  if (!locks_->Valid() || locks_->key() != lock_key) return std::optional<Lock>();
  RUTILE_ASSIGN_OR_RETURN(Lock lock, DecodeLock(locks_->value()));
  locks_->Next();
  return std::optional(std::move(lock));
}

Result<std::optional<Write>> ForwardScanner::FindVersion(std::string_view lock_key) {
  Timestamp timestamp;
  if (!AtVersionOf(lock_key, &timestamp)) return std::optional<Write>();
  if (timestamp > options_.view.at) Advance(VersionOfLockKey(lock_key, options_.view.at));
  for (; AtVersionOf(lock_key, &timestamp); writes_->Next()) {
    RUTILE_ASSIGN_OR_RETURN(Write write, DecodeWrite(writes_->value()));
    if (write.kind == Write::Kind::kPut || write.kind == Write::Kind::kDelete) {
      return std::optional(std::move(write));
    }
  }
  return std::optional<Write>();
}

void ForwardScanner::SkipVersions(std::string_view lock_key) {
  Timestamp timestamp;
  if (AtVersionOf(lock_key, &timestamp)) Advance(EndOfVersions(lock_key));
}

bool ForwardScanner::AtVersionOf(std::string_view lock_key, Timestamp* timestamp) const {
  if (!writes_->Valid()) return false;
  const std::optional<VersionKeyParts> parts = SplitVersionKey(writes_->key());
  if (!parts || parts->lock_key != lock_key) return false;
  *timestamp = parts->timestamp;
  return true;
}

void ForwardScanner::Advance(const std::string& target) {
  for (int steps = 0; writes_->Valid() && writes_->key() < target; ++steps) {
    if (steps == kStepsBeforeSeek) {
      writes_->Seek(target);
      return;
    }
    writes_->Next();
  }
}

}  // namespace rutile::mvcc
