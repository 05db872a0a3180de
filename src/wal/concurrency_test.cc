#include <atomic>
#include <filesystem>
#include <thread>

#include "env/posix/posix_clock.h"
#include "env/posix/posix_files.h"
#include "env/posix/thread_executor.h"
#include "wal/testing/rig.h"
#include "wal/wal.h"

// Real threads and files. Worth most under the thread sanitizer.
namespace rutile::wal {
namespace {

using testing::Id;
using testing::MakeEntry;

std::string PayloadOf(std::uint64_t region, std::uint64_t index) {
  return std::to_string(region) + "/" + std::to_string(index) +
         std::string(200 + index * 37 % 400, 'x');
}

class Directory {
 public:
  Directory() {
    std::string name = ::testing::TempDir() + "wal_test_XXXXXX";
    RUTILE_CHECK(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Reads a window of a log that is appended to, compacted and moved between files meanwhile.
void ReadUntil(Wal& wal, std::uint64_t region, const std::atomic<std::uint64_t>& first,
               const std::atomic<std::uint64_t>& last, const std::atomic<bool>& stop,
               std::atomic<std::uint64_t>* entries_read) {
  std::uint64_t at = 0;
  while (!stop.load()) {
    const std::uint64_t to = last.load();
    at = std::max(at, first.load());
    if (at >= to) {
      at = first.load();
      std::this_thread::yield();
      continue;
    }
    const Result<LogSlice> slice = wal.Read(RegionId(region), Index(at), Index(to), 5000);
    if (!slice.ok()) {
      // Compacted since `first` was read; anything else is wrong.
      ASSERT_EQ(slice.status().code(), Code::kNotFound) << slice.status().ToString();
      continue;
    }
    for (const Entry& entry : slice.value().entries) {
      ASSERT_EQ(entry.payload.view(), PayloadOf(region, entry.id.index.value()));
      entries_read->fetch_add(1);
    }
    at = slice.value().last().index.value();
  }
}

TEST(Concurrency, ReadsBesideWritesAndCollection) {
  const Directory directory;
  posix::PosixFileSystem files(directory.path());
  posix::PosixClock clock;
  const Options options{.segment_bytes = 32768, .spare_segments = 2, .max_segments = 4};
  Wal::Opened opened = Wal::Open(files, options).value();
  constexpr std::uint64_t kRegions = 2;
  constexpr std::uint64_t kWrites = 600;
  std::atomic<std::uint64_t> first[kRegions] = {};
  std::atomic<std::uint64_t> last[kRegions] = {};
  std::atomic<std::uint64_t> entries_read = 0;
  std::atomic<bool> stop = false;
  std::atomic<int> failures = 0;
  std::vector<std::thread> readers;
  for (std::uint64_t region = 0; region < kRegions; ++region) {
    readers.emplace_back([&, region] {
      ReadUntil(*opened.wal, region + 1, first[region], last[region], stop, &entries_read);
    });
  }
  posix::ThreadExecutor executor("log");
  {
    LogWriter writer(*opened.wal, executor, clock, {.collect_every = Milliseconds(2)},
                     [&](const Status&) { failures.fetch_add(1); });
    std::atomic<std::uint64_t> done = 0;
    for (std::uint64_t i = 1; i <= kWrites; ++i) {
      for (std::uint64_t region = 1; region <= kRegions; ++region) {
        RegionWrite write{.region = RegionId(region), .peer = PeerId(1)};
        write.slice.prev = i == 1 ? LogId() : Id(i - 1, 1);
        write.slice.entries = {MakeEntry(i, 1, PayloadOf(region, i))};
        // One region keeps little, the other more, so that collection has to copy.
        const std::uint64_t keep = region == 1 ? 20 : 150;
        if (i % 50 == 0 && i > keep) {
          write.compact = Id(i - keep, 1);
          first[region - 1].store(i - keep);
        }
        writer.Submit(std::move(write), [&, region, i] {
          last[region - 1].store(i);
          done.fetch_add(1);
        });
      }
      while (done.load() + 8 < i * kRegions) std::this_thread::yield();
    }
    while (done.load() < kWrites * kRegions && failures.load() == 0) std::this_thread::yield();
    stop.store(true);
    for (std::thread& reader : readers) reader.join();
    executor.Shutdown();
  }
  EXPECT_EQ(failures.load(), 0);
  EXPECT_GT(entries_read.load(), kWrites);
  EXPECT_LT(opened.wal->stats().segments, 12u);
  opened = {};
  opened = Wal::Open(files, options).value();
  EXPECT_EQ(opened.regions.at(RegionId(1)).last, Id(kWrites, 1));
}

TEST(Concurrency, SubmitsOfManyThreadsShareSyncs) {
  const Directory directory;
  posix::PosixFileSystem files(directory.path());
  posix::PosixClock clock;
  Wal::Opened opened = Wal::Open(files, {.segment_bytes = 1 << 20}).value();
  posix::ThreadExecutor executor("log");
  LogWriter writer(*opened.wal, executor, clock, {},
                   [](const Status& status) { ADD_FAILURE() << status.ToString(); });
  constexpr std::uint64_t kThreads = 4;
  constexpr std::uint64_t kEach = 50;
  std::atomic<std::uint64_t> done = 0;
  std::vector<std::thread> threads;
  for (std::uint64_t region = 1; region <= kThreads; ++region) {
    threads.emplace_back([&, region] {
      for (std::uint64_t i = 1; i <= kEach; ++i) {
        RegionWrite write{.region = RegionId(region), .peer = PeerId(1)};
        write.slice.prev = i == 1 ? LogId() : Id(i - 1, 1);
        write.slice.entries = {MakeEntry(i, 1, "x")};
        writer.Submit(std::move(write), [&] { done.fetch_add(1); });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  while (done.load() < kThreads * kEach) std::this_thread::yield();
  executor.Shutdown();
  EXPECT_EQ(opened.wal->stats().records, kThreads * kEach);
  EXPECT_LE(opened.wal->stats().syncs, kThreads * kEach);
}

}  // namespace
}  // namespace rutile::wal
