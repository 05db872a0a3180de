#include "store/disk_guard.h"

#include <string>
#include <utility>

namespace rutile::store {

bool DiskGuard::Observe(const Result<std::uint64_t>& free_bytes, const Status& log_space) {
  const bool before = refuses_growth();
  std::string reason;
  if (free_bytes.ok()) {
    free_bytes_.store(free_bytes.value(), std::memory_order_relaxed);
    const std::uint64_t wanted = before ? reserve_bytes_ + reserve_bytes_ / 4 : reserve_bytes_;
    if (free_bytes.value() < wanted) {
      reason = "the disk is almost full: " + std::to_string(free_bytes.value()) +
               " bytes are free, " + std::to_string(reserve_bytes_) +
               " are kept in reserve (option disk-reserve-bytes)";
    }
  }
  if (reason.empty() && !log_space.ok()) reason = "the log: " + std::string(log_space.message());
  const bool refuses = !reason.empty();
  {
    MutexLock lock(mutex_);
    reason_ = std::move(reason);
  }
  refuses_.store(refuses, std::memory_order_relaxed);
  return refuses != before;
}

std::string DiskGuard::reason() const {
  MutexLock lock(mutex_);
  return reason_;
}

}  // namespace rutile::store
