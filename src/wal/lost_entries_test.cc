#include <utility>

#include "wal/format.h"
#include "wal/region_copy.h"
#include "wal/testing/rig.h"
#include "wal/wal.h"

// A batch of which the header and the items verify and a payload block does not: what it has cost
// is known, and whether it still matters is decided by what was written after it.
namespace rutile::wal {
namespace {

using ::testing::HasSubstr;
using testing::Id;
using testing::Rig;
using testing::WriteOf;

// Of a batch of one region without a state, where its payload surely is.
constexpr std::uint64_t kInPayload = 400;

// Three batches of two entries each, of region 1; the second is damaged.
class LostEntriesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(rig_.Open().ok());
    LogId last;
    for (int i = 0; i < 3; ++i) {
      const RegionWrite write = WriteOf(1, last, 1, 2, 700);
      last = write.slice.last();
      rig_.Append(write);
    }
  }

  // So that all which was written is in a sealed segment.
  void Seal() { ASSERT_TRUE(rig_.Open().ok()); }
  void Damage(std::uint64_t batch) {
    const std::uint64_t bytes = 1480;  // Of one batch, at least; the next begins before 1520.
    rig_.files.FlipBit(segment_, (kFirstBatchOffset + batch * bytes + kInPayload) * 8);
  }
  const std::optional<LostEntries>& Lost() { return rig_.opened.regions.at(RegionId(1)).lost; }
  RegionWrite Write(LogId prev) {
    return {.region = RegionId(1), .peer = PeerId(1), .slice = {.prev = prev}};
  }

  Rig rig_;
  const std::string segment_ = "wal/0000000000000001.log";
};

TEST_F(LostEntriesTest, AreToldOfASealedSegment) {
  Seal();
  Damage(1);
  ASSERT_TRUE(rig_.Open().ok());
  const RegionLog& log = rig_.opened.regions.at(RegionId(1));
  EXPECT_EQ(log.base, LogId());
  EXPECT_EQ(log.last, Id(6, 1));
  ASSERT_TRUE(log.lost);
  EXPECT_EQ(log.lost->first, Id(3, 1));
  EXPECT_EQ(log.lost->last, Id(4, 1));
  EXPECT_EQ(log.lost->path, segment_);
  EXPECT_GT(log.lost->offset, kFirstBatchOffset + 1400);
}

TEST_F(LostEntriesTest, AreToldOfTheNewestSegmentUpToItsWatermark) {
  Damage(1);
  ASSERT_TRUE(rig_.Open().ok());
  ASSERT_TRUE(Lost());
  EXPECT_EQ(Lost()->first, Id(3, 1));
  EXPECT_EQ(rig_.opened.regions.at(RegionId(1)).last, Id(6, 1));
  EXPECT_EQ(rig_.opened.dropped_tail_bytes, 0u);
}

TEST_F(LostEntriesTest, BehindTheLastWatermarkABatchIsTornWithItsPayload) {
  Damage(2);
  ASSERT_TRUE(rig_.Open().ok());
  EXPECT_FALSE(Lost());
  EXPECT_EQ(rig_.opened.regions.at(RegionId(1)).last, Id(4, 1));
  EXPECT_GT(rig_.opened.dropped_tail_bytes, 0u);
}

TEST_F(LostEntriesTest, AreFromTheFirstToTheLastThatIsLost) {
  Seal();
  Damage(0);
  Damage(2);
  ASSERT_TRUE(rig_.Open().ok());
  ASSERT_TRUE(Lost());
  EXPECT_EQ(Lost()->first, Id(1, 1));
  EXPECT_EQ(Lost()->last, Id(6, 1));
}

// Whoever shares a batch with what was lost has lost nothing.
TEST_F(LostEntriesTest, AreThoseOfTheBlockThatDoesNotVerify) {
  Rig rig;
  ASSERT_TRUE(rig.Open().ok());
  ASSERT_TRUE(rig.Write({WriteOf(1, Id(0, 0), 1, 2, 700), WriteOf(2, Id(0, 0), 1, 2, 700)}).ok());
  ASSERT_TRUE(rig.opened.wal->Sync().ok());
  ASSERT_TRUE(rig.Open().ok());
  rig.files.FlipBit(segment_, (kFirstBatchOffset + 2000) * 8);
  ASSERT_TRUE(rig.Open().ok());
  EXPECT_FALSE(rig.opened.regions.at(RegionId(1)).lost);
  ASSERT_TRUE(rig.opened.regions.at(RegionId(2)).lost);
  EXPECT_EQ(rig.opened.regions.at(RegionId(2)).lost->first, Id(1, 1));
  EXPECT_TRUE(rig.opened.wal->Read(RegionId(1), Index(0), Index(2), 10000).ok());
}

