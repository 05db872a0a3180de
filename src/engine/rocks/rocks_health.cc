#include "engine/rocks/rocks_health.h"

#include <utility>

#include "base/check.h"

namespace rutile::engine {

void RocksHealth::RaiseDurable(std::uint64_t sequence) {
  std::uint64_t seen = durable_.load(std::memory_order_relaxed);
  while (seen < sequence && !durable_.compare_exchange_weak(seen, sequence)) {
  }
}

Status RocksHealth::Fail(Status failure) {
  RUTILE_CHECK(!failure.ok());
  MutexLock lock(mutex_);
  if (failure_.ok()) failure_ = std::move(failure);
  failed_.store(true, std::memory_order_release);
  return failure_;
}

Status RocksHealth::Check() const {
  if (!failed_.load(std::memory_order_acquire)) return {};
  MutexLock lock(mutex_);
  return failure_;
}

}  // namespace rutile::engine
