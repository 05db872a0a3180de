#include "env/posix/thread_executor.h"

#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "env/posix/posix_clock.h"

namespace rutile::posix {

class ThreadExecutor::Loop {
 public:
  explicit Loop(const std::string& name) : thread_([this] { Run(); }) {
    ::pthread_setname_np(thread_.native_handle(), name.substr(0, 15).c_str());
  }

  void Post(Task task) {
    std::unique_lock lock(mutex_);
    if (stopping_) return DestroyUnlocked(std::move(task), lock);
    ready_.push_back(std::move(task));
    // Whoever lends its thread calls this one when it is done.
    if (!lent_) Wake(lock);
  }

  void Dispatch(Task task) {
    std::unique_lock lock(mutex_);
    if (stopping_) return DestroyUnlocked(std::move(task), lock);
    if (lent_ || !sleeping_ || !ready_.empty()) {
      ready_.push_back(std::move(task));
      if (!lent_) Wake(lock);
      return;
    }
    // The thread sleeps and stays asleep: the caller's takes its place for one task.
    lent_ = true;
    lock.unlock();
    task();
    task = nullptr;
    lock.lock();
    lent_ = false;
    if (!ready_.empty() || stopping_ || waits_for_lender_) Wake(lock);
  }

  void PostAfter(Duration delay, Task task) {
    const Instant due = PosixClock().Now() + delay;
    std::unique_lock lock(mutex_);
    if (stopping_) return DestroyUnlocked(std::move(task), lock);
    timers_.push_back({due, next_sequence_++, std::move(task)});
    std::push_heap(timers_.begin(), timers_.end(), Later);
    // A sleeper need only know of a timer that is due before the one it sleeps for.
    if (timers_.front().due == due) Wake(lock);
  }

  void Shutdown() {
    {
      std::unique_lock lock(mutex_);
      stopping_ = true;
      Wake(lock);
    }
    if (thread_.joinable()) thread_.join();
    // Destroying a task may run code that posts; such tasks are refused by now.
    std::vector<Task> ready;
    std::vector<Timer> timers;
    {
      const std::lock_guard lock(mutex_);
      ready.swap(ready_);
      timers.swap(timers_);
    }
  }

 private:
  struct Timer {
    Instant due;
    std::uint64_t sequence;  // Timers of one moment keep their order.
    Task task;
  };
  static bool Later(const Timer& a, const Timer& b) {
    return std::pair(a.due, a.sequence) > std::pair(b.due, b.sequence);
  }

  static void DestroyUnlocked(Task task, std::unique_lock<std::mutex>& lock) {
    lock.unlock();
    task = nullptr;
  }

  void Wake(std::unique_lock<std::mutex>& lock) {
    if (!sleeping_) return;
    sleeping_ = false;
    lock.unlock();
    wake_.notify_one();
  }

  // Moves what is due to the end of `ready_`. Returns when the next timer is due.
  std::optional<Instant> MoveDue() {
    const Instant now = PosixClock().Now();
    while (!timers_.empty() && timers_.front().due <= now) {
      std::pop_heap(timers_.begin(), timers_.end(), Later);
      ready_.push_back(std::move(timers_.back().task));
      timers_.pop_back();
    }
    if (timers_.empty()) return std::nullopt;
    return timers_.front().due;
  }

  void Run() {
    std::vector<Task> batch;
    std::unique_lock lock(mutex_);
    while (!stopping_ || lent_) {
      const std::optional<Instant> next = timers_.empty() ? std::nullopt : MoveDue();
      if (ready_.empty() || lent_) {
        sleeping_ = true;
        waits_for_lender_ = lent_;
        if (next && !lent_) {
          wake_.wait_for(lock, *next - PosixClock().Now(), [this] { return !sleeping_; });
        } else {
          wake_.wait(lock, [this] { return !sleeping_; });
        }
        sleeping_ = false;
        waits_for_lender_ = false;
        continue;
      }
      batch.swap(ready_);
      lock.unlock();
      for (Task& task : batch) {
        task();
        task = nullptr;
      }
      batch.clear();
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Task> ready_;    // Guarded by mutex_, as is all that follows.
  std::vector<Timer> timers_;  // A heap; the earliest in front.
  std::uint64_t next_sequence_ = 0;
  bool sleeping_ = false;          // The thread waits, and nobody has called it yet.
  bool lent_ = false;              // A caller of Dispatch runs a task in the thread's place.
  bool waits_for_lender_ = false;  // The thread has woken meanwhile, and went back to sleep.
  bool stopping_ = false;
  std::thread thread_;  // Last: it uses all of the above.
};

ThreadExecutor::ThreadExecutor(const std::string& name) : loop_(std::make_unique<Loop>(name)) {}
ThreadExecutor::~ThreadExecutor() { Shutdown(); }
void ThreadExecutor::Post(Task task) { loop_->Post(std::move(task)); }
void ThreadExecutor::Dispatch(Task task) { loop_->Dispatch(std::move(task)); }
void ThreadExecutor::PostAfter(Duration delay, Task task) {
  loop_->PostAfter(delay, std::move(task));
}
void ThreadExecutor::Shutdown() { loop_->Shutdown(); }

}  // namespace rutile::posix
