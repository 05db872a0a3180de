#include "wal/region_copy.h"

#include "wal/testing/rig.h"

namespace rutile::wal {
namespace {

using ::testing::HasSubstr;
using testing::Hex;
using testing::Id;
using testing::MakeEntry;
using testing::Rig;
using testing::WriteOf;

RegionCopy Small() {
  return {.region = RegionId(2),
          .peer = PeerId(101),
          .mark_term = Term(3),
          .mark_epoch = 1,
          .slice = {.prev = Id(5, 2), .entries = {MakeEntry(6, 2, "ab"), MakeEntry(7, 3, "")}},
          .state = "hs"};
}

// Two regions over several segments: cut, compacted, with a vote.
void Fill(Rig& rig) {
  ASSERT_TRUE(rig.Open().ok());
  RegionWrite write = WriteOf(1, Id(0, 0), 1, 6, 1500);
  write.state = "voted for 9";
  rig.Append(write);
  rig.Append(WriteOf(2, Id(0, 0), 1, 3, 100));
  rig.Append(WriteOf(1, Id(4, 1), 2, 3, 3000));
  write = {.region = RegionId(1), .peer = PeerId(1), .slice = {.prev = Id(7, 2)}};
  write.compact = Id(2, 1);
  rig.Append(write);
}

RegionCopy Copied(Rig& rig, std::uint64_t region) {
  rig.Kill();
  const std::uint64_t changes = rig.files.changes();
  const Result<RegionCopy> copy = CopyRegion(rig.files, "wal", RegionId(region));
  EXPECT_EQ(rig.files.changes(), changes);
  RUTILE_CHECK(copy.ok(), copy.status().ToString());
  const Result<RegionCopy> again = DecodeRegionCopy(EncodeRegionCopy(copy.value()));
  RUTILE_CHECK(again.ok(), again.status().ToString());
  EXPECT_EQ(again.value(), copy.value());
  return again.value();
}

// docs/formats/region-log.md.
TEST(RegionCopy, GoldenFile) {
  EXPECT_EQ(Hex(EncodeRegionCopy(Small())),
            "527574696c65524c"  // Magic.
            "01000000"          // Version.
            "26b33709"          // Checksum.
            "2a00000000000000"  // Size of the file.
            "0265"              // Region, peer.
            "0301"              // Mark.
            "0502"              // Base.
            "026873"            // State.
            "02"                // Entries.
            "0201026162"
            "030000");
  EXPECT_EQ(DecodeRegionCopy(EncodeRegionCopy(Small())).value(), Small());
}

TEST(RegionCopy, EveryFlippedBitAndEveryShorterFileIsRefused) {
  const std::string good = EncodeRegionCopy(Small());
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bytes = good;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    const Status status = DecodeRegionCopy(bytes).status();
    ASSERT_FALSE(status.ok()) << bit;
    ASSERT_THAT(status.ToString(), HasSubstr("at offset ")) << bit;
  }
  for (std::size_t size = 0; size < good.size(); ++size) {
    const Status status = DecodeRegionCopy(good.substr(0, size)).status();
    ASSERT_EQ(status.code(), Code::kCorruption) << size;
  }
  EXPECT_EQ(DecodeRegionCopy(good + "x").status().code(), Code::kCorruption);
}

TEST(RegionCopy, ANewerFormatIsNotDamage) {
  std::string bytes = EncodeRegionCopy(Small());
  bytes[8] = 2;
  const Status status = DecodeRegionCopy(bytes).status();
  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  EXPECT_THAT(status.ToString(), HasSubstr("use the newer build"));
}

TEST(RegionCopy, ExportedAndImportedIsTheSameLog) {
  Rig from;
  Fill(from);
  const std::string text = from.Reopened();
  Rig to;
  ASSERT_TRUE(to.Open().ok());
  for (const std::uint64_t region : {1u, 2u}) {
    const RegionCopy copy = Copied(from, region);
    to.Kill();
    const Status status = ImportRegion(to.files, to.options, copy, /*replace=*/false);
    ASSERT_TRUE(status.ok()) << status.ToString();
  }
  ASSERT_TRUE(to.CutPower(sim::Loss::kAll).ok());
  EXPECT_EQ(to.Reopened(), text);
  EXPECT_EQ(Copied(to, 1), Copied(from, 1));
}

TEST(RegionCopy, ARegionThatIsThereIsRefusedAndNothingChanges) {
  Rig rig;
  Fill(rig);
  RegionCopy copy = Copied(rig, 1);
  copy.slice.entries.pop_back();
  rig.Kill();
  const std::uint64_t changes = rig.files.changes();
  const Status status = ImportRegion(rig.files, rig.options, copy, /*replace=*/false);
  EXPECT_EQ(status.code(), Code::kAlreadyExists);
  EXPECT_THAT(status.ToString(), HasSubstr("has region 1 already, of peer 1, (2@1, 7@2]"));
  EXPECT_THAT(status.ToString(), HasSubstr("--replace"));
  EXPECT_EQ(rig.files.changes(), changes);
  ASSERT_TRUE(ImportRegion(rig.files, rig.options, copy, /*replace=*/true).ok());
  EXPECT_EQ(Copied(rig, 1), copy);
}

TEST(RegionCopy, ReplacingByAnotherPeersEmptyLogLeavesNothingOfTheOld) {
  Rig rig;
  Fill(rig);
  rig.Kill();
  const RegionCopy copy{
      .region = RegionId(1), .peer = PeerId(8), .slice = {.prev = Id(50, 4)}, .state = ""};
  ASSERT_TRUE(ImportRegion(rig.files, rig.options, copy, /*replace=*/true).ok());
  EXPECT_EQ(Copied(rig, 1), copy);
}

TEST(RegionCopy, ACrashLeavesTheOldLogOrTheNew) {
  Rig first;
  Fill(first);
  const std::string old_text = first.Reopened();
  RegionCopy copy = Copied(first, 1);
  copy.slice.entries.resize(3);
  copy.state = "voted for 10";
  first.Kill();
  ASSERT_TRUE(ImportRegion(first.files, first.options, copy, /*replace=*/true).ok());
  const std::string new_text = first.Reopened();
  ASSERT_NE(old_text, new_text);
  int olds = 0;
  int news = 0;
  for (std::uint64_t changes = 1; changes < 60; ++changes) {
    Rig rig(changes);
    Fill(rig);
    rig.Kill();
    rig.files.FailPowerAfter(changes);
    const bool done = ImportRegion(rig.files, rig.options, copy, /*replace=*/true).ok();
    ASSERT_TRUE(rig.CutPower(sim::Loss::kAny).ok());
    const std::string text = rig.Reopened();
    ASSERT_TRUE(text == new_text || (!done && text == old_text)) << changes << "\n" << text;
    ++(text == new_text ? news : olds);
  }
  EXPECT_GT(olds, 2);
  EXPECT_GT(news, 2);
}

TEST(RegionCopy, ADamagedLogIsNotCopiedAndNotWrittenTo) {
  Rig rig;
  Fill(rig);
  const RegionCopy copy = Copied(rig, 2);
  rig.files.FlipBit(rig.Segments().front(), (4096 + 500) * 8);
  const std::uint64_t changes = rig.files.changes();
  EXPECT_EQ(CopyRegion(rig.files, "wal", RegionId(2)).status().code(), Code::kCorruption);
  EXPECT_EQ(ImportRegion(rig.files, rig.options, copy, true).code(), Code::kCorruption);
  EXPECT_EQ(rig.files.changes(), changes);
}

TEST(RegionCopy, ARegionThatIsNotThereIsNamed) {
  Rig rig;
  Fill(rig);
  rig.Kill();
  const Status status = CopyRegion(rig.files, "wal", RegionId(77)).status();
  EXPECT_EQ(status.code(), Code::kNotFound);
  EXPECT_THAT(status.ToString(), HasSubstr("no region 77"));
}

}  // namespace
}  // namespace rutile::wal
