#include "wal/testing/rig.h"
#include "wal/wal.h"

namespace rutile::wal {
namespace {

using ::testing::HasSubstr;
using testing::Id;
using testing::LogTwin;
using testing::Rig;
using testing::WriteOf;

RegionWrite Compact(std::uint64_t region, LogId to) {
  return {.region = RegionId(region), .peer = PeerId(1), .compact = to};
}

// Appends to region 9 and compacts it right away: fills segments without keeping them.
class Churn {
 public:
  Churn(Rig& rig, LogTwin& twin) : rig_(rig), twin_(twin) {}
  void Segments(int count) {
    for (int i = 0; i < count * 8; ++i) {
      RegionWrite write = WriteOf(9, last_, 1, 1, 2000);
      last_ = write.slice.last();
      write.compact = last_;
      rig_.Append(write);
      twin_.Apply(write);
    }
  }

 private:
  Rig& rig_;
  LogTwin& twin_;
  LogId last_ = {};
};

class CollectTest : public ::testing::Test {
 protected:
  CollectTest() { EXPECT_TRUE(rig.Open().ok()); }
  void Append(const RegionWrite& write) {
    rig.Append(write);
    twin.Apply(write);
  }
  void Collect() {
    for (int i = 0; i < 20; ++i) {
      const Status status = rig.opened.wal->Collect();
      ASSERT_TRUE(status.ok()) << status.ToString();
    }
  }
  Rig rig;
  LogTwin twin;
  Churn churn{rig, twin};
};

TEST_F(CollectTest, WhatNobodyNeedsBecomesSpareAndIsUsedAgain) {
  churn.Segments(6);
  EXPECT_GE(rig.opened.wal->stats().segments, 6u);
  Collect();
  EXPECT_LE(rig.opened.wal->stats().segments, 2u);
  EXPECT_EQ(rig.opened.wal->stats().spare_segments, 1u);
  const std::uint64_t files = rig.Files().size();
  const std::uint64_t segments = rig.opened.wal->stats().segments;
  for (std::uint64_t i = 0; rig.opened.wal->stats().segments == segments; ++i) {
    Append(WriteOf(8, i == 0 ? Id(0, 0) : Id(i, 1), 1, 1, 2000));
  }
  EXPECT_EQ(rig.opened.wal->stats().spare_segments, 0u);
  EXPECT_EQ(rig.Files().size(), files);
  EXPECT_EQ(rig.Reopened(), twin.Text());
}

TEST_F(CollectTest, AnIdleRegionPinsNothing) {
  RegionWrite idle = WriteOf(1, Id(0, 0), 1, 5);
  idle.state = "vote";
  Append(idle);
  Append({.region = RegionId(2), .peer = PeerId(1), .state = "only a state"});
  Append({.region = RegionId(3), .peer = PeerId(1), .slice = {.prev = Id(50, 5)}});
  for (int i = 0; i < 5; ++i) {
    churn.Segments(4);
    Collect();
    EXPECT_LE(rig.opened.wal->stats().segments, 4u);
  }
  EXPECT_EQ(rig.Reopened(), twin.Text());
}

TEST_F(CollectTest, PartsOfALogInSeveralSegmentsSurviveTheirMoves) {
  LogId last;
  for (int round = 0; round < 12; ++round) {
    RegionWrite write = WriteOf(1, last, 1 + static_cast<std::uint64_t>(round), 4, 40);
    // Every third round replaces the end of what was written before.
    if (round % 3 == 2) {
      write = WriteOf(1, Id(last.index.value() - 1, last.term.value()),
                      1 + static_cast<std::uint64_t>(round), 2, 40);
    }
    last = write.slice.last();
    Append(write);
    churn.Segments(1);
    Collect();
    ASSERT_EQ(rig.Reopened(), twin.Text()) << round;
    if (round == 6)
      Append(
          Compact(1, Id(10, twin.regions().at(RegionId(1)).entries.at(Index(10)).id.term.value())));
  }
  EXPECT_LE(rig.opened.wal->stats().segments, 4u);
}

TEST_F(CollectTest, ACleanedRegionStaysCleaned) {
  Append(WriteOf(1, Id(0, 0), 1, 3));
  churn.Segments(1);
  Append({.region = RegionId(1), .peer = PeerId(1), .clean = true});
  for (int i = 0; i < 4; ++i) {
    churn.Segments(1);
    Collect();
    ASSERT_EQ(rig.Reopened(), twin.Text());
  }
}

TEST_F(CollectTest, ABigOldLogIsNamedAndThenGoes) {
  LogId last;
  for (int i = 0; i < 60; ++i) {
    const RegionWrite write = WriteOf(1, last, 1, 1, 2000);
    last = write.slice.last();
    Append(write);
  }
  Collect();
  const std::map<RegionId, Index> pinning = rig.opened.wal->PinningRegions();
  ASSERT_EQ(pinning.size(), 1u);
  const Index upto = pinning.at(RegionId(1));
  EXPECT_GT(upto, Index(10));
  EXPECT_LT(upto, Index(60));
  Append(Compact(1, Id(upto.value(), 1)));
  Collect();
  EXPECT_LE(rig.opened.wal->stats().segments, 5u);
  EXPECT_TRUE(rig.opened.wal->PinningRegions().empty());
  EXPECT_EQ(rig.Reopened(), twin.Text());
}

TEST_F(CollectTest, AHeavyRegionInFrontOfDeadSegmentsIsCopied) {
  // Four fifths of a segment stay, far too much to be cheap; but they hold back dead ones.
  LogId last;
  for (int i = 0; i < 6; ++i) {
    const RegionWrite write = WriteOf(1, last, 1, 1, 1500);
    last = write.slice.last();
    Append(write);
  }
  churn.Segments(10);
  Collect();
  EXPECT_LE(rig.opened.wal->stats().segments, 6u);
  EXPECT_EQ(rig.Reopened(), twin.Text());
}

TEST_F(CollectTest, WhatIsTooMuchForOneCallIsLeftForTheNext) {
  rig.options.segment_bytes = std::uint64_t{16} << 20;
  ASSERT_TRUE(rig.Open().ok());
  LogId last;
  for (int i = 0; i < 12; ++i) {
    const RegionWrite write = WriteOf(1, last, 1, 1, std::size_t{1} << 20);
    last = write.slice.last();
    Append(write);
  }
  // Old and mostly dead segments behind one that is mostly alive.
  LogId dead;
  for (int i = 0; i < 24; ++i) {
    RegionWrite write = WriteOf(9, dead, 1, 1, std::size_t{3} << 20);
    dead = write.slice.last();
    write.compact = dead;
    Append(write);
  }
  const std::uint64_t segments = rig.opened.wal->stats().segments;
  ASSERT_GT(segments, 4u);
  int calls = 0;
  do {
    ASSERT_TRUE(rig.opened.wal->Collect().ok());
    ++calls;
  } while (rig.opened.wal->NeedsCollect());
  EXPECT_EQ(calls, 2);
  EXPECT_LT(rig.opened.wal->stats().segments, segments);
  EXPECT_EQ(rig.Reopened(), twin.Text());
}

TEST_F(CollectTest, AReaderKeepsReadingWhileItsSegmentGoes) {
  Append(WriteOf(1, Id(0, 0), 1, 3));
  churn.Segments(6);
  Collect();
  churn.Segments(2);
  EXPECT_EQ(rig.opened.wal->Read(RegionId(1), Index(0), Index(3), 1000).value().entries.size(), 3u);
}

TEST_F(CollectTest, ALogThatIsQuietGetsItsWatermarkOnce) {
  Append(WriteOf(1, Id(0, 0), 1, 3));
  const std::uint64_t batches = rig.opened.wal->stats().batches;
  Collect();
  EXPECT_EQ(rig.opened.wal->stats().batches, batches + 1);
}

TEST_F(CollectTest, AFullDiskIsForeseenAndHealsByItself) {
  LogId last;
  churn.Segments(2);
  Append(WriteOf(1, last, 1, 1));
  rig.files.SetCapacity(rig.files.used_bytes());
  // Foreseen: growth can be refused while there is still room for what makes space.
  Status status;
  last = Id(1, 1);
  for (int i = 0; i < 100 && status.ok(); ++i) {
    RegionWrite write = WriteOf(1, last, 1, 1, 1000);
    status = rig.Write({write});
    if (!status.ok()) break;
    ASSERT_TRUE(rig.opened.wal->Sync().ok());
    twin.Apply(write);
    last = write.slice.last();
  }
  EXPECT_EQ(status.code(), Code::kResourceExhausted);
  EXPECT_THAT(status.ToString(), HasSubstr("no space"));
  EXPECT_EQ(rig.opened.wal->Prefill().code(), Code::kResourceExhausted);
  // Compactions still go in, and what they free is used.
  Append(Compact(1, last));
  Collect();
  Append(WriteOf(1, last, 1, 1, 1000));
  EXPECT_EQ(rig.Reopened(), twin.Text());
}

TEST_F(CollectTest, WhatIsMovedIsCompressedAgain) {
  rig.options.compress_from_bytes = 1000;
  ASSERT_TRUE(rig.Open().ok());
  Append(WriteOf(1, Id(0, 0), 1, 40, 400));
  rig.options.compress_from_bytes = 0;  // Segments fill up.
  ASSERT_TRUE(rig.Open().ok());
  churn.Segments(2);
  rig.options.compress_from_bytes = 1000;
  ASSERT_TRUE(rig.Open().ok());
  const std::uint64_t written = rig.opened.wal->stats().written_bytes;
  const std::string oldest = rig.Segments().front();
  Collect();
  EXPECT_THAT(rig.Segments(), ::testing::Not(::testing::Contains(oldest)));
  EXPECT_LT(rig.opened.wal->stats().written_bytes - written, 3 * 4096u);
  EXPECT_EQ(rig.Reopened(), twin.Text());
}

}  // namespace
}  // namespace rutile::wal
