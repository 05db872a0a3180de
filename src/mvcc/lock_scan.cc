#include "mvcc/lock_scan.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "mvcc/keys.h"
#include "mvcc/records.h"

namespace rutile::mvcc {

bool Matches(const LockScan& scan, const Lock& lock) {
  return lock.start <= scan.latest && (scan.starts.empty() || scan.starts.contains(lock.start));
}

Result<std::vector<KeyIsLocked>> ScanLocks(const engine::Snapshot& snapshot, const LockScan& scan,
                                           engine::Bounds within) {
  if (!scan.lower.empty()) within.lower = std::max(within.lower, LockKey(scan.lower));
  if (!scan.upper.empty()) within.upper = std::min(within.upper, LockKey(scan.upper));
  std::vector<KeyIsLocked> found;
  if (within.lower >= within.upper) return found;
  const std::unique_ptr<engine::Iterator> iterator =
      snapshot.NewIterator(engine::Family::kLock, std::move(within));
  for (iterator->Seek(""); iterator->Valid(); iterator->Next()) {
    RUTILE_ASSIGN_OR_RETURN(Lock lock, DecodeLock(iterator->value()));
    if (!Matches(scan, lock)) continue;
    RUTILE_ASSIGN_OR_RETURN(std::string key, UserKeyOf(iterator->key()));
    found.push_back({.key = std::move(key), .lock = std::move(lock)});
    if (found.size() == scan.limit) break;
  }
  RUTILE_RETURN_IF_ERROR(iterator->status());
  return found;
}

}  // namespace rutile::mvcc
