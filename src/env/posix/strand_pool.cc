#include "env/posix/strand_pool.h"

#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "env/posix/posix_clock.h"

namespace rutile::posix {
namespace {

// A strand gives its thread up after so many tasks, so that none starves the others.
constexpr std::size_t kMaxBatch = 64;

}  // namespace

// One lock for the whole pool: it is held for a few moves of pointers, and strands of one pool
// mostly post to each other.
class StrandPool::Pool : public std::enable_shared_from_this<Pool> {
 public:
  // What a strand has to do. Guarded by the pool's mutex.
  struct Queue {
    std::deque<Task> tasks;
    bool is_runnable = false;  // In `runnable_`, or being run.
    bool is_closed = false;    // The strand is gone.
  };

  void Start(const std::string& name, std::size_t threads) {
    for (std::size_t i = 0; i < threads; ++i) {
      threads_.emplace_back([this] { Run(); });
      ::pthread_setname_np(threads_.back().native_handle(), name.substr(0, 15).c_str());
    }
  }

  void Post(const std::shared_ptr<Queue>& queue, Task task) {
    std::unique_lock lock(mutex_);
    if (!Accepts(*queue)) return Refuse(std::move(task), lock);
    queue->tasks.push_back(std::move(task));
    MakeRunnable(queue);
    CallFor(/*from_inside=*/current_ == this);
  }

  void PostAfter(const std::shared_ptr<Queue>& queue, Duration delay, Task task) {
    const Instant due = PosixClock().Now() + delay;
    std::unique_lock lock(mutex_);
    if (!Accepts(*queue)) return Refuse(std::move(task), lock);
    timers_.push_back({due, next_sequence_++, queue, std::move(task)});
    std::push_heap(timers_.begin(), timers_.end(), Later);
    // Whoever sleeps until a later moment must sleep less.
    if (timers_.front().due == due && watcher_ != nullptr) watcher_->wake.notify_one();
  }

  void Close(const std::shared_ptr<Queue>& queue) {
    std::deque<Task> tasks;  // Destroyed after the lock, which their destructors may want.
    std::vector<Timer> timers;
    const std::lock_guard lock(mutex_);
    queue->is_closed = true;
    tasks.swap(queue->tasks);
    // Sorted by order in time, which keeps a heap's invariant and the order of what is left.
    std::sort(timers_.begin(), timers_.end(),
              [](const Timer& a, const Timer& b) { return Later(b, a); });
    const auto gone = std::stable_partition(timers_.begin(), timers_.end(),
                                            [&](const Timer& t) { return t.queue != queue; });
    std::move(gone, timers_.end(), std::back_inserter(timers));
    timers_.erase(gone, timers_.end());
  }

