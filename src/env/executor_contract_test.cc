// What every executor owes its users, whatever it is made of.

#include <gtest/gtest.h>

#include "base/check.h"
#include "env/posix/event_loop.h"
#include "env/posix/posix_clock.h"
#include "env/posix/strand_pool.h"
#include "env/posix/thread_executor.h"
#include "env/sim/sim_clock.h"
#include "env/sim/sim_executor.h"
#include "env/sim/world.h"
#include "env/testing/latch.h"

namespace rutile {
namespace {

using testing::Latch;

class Subject {
 public:
  virtual ~Subject() = default;
  virtual Executor& executor() = 0;
  virtual const Clock& clock() = 0;
  virtual void Await(Latch& latch) { latch.Wait(); }
  virtual void Shutdown() = 0;
};

class ThreadSubject final : public Subject {
 public:
  Executor& executor() override { return executor_; }
  const Clock& clock() override { return clock_; }
  void Shutdown() override { executor_.Shutdown(); }

 private:
  posix::PosixClock clock_;
  posix::ThreadExecutor executor_{"subject"};
};

class LoopSubject final : public Subject {
 public:
  Executor& executor() override { return loop_; }
  const Clock& clock() override { return clock_; }
  void Shutdown() override { loop_.Shutdown(); }

 private:
  posix::PosixClock clock_;
  posix::EventLoop loop_{"subject"};
};

class StrandSubject final : public Subject {
 public:
  Executor& executor() override { return *executor_; }
  const Clock& clock() override { return clock_; }
  void Shutdown() override { pool_.Shutdown(); }

 private:
  posix::PosixClock clock_;
  posix::StrandPool pool_{"subject", 2};
  std::unique_ptr<Executor> executor_ = pool_.NewStrand();
};

class SimSubject final : public Subject {
 public:
  Executor& executor() override { return executor_; }
  const Clock& clock() override { return clock_; }
  void Shutdown() override { executor_.Shutdown(); }
  void Await(Latch& latch) override {
    const bool done = world_.RunUntil([&] { return latch.IsZero(); }, Seconds(3600));
    RUTILE_CHECK(done, "nothing is left to happen");
  }

