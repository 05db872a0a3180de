#include "mvcc/garbage.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "mvcc/garbage_sieve.h"
#include "mvcc/keys.h"
#include "mvcc/reader.h"
#include "mvcc/records.h"

namespace rutile::mvcc {
namespace {

using engine::Family;

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
    GarbageSieve sieve(scan.safe_point);
    std::vector<GarbageRecord> garbage;
    for (; iterator->Valid(); iterator->Next()) {
      const std::optional<VersionKeyParts> parts = SplitVersionKey(iterator->key());
      if (!parts || parts->lock_key != lock_key) break;
      RUTILE_ASSIGN_OR_RETURN(const Write write, DecodeWrite(iterator->value()));
      const GarbageSieve::Verdict verdict = sieve.Judge(parts->timestamp, write);
      if (verdict != GarbageSieve::Verdict::kNeeded) {
        garbage.push_back({.commit = parts->timestamp,
                           .start = write.start,
                           .has_long_value = HasLongValue(write),
                           .hides_others = verdict == GarbageSieve::Verdict::kLastDeletion});
      }
      ++found.looked_at;
      if (parts->timestamp >= scan.safe_point) ++found.above;
    }
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
    std::string version = VersionOfLockKey(lock_key, record.commit);
    if (record.hides_others) {
      changes->DeleteRange(Family::kWrite, std::move(version), EndOfVersions(lock_key));
    } else {
      changes->Delete(Family::kWrite, std::move(version));
    }
    if (record.has_long_value) {
      changes->Delete(Family::kDefault, VersionOfLockKey(lock_key, record.start));
    }
  }
}

}  // namespace rutile::mvcc