  void Shutdown() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      while (Worker* worker = TakeSleeper()) Call(*worker);
    }
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    std::vector<Task> tasks;  // Destroyed after the lock, which their destructors may want.
    std::vector<Timer> timers;
    const std::lock_guard lock(mutex_);
    timers.swap(timers_);
    for (const std::shared_ptr<Queue>& queue : runnable_) {
      std::move(queue->tasks.begin(), queue->tasks.end(), std::back_inserter(tasks));
      queue->tasks.clear();
    }
    runnable_.clear();
  }

 private:
  struct Timer {
    Instant due;
    std::uint64_t sequence;  // Timers of one moment keep their order.
    std::shared_ptr<Queue> queue;
    Task task;
  };
  static bool Later(const Timer& a, const Timer& b) {
    return std::pair(a.due, a.sequence) > std::pair(b.due, b.sequence);
  }

  // A thread of the pool.
  struct Worker {
    std::condition_variable wake;
    bool is_called = false;
  };

  bool Accepts(const Queue& queue) const { return !stopping_ && !queue.is_closed; }

  // Destroys the task without the lock, which its destructor may want.
  static void Refuse(Task task, std::unique_lock<std::mutex>& lock) {
    lock.unlock();
    task = nullptr;
  }

  void MakeRunnable(const std::shared_ptr<Queue>& queue) {
    if (queue->is_runnable) return;
    queue->is_runnable = true;
    runnable_.push_back(queue);
  }

  // The sleeper to call next, taken out of the sleepers; null if none sleeps. The one that watches
  // the timers goes on watching as long as there is another.
  Worker* TakeSleeper() {
    if (sleepers_.empty()) return std::exchange(watcher_, nullptr);
    Worker* const worker = sleepers_.back();
    sleepers_.pop_back();
    return worker;
  }

  void Call(Worker& worker) {
    worker.is_called = true;
    ++called_;
    worker.wake.notify_one();
  }

  // Wakes a thread if one sleeps and those awake do not suffice. The thread that posts from inside
  // of the pool will itself take one strand when its task is done.
  void CallFor(bool from_inside) {
    if (runnable_.size() <= called_ + (from_inside ? 1 : 0)) return;
    if (Worker* worker = TakeSleeper()) Call(*worker);
  }

  void MoveDue() {
    if (timers_.empty()) return;
    const Instant now = PosixClock().Now();
    while (!timers_.empty() && timers_.front().due <= now) {
      std::pop_heap(timers_.begin(), timers_.end(), Later);
      Timer& timer = timers_.back();
      if (!timer.queue->is_closed) {
        timer.queue->tasks.push_back(std::move(timer.task));
        MakeRunnable(timer.queue);
      }
      timers_.pop_back();
    }
  }

  void Sleep(Worker& self, std::unique_lock<std::mutex>& lock) {
    self.is_called = false;
    if (watcher_ != nullptr) {
      sleepers_.push_back(&self);
      self.wake.wait(lock, [&] { return self.is_called; });
    } else {
      watcher_ = &self;
      if (timers_.empty()) {
        self.wake.wait(lock);
      } else {
        self.wake.wait_for(lock, timers_.front().due - PosixClock().Now());
      }
      if (watcher_ == &self) watcher_ = nullptr;
    }
    if (self.is_called) --called_;
  }

  // Takes the first runnable strand's next tasks.
  std::shared_ptr<Queue> Take(std::vector<Task>* batch) {
    std::shared_ptr<Queue> queue = std::move(runnable_.front());
    runnable_.pop_front();
    const std::size_t count = std::min(kMaxBatch, queue->tasks.size());
    for (std::size_t i = 0; i < count; ++i) {
      batch->push_back(std::move(queue->tasks.front()));
      queue->tasks.pop_front();
    }
    return queue;
  }

  void Run() {
    current_ = this;
    Worker self;
    std::vector<Task> batch;
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      MoveDue();
      if (runnable_.empty()) {
        Sleep(self, lock);
        continue;
      }
      const std::shared_ptr<Queue> queue = Take(&batch);
      // Timers may have made more runnable than this thread can take; and whoever goes to work no
      // longer watches the timers, though others sleep.
      CallFor(/*from_inside=*/false);
      if (!timers_.empty() && watcher_ == nullptr && called_ == 0) {
        if (Worker* worker = TakeSleeper()) Call(*worker);
      }
      lock.unlock();
      for (Task& task : batch) {
        task();
        task = nullptr;
      }
      batch.clear();
      lock.lock();
      queue->is_runnable = false;
      if (!queue->tasks.empty()) MakeRunnable(queue);
    }
  }

  // The pool whose thread this is; each thread has its own.
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables)
  static thread_local const Pool* current_;

  std::mutex mutex_;
  std::deque<std::shared_ptr<Queue>> runnable_;  // Guarded by mutex_, as is all that follows.
  std::vector<Timer> timers_;                    // A heap; the earliest in front.
  std::uint64_t next_sequence_ = 0;
  std::vector<Worker*> sleepers_;  // Wait until they are called.
  Worker* watcher_ = nullptr;      // Waits until it is called or a timer is due.
  std::size_t called_ = 0;         // Were called and have not come yet.
  bool stopping_ = false;
  std::vector<std::thread> threads_;  // Only from the owner's thread.
};

// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables)
thread_local const StrandPool::Pool* StrandPool::Pool::current_ = nullptr;

class StrandPool::Strand final : public Executor {
 public:
  explicit Strand(std::shared_ptr<Pool> pool) : pool_(std::move(pool)) {}
  ~Strand() override { pool_->Close(queue_); }

  void Post(Task task) override { pool_->Post(queue_, std::move(task)); }
  void PostAfter(Duration delay, Task task) override {
    pool_->PostAfter(queue_, delay, std::move(task));
  }

 private:
  const std::shared_ptr<Pool> pool_;
  const std::shared_ptr<Pool::Queue> queue_ = std::make_shared<Pool::Queue>();
};

StrandPool::StrandPool(const std::string& name, std::size_t threads)
    : pool_(std::make_shared<Pool>()) {
  RUTILE_CHECK(threads > 0);
  pool_->Start(name, threads);
}
StrandPool::~StrandPool() { Shutdown(); }
std::unique_ptr<Executor> StrandPool::NewStrand() { return std::make_unique<Strand>(pool_); }
void StrandPool::Shutdown() { pool_->Shutdown(); }

}  // namespace rutile::posix
