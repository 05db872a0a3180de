#pragma once

#include <condition_variable>
#include <mutex>

namespace rutile::testing {

// Counts down to zero. Safe from any thread.
class Latch {
 public:
  explicit Latch(int count) : count_(count) {}

  void CountDown() {
    const std::lock_guard lock(mutex_);
    --count_;
    changed_.notify_all();
  }
  bool IsZero() {
    const std::lock_guard lock(mutex_);
    return count_ <= 0;
  }
  // Blocks until zero.
  void Wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return count_ <= 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_;
};

}  // namespace rutile::testing
