#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "base/mutex.h"
#include "base/status.h"

namespace rutile::engine {

// What RocksDB's threads have to tell the engine: how far it is durable, and whether it is broken.
// Any thread.
class RocksHealth {
 public:
  // Everything up to `sequence` is durable. A lower one than before changes nothing.
  void RaiseDurable(std::uint64_t sequence);
  std::uint64_t durable() const { return durable_.load(std::memory_order_acquire); }

  // Keeps the first failure for good and returns it. `failure` must not be OK.
  Status Fail(Status failure);
  // OK, or that failure.
  Status Check() const;

 private:
  std::atomic<std::uint64_t> durable_ = 0;
  std::atomic<bool> failed_ = false;  // Lets Check() do without the mutex while all is well.

  mutable Mutex mutex_;
  Status failure_ GUARDED_BY(mutex_);
};

}  // namespace rutile::engine
