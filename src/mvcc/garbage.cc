#include "mvcc/garbage.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "mvcc/keys.h"
#include "mvcc/reader.h"
#include "mvcc/records.h"

namespace rutile::mvcc {
namespace {

using engine::Family;

// Takes the records of one key, the newest first, and keeps what is garbage.
class Sieve {
 public:
  explicit Sieve(Timestamp safe_point) : safe_point_(safe_point) {}

  void Add(Timestamp commit, const Write& write) {
    if (commit > safe_point_) return;
    const bool is_put = write.kind == Write::Kind::kPut;
    const bool is_newest = !has_newest_ && (is_put || write.kind == Write::Kind::kDelete);
    has_newest_ = has_newest_ || is_newest;
    // What stands at the safe point itself may tell of the rollback of one that started there.
    if (commit == safe_point_ || (is_newest && is_put)) return;
    garbage_.push_back(
        {.commit = commit, .start = write.start, .has_long_value = is_put && !write.short_value});
  }
  std::vector<GarbageRecord> Take() { return std::move(garbage_); }

 private:
  const Timestamp safe_point_;
  bool has_newest_ = false;  // Of the versions at or below the safe point.
  std::vector<GarbageRecord> garbage_;
};

}  // namespace

Result<GarbageFound> FindGarbage(const engine::Snapshot& snapshot, const GarbageScan& scan,
                                 engine::Bounds within) {
  if (!scan.lower.empty()) within.lower = std::max(within.lower, LockKey(scan.lower));
  GarbageFound found;
  Reader reader(snapshot);
  if (!within.upper.empty() && within.lower >= within.upper) return found;
  const std::unique_ptr<engine::Iterator> iterator =
      snapshot.NewIterator(Family::kWrite, std::move(within));
  iterator->Seek("");
  while (iterator->Valid()) {
    const std::optional<VersionKeyParts> first = SplitVersionKey(iterator->key());
    if (!first) return Status(Code::kCorruption, "a write record's key has no timestamp");
    const std::string lock_key(first->lock_key);
    RUTILE_ASSIGN_OR_RETURN(std::string key, UserKeyOf(lock_key));
    if (found.looked_at >= scan.max_records) {
      found.next = std::move(key);
      break;
    }
    Sieve sieve(scan.safe_point);
    for (; iterator->Valid(); iterator->Next()) {
      const std::optional<VersionKeyParts> parts = SplitVersionKey(iterator->key());
      if (!parts || parts->lock_key != lock_key) break;
      RUTILE_ASSIGN_OR_RETURN(const Write write, DecodeWrite(iterator->value()));
      sieve.Add(parts->timestamp, write);
      ++found.looked_at;
    }
    std::vector<GarbageRecord> garbage = sieve.Take();
    if (garbage.empty()) continue;
    RUTILE_ASSIGN_OR_RETURN(const std::optional<Lock> lock, reader.LoadLock(key));
    if (lock && lock->start < scan.safe_point) continue;  // Its transaction is not over.
    found.keys.push_back({.key = std::move(key), .records = std::move(garbage)});
  }
  RUTILE_RETURN_IF_ERROR(iterator->status());
  return found;
}

void RemoveGarbage(const KeyGarbage& garbage, engine::WriteBatch* changes) {
  const std::string lock_key = LockKey(garbage.key);
  for (const GarbageRecord& record : garbage.records) {
    changes->Delete(Family::kWrite, VersionOfLockKey(lock_key, record.commit));
    if (record.has_long_value) {
      changes->Delete(Family::kDefault, VersionOfLockKey(lock_key, record.start));
    }
  }
}

}  // namespace rutile::mvcc
