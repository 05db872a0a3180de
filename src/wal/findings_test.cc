#include <utility>

#include "codec/crc32c.h"
#include "codec/integers.h"
#include "wal/format.h"
#include "wal/log_use.h"
#include "wal/recovery.h"
#include "wal/testing/rig.h"
#include "wal/wal.h"

// What those see who look at a log: each kind of damage, made here, has its line, and hides nothing
// behind it.
namespace rutile::wal {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Id;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::Rig;
using ::testing::SizeIs;
using ::testing::StartsWith;
using testing::WriteOf;

struct Seen {
  std::vector<std::string> lines = {};
  std::vector<std::uint64_t> batches = {};  // Sequence numbers.
  bool stops = false;
};

Seen Look(
    Rig& rig, const std::function<void()>& at_each_batch = [] {}) {
  Seen seen;
  const std::uint64_t changes = rig.files.changes();
  const LogVisitor visitor{.on_finding =
                               [&](const Finding& finding) {
                                 seen.lines.push_back(ToString(finding));
                                 seen.stops |= finding.StopsNode();
                                 return Status();
                               },
                           .on_batch =
                               [&](const Segment&, const ScannedBatch& batch) {
                                 seen.batches.push_back(batch.header.sequence);
                                 at_each_batch();
                                 return Status();
                               }};
  const Result<Recovered> log = ReadLog(rig.files, rig.options.directory, visitor);
  EXPECT_TRUE(log.ok()) << log.status().ToString();
  EXPECT_EQ(rig.files.changes(), changes) << "looking changed the disk";
  return seen;
}

// Segments of two batches each, of region 1; a last batch says that all is synced.
class Findings : public ::testing::Test {
 protected:
  void SetUp() override {
    rig_.options.segment_bytes = 8192;
    rig_.options.max_segments = 100;
    ASSERT_TRUE(rig_.Open().ok());
    LogId last;
    for (int i = 0; i < 7; ++i) {
      RegionWrite write = WriteOf(1, last, 1, 2, 700);
      last = write.slice.last();
      write.state = "state";
      rig_.Append(write);
    }
    ASSERT_TRUE(rig_.opened.wal->Collect().ok());
    segments_ = rig_.Segments();
    ASSERT_EQ(segments_.size(), 4u);
  }

