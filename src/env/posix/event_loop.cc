#include "env/posix/event_loop.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "env/posix/posix_clock.h"

namespace rutile::posix {

namespace {

// How often a round takes up what its tasks have posted before it flushes and looks at sockets
// again: long enough for work that goes back and forth between parts of one node.
constexpr int kMaxPasses = 16;
constexpr std::size_t kMaxEvents = 256;
// The longest sleep without a timer; nothing depends on it.
constexpr int kLongSleepMillis = 60'000;
constexpr EventLoop::WatchId kWakeId = 0;

}  // namespace

class EventLoop::Loop {
 public:
  explicit Loop(const std::string& name)
      : epoll_(::epoll_create1(EPOLL_CLOEXEC)),
        wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
        thread_([this] { Run(); }) {
    RUTILE_CHECK(epoll_ >= 0 && wake_ >= 0, "no file descriptors left for an event loop");
    AddToEpoll(wake_, kWakeId, EPOLLIN | EPOLLET);
    ::pthread_setname_np(thread_.native_handle(), name.substr(0, 15).c_str());
  }
  ~Loop() {
    ::close(wake_);
    ::close(epoll_);
  }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  bool IsOwner() const { return owned_ == this; }

  void Post(Task task) {
    std::unique_lock lock(mutex_);
    if (stopping_) return DestroyUnlocked(std::move(task), lock);
    ready_.push_back(std::move(task));
    Wake(lock);
  }

  void Dispatch(Task task) {
    std::unique_lock lock(mutex_);
    if (stopping_) return DestroyUnlocked(std::move(task), lock);
    ready_.push_back(std::move(task));
    if (IsOwner()) return;
    if (lent_ || !sleeping_ || woken_ || ready_.size() > 1) return Wake(lock);
    // The thread sleeps and stays asleep: the caller's takes its place for one round.
    lent_ = true;
    lock.unlock();
    Loop* const outer = std::exchange(owned_, this);
    RunRound();
    owned_ = outer;
    lock.lock();
    lent_ = false;
    if (waits_for_lender_) returned_.notify_one();
    if (!ready_.empty() || !dirty_.empty() || stopping_ || IsTimerEarlierThanSleep()) Wake(lock);
  }

  void PostAfter(Duration delay, Task task) {
    const Instant due = PosixClock().Now() + delay;
    std::unique_lock lock(mutex_);
    if (stopping_) return DestroyUnlocked(std::move(task), lock);
    timers_.emplace(due, std::move(task));
    if (IsTimerEarlierThanSleep()) Wake(lock);
  }

  bool HasEnded() {
    const std::lock_guard lock(mutex_);
    return stopping_;
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
    std::multimap<Instant, Task> timers;
    std::vector<std::shared_ptr<Flusher>> dirty;
    std::map<WatchId, Watcher*> watchers;
    {
      const std::lock_guard lock(mutex_);
      ready.swap(ready_);
      timers.swap(timers_);
      dirty.swap(dirty_);
    }
    Loop* const outer = std::exchange(owned_, this);
    watchers.swap(watchers_);
    for (const auto& [id, watcher] : watchers) watcher->OnShutdown();
    owned_ = outer;
  }

  WatchId Watch(int fd, Watcher* watcher) {
    const WatchId id = next_watch_++;
    watchers_.emplace(id, watcher);
    AddToEpoll(fd, id, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    return id;
  }

  void Unwatch(int fd, WatchId id) {
    watchers_.erase(id);
    ::epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
  }

  void FlushLater(std::shared_ptr<Flusher> flusher) { dirty_.push_back(std::move(flusher)); }

 private:
  static void DestroyUnlocked(Task task, std::unique_lock<std::mutex>& lock) {
    lock.unlock();
    task = nullptr;
  }

  void AddToEpoll(int fd, WatchId id, std::uint32_t events) const {
    epoll_event interest = {};
    interest.events = events;
    interest.data.u64 = id;
    RUTILE_CHECK(::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &interest) == 0, "epoll_ctl failed");
  }

  bool IsTimerEarlierThanSleep() const {
    return sleeping_ && !timers_.empty() && timers_.begin()->first < sleeps_until_;
  }

  // Ends the thread's sleep, unless somebody runs in its place, who will look for himself.
  void Wake(std::unique_lock<std::mutex>& lock) {
    if (!sleeping_ || woken_ || lent_) return;
    woken_ = true;
    lock.unlock();
    const std::uint64_t one = 1;
    // Cannot fail: the counter is far from full, and is only read by a thread that has woken.
    [[maybe_unused]] const ssize_t written = ::write(wake_, &one, sizeof one);
  }

