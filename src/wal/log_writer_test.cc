#include <atomic>
#include <future>
#include <string_view>
#include <thread>

#include "env/posix/posix_clock.h"
#include "env/posix/thread_executor.h"
#include "env/sim/sim_clock.h"
#include "env/sim/sim_executor.h"
#include "wal/testing/rig.h"
#include "wal/wal.h"

namespace rutile::wal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Id;
using testing::Rig;
using testing::WriteOf;

class LogWriterTest : public ::testing::Test {
 protected:
  LogWriterTest() {
    EXPECT_TRUE(rig.Open().ok());
    Start({});
  }
  void Start(const LogWriter::Options& options) {
    writer = std::make_unique<LogWriter>(
        *rig.opened.wal, executor, clock, options,
        [this](const Status& status) { failures.push_back(status.ToString()); },
        [this](const LogWriter::BatchReport& report) { reports.push_back(report); });
  }
  void Submit(std::uint64_t region, std::uint64_t after, std::size_t bytes = 10) {
    writer->Submit(WriteOf(region, Id(after, after == 0 ? 0 : 1), 1, 1, bytes),
                   [this, region, after] { done.push_back(region * 100 + after + 1); });
  }
  void Settle() { world().RunFor(Milliseconds(1)); }
  sim::World& world() { return rig.world; }

  Rig rig;
  sim::SimClock clock{rig.world};
  sim::SimExecutor executor{rig.world, clock, "log"};
  std::vector<std::uint64_t> done;
  std::vector<std::string> failures;
  std::vector<LogWriter::BatchReport> reports;
  std::unique_ptr<LogWriter> writer;
};

TEST_F(LogWriterTest, DoneRunsInOrderAfterTheSync) {
  Submit(1, 0);
  Submit(2, 0);
  Submit(1, 1);
  EXPECT_TRUE(done.empty());
  EXPECT_GT(writer->pending_bytes(), 0u);
  Settle();
  EXPECT_THAT(done, ElementsAre(101, 201, 102));
  EXPECT_EQ(writer->pending_bytes(), 0u);
  // Nothing that was acknowledged is lost with the power.
  rig.opened = {};
  rig.files.CutPower(sim::Loss::kAll);
  EXPECT_THAT(rig.Reopened(), HasSubstr("last 2@1"));
}

TEST_F(LogWriterTest, WhatGathersDuringASyncSharesTheNextOne) {
  rig.files.SetLatency(sim::SimFileSystem::Operation::kSync,
                       {.min = Milliseconds(10), .max = Milliseconds(10)});
  Submit(1, 0);
  world().RunFor(Microseconds(100));
  const std::uint64_t syncs = rig.opened.wal->stats().syncs;
  // The disk is busy; what comes now waits for it together.
  for (std::uint64_t region = 2; region < 42; ++region) Submit(region, 0);
  world().RunFor(Milliseconds(25));
  EXPECT_EQ(done.size(), 41u);
  EXPECT_EQ(rig.opened.wal->stats().syncs, syncs + 1);
  ASSERT_EQ(reports.size(), 2u);
  EXPECT_EQ(reports[1].writes, 40u);
  EXPECT_EQ(reports[1].regions, 40u);
  EXPECT_EQ(reports[1].sync_time, Milliseconds(10));
}

TEST_F(LogWriterTest, TellsHowLongTheOldestWriteHasWaited) {
  EXPECT_EQ(writer->LongestWait(), Duration(0));
  rig.files.SetLatency(sim::SimFileSystem::Operation::kSync,
                       {.min = Milliseconds(10), .max = Milliseconds(10)});
  Submit(1, 0);
  world().RunFor(Milliseconds(3));
  Submit(2, 0);
  world().RunFor(Milliseconds(5));
  EXPECT_EQ(writer->LongestWait(), Milliseconds(5)) << "before it is written";
  Duration seen;
  rig.files.SetObserver([&](std::string_view change) {
    if (change.starts_with("sync ")) seen = writer->LongestWait();
  });
  world().RunFor(Milliseconds(20));
  EXPECT_GE(seen, Milliseconds(7)) << "and while it is";
  EXPECT_EQ(done.size(), 2u);
  EXPECT_EQ(writer->LongestWait(), Duration(0));
  rig.files.SetObserver(nullptr);
  rig.files.FailNext(sim::SimFileSystem::Operation::kSync);
  Submit(3, 0);
  world().RunFor(Milliseconds(20));
  EXPECT_EQ(writer->LongestWait(), Duration(0)) << "a log that has failed waits for nothing";
}

