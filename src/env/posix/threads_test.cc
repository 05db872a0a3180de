// What only real threads show; the thread sanitizer runs it.

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "env/posix/posix_clock.h"
#include "env/posix/strand_pool.h"
#include "env/posix/thread_executor.h"
#include "env/testing/latch.h"

namespace rutile::posix {
namespace {

using testing::Latch;

const std::thread::id starter = std::this_thread::get_id();

TEST(ThreadExecutor, PostsFromManyThreadsKeepEachThreadsOrder) {
  constexpr int kThreads = 4, kTasks = 2000;
  Latch done(kThreads * kTasks);
  std::vector<std::vector<int>> ran(kThreads);  // Only from the executor.
  ThreadExecutor executor("test");
  std::vector<std::thread> posters;
  for (std::size_t t = 0; t < kThreads; ++t) {
    posters.emplace_back([&, t] {
      for (int i = 0; i < kTasks; ++i) {
        executor.Post([&, t, i] {
          ran[t].push_back(i);
          done.CountDown();
        });
      }
    });
  }
  done.Wait();
  for (std::thread& poster : posters) poster.join();
  executor.Shutdown();
  for (const std::vector<int>& order : ran) {
    EXPECT_EQ(order.size(), std::size_t{kTasks});
    EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  }
}

TEST(ThreadExecutor, DispatchedAndPostedTasksNeverOverlapAndKeepEachThreadsOrder) {
  constexpr int kThreads = 4, kTasks = 2000;
  Latch done(kThreads * kTasks);
  std::vector<std::vector<int>> ran(kThreads);  // Only from the executor, whoever lends its thread.
  int inside = 0;
  ThreadExecutor executor("test");
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
          executor.Post(std::move(task));
        } else if (i % 3 == 1) {
          executor.Dispatch(std::move(task));
        } else {
          // From within a dispatched task the same executor is busy: it goes behind.
          executor.Dispatch([&executor, task = std::move(task)]() mutable {
            executor.Dispatch(std::move(task));
          });
        }
      }
    });
  }
  done.Wait();
  for (std::thread& caller : callers) caller.join();
  executor.Shutdown();
  for (const std::vector<int>& order : ran) EXPECT_EQ(order.size(), std::size_t{kTasks});
}

TEST(ThreadExecutor, AnIdleExecutorRunsADispatchedTaskOnTheCallersThread) {
  ThreadExecutor executor("test");
  // The thread may be on its way to sleep for a moment: then the task is posted.
  bool lent = false;
  for (int i = 0; i < 10'000 && !lent; ++i) {
    Latch ran(1);
    executor.Dispatch([&] {
      lent = std::this_thread::get_id() == starter;
      ran.CountDown();
    });
    ran.Wait();
  }
  EXPECT_TRUE(lent);
}

TEST(ThreadExecutor, ATimerThatComesDueWhileAThreadIsLentStillRuns) {
  ThreadExecutor executor("test");
  Latch fired(200);
  for (int i = 0; i < 200; ++i) {
    executor.Dispatch([&] {
      executor.PostAfter(Microseconds(50), [&] { fired.CountDown(); });
      const Instant end = PosixClock().Now() + Microseconds(100);
      while (PosixClock().Now() < end) {
      }
    });
  }
  fired.Wait();
}

TEST(ThreadExecutor, ShutdownWaitsForTheRunningTask) {
  Latch started(1), go_on(1);
  bool finished = false;
  ThreadExecutor executor("test");
  executor.Post([&] {
    started.CountDown();
    go_on.Wait();
    finished = true;
  });
  started.Wait();
  std::thread helper([&] { go_on.CountDown(); });
  executor.Shutdown();
  EXPECT_TRUE(finished);
  helper.join();
}

