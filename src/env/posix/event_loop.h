#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/task.h"
#include "base/time.h"
#include "env/env.h"

namespace rutile::posix {

// An executor whose thread also waits for sockets: what arrives on them, the work that follows from
// it and what is written in answer are one round of one thread, without a hand-off between them.
//
// A round handles the events of sockets, then the tasks that have gathered and those that they
// post, then flushes: everything that a round wants to write to one socket goes out in one system
// call.
//
// The loop's "owner" is its thread or, while that sleeps, a caller of Dispatch, who runs a round in
// its place. Calls that say "owner" are made from within a task, an event or a flush of this loop.
class EventLoop final : public Executor {
 public:
  // Somebody who waits for a file descriptor.
  class Watcher {
   public:
    virtual ~Watcher() = default;
    // `events` as from epoll_wait(2), edge-triggered. Owner.
    virtual void OnEvents(std::uint32_t events) = 0;
    // The loop has ended and forgets the watcher. In the call of Shutdown, as owner.
    virtual void OnShutdown() = 0;
  };
  // Somebody who gathers what is to be written.
  class Flusher {
   public:
    virtual ~Flusher() = default;
    // Owner, at the end of the round.
    virtual void Flush() = 0;
  };
  // Of one Watch.
  using WatchId = std::uint64_t;

  // `name` is shown by the operating system: up to 15 characters.
  explicit EventLoop(const std::string& name);
  // Shuts down.
  ~EventLoop() override;

  // --- Any thread.

  void Post(Task task) override;
  void Dispatch(Task task) override;
  void PostAfter(Duration delay, Task task) override;
  // Posts as Post does; may be used when the loop is gone, and then destroys the tasks.
  std::function<void(Task)> Poster() const;
  // Whether the caller is the owner.
  bool IsOwner() const;

  // Whether Shutdown was called.
  bool HasEnded() const;

  // Waits for the round that is running, destroys all tasks that are left, and later ones as they
  // come, and tells those who watch. Not from the owner. Idempotent.
  void Shutdown();

  // --- Owner.

  // Watches `fd` for reading, writing and hanging up. The watcher must live until Unwatch, which
  // comes before the descriptor is closed.
  WatchId Watch(int fd, Watcher* watcher);
  void Unwatch(int fd, WatchId id);
  // Flushes `flusher` once at the end of this round. The caller keeps from asking twice.
  void FlushLater(std::shared_ptr<Flusher> flusher);

 private:
  class Loop;
  const std::shared_ptr<Loop> loop_;
};

}  // namespace rutile::posix
