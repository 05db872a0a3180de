#include <cstdlib>

#include "wal/format.h"
#include "wal/testing/rig.h"
#include "wal/wal.h"

// The power goes at every moment, and the disk keeps whatever it likes of what was not synced.
namespace rutile::wal {
namespace {

using sim::Loss;
using testing::Id;
using testing::LogTwin;
using testing::Rig;
using testing::WriteOf;

// Runs operations on a log and on its twin until one fails, and remembers what may be found after
// a power cut: the log after any batch since the last sync, the one that failed included.
class Trial {
 public:
  explicit Trial(std::uint64_t seed) : rig(seed) {
    rig.options = {
        .segment_bytes = 8192, .spare_segments = 1, .max_segments = 2, .compress_from_bytes = 0};
  }

  bool Open() {
    const Status status = rig.Open();
    failed_ = !status.ok();
    return status.ok();
  }
  bool failed() const { return failed_; }

  void Write(const std::vector<RegionWrite>& batch) {
    if (failed_) return;
    twin.Apply(batch);
    possible_.push_back(twin.Text());
    failed_ = !rig.Write(batch).ok();
  }
  void Sync() {
    if (failed_) return;
    failed_ = !rig.opened.wal->Sync().ok();
    if (!failed_) possible_.erase(possible_.begin(), possible_.end() - 1);
  }
  void Collect() {
    if (failed_) return;
    failed_ = !rig.opened.wal->Collect().ok();
  }
  // What recovery finds must be possible, and from then on that alone is.
  ::testing::AssertionResult Recover(Loss loss) {
    rig.opened = {};
    rig.files.CutPower(loss);
    return Check(rig.Reopened());
  }
  ::testing::AssertionResult Check(const std::string& found) {
    if (std::find(possible_.begin(), possible_.end(), found) == possible_.end()) {
      return ::testing::AssertionFailure() << "found\n"
                                           << found << "last acknowledged\n"
                                           << possible_.front() << "last written\n"
                                           << possible_.back();
    }
    possible_ = {found};
    failed_ = false;
    return ::testing::AssertionSuccess();
  }

  Rig rig;
  LogTwin twin;