TEST_F(LogWriterTest, ABatchHasALimit) {
  Start({.max_batch_bytes = 3000});
  for (std::uint64_t i = 0; i < 5; ++i) Submit(1, i, 1000);
  Submit(2, 0, 9000);
  Settle();
  EXPECT_THAT(done, ElementsAre(101, 102, 103, 104, 105, 201));
  ASSERT_EQ(reports.size(), 4u);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_LE(reports[i].bytes, 3000u);
  EXPECT_EQ(reports[3].writes, 1u);
}

TEST_F(LogWriterTest, AFailureIsToldOnceAndNothingIsAcknowledgedAfterwards) {
  Submit(1, 0);
  Settle();
  rig.files.FailNext(sim::SimFileSystem::Operation::kSync);
  Submit(1, 1);
  Submit(2, 0);
  Settle();
  Submit(3, 0);
  Settle();
  EXPECT_THAT(done, ElementsAre(101));
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_THAT(failures[0], HasSubstr("Input/output error"));
  EXPECT_EQ(writer->pending_bytes(), 0u);
}

TEST_F(LogWriterTest, AnIdleLogWakesNobody) {
  Start({.collect_every = Seconds(1)});
  Submit(1, 0);
  world().RunFor(Seconds(3));
  const std::uint64_t events = world().events();
  const std::uint64_t batches = rig.opened.wal->stats().batches;
  world().RunFor(Seconds(1000));
  EXPECT_EQ(world().events(), events);
  EXPECT_EQ(batches, 2u);  // The write, and its watermark.
}

TEST_F(LogWriterTest, CollectsNowAndThen) {
  Start({.collect_every = Seconds(1)});
  for (std::uint64_t i = 0; i < 200; ++i) {
    RegionWrite write = WriteOf(1, Id(i, i == 0 ? 0 : 1), 1, 1, 1000);
    write.compact = write.slice.last();
    writer->Submit(std::move(write), [] {});
    world().RunFor(Milliseconds(100));
    EXPECT_LT(rig.opened.wal->stats().segments, 6u);
  }
  EXPECT_TRUE(failures.empty());
}

TEST_F(LogWriterTest, WaitsForSpaceAndCompactionsOvertake) {
  Start({.max_batch_bytes = 2000});
  std::uint64_t last = 0;
  rig.files.SetCapacity(rig.files.used_bytes() + 1000);
  for (; last < 40; ++last) Submit(1, last, 1000);
  Settle();
  const std::uint64_t reached = done.size();
  EXPECT_GT(reached, 5u);
  EXPECT_LT(reached, 40u);
  EXPECT_EQ(writer->space().code(), Code::kResourceExhausted);
  world().RunFor(Seconds(2));
  EXPECT_EQ(done.size(), reached);
  EXPECT_TRUE(failures.empty());
  bool compacted = false;
  writer->Submit({.region = RegionId(1), .peer = PeerId(1), .compact = Id(reached, 1)},
                 [&] { compacted = true; });
  world().RunFor(Seconds(1));
  EXPECT_TRUE(compacted);
  rig.files.SetCapacity(std::uint64_t{1} << 30);
  world().RunFor(Seconds(1));
  EXPECT_EQ(done.size(), 40u);
  EXPECT_TRUE(writer->space().ok()) << writer->space().ToString();
  EXPECT_TRUE(failures.empty());
}

TEST_F(LogWriterTest, SeesThatSpaceIsBackWithoutBeingWrittenTo) {
  Start({.max_batch_bytes = 2000});
  rig.files.SetCapacity(rig.files.used_bytes() + 1000);
  std::uint64_t last = 0;
  while (last < 40 && writer->space().ok()) {
    Submit(1, last++, 1000);
    Settle();
  }
  ASSERT_EQ(writer->space().code(), Code::kResourceExhausted);
  ASSERT_EQ(done.size(), last);  // Foreseen: nothing has had to wait yet.
  world().RunFor(Seconds(10));
  EXPECT_EQ(writer->space().code(), Code::kResourceExhausted);
  rig.files.SetCapacity(std::uint64_t{1} << 30);
  world().RunFor(Seconds(1));
  EXPECT_TRUE(writer->space().ok()) << writer->space().ToString();
  EXPECT_TRUE(failures.empty());
}

TEST_F(LogWriterTest, TasksMayOutliveTheWriter) {
  Submit(1, 0);
  writer.reset();
  Settle();
  EXPECT_TRUE(done.empty());
}

}  // namespace
}  // namespace rutile::wal