TEST_F(LostEntriesTest, ThatWereCutOffByThenAreNotMissed) {
  rig_.Append(WriteOf(1, Id(2, 1), 2, 2, 700));
  Seal();
  Damage(1);
  ASSERT_TRUE(rig_.Open().ok());
  EXPECT_FALSE(Lost());
  EXPECT_EQ(rig_.opened.regions.at(RegionId(1)).last, Id(4, 2));
  EXPECT_TRUE(rig_.opened.wal->Read(RegionId(1), Index(0), Index(4), 10000).ok());
}

TEST_F(LostEntriesTest, ThatWereCompactedByThenAreNotMissed) {
  RegionWrite write = Write(Id(6, 1));
  write.compact = Id(4, 1);
  rig_.Append(write);
  Seal();
  Damage(1);
  ASSERT_TRUE(rig_.Open().ok());
  EXPECT_FALSE(Lost());
  EXPECT_EQ(rig_.opened.regions.at(RegionId(1)).base, Id(4, 1));
}

TEST_F(LostEntriesTest, AreTheRestOfABlockOfWhichThereIsAPartOnly) {
  RegionWrite write = Write(Id(6, 1));
  write.compact = Id(3, 1);
  rig_.Append(write);
  Seal();
  Damage(1);
  ASSERT_TRUE(rig_.Open().ok());
  ASSERT_TRUE(Lost());
  EXPECT_EQ(Lost()->first, Id(4, 1));
  EXPECT_EQ(Lost()->last, Id(4, 1));
}

TEST_F(LostEntriesTest, AreGoneForGoodOnceTheyWereCutOff) {
  Seal();
  Damage(1);
  ASSERT_TRUE(rig_.Open().ok());
  ASSERT_TRUE(Lost());
  RegionWrite cut = Write(Id(2, 1));
  cut.cut = true;
  cut.state = "owes 6@1";
  rig_.Append(cut);
  rig_.Append(WriteOf(1, Id(2, 1), 1, 1, 10));
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(rig_.Open().ok());
    EXPECT_FALSE(Lost());
    EXPECT_EQ(rig_.opened.regions.at(RegionId(1)).last, Id(3, 1));
    EXPECT_EQ(rig_.opened.regions.at(RegionId(1)).state, "owes 6@1");
    EXPECT_TRUE(rig_.opened.wal->Read(RegionId(1), Index(0), Index(3), 10000).ok());
  }
}

TEST_F(LostEntriesTest, AreNeverCopiedAndKeepTheirSegment) {
  rig_.options.max_segments = 2;
  Seal();
  Damage(1);
  ASSERT_TRUE(rig_.Open().ok());
  // So many segments later the first would have to be emptied, and has to be kept.
  for (std::uint64_t i = 0; i < 40; ++i) {
    RegionWrite write = WriteOf(2, Id(i, i == 0 ? 0 : 1), 1, 1, 3000);
    write.compact = write.slice.last();
    rig_.Append(write);
  }
  const Status collected = rig_.opened.wal->Collect();
  EXPECT_EQ(collected.code(), Code::kCorruption) << collected.ToString();
  EXPECT_THAT(collected.ToString(), HasSubstr(segment_));
  EXPECT_EQ(rig_.Segments().front(), segment_);
  ASSERT_TRUE(rig_.Open().ok());
  EXPECT_TRUE(Lost());
}

TEST_F(LostEntriesTest, AreInNoCopyOfARegion) {
  Seal();
  Damage(1);
  EXPECT_EQ(CopyRegion(rig_.files, "wal", RegionId(1)).status().code(), Code::kCorruption);
  const RegionCopy copy{.region = RegionId(2), .peer = PeerId(1)};
  EXPECT_EQ(ImportRegion(rig_.files, rig_.options, copy, true).code(), Code::kCorruption);
}

// A collection has copied entries; the block that they were copied from is damaged, or the copy is.
TEST_F(LostEntriesTest, OfWhatWasMovedAreThoseOfTheCopy) {
  rig_.options.max_segments = 2;
  for (std::uint64_t i = 0; i < 40; ++i) {
    RegionWrite write = WriteOf(2, Id(i, i == 0 ? 0 : 1), 1, 1, 3000);
    write.compact = write.slice.last();
    rig_.Append(write);
  }
  const auto with_the_original = rig_.Files();
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(rig_.opened.wal->Collect().ok());
  Seal();
  ASSERT_FALSE(rig_.Files().contains(segment_));
  const std::vector<std::string> segments = rig_.Segments();
  int lost = 0;
  for (const std::string& path : segments) {
    const std::string whole = rig_.Files().at(path);
    for (std::uint64_t at = kFirstBatchOffset; at < whole.size(); at += 500) {
      rig_.Kill();
      rig_.files.FlipBit(path, at * 8);
      if (rig_.Open().ok() && Lost()) {
        ++lost;
        EXPECT_EQ(Lost()->path, path);
      }
      rig_.Kill();
      ASSERT_TRUE(rig_.files.Open(path).value()->WriteAt(0, whole).ok());
    }
  }
  EXPECT_GE(lost, 3 * 1400 / 500);
}

}  // namespace
}  // namespace rutile::wal