 private:
  std::vector<std::string> possible_ = {""};
  bool failed_ = false;
};

constexpr int kOperations = 8;

// On top of the log that Prologue makes; each can follow each.
void Operate(Trial& trial, int operation) {
  const testing::TwinRegion& region = trial.twin.regions().at(RegionId(1));
  const LogId last = region.last;
  switch (operation) {
    case 0: return trial.Write({WriteOf(1, last, last.term.value(), 2)});
    case 1: {
      RegionWrite write = WriteOf(1, last, last.term.value() + 1, 3, 200);
      write.state = "voted";
      return trial.Write({write, {.region = RegionId(2), .peer = PeerId(3), .state = "x"}});
    }
    case 2: {
      // Fills the segment, so that it or the next operation rotates.
      return trial.Write({WriteOf(1, last, last.term.value(), 1, 2500)});
    }
    case 3: {
      const LogId prev = region.base.index < last.index && !region.entries.empty() &&
                                 last.index.Prev() != region.base.index
                             ? region.entries.at(last.index.Prev()).id
                             : region.base;
      return trial.Write(
          {{.region = RegionId(1), .peer = PeerId(1), .cut = true, .slice = {.prev = prev}}});
    }
    case 4:
      return trial.Write({{.region = RegionId(1),
                           .peer = PeerId(1),
                           .reset = true,
                           .slice = {.prev = Id(last.index.value() + 5, last.term.value() + 1)}}});
    case 5: return trial.Write({{.region = RegionId(1), .peer = PeerId(1), .compact = last}});
    case 6: return trial.Sync();
    case 7: return trial.Collect();
    default: RUTILE_UNREACHABLE();
  }
}

void Prologue(Trial& trial) {
  ASSERT_TRUE(trial.Open());
  trial.Write({WriteOf(1, Id(0, 0), 1, 3)});
  trial.Write({WriteOf(3, Id(0, 0), 1, 1)});
  trial.Sync();
  ASSERT_FALSE(trial.failed());
}

// One run: the power fails during change number `at` of the operations, unless they make fewer.
bool CrashAt(const std::vector<int>& operations, std::uint64_t at, Loss loss, std::uint64_t seed) {
  Trial trial(seed);
  Prologue(trial);
  const std::uint64_t before = trial.rig.files.changes();
  trial.rig.files.FailPowerAfter(at);
  for (const int operation : operations) Operate(trial, operation);
  const bool more = trial.rig.files.changes() - before >= at;
  std::string name;
  for (const int operation : operations) name += std::to_string(operation);
  EXPECT_TRUE(trial.Recover(loss)) << "operations " << name << " change " << at << " loss "
                                   << static_cast<int>(loss) << " seed " << seed;
  // What was dropped must not come back behind what is written now.
  const std::map<RegionId, RegionLog> regions = trial.rig.opened.regions;
  const LogId last = regions.at(RegionId(3)).last;
  const RegionWrite more_entries = WriteOf(3, last, last.term.value(), 1);
  EXPECT_TRUE(trial.rig.Write({more_entries}).ok());
  EXPECT_TRUE(trial.rig.opened.wal->Sync().ok());
  const std::string now =
      testing::TextOf(*trial.rig.opened.wal,
                      [&] {
                        std::map<RegionId, RegionLog> grown = regions;
                        grown.at(RegionId(3)).last = more_entries.slice.last();
                        if (grown.at(RegionId(3)).runs.empty()) {
                          grown.at(RegionId(3)).runs = {{.start = Index(1), .term = Term(1)}};
                        }
                        return grown;
                      }())
          .value();
  trial.rig.opened = {};
  trial.rig.files.CutPower(Loss::kAll);
  EXPECT_EQ(trial.rig.Reopened(), now) << "operations " << name << " change " << at;
  return more;
}

int Scale() {
  const char* scale = std::getenv("RUTILE_TEST_SCALE");
  return scale == nullptr ? 1 : std::max(1, std::atoi(scale));
}

void CrashEverywhere(const std::vector<int>& operations, std::uint64_t draws) {
  for (std::uint64_t at = 1;; ++at) {
    bool more = CrashAt(operations, at, Loss::kAll, at);
    CrashAt(operations, at, Loss::kNone, at);
    for (std::uint64_t seed = 1; seed <= draws; ++seed) {
      CrashAt(operations, at, Loss::kScatter, seed);
      CrashAt(operations, at, Loss::kSuffix, seed);
    }
    if (!more || ::testing::Test::HasFailure()) return;
  }
}

TEST(Crash, AtEveryChangeOfOneAndTwoOperations) {
  for (int a = 0; a < kOperations; ++a) {
    CrashEverywhere({a}, 4);
    for (int b = 0; b < kOperations; ++b) CrashEverywhere({a, b}, 2);
  }
}

TEST(Crash, AtEveryChangeOfThreeOperations) {
  const auto draws = static_cast<std::uint64_t>(Scale());
  for (int a = 0; a < kOperations; ++a) {
    for (int b = 0; b < kOperations; ++b) {
      for (int c = 0; c < kOperations; ++c) {
        const auto number = static_cast<std::size_t>((a * kOperations + b) * kOperations + c);
        if (number % testing::kStride == 0) CrashEverywhere({a, b, c}, draws);
      }
    }
  }
}

// Exactly the bytes of a prefix of the unsynced writes, for every prefix, and every subset of the
// sectors that they touch.
TEST(Crash, EveryPrefixAndEverySubsetOfUnsyncedWrites) {
  for (int first = 0; first < 6; ++first) {
    for (int second = 0; second < 6; ++second) {
      Trial trial(1);
      Prologue(trial);
      const std::string synced = trial.twin.Text();
      const auto before = trial.rig.Files();
      std::vector<std::string> texts = {synced};
      for (const int operation : {first, second}) {
        if (operation == 2) continue;  // Rotates: its syncs make a state of their own.
        Operate(trial, operation);
        texts.push_back(trial.twin.Text());
      }
      const auto after = trial.rig.Files();
      const std::string path = trial.rig.Segments().back();
      const std::string& old_bytes = before.at(path);
      const std::string& new_bytes = after.at(path);
      std::size_t begin = 0;
      while (begin < old_bytes.size() && old_bytes[begin] == new_bytes[begin]) ++begin;
      std::size_t end = old_bytes.size();
      while (end > begin && old_bytes[end - 1] == new_bytes[end - 1]) --end;
      const auto check = [&](const std::string& bytes, const std::string& what) {
        auto files = before;
        files[path] = bytes;
        Rig rig;
        rig.options = trial.rig.options;
        rig.SetFiles(files);
        EXPECT_THAT(texts, ::testing::Contains(rig.Reopened())) << what;
      };
      for (std::size_t upto = begin; upto <= end; upto += first == 1 ? 5 : 1) {
        check(new_bytes.substr(0, upto) + old_bytes.substr(upto), std::to_string(upto));
      }
      // Small sectors, so that there are several in one batch.
      const std::size_t sector = std::max<std::size_t>(16, (end - begin) / 6 + 1);
      for (unsigned kept = 0; kept < 64; ++kept) {
        std::string bytes = old_bytes;
        for (unsigned i = 0; i < 6; ++i) {
          const std::size_t at = begin + i * sector;
          if ((kept >> i & 1) != 0 && at < bytes.size()) {
            bytes.replace(at, sector, new_bytes.substr(at, sector));
          }
        }
        check(bytes, "sectors " + std::to_string(kept));
      }
    }
  }
}

// A batch is lost, the one behind it is not. Recovery drops both; when a batch of the same size
// takes the place of the first, the second, which fits behind it in every way, must not be back.
// Only a batch that ends where a page ends leaves the one behind it in place.
TEST(Crash, WhatWasDroppedNeverComesBack) {
  for (const bool first_in_segment : {true, false}) {
    int tried = 0;
    for (std::size_t size = 3600; size < 4096; size += 8) {
      Rig rig;
      ASSERT_TRUE(rig.Open().ok());
      LogTwin twin;
      if (!first_in_segment) {
        const RegionWrite write = WriteOf(7, Id(0, 0), 1, 1);
        rig.Append(write);
        twin.Apply(write);
      }
      const auto before = rig.Files();
      ASSERT_TRUE(rig.Write({WriteOf(1, Id(0, 0), 1, 1, size)}).ok());
      ASSERT_TRUE(rig.Write({WriteOf(2, Id(0, 0), 1, 1, 500)}).ok());
      auto files = rig.Files();
      const std::string path = rig.Segments().back();
      const std::uint64_t second = kFirstBatchOffset + kPageBytes;
      BatchHeader header;
      if (DecodeBatchHeader(files[path].substr(second), SignatureOf(1), second, &header) !=
          HeaderState::kValid) {
        continue;
      }
      ++tried;
      files[path].replace(second - 512, 512, before.at(path), second - 512, 512);
      rig.SetFiles(files);
      ASSERT_EQ(rig.Reopened(), twin.Text());
      EXPECT_GT(rig.opened.dropped_tail_bytes, size + 500);
      const RegionWrite instead = WriteOf(1, Id(0, 0), 2, 1, size);
      rig.Append(instead);
      twin.Apply(instead);
      EXPECT_EQ(rig.Reopened(), twin.Text());
    }
    EXPECT_EQ(tried, 1);
  }
}

// What recovery has reported is acknowledged, also when it came from the cache of a process that
// was killed before it could sync.
TEST(Crash, WhatRecoveryFoundIsDurable) {
  for (int batches = 1; batches <= 2; ++batches) {
    Rig rig;
    ASSERT_TRUE(rig.Open().ok());
    LogTwin twin;
    for (int i = 0; i < batches; ++i) {
      const RegionWrite write = WriteOf(static_cast<std::uint64_t>(1 + i), Id(0, 0), 1, 1);
      ASSERT_TRUE(rig.Write({write}).ok());
      twin.Apply(write);
    }
    ASSERT_EQ(rig.Reopened(), twin.Text());
    ASSERT_TRUE(rig.CutPower(Loss::kAll).ok());
    EXPECT_EQ(rig.Reopened(), twin.Text());
  }
}

// Long lives with many crashes, some of them during recovery.
void RandomLife(std::uint64_t seed) {
  Trial trial(seed);
  SeededRandom random(seed * 977);
  trial.rig.options.segment_bytes = 8192 + 4096 * random.Below(3);
  trial.rig.options.compress_from_bytes = seed % 2 == 0 ? 0 : 64;
  testing::RandomWrites writes(random, {});
  ASSERT_TRUE(trial.Open());
  for (int crash = 0; crash < 6; ++crash) {
    if (!random.OneIn(6)) trial.rig.files.FailPowerAfter(1 + random.Below(150));
    for (int i = 0; i < 60 && !trial.failed(); ++i) {
      trial.Write(writes.Batch(trial.twin));
      if (random.OneIn(2)) trial.Sync();
      if (random.OneIn(5)) trial.Collect();
      if (random.OneIn(4) && !trial.failed()) {
        static_cast<void>(trial.rig.opened.wal->Prefill());
      }
    }
    trial.rig.opened = {};
    trial.rig.files.CutPower(Loss::kAny);
    while (random.OneIn(3)) {
      // Recovery is a life too, and may be cut short.
      trial.rig.files.FailPowerAfter(1 + random.Below(12));
      static_cast<void>(trial.rig.Open());
      trial.rig.opened = {};
      trial.rig.files.CutPower(Loss::kAny);
    }
    ASSERT_TRUE(trial.Check(trial.rig.Reopened())) << "seed " << seed << " crash " << crash;
    trial.twin = LogTwin();
    // The twin goes on from what was found.
    for (const auto& [id, log] : trial.rig.opened.regions) {
      RegionWrite write{.region = id, .peer = log.peer, .state = log.state};
      write.slice.prev = log.base;
      while (write.slice.last().index < log.last.index) {
        const LogSlice slice =
            trial.rig.opened.wal->Read(id, write.slice.last().index, log.last.index, 1 << 20)
                .value();
        write.slice.entries.insert(write.slice.entries.end(), slice.entries.begin(),
                                   slice.entries.end());
      }
      trial.twin.Apply(write);
    }
  }
}

TEST(Crash, RandomLives) {
  const std::uint64_t lives = 400 * static_cast<std::uint64_t>(Scale()) / testing::kStride;
  for (std::uint64_t seed = 1; seed <= lives && !HasFailure(); ++seed) RandomLife(seed);
}

// After a failed sync the system's cache goes on showing what the disk may never get, and later
// syncs succeed. A process that is started again on the same machine reads from that cache.
TEST(Crash, WhatRecoveryReportsIsOnTheDiskThoughASyncHadFailed) {
  std::size_t reported = 0;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    Rig rig(seed);
    ASSERT_TRUE(rig.Open().ok());
    rig.Append(WriteOf(1, {}, 1, 2));
    ASSERT_TRUE(rig.Write({WriteOf(1, Id(2, 1), 1, 3)}).ok());
    rig.files.FailNext(sim::SimFileSystem::Operation::kSync);
    ASSERT_FALSE(rig.opened.wal->Sync().ok());
    rig.Kill();
    const std::string before = rig.Reopened();
    if (rig.opened.regions.at(RegionId(1)).last == Id(5, 1)) ++reported;
    ASSERT_TRUE(rig.CutPower(Loss::kAll).ok());
    ASSERT_EQ(rig.Reopened(), before) << seed;
  }
  EXPECT_GT(reported, 0u);
}

}  // namespace
}  // namespace rutile::wal