  // Appends what is due to `ready_`, and says for how many milliseconds the thread may sleep.
  int MoveDue() {
    sleeps_until_ = Instant::max();
    if (!timers_.empty()) {
      const Instant now = PosixClock().Now();
      while (!timers_.empty() && timers_.begin()->first <= now) {
        ready_.push_back(std::move(timers_.begin()->second));
        timers_.erase(timers_.begin());
      }
      if (ready_.empty() && dirty_.empty()) {
        sleeps_until_ = timers_.begin()->first;
        const auto wait = std::chrono::ceil<std::chrono::milliseconds>(sleeps_until_ - now);
        return static_cast<int>(std::min<std::int64_t>(wait.count(), kLongSleepMillis));
      }
    }
    return ready_.empty() && dirty_.empty() ? kLongSleepMillis : 0;
  }

  void Run() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      const int wait = MoveDue();
      sleeping_ = wait > 0;
      lock.unlock();
      const int count = ::epoll_wait(epoll_, events_.data(), kMaxEvents, wait);
      lock.lock();
      waits_for_lender_ = true;
      returned_.wait(lock, [this] { return !lent_; });
      waits_for_lender_ = false;
      sleeping_ = false;
      woken_ = false;
      lock.unlock();
      owned_ = this;
      for (int i = 0; i < count; ++i) HandleEvent(events_[static_cast<std::size_t>(i)]);
      RunRound();
      owned_ = nullptr;
      lock.lock();
    }
    returned_.wait(lock, [this] { return !lent_; });
  }

  void HandleEvent(const epoll_event& event) {
    if (event.data.u64 == kWakeId) {
      std::uint64_t count = 0;
      [[maybe_unused]] const ssize_t size = ::read(wake_, &count, sizeof count);
      return;
    }
    // Whoever watched may be gone since the event was fetched.
    const WatchId id = event.data.u64;  // A copy: the system packs it where no reference may point.
    const auto found = watchers_.find(id);
    if (found != watchers_.end()) found->second->OnEvents(event.events);
  }

  // Runs tasks and flushes. Owner.
  void RunRound() {
    std::vector<Task> batch;
    for (int pass = 0; pass < kMaxPasses; ++pass) {
      {
        const std::lock_guard lock(mutex_);
        if (ready_.empty()) break;
        batch.swap(ready_);
      }
      for (Task& task : batch) {
        task();
        task = nullptr;
      }
      batch.clear();
    }
    std::vector<std::shared_ptr<Flusher>> dirty;
    dirty.swap(dirty_);
    for (const std::shared_ptr<Flusher>& flusher : dirty) flusher->Flush();
  }

  // NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): one for each thread.
  static thread_local Loop* owned_;  // By the thread that asks.

  const int epoll_;
  const int wake_;
  std::mutex mutex_;
  std::condition_variable returned_;
  std::vector<Task> ready_;              // Guarded by mutex_, as is all until stopping_.
  std::multimap<Instant, Task> timers_;  // By due time; of one moment in their order.
  Instant sleeps_until_ = Instant::max();
  bool sleeping_ = false;          // The thread waits, or is about to.
  bool woken_ = false;             // It was called.
  bool lent_ = false;              // A caller of Dispatch runs a round in its place.
  bool waits_for_lender_ = false;  // The thread has woken meanwhile.
  bool stopping_ = false;
  // The owner's.
  std::map<WatchId, Watcher*> watchers_;
  WatchId next_watch_ = kWakeId + 1;
  std::vector<std::shared_ptr<Flusher>> dirty_;
  std::array<epoll_event, kMaxEvents> events_ = {};  // The thread's.
  std::thread thread_;                               // Last: it uses all of the above.
};

// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): one for each thread.
thread_local EventLoop::Loop* EventLoop::Loop::owned_ = nullptr;

EventLoop::EventLoop(const std::string& name) : loop_(std::make_shared<Loop>(name)) {}
EventLoop::~EventLoop() { Shutdown(); }
void EventLoop::Post(Task task) { loop_->Post(std::move(task)); }
std::function<void(Task)> EventLoop::Poster() const {
  return [loop = loop_](Task task) { loop->Post(std::move(task)); };
}
void EventLoop::Dispatch(Task task) { loop_->Dispatch(std::move(task)); }
void EventLoop::PostAfter(Duration delay, Task task) { loop_->PostAfter(delay, std::move(task)); }
bool EventLoop::IsOwner() const { return loop_->IsOwner(); }
bool EventLoop::HasEnded() const { return loop_->HasEnded(); }
void EventLoop::Shutdown() { loop_->Shutdown(); }
EventLoop::WatchId EventLoop::Watch(int fd, Watcher* watcher) { return loop_->Watch(fd, watcher); }
void EventLoop::Unwatch(int fd, WatchId id) { loop_->Unwatch(fd, id); }
void EventLoop::FlushLater(std::shared_ptr<Flusher> flusher) {
  loop_->FlushLater(std::move(flusher));
}

}  // namespace rutile::posix
