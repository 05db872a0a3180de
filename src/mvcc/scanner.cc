#include "mvcc/scanner.h"

#include <algorithm>
#include <utility>

#include "codec/keys.h"
#include "mvcc/keys.h"
#include "mvcc/records.h"

namespace rutile::mvcc {
namespace {

using engine::Family;

engine::Bounds BoundsOf(const Scanner::Options& options) {
  std::string lower = LockKey(options.lower);
  std::string upper = options.upper.empty() ? codec::DataEndKey("") : LockKey(options.upper);
  if (!options.within.upper.empty()) upper = std::min(upper, options.within.upper);
  return {.lower = std::max(lower, options.within.lower), .upper = std::move(upper)};
}

}  // namespace

Scanner::Scanner(const engine::Snapshot& snapshot, Options options, Direction direction)
    : options_(std::move(options)),
      direction_(direction),
      values_(snapshot, BoundsOf(options_), direction),
      locks_(snapshot.NewIterator(Family::kLock, BoundsOf(options_))),
      writes_(snapshot.NewIterator(Family::kWrite, BoundsOf(options_))) {
  for (engine::Iterator* iterator : {locks_.get(), writes_.get()}) {
    direction_ == Direction::kForward ? iterator->Seek({}) : iterator->SeekBefore({});
  }
}

Result<std::optional<Scanner::Item>> Scanner::Next() {
  while (true) {
    RUTILE_RETURN_IF_ERROR(TakeLockKey());
    const std::string_view lock_key = lock_key_;
    if (lock_key.empty()) return std::optional<Item>();
    RUTILE_ASSIGN_OR_RETURN(std::optional<Lock> lock, TakeLock(lock_key));
    if (lock && Blocks(*lock, options_.view)) {
      SkipVersions(lock_key);
      if (options_.view.committed.contains(lock->start)) {
        RUTILE_ASSIGN_OR_RETURN(std::optional<Item> pair, ReadLock(lock_key, *std::move(lock)));
        if (!pair) continue;
        return pair;
      }
      RUTILE_ASSIGN_OR_RETURN(std::string key, UserKeyOf(lock_key));
      return std::optional<Item>(KeyIsLocked{.key = std::move(key), .lock = *std::move(lock)});
    }
    RUTILE_ASSIGN_OR_RETURN(std::optional<Version> version, FindVersion(lock_key));
    SkipVersions(lock_key);
    if (!version || version->write.kind == Write::Kind::kDelete || !IsSampled()) continue;
    Pair pair = {.commit = version->commit};
    RUTILE_ASSIGN_OR_RETURN(pair.key, UserKeyOf(lock_key));
    if (!options_.key_only) {
      RUTILE_ASSIGN_OR_RETURN(pair.value, ValueOf(lock_key, std::move(version->write.short_value),
                                                  version->write.start));
    }
    return std::optional<Item>(std::move(pair));
  }
}

std::optional<Timestamp> Scanner::RecordOf(std::string_view lock_key) const {
  if (!writes_->Valid()) return std::nullopt;
  const std::optional<VersionKeyParts> parts = SplitVersionKey(writes_->key());
  if (!parts || parts->lock_key != lock_key) return std::nullopt;
  return parts->timestamp;
}

Status Scanner::TakeLockKey() {
  if (!locks_->Valid()) RUTILE_RETURN_IF_ERROR(locks_->status());
  if (!writes_->Valid()) RUTILE_RETURN_IF_ERROR(writes_->status());
  std::string_view next;
  if (writes_->Valid()) {
    const std::optional<VersionKeyParts> parts = SplitVersionKey(writes_->key());
    if (!parts) return Status(Code::kCorruption, "a write record's key has no timestamp");
    next = parts->lock_key;
  }
  if (locks_->Valid()) {
    const std::string_view lock_key = locks_->key();
    const bool is_first = direction_ == Direction::kForward ? lock_key < next : lock_key > next;
    if (is_first || !writes_->Valid()) next = lock_key;
  }
  lock_key_ = next;
  return {};
}

Result<std::optional<Lock>> Scanner::TakeLock(std::string_view lock_key) {
  if (!locks_->Valid() || locks_->key() != lock_key) return std::optional<Lock>();
  RUTILE_ASSIGN_OR_RETURN(Lock lock, DecodeLock(locks_->value()));
  direction_ == Direction::kForward ? locks_->Next() : locks_->Prev();
  return std::optional(std::move(lock));
}

Result<std::optional<Scanner::Item>> Scanner::ReadLock(std::string_view lock_key, Lock lock) {
  if (lock.kind != Lock::Kind::kPut || !IsSampled()) return std::optional<Item>();
  Pair pair;
  RUTILE_ASSIGN_OR_RETURN(pair.key, UserKeyOf(lock_key));
  if (!options_.key_only) {
    RUTILE_ASSIGN_OR_RETURN(pair.value, ValueOf(lock_key, std::move(lock.short_value), lock.start));
  }
  return std::optional<Item>(std::move(pair));
}

Result<std::string> Scanner::ValueOf(std::string_view lock_key,
                                     std::optional<std::string> short_value, Timestamp start) {
  if (short_value) return *std::move(short_value);
  return values_.Load(lock_key, start);
}

bool Scanner::IsSampled() {
  if (has_shown_ && ++skipped_ < options_.sample_step) return false;
  has_shown_ = true;
  skipped_ = 0;
  return true;
}

// --- Up.

ForwardScanner::ForwardScanner(const engine::Snapshot& snapshot, Options options)
    : Scanner(snapshot, std::move(options), Direction::kForward) {}

Result<std::optional<Version>> ForwardScanner::FindVersion(std::string_view lock_key) {
  AdvanceIntoView(lock_key);
  while (const std::optional<Timestamp> commit = RecordOf(lock_key)) {
    RUTILE_ASSIGN_OR_RETURN(Write write, DecodeWrite(writes().value()));
    if (write.kind == Write::Kind::kPut || write.kind == Write::Kind::kDelete) {
      return std::optional(Version{.commit = *commit, .write = std::move(write)});
    }
    writes().Next();
  }
  return std::optional<Version>();
}

void ForwardScanner::SkipVersions(std::string_view lock_key) {
  for (int steps = 0; RecordOf(lock_key); ++steps) {
    if (steps == kStepsBeforeSeek) return writes().Seek(EndOfVersions(lock_key));
    writes().Next();
  }
}

void ForwardScanner::AdvanceIntoView(std::string_view lock_key) {
  for (int steps = 0;; ++steps) {
    const std::optional<Timestamp> commit = RecordOf(lock_key);
    if (!commit || *commit <= view().at) return;
    if (steps == kStepsBeforeSeek) return writes().Seek(VersionOfLockKey(lock_key, view().at));
    writes().Next();
  }
}

}  // namespace rutile::mvcc
