#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "base/mutex.h"
#include "base/status.h"

namespace rutile::store {

// Decides whether a store may still take writes that make its data grow. A disk that runs full
// under the key-value engine ends the process, so growth stops while there is still room for what
// goes on: Raft, flushes and compactions of the engine, deletes. It begins again by itself.
//
// Observe() belongs to one executor; the rest is safe from any thread.
class DiskGuard {
 public:
  // Growth is refused while less than `reserve_bytes` are free, and then until there is a quarter
  // more than that: what is refused and retried must not make the answer alternate. Zero: only
  // while the log finds no space.
  explicit DiskGuard(std::uint64_t reserve_bytes) : reserve_bytes_(reserve_bytes) {}

  // What the file system has left, and LogWriter::space(). A file system that does not say how much
  // is free is not refused for it. Returns whether the answer of refuses_growth() has changed.
  bool Observe(const Result<std::uint64_t>& free_bytes, const Status& log_space);

  bool refuses_growth() const { return refuses_.load(std::memory_order_relaxed); }
  // Why, for a person; empty while growth is not refused.
  std::string reason() const;
  // As observed last; zero before.
  std::uint64_t free_bytes() const { return free_bytes_.load(std::memory_order_relaxed); }

 private:
  const std::uint64_t reserve_bytes_;
  std::atomic<bool> refuses_ = false;
  std::atomic<std::uint64_t> free_bytes_ = 0;
  mutable Mutex mutex_;
  std::string reason_ GUARDED_BY(mutex_);
};

}  // namespace rutile::store