  void Change(const std::string& path, std::uint64_t offset, std::string_view bytes) {
    rig_.Kill();
    ASSERT_TRUE(rig_.files.Open(path).value()->WriteAt(offset, bytes).ok());
  }
  void Flip(const std::string& path, std::uint64_t offset) {
    rig_.files.FlipBit(path, offset * 8 + 3);
  }
  Rig rig_;
  std::vector<std::string> segments_;
};

TEST_F(Findings, AWholeLogHasNone) {
  const Seen seen = Look(rig_);
  EXPECT_THAT(seen.lines, IsEmpty());
  EXPECT_THAT(seen.batches, ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
}

TEST_F(Findings, AnEmptyDirectoryHasNone) {
  Rig rig;
  ASSERT_TRUE(rig.files.CreateDirectories("wal").ok());
  EXPECT_THAT(Look(rig).lines, IsEmpty());
}

TEST_F(Findings, BrokenBatch) {
  Flip(segments_[1], 4096 + 50);
  const Seen seen = Look(rig_);
  EXPECT_THAT(seen.lines,
              Contains(AllOf(StartsWith("broken-batch " + segments_[1] + " at offset 4096: "),
                             HasSubstr("; do: check the disk"))));
  // What is behind is seen all the same, and does not follow.
  EXPECT_THAT(seen.batches, ElementsAre(1, 2, 4, 5, 6, 7, 8));
  EXPECT_THAT(seen.lines, Contains(StartsWith("contradiction " + segments_[1])));
  EXPECT_THAT(seen.lines, SizeIs(2));
}

TEST_F(Findings, EveryDamagedPlaceIsNamed) {
  Flip(segments_[0], 4096 + 50);
  Flip(segments_[1], 4096 + 50);
  Flip(segments_[3], 4096 + 50);
  const Seen seen = Look(rig_);
  for (const std::size_t i : {0u, 1u, 3u}) {
    EXPECT_THAT(seen.lines, Contains(StartsWith("broken-batch " + segments_[i])));
  }
  EXPECT_THAT(seen.batches, ElementsAre(2, 4, 5, 6, 8));
}

TEST_F(Findings, HoledBatch) {
  Flip(segments_[1], 4096 + 500);
  const Seen seen = Look(rig_);
  EXPECT_THAT(seen.lines,
              ElementsAre(AllOf(StartsWith("holed-batch " + segments_[1] + " at offset 4096: "),
                                HasSubstr("entries of region 1 from 5@1 to 6@1 were durable"),
                                HasSubstr("; do: check the disk"))));
  // It is known what it was, so all that is behind follows.
  EXPECT_THAT(seen.batches, ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
  EXPECT_FALSE(seen.stops);
}

TEST_F(Findings, MissingBatch) {
  Change(segments_[0], 4096, std::string(4, '\0'));
  const Seen seen = Look(rig_);
  EXPECT_THAT(seen.lines,
              Contains(StartsWith("missing-batch " + segments_[0] + " at offset 4096")));
  EXPECT_THAT(seen.lines, Contains(StartsWith("incomplete-region ")));
}

TEST_F(Findings, MisplacedBatch) {
  const std::uint32_t signature = SignatureOf(2);
  Change(segments_[1], 4096, EncodeBatchHeader({.sequence = 99}, signature, 4096));
  EXPECT_THAT(Look(rig_).lines,
              Contains(StartsWith("misplaced-batch " + segments_[1] + " at offset 4096")));
}

TEST_F(Findings, BadHeader) {
  for (const std::string& path : segments_) {
    Rig rig;
    rig.options = rig_.options;
    rig.SetFiles(rig_.Files());
    rig.files.FlipBit(path, 30 * 8);
    const Seen seen = Look(rig);
    EXPECT_THAT(seen.lines, Contains(StartsWith("bad-header " + path + " at offset 0: ")));
    EXPECT_THAT(seen.batches, Not(IsEmpty()));
  }
}

TEST_F(Findings, AHeaderOfAnotherSegment) {
  auto files = rig_.Files();
  std::swap(files[segments_[1]], files[segments_[2]]);
  rig_.SetFiles(files);
  const Seen seen = Look(rig_);
  EXPECT_THAT(seen.lines, Contains(AllOf(StartsWith("bad-header " + segments_[1]),
                                         HasSubstr("segment 3 by its header"))));
}

TEST_F(Findings, NewerFormat) {
  std::string header = rig_.Files()[segments_[2]].substr(0, 64);
  header[16] = static_cast<char>(kFormatVersion + 1);
  std::string crc;
  codec::PutFixed32(&crc, codec::Crc32c(std::string_view(header).substr(16)));
  header.replace(12, 4, crc);
  Change(segments_[2], 0, header);
  const Seen seen = Look(rig_);
  EXPECT_THAT(seen.lines, Contains(AllOf(StartsWith("newer-format " + segments_[2]),
                                         HasSubstr("format 3"), HasSubstr("do: start the newer"))));
}

TEST_F(Findings, ShortFile) {
  auto files = rig_.Files();
  files[segments_[1]].resize(5000);
  rig_.SetFiles(files);
  const Seen seen = Look(rig_);
  EXPECT_THAT(seen.lines,
              Contains(AllOf(StartsWith("short-file " + segments_[1] + " at offset 5000"),
                             HasSubstr("it had 8192 bytes"))));
}

TEST_F(Findings, MissingSegments) {
  auto files = rig_.Files();
  files.erase(segments_[1]);
  files.erase(segments_[2]);
  rig_.SetFiles(files);
  const Seen seen = Look(rig_);
  EXPECT_THAT(seen.lines, Contains(AllOf(StartsWith("missing-segment " + segments_[1]),
                                         HasSubstr("and all up to 0000000000000003.log"))));
  EXPECT_THAT(seen.batches, ElementsAre(1, 2, 7, 8));
  EXPECT_TRUE(seen.stops);
}

TEST_F(Findings, ForeignFile) {
  ASSERT_TRUE(rig_.files.Create("wal/notes.txt").ok());
  const Seen seen = Look(rig_);
  EXPECT_THAT(seen.lines, ElementsAre(AllOf(StartsWith("foreign-file wal/notes.txt"),
                                            HasSubstr("do: move it"))));
  EXPECT_TRUE(seen.stops);
  EXPECT_THAT(seen.batches, SizeIs(8));
}

TEST_F(Findings, Unreadable) {
  rig_.Kill();
  bool failed = false;
  const Seen seen = Look(rig_, [&] {
    if (!std::exchange(failed, true)) {
      rig_.files.FailNext(sim::SimFileSystem::Operation::kRead);
    }
  });
  EXPECT_THAT(seen.lines, Contains(AllOf(StartsWith("unreadable " + segments_[1]),
                                         HasSubstr("Input/output error"))));
  EXPECT_THAT(seen.batches, ElementsAre(1, 2, 5, 6, 7, 8));
}

TEST_F(Findings, WrongSequence) {
  SegmentHeader header =
      DecodeSegmentHeader(rig_.Files()[segments_[2]].substr(0, kPageBytes)).value();
  header.first_batch += 10;
  Change(segments_[2], 0, EncodeSegmentHeader(header));
  EXPECT_THAT(Look(rig_).lines,
              Contains(AllOf(StartsWith("wrong-sequence " + segments_[2] + " at offset 0"),
                             HasSubstr("begins with batch 15, the one before ends with batch 4"))));
}

TEST_F(Findings, ASegmentOfAnotherNode) {
  // The same number, the same signature, and a log that is not this one's.
  Rig other;
  other.options = rig_.options;
  ASSERT_TRUE(other.Open().ok());
  for (int i = 0; i < 30; ++i) other.Append({.region = RegionId(7), .peer = PeerId(3)});
  other.Append(WriteOf(7, Id(0, 0), 1, 4, 900));
  ASSERT_EQ(other.Segments().size(), 2u);
  auto files = rig_.Files();
  files[segments_[1]] = other.Files()[other.Segments()[1]];
  rig_.SetFiles(files);
  const Seen seen = Look(rig_);
  EXPECT_THAT(seen.lines, Contains(AllOf(StartsWith("misplaced-batch " + segments_[1]),
                                         HasSubstr("copied from another node"))));
}

TEST_F(Findings, TornTail) {
  ASSERT_TRUE(rig_.Open().ok());
  ASSERT_TRUE(rig_.Write({WriteOf(1, Id(14, 1), 1, 1, 100)}).ok());
  rig_.Kill();
  Flip(rig_.Segments().back(), 4096 + 80);
  const Seen seen = Look(rig_);
  EXPECT_THAT(seen.lines, ElementsAre(AllOf(StartsWith("torn-tail " + rig_.Segments().back()),
                                            HasSubstr("do: nothing"))));
  EXPECT_FALSE(seen.stops);
}

TEST_F(Findings, Leftover) {
  const auto before = rig_.Files();
  ASSERT_TRUE(rig_.Open().ok());
  rig_.Append({.region = RegionId(1),
               .peer = PeerId(1),
               .slice = {.prev = Id(14, 1)},
               .compact = Id(14, 1)});
  rig_.Append(
      {.region = RegionId(1), .peer = PeerId(1), .slice = {.prev = Id(14, 1)}, .state = "new"});
  ASSERT_TRUE(rig_.opened.wal->Collect().ok());
  auto files = rig_.Files();
  ASSERT_FALSE(files.contains(segments_[0]));
  files[segments_[0]] = before.at(segments_[0]);
  rig_.SetFiles(files);
  const Seen seen = Look(rig_);
  EXPECT_THAT(seen.lines, ElementsAre(StartsWith("leftover " + segments_[0])));
  EXPECT_FALSE(seen.stops);
}

class FindingsInABatch : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(FindingsInABatch, ASegmentFullOfDamageIsGivenUp) {
  Rig rig;
  rig.options.segment_bytes = 65536;
  ASSERT_TRUE(rig.Open().ok());
  for (std::uint64_t i = 0; i < 150; ++i) rig.Append(WriteOf(1, Id(i, i == 0 ? 0 : 1), 1, 1, 60));
  std::vector<std::uint64_t> offsets;
  rig.Kill();
  const LogVisitor visitor{.on_finding = StopAtDamage,
                           .on_batch = [&](const Segment&, const ScannedBatch& batch) {
                             offsets.push_back(batch.offset);
                             return Status();
                           }};
  ASSERT_TRUE(ReadLog(rig.files, "wal", visitor).ok());
  for (const std::uint64_t offset : offsets)
    rig.files.FlipBit(rig.Segments().back(), (offset + GetParam()) * 8);
  const Seen seen = Look(rig);
  EXPECT_THAT(seen.lines, Contains(StartsWith("unsearched ")));
  EXPECT_THAT(seen.lines, SizeIs(101));
  EXPECT_TRUE(seen.stops);
}

// In the items, and in the payload.
INSTANTIATE_TEST_SUITE_P(Places, FindingsInABatch, ::testing::Values(50, 100));

// The tools and the node read by the same rules: what keeps a node from starting has a line, and
// nothing else stops anybody.
TEST_F(Findings, StopTheNodeExactlyWhenItDoesNotStart) {
  const auto whole = rig_.Files();
  int stopped = 0;
  for (std::uint64_t seed = 1; seed <= 600; ++seed) {
    SeededRandom random(seed);
    auto files = whole;
    for (std::uint64_t n = 1 + random.Below(3); n > 0; --n) {
      const std::string& path = segments_[random.Below(segments_.size())];
      std::string& bytes = files[path];
      switch (random.Below(6)) {
        case 0: files.erase(path); break;
        case 1: bytes.resize(random.Below(bytes.size() + 1)); break;
        case 2: std::swap(bytes, files[segments_[random.Below(segments_.size())]]); break;
        case 3: bytes.replace(0, bytes.size() / 2, std::string(bytes.size() / 2, '\0')); break;
        default:
          if (bytes.empty()) break;
          bytes[random.Below(bytes.size())] ^= static_cast<char>(1 << random.Below(8));
      }
    }
    Rig rig;
    rig.options = rig_.options;
    rig.SetFiles(files);
    const Seen seen = Look(rig);
    const Status opened = rig.Open();
    ASSERT_EQ(seen.stops, !opened.ok()) << "seed " << seed << ": " << opened.ToString();
    stopped += seen.stops ? 1 : 0;
  }
  EXPECT_GT(stopped, 100);
  EXPECT_LT(stopped, 600);
}

// Logs with everything in them that replicas write, and with what collection has moved.
TEST(FindingsOfRandomLogs, StopTheNodeExactlyWhenItDoesNotStart) {
  int stopped = 0;
  for (std::uint64_t seed = 1; seed <= 120; ++seed) {
    Rig rig(seed);
    rig.options = {.segment_bytes = 8192, .spare_segments = 1, .max_segments = 3};
    ASSERT_TRUE(rig.Open().ok());
    SeededRandom random(seed);
    testing::LogTwin twin;
    testing::RandomWrites writes(random, {});
    for (int i = 0; i < 80; ++i) {
      const std::vector<RegionWrite> batch = writes.Batch(twin);
      ASSERT_TRUE(rig.Write(batch).ok());
      twin.Apply(batch);
      const Status collected = i % 8 == 0 ? rig.opened.wal->Collect() : Status();
      ASSERT_TRUE(collected.ok());
    }
    ASSERT_TRUE(rig.opened.wal->Sync().ok());
    const std::vector<std::string> segments = rig.Segments();
    for (std::uint64_t n = random.Below(5); n > 0; --n) {
      const std::string& path = segments[random.Below(segments.size())];
      rig.files.FlipBit(path, random.Below(8192 * 8));
    }
    const Seen seen = Look(rig);
    const Status opened = rig.Open();
    ASSERT_EQ(seen.stops, !opened.ok()) << "seed " << seed << ": " << opened.ToString();
    stopped += seen.stops ? 1 : 0;
  }
  EXPECT_GT(stopped, 5);
  EXPECT_LT(stopped, 110);
}

TEST_F(Findings, SpaceIsCountedByRegionAndSegment) {
  ASSERT_TRUE(rig_.Open().ok());
  rig_.Append(WriteOf(2, Id(0, 0), 1, 1, 100));
  rig_.Append({.region = RegionId(1),
               .peer = PeerId(1),
               .slice = {.prev = Id(14, 1)},
               .compact = Id(3, 1)});
  rig_.Kill();
  const auto spare =
      rig_.files.Create("wal/0000000000000009.spare").value()->WriteAt(0, std::string(8192, '\0'));
  ASSERT_TRUE(spare.ok());
  const Result<LogUse> measured = MeasureLog(rig_.files, "wal", StopAtDamage);
  ASSERT_TRUE(measured.ok());
  const LogUse& use = measured.value();
  ASSERT_THAT(use.regions, SizeIs(2));
  const RegionUse& first = use.regions.at(RegionId(1));
  EXPECT_EQ(first.log.base, Id(3, 1));
  EXPECT_EQ(first.log.last, Id(14, 1));
  // Eleven of fourteen entries of 700 bytes.
  EXPECT_GT(first.live_bytes, 11 * 700u);
  EXPECT_LT(first.live_bytes, 12 * 710u);
  EXPECT_GT(first.garbage_bytes, 3 * 700u);
  EXPECT_LT(first.garbage_bytes, 4 * 710u);
  EXPECT_EQ(use.regions.at(RegionId(2)).garbage_bytes, 0u);
  EXPECT_THAT(use.Pinning(), ElementsAre(RegionId(1)));
  EXPECT_EQ(use.live_bytes(), first.live_bytes + use.regions.at(RegionId(2)).live_bytes);
  EXPECT_EQ(use.file_bytes(), 8192 * use.segments.size());
  EXPECT_EQ(use.spare_files, 1u);
  EXPECT_EQ(use.spare_bytes, 8192u);
}

}  // namespace
}  // namespace rutile::wal