// Strands pass tokens around; each strand's counter is touched by nothing but its own tasks, and
// the sanitizer would see if two of them overlapped.
TEST(StrandPool, StrandsOverlapNoTasksOfTheirOwn) {
  constexpr std::size_t kStrands = 7;
  constexpr int kTokens = 20, kHops = 500;
  struct Member {
    std::unique_ptr<Executor> strand;
    std::uint64_t hops = 0;
  };
  Latch done(kTokens);
  std::vector<Member> ring(kStrands);
  StrandPool pool("test", 3);
  for (Member& member : ring) member.strand = pool.NewStrand();
  struct Hop {
    static void Go(std::vector<Member>& ring, Latch& done, std::size_t at, int left) {
      ring[at].strand->Post([&ring, &done, at, left] {
        ++ring[at].hops;
        if (left == 0) return done.CountDown();
        Go(ring, done, (at + 1 + static_cast<std::size_t>(left) % 3) % ring.size(), left - 1);
      });
    }
  };
  for (int token = 0; token < kTokens; ++token) {
    Hop::Go(ring, done, static_cast<std::size_t>(token) % kStrands, kHops);
  }
  done.Wait();
  pool.Shutdown();
  std::uint64_t hops = 0;
  for (const Member& member : ring) hops += member.hops;
  EXPECT_EQ(hops, std::uint64_t{kTokens} * (kHops + 1));
}

TEST(StrandPool, KeepsOrderWithinAStrandUnderManyPosters) {
  constexpr int kTasks = 3000;
  Latch done(2 * kTasks);
  StrandPool pool("test", 4);
  const std::unique_ptr<Executor> strand = pool.NewStrand();
  std::vector<int> ran[2];
  std::thread posters[2];
  for (std::size_t t = 0; t < 2; ++t) {
    posters[t] = std::thread([&, t] {
      for (int i = 0; i < kTasks; ++i) {
        strand->Post([&, t, i] {
          ran[t].push_back(i);
          done.CountDown();
        });
      }
    });
  }
  done.Wait();
  for (std::thread& poster : posters) poster.join();
  pool.Shutdown();
  EXPECT_TRUE(std::is_sorted(ran[0].begin(), ran[0].end()));
  EXPECT_TRUE(std::is_sorted(ran[1].begin(), ran[1].end()));
}

// A strand that blocks must hold up neither the tasks nor the timers of the others.
TEST(StrandPool, ABlockedStrandLeavesTheOtherThreadToTheRest) {
  StrandPool pool("test", 2);
  const std::unique_ptr<Executor> blocked = pool.NewStrand();
  const std::unique_ptr<Executor> other = pool.NewStrand();
  for (int round = 0; round < 20; ++round) {
    Latch started(1), go_on(1), done(2);
    other->PostAfter(Microseconds(200), [&] { done.CountDown(); });
    blocked->Post([&] {
      started.CountDown();
      go_on.Wait();
    });
    started.Wait();
    other->Post([&] { done.CountDown(); });
    done.Wait();
    go_on.CountDown();
    Latch drained(1);
    blocked->Post([&] { drained.CountDown(); });
    drained.Wait();
  }
}

TEST(StrandPool, ClosedStrandsForgetTheirTasksOnly) {
  StrandPool pool("test", 1);
  const std::unique_ptr<Executor> stays = pool.NewStrand();
  std::unique_ptr<Executor> goes = pool.NewStrand();
  Latch started(1), go_on(1), done(2);
  stays->Post([&] {  // Holds the only thread.
    started.CountDown();
    go_on.Wait();
  });
  started.Wait();
  std::atomic<bool> ran = false;
  goes->Post([&] { ran = true; });
  goes->PostAfter(Duration(0), [&] { ran = true; });
  stays->PostAfter(Milliseconds(1), [&] { done.CountDown(); });
  stays->Post([&] { done.CountDown(); });
  goes = nullptr;
  go_on.CountDown();
  done.Wait();
  EXPECT_FALSE(ran);
}

TEST(StrandPool, StrandsMayOutliveThePool) {
  std::unique_ptr<Executor> strand;
  {
    StrandPool pool("test", 1);
    strand = pool.NewStrand();
  }
  bool ran = false;
  strand->Post([&] { ran = true; });
  EXPECT_FALSE(ran);
}

TEST(PosixClock, DoesNotGoBack) {
  const PosixClock clock;
  Instant before = clock.Now();
  for (int i = 0; i < 1000; ++i) {
    const Instant now = clock.Now();
    ASSERT_LE(before, now);
    before = now;
  }
  EXPECT_GT(clock.WallMillis(), 1'700'000'000'000u);
  EXPECT_NE(RandomSeed(), RandomSeed());
}

}  // namespace
}  // namespace rutile::posix