 private:
  sim::World world_{1};
  // A clock that is slow: timers must not be early by it.
  sim::SimClock clock_{world_, {.drift_ppm = -123'457}};
  sim::SimExecutor executor_{world_, clock_, "subject"};
};

using Factory = std::unique_ptr<Subject> (*)();
template <class S>
std::unique_ptr<Subject> Make() {
  return std::make_unique<S>();
}

class ExecutorContract : public ::testing::TestWithParam<Factory> {
 protected:
  std::unique_ptr<Subject> subject_ = GetParam()();
  Executor& executor_ = subject_->executor();
};

// Says when it is destroyed.
std::shared_ptr<void> Tell(bool* destroyed) {
  return {destroyed, [](bool* flag) { *flag = true; }};
}

TEST_P(ExecutorContract, TasksRunInTheOrderOfPosting) {
  std::vector<int> ran;
  Latch done(300);
  for (int i = 0; i < 200; ++i) {
    executor_.Post([&, i] {
      ran.push_back(i);
      done.CountDown();
    });
  }
  subject_->executor().Post([&] {
    for (int i = 200; i < 300; ++i) {
      executor_.Post([&, i] {
        ran.push_back(i);
        done.CountDown();
      });
    }
  });
  subject_->Await(done);
  for (int i = 0; i < 300; ++i) ASSERT_EQ(ran[static_cast<std::size_t>(i)], i);
}

TEST_P(ExecutorContract, PostDoesNotRunTheTaskInline) {
  Latch done(1);
  bool inner_ran = false;
  bool ran_inline = true;
  executor_.Post([&] {
    executor_.Post([&] {
      inner_ran = true;
      done.CountDown();
    });
    executor_.PostAfter(Duration(0), [] {});
    ran_inline = inner_ran;
  });
  subject_->Await(done);
  EXPECT_FALSE(ran_inline);
}

TEST_P(ExecutorContract, TimersRunByDueTimeThenByPosting) {
  std::vector<int> ran;
  Latch done(5);
  const auto add = [&](int ms) {
    executor_.PostAfter(Milliseconds(ms), [&, ms] {
      ran.push_back(ms);
      done.CountDown();
    });
  };
  executor_.Post([&] {  // All at nearly one moment.
    for (const int ms : {12, 3, 9, 6, 0}) add(ms);
  });
  subject_->Await(done);
  EXPECT_EQ(ran, (std::vector<int>{0, 3, 6, 9, 12}));
}

TEST_P(ExecutorContract, TimersAreNeverEarly) {
  Latch done(20);
  std::vector<Duration> early;
  for (int i = 0; i < 20; ++i) {
    const Duration delay = Duration(100'003 * i + 1);
    const Instant posted = subject_->clock().Now();
    executor_.PostAfter(delay, [&, delay, posted] {
      const Duration passed = subject_->clock().Now() - posted;
      if (passed < delay) early.push_back(passed - delay);
      done.CountDown();
    });
  }
  subject_->Await(done);
  EXPECT_TRUE(early.empty()) << early.size() << " by up to " << early.front().count() << " ns";
}

TEST_P(ExecutorContract, TasksGoBeforeATimerThatIsNotDue) {
  Latch done(1);
  std::vector<int> ran;
  executor_.PostAfter(Milliseconds(5), [&] {
    ran.push_back(2);
    done.CountDown();
  });
  executor_.Post([&] { ran.push_back(1); });
  subject_->Await(done);
  EXPECT_EQ(ran, (std::vector<int>{1, 2}));
}

TEST_P(ExecutorContract, ATaskIsDestroyedOnceItHasRun) {
  Latch done(1);
  bool destroyed = false;
  bool destroyed_before_next = false;
  executor_.Post([held = Tell(&destroyed)] {});
  executor_.Post([&] {
    destroyed_before_next = destroyed;
    done.CountDown();
  });
  subject_->Await(done);
  EXPECT_TRUE(destroyed_before_next);
}

TEST_P(ExecutorContract, ShutdownDestroysWhatHasNotRun) {
  bool destroyed = false;
  bool ran = false;
  executor_.PostAfter(Seconds(3600), [&, held = Tell(&destroyed)] { ran = true; });
  EXPECT_FALSE(destroyed);
  subject_->Shutdown();
  EXPECT_TRUE(destroyed);
  EXPECT_FALSE(ran);
  subject_->Shutdown();
}

TEST_P(ExecutorContract, PostsAfterShutdownAreDestroyedUnrun) {
  subject_->Shutdown();
  bool ran = false;
  bool destroyed = false;
  executor_.Post([&, held = Tell(&destroyed)] { ran = true; });
  EXPECT_TRUE(destroyed);
  destroyed = false;
  executor_.PostAfter(Duration(0), [&, held = Tell(&destroyed)] { ran = true; });
  EXPECT_TRUE(destroyed);
  EXPECT_FALSE(ran);
}

// Destructors of what tasks hold complete requests, and those completions post.
TEST_P(ExecutorContract, DestroyedTasksMayPost) {
  struct Poster {
    explicit Poster(Executor& e) : executor(e) {}
    Poster(const Poster&) = delete;
    Poster& operator=(const Poster&) = delete;
    ~Poster() {
      executor.Post([] {});
      executor.PostAfter(Milliseconds(1), [] {});
    }
    Executor& executor;
  };
  executor_.PostAfter(Seconds(3600), [poster = std::make_unique<Poster>(executor_)] {});
  executor_.PostAfter(Seconds(3601), [poster = std::make_unique<Poster>(executor_)] {});
  subject_->Shutdown();
  executor_.Post([poster = std::make_unique<Poster>(executor_)] {});
}

INSTANTIATE_TEST_SUITE_P(Thread, ExecutorContract, ::testing::Values(&Make<ThreadSubject>));
INSTANTIATE_TEST_SUITE_P(Loop, ExecutorContract, ::testing::Values(&Make<LoopSubject>));
INSTANTIATE_TEST_SUITE_P(Strand, ExecutorContract, ::testing::Values(&Make<StrandSubject>));
INSTANTIATE_TEST_SUITE_P(Sim, ExecutorContract, ::testing::Values(&Make<SimSubject>));

}  // namespace
}  // namespace rutile
