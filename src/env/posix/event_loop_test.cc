// What an event loop owes beyond the contract of executors; the thread sanitizer runs it.

#include "env/posix/event_loop.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"
#include "env/posix/posix_clock.h"
#include "env/testing/latch.h"

namespace rutile::posix {
namespace {

using testing::Latch;

const std::thread::id caller_of_test = std::this_thread::get_id();

// Two ends of one connection.
struct Pair {
  Pair() {
    RUTILE_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data()) == 0, "socket");
  }
  ~Pair() {
    for (const int end : ends) ::close(end);
  }
  void Write(const std::string& bytes) const {
    EXPECT_EQ(::write(ends[1], bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
  std::array<int, 2> ends = {};
};

// Reads all there is whenever it is told to.
class Reader final : public EventLoop::Watcher {
 public:
  Reader(EventLoop& loop, int fd) : loop_(loop), fd_(fd) {}
  void Watch() { id_ = loop_.Watch(fd_, this); }
  void Unwatch() { loop_.Unwatch(fd_, id_); }
  void OnEvents(std::uint32_t events) override {
    EXPECT_TRUE(loop_.IsOwner());
    if ((events & EPOLLIN) == 0) return;
    std::array<char, 64> buffer = {};
    for (;;) {
      const ssize_t size = ::read(fd_, buffer.data(), buffer.size());
      if (size <= 0) break;
      read_ += static_cast<std::size_t>(size);
    }
  }
  void OnShutdown() override {
    EXPECT_TRUE(loop_.IsOwner());
    was_shut_down_ = true;
  }
  std::size_t read() const { return read_.load(); }
  bool was_shut_down() const { return was_shut_down_; }

 private:
  EventLoop& loop_;
  const int fd_;
  EventLoop::WatchId id_ = 0;
  std::atomic<std::size_t> read_{0};
  bool was_shut_down_ = false;
};

void RunAsOwner(EventLoop& loop, const std::function<void()>& step) {
  Latch done(1);
  loop.Post([&] {
    step();
    done.CountDown();
  });
  done.Wait();
}

TEST(EventLoop, WhatArrivesIsHeardUntilUnwatched) {
  EventLoop loop("test");
  Pair pair;
  Reader reader(loop, pair.ends[0]);
  RunAsOwner(loop, [&] { reader.Watch(); });
  std::size_t sent = 0;
  for (int i = 0; i < 100; ++i) {
    pair.Write(std::string(7, 'x'));
    sent += 7;
    while (reader.read() < sent) std::this_thread::yield();
  }
  RunAsOwner(loop, [&] { reader.Unwatch(); });
  pair.Write("unheard");
  RunAsOwner(loop, [] {});
  EXPECT_EQ(reader.read(), sent);
  loop.Shutdown();
  EXPECT_FALSE(reader.was_shut_down());
}

TEST(EventLoop, ShutdownTellsThoseWhoWatch) {
  EventLoop loop("test");
  Pair pair;
  Reader reader(loop, pair.ends[0]);
  RunAsOwner(loop, [&] { reader.Watch(); });
  EXPECT_FALSE(loop.HasEnded());
  loop.Shutdown();
  EXPECT_TRUE(loop.HasEnded());
  EXPECT_TRUE(reader.was_shut_down());
}

// Tasks, and what they post, come before the flush that they ask for, which comes once.
TEST(EventLoop, ARoundFlushesAfterItsTasks) {
  class Recorder final : public EventLoop::Flusher {
   public:
    Recorder(std::vector<std::string>* steps, Latch* done) : steps_(steps), done_(done) {}
    void Flush() override {
      steps_->push_back("flush");
      done_->CountDown();
    }

   private:
    std::vector<std::string>* const steps_;
    Latch* const done_;
  };
  EventLoop loop("test");
  std::vector<std::string> steps;
  Latch done(1);
  loop.Post([&] {
    loop.FlushLater(std::make_shared<Recorder>(&steps, &done));
    steps.emplace_back("task");
    loop.Post([&] { steps.emplace_back("posted by the task"); });
  });
  done.Wait();
  loop.Shutdown();
  EXPECT_EQ(steps, (std::vector<std::string>{"task", "posted by the task", "flush"}));
}

// Whoever lends its thread does the flush as well, and hears no event of a socket.
TEST(EventLoop, AnIdleLoopRunsADispatchedRoundOnTheCallersThread) {
  class Whose final : public EventLoop::Flusher {
   public:
    explicit Whose(Latch* done) : done_(done) {}
    void Flush() override {
      thread = std::this_thread::get_id();
      done_->CountDown();
    }
    std::thread::id thread;

   private:
    Latch* const done_;
  };
  EventLoop loop("test");
  // The thread may be on its way to sleep for a moment: then the task is posted.
  bool lent = false;
  for (int i = 0; i < 10'000 && !lent; ++i) {
    Latch done(1);
    const auto flusher = std::make_shared<Whose>(&done);
    std::thread::id task_ran_on;
    loop.Dispatch([&] {
      EXPECT_TRUE(loop.IsOwner());
      task_ran_on = std::this_thread::get_id();
      loop.FlushLater(flusher);
    });
    done.Wait();
    EXPECT_EQ(task_ran_on, flusher->thread);
    lent = flusher->thread == caller_of_test;
  }
  EXPECT_TRUE(lent);
  EXPECT_FALSE(loop.IsOwner());
}

TEST(EventLoop, PostedDispatchedAndArrivedThingsNeverOverlap) {
  constexpr int kThreads = 4, kTasks = 2000;
  EventLoop loop("test");
  Pair pair;
  Reader reader(loop, pair.ends[0]);
  RunAsOwner(loop, [&] { reader.Watch(); });
  Latch done(kThreads * kTasks);
  std::vector<std::vector<int>> ran(kThreads);  // Only as owner.
  int inside = 0;
  std::vector<std::thread> callers;
  for (std::size_t t = 0; t < kThreads; ++t) {
    callers.emplace_back([&, t] {
      for (int i = 0; i < kTasks; ++i) {
        Task task = [&, t, i] {
          EXPECT_EQ(++inside, 1);
          ran[t].push_back(i);
          --inside;
          done.CountDown();
        };
        if (i % 3 == 0) {
          loop.Post(std::move(task));
        } else if (i % 3 == 1) {
          loop.Dispatch(std::move(task));
        } else {
          loop.Dispatch(
              [&loop, task = std::move(task)]() mutable { loop.Dispatch(std::move(task)); });
        }
        if (i % 64 == 0) pair.Write("x");
      }
    });
  }
  done.Wait();
  for (std::thread& caller : callers) caller.join();
  loop.Shutdown();
  for (const std::vector<int>& order : ran) EXPECT_EQ(order.size(), std::size_t{kTasks});
}

TEST(EventLoop, WhoPostsToALoopThatIsGoneDoesNoHarm) {
  auto loop = std::make_unique<EventLoop>("test");
  const std::function<void(Task)> post = loop->Poster();
  Latch ran(1);
  post([&] { ran.CountDown(); });
  ran.Wait();
  loop = nullptr;
  const auto kept = std::make_shared<int>();
  post([kept] { FAIL() << "there is nobody to run it"; });
  EXPECT_EQ(kept.use_count(), 1) << "it was not destroyed";
}

TEST(EventLoop, ATimerThatComesDueWhileAThreadIsLentStillRuns) {
  EventLoop loop("test");
  Latch fired(200);
  for (int i = 0; i < 200; ++i) {
    loop.Dispatch([&] {
      loop.PostAfter(Microseconds(50), [&] { fired.CountDown(); });
      const Instant end = PosixClock().Now() + Microseconds(100);
      while (PosixClock().Now() < end) {
      }
    });
  }
  fired.Wait();
}

}  // namespace
}  // namespace rutile::posix
