#include "txn/status_cache.h"

#include <algorithm>

namespace rutile::txn {

using mvcc::Timestamp;

void StatusCache::Tell(Timestamp start, Timestamp min_commit) {
  MutexLock lock(mutex_);
  Status& status = statuses_[start];
  status.min_commit = std::max(status.min_commit, min_commit);
  status.told = ++count_;
  if (statuses_.size() <= most_) return;
  statuses_.erase(
      std::min_element(statuses_.begin(), statuses_.end(),
                       [](const auto& a, const auto& b) { return a.second.told < b.second.told; }));
}

void StatusCache::Forget(Timestamp start) {
  MutexLock lock(mutex_);
  statuses_.erase(start);
}

Timestamp StatusCache::MinCommit(Timestamp start) const {
  MutexLock lock(mutex_);
  const auto found = statuses_.find(start);
  return found == statuses_.end() ? Timestamp() : found->second.min_commit;
}

}  // namespace rutile::txn
