#include "wal/wal.h"

#include "wal/format.h"
#include "wal/testing/rig.h"

namespace rutile::wal {
namespace {

using ::testing::HasSubstr;
using testing::Id;
using testing::MakeEntry;
using testing::Rig;
using testing::WriteOf;

std::string IdsOf(const Result<LogSlice>& slice) {
  if (!slice.ok()) return slice.status().ToString();
  std::string out = ToString(slice.value().prev) + " |";
  for (const Entry& entry : slice.value().entries) out += " " + ToString(entry.id);
  return out;
}

std::string Read(Rig& rig, std::uint64_t prev, std::uint64_t to, std::size_t bytes = 1 << 20) {
  return IdsOf(rig.opened.wal->Read(RegionId(1), Index(prev), Index(to), bytes));
}

RegionWrite Compact(std::uint64_t region, LogId to) {
  return {.region = RegionId(region), .peer = PeerId(1), .compact = to};
}

TEST(Wal, AnEmptyDirectoryIsAnEmptyLog) {
  Rig rig;
  ASSERT_TRUE(rig.Open().ok());
  EXPECT_TRUE(rig.opened.regions.empty());
  EXPECT_EQ(rig.opened.dropped_tail_bytes, 0u);
  EXPECT_THAT(Read(rig, 0, 1), HasSubstr("no region"));
}

TEST(Wal, EntriesAndStateComeBack) {
  Rig rig;
  ASSERT_TRUE(rig.Open().ok());
  RegionWrite write = WriteOf(1, Id(0, 0), 2, 3);
  write.slice.entries[1].type = EntryType::kConfig;
  write.state = "vote";
  rig.Append(write);
  ASSERT_TRUE(rig.Open().ok());
  const RegionLog& log = rig.opened.regions.at(RegionId(1));
  EXPECT_EQ(log.peer, PeerId(1));
  EXPECT_EQ(log.base, Id(0, 0));
  EXPECT_EQ(log.last, Id(3, 2));
  EXPECT_EQ(log.state, "vote");
  ASSERT_EQ(log.runs.size(), 1u);
  EXPECT_EQ(rig.opened.wal->Read(RegionId(1), Index(0), Index(3), 1000).value().entries,
            write.slice.entries);
}

TEST(Wal, ReadGivesWhatFitsButAtLeastOne) {
  Rig rig;
  ASSERT_TRUE(rig.Open().ok());
  rig.Append(WriteOf(1, Id(0, 0), 1, 3, 100));
  rig.Append(WriteOf(1, Id(3, 1), 2, 3, 100));
  EXPECT_EQ(Read(rig, 0, 6), "0@0 | 1@1 2@1 3@1 4@2 5@2 6@2");
  EXPECT_EQ(Read(rig, 2, 5), "2@1 | 3@1 4@2 5@2");
  EXPECT_EQ(Read(rig, 1, 6, 1), "1@1 | 2@1");
  EXPECT_EQ(Read(rig, 1, 6, 300), "1@1 | 2@1 3@1");
  EXPECT_EQ(Read(rig, 4, 99), "4@2 | 5@2 6@2");
  EXPECT_EQ(Read(rig, 4, 4), "4@2 |");
  EXPECT_THAT(Read(rig, 6, 7), HasSubstr("NotFound"));
  EXPECT_THAT(Read(rig, 7, 9), HasSubstr("NotFound"));
}

TEST(Wal, OverwriteCutResetCompact) {
  Rig rig;
  ASSERT_TRUE(rig.Open().ok());
  rig.Append(WriteOf(1, Id(0, 0), 1, 6));
  rig.Append(WriteOf(1, Id(4, 1), 2, 1));
  EXPECT_EQ(Read(rig, 0, 9), "0@0 | 1@1 2@1 3@1 4@1 5@2");
  rig.Append({.region = RegionId(1), .peer = PeerId(1), .cut = true, .slice = {.prev = Id(3, 1)}});
  EXPECT_EQ(Read(rig, 0, 9), "0@0 | 1@1 2@1 3@1");
  rig.Append(Compact(1, Id(2, 1)));
  EXPECT_EQ(Read(rig, 2, 9), "2@1 | 3@1");
  EXPECT_THAT(Read(rig, 1, 9), HasSubstr("NotFound"));
  rig.Append(Compact(1, Id(1, 1)));
  ASSERT_TRUE(rig.Open().ok());
  EXPECT_EQ(rig.opened.regions.at(RegionId(1)).base, Id(2, 1));
  EXPECT_EQ(Read(rig, 2, 9), "2@1 | 3@1");
}

TEST(Wal, ResetKeepsTheStateUntilItIsReplaced) {
  Rig rig;
  ASSERT_TRUE(rig.Open().ok());
  RegionWrite write = WriteOf(1, Id(0, 0), 1, 6);
  write.state = "vote";
  rig.Append(write);
  rig.Append(
      {.region = RegionId(1), .peer = PeerId(1), .reset = true, .slice = {.prev = Id(90, 7)}});
  EXPECT_EQ(rig.Reopened(), "region 1 peer 1 base 90@7 last 90@7 state vote entries\n");
}

TEST(Wal, AnotherPeerStartsFromNothing) {
  Rig rig;
  ASSERT_TRUE(rig.Open().ok());
  RegionWrite write = WriteOf(1, Id(0, 0), 1, 6);
  write.state = "vote";
  rig.Append(write);
  rig.Append({.region = RegionId(1), .peer = PeerId(2)});
  EXPECT_EQ(rig.Reopened(), "region 1 peer 2 base 0@0 last 0@0 state  entries\n");
  rig.Append({.region = RegionId(1), .peer = PeerId(2), .clean = true});
  EXPECT_EQ(rig.Reopened(), "");
}

// Museum K8: the order of records is their order in the log, never that of their terms.
TEST(Wal, EntriesOfAnOlderTermMayReplaceNewerOnes) {
  Rig rig;
  ASSERT_TRUE(rig.Open().ok());
  rig.Append(WriteOf(1, Id(0, 0), 1, 11));
  rig.Append(WriteOf(1, Id(11, 1), 1, 1));
  rig.Append(WriteOf(1, Id(11, 1), 2, 1));
  rig.Append(WriteOf(1, Id(11, 1), 1, 1));
  rig.Append(WriteOf(1, Id(12, 1), 3, 1));
  ASSERT_TRUE(rig.Open().ok());
  EXPECT_EQ(Read(rig, 11, 13), "11@1 | 12@1 13@3");
}

TEST(Wal, WritesOfOneRegionInOneBatchFollowOneAnother) {
  Rig rig;
  ASSERT_TRUE(rig.Open().ok());
  ASSERT_TRUE(rig.Write({WriteOf(1, Id(0, 0), 1, 3), WriteOf(1, Id(3, 1), 2, 3),
                         WriteOf(1, Id(4, 2), 3, 1), Compact(1, Id(4, 2))})
                  .ok());
  ASSERT_TRUE(rig.opened.wal->Sync().ok());
  EXPECT_EQ(Read(rig, 4, 9), "4@2 | 5@3");
  ASSERT_TRUE(rig.Open().ok());
  EXPECT_EQ(Read(rig, 4, 9), "4@2 | 5@3");
}

TEST(Wal, WhatDoesNotFollowIsRefusedAndHarmsNothing) {
  Rig rig;
  ASSERT_TRUE(rig.Open().ok());
  rig.Append(WriteOf(1, Id(0, 0), 1, 3));
  const std::vector<std::vector<RegionWrite>> bad = {
      {WriteOf(1, Id(5, 1), 1, 1)},                              // A hole.
      {WriteOf(1, Id(2, 7), 8, 1)},                              // Another entry stands there.
      {Compact(1, Id(4, 1))},                                    // Beyond the end.
      {Compact(1, Id(2, 2))},                                    // Of another term.
      {WriteOf(1, Id(3, 1), 2, 2), WriteOf(1, Id(4, 1), 3, 1)},  // Within the batch.
  };
  for (const auto& batch : bad) {
    EXPECT_EQ(rig.Write(batch).code(), Code::kInvalidArgument);
  }
  RegionWrite torn = WriteOf(1, Id(3, 1), 2, 2);
  torn.slice.entries[1].id.index = Index(9);
  EXPECT_EQ(rig.Write({torn}).code(), Code::kInvalidArgument);
  rig.Append(WriteOf(1, Id(3, 1), 2, 1));
  EXPECT_EQ(Read(rig, 0, 9), "0@0 | 1@1 2@1 3@1 4@2");
}

TEST(Wal, TooLargeABatchIsRefused) {
  Rig rig;
  rig.options.max_record_bytes = 1000;
  ASSERT_TRUE(rig.Open().ok());
  const Status status = rig.Write({WriteOf(1, Id(0, 0), 1, 2, 600)});
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_THAT(status.ToString(), HasSubstr("max_record_bytes"));
  rig.Append(WriteOf(1, Id(0, 0), 1, 1, 600));
}

TEST(Wal, ABatchLargerThanASegmentGetsOneOfItsOwn) {
  Rig rig;
  ASSERT_TRUE(rig.Open().ok());
  rig.Append(WriteOf(1, Id(0, 0), 1, 2));
  rig.Append(WriteOf(1, Id(2, 1), 1, 3, 30000));
  rig.Append(WriteOf(1, Id(5, 1), 1, 1));
  ASSERT_TRUE(rig.Open().ok());
  EXPECT_EQ(Read(rig, 0, 9), "0@0 | 1@1 2@1 3@1 4@1 5@1 6@1");
}

TEST(Wal, ManySegmentsAreReadBack) {
  Rig rig;
  rig.options.max_segments = 100;
  ASSERT_TRUE(rig.Open().ok());
  testing::LogTwin twin;
  for (std::uint64_t i = 0; i < 60; ++i) {
    const RegionWrite write = WriteOf(1 + i % 3, Id(i / 3, i >= 3 ? 1 : 0), 1, 1, 1500);
    rig.Append(write);
    twin.Apply(write);
  }
  EXPECT_GT(rig.opened.wal->stats().segments, 5u);
  EXPECT_EQ(rig.Reopened(), twin.Text());
}

TEST(Wal, OneSyncForAllThatWasWritten) {
  Rig rig;
  ASSERT_TRUE(rig.Open().ok());
  const std::uint64_t before = rig.opened.wal->stats().syncs;
  for (std::uint64_t region = 1; region <= 5; ++region) {
    ASSERT_TRUE(rig.Write({WriteOf(region, Id(0, 0), 1, 1)}).ok());
  }
  ASSERT_TRUE(rig.opened.wal->Sync().ok());
  ASSERT_TRUE(rig.opened.wal->Sync().ok());
  EXPECT_EQ(rig.opened.wal->stats().syncs, before + 1);
}

TEST(Wal, OptionsThatCannotWorkAreRefused) {
  Rig rig;
  rig.options.segment_bytes = 5000;
  EXPECT_EQ(rig.Open().code(), Code::kInvalidArgument);
}

TEST(Wal, SegmentSizeMayChangeBetweenRuns) {
  Rig rig;
  ASSERT_TRUE(rig.Open().ok());
  rig.Append(WriteOf(1, Id(0, 0), 1, 2, 5000));
  rig.options.segment_bytes = 32768;
  ASSERT_TRUE(rig.Open().ok());
  rig.Append(WriteOf(1, Id(2, 1), 1, 2, 7000));
  rig.options.segment_bytes = 8192;
  ASSERT_TRUE(rig.Open().ok());
  rig.Append(WriteOf(1, Id(4, 1), 1, 1));
  EXPECT_EQ(Read(rig, 0, 9), "0@0 | 1@1 2@1 3@1 4@1 5@1");
}

TEST(Wal, AForeignFileIsNamed) {
  Rig rig;
  ASSERT_TRUE(rig.Open().ok());
  ASSERT_TRUE(rig.files.Create("wal/notes.txt").ok());
  const Status status = rig.Open();
  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  EXPECT_THAT(status.ToString(), HasSubstr("wal/notes.txt"));
}

TEST(Wal, WhatIsCompressedComesBack) {
  Rig rig;
  rig.options.compress_from_bytes = 1000;
  ASSERT_TRUE(rig.Open().ok());
  RegionWrite large = WriteOf(1, Id(0, 0), 1, 50, 400);
  large.slice.entries.push_back(MakeEntry(51, 2, "of another term"));
  rig.Append(large);
  rig.Append(WriteOf(1, Id(51, 2), 2, 2, 400));  // Not large enough.
  // All of it in one segment, which it would not fit.
  EXPECT_EQ(rig.opened.wal->stats().segments, 1u);
  EXPECT_GT(rig.opened.wal->stats().payload_bytes, rig.options.segment_bytes);
  for (int opened = 0; opened < 2; ++opened) {
    const Result<LogSlice> read = rig.opened.wal->Read(RegionId(1), Index(0), Index(51), 1 << 20);
    ASSERT_TRUE(read.ok()) << read.status().ToString();
    EXPECT_EQ(read.value().entries, large.slice.entries);
    EXPECT_EQ(Read(rig, 49, 53), "49@1 | 50@1 51@2 52@2 53@2");
    EXPECT_EQ(Read(rig, 10, 53, 1000), "10@1 | 11@1 12@1");
    // Later it is not compressed any more; what was, is read.
    rig.options.compress_from_bytes = 0;
    ASSERT_TRUE(rig.Open().ok());
  }
}

// Rewrites the first block of the newest segment as the first version of the format had it.
void MakeOld(Rig& rig) {
  auto files = rig.Files();
  std::string& bytes = files[rig.Segments().back()];
  SegmentHeader header = DecodeSegmentHeader(bytes.substr(0, kPageBytes)).value();
  header.version = 1;
  bytes.replace(0, kPageBytes, EncodeSegmentHeader(header));
  rig.SetFiles(files);
}

TEST(Wal, ALogOfTheFirstFormatIsReadAndNotWrittenTo) {
  for (const bool untouched : {false, true}) {
    Rig rig;
    ASSERT_TRUE(rig.Open().ok());
    if (!untouched) rig.Append(WriteOf(1, Id(0, 0), 1, 3));
    MakeOld(rig);
    const std::string old = rig.Segments().back();
    const std::string before = rig.Files().at(old);
    ASSERT_TRUE(rig.Open().ok());
    rig.Append(WriteOf(1, Id(untouched ? 0 : 3, untouched ? 0 : 1), 1, 2));
    EXPECT_EQ(rig.Files().at(old), before);
    const std::string now = rig.Files().at(rig.Segments().back()).substr(0, kPageBytes);
    EXPECT_EQ(DecodeSegmentHeader(now).value().version, kFormatVersion);
    ASSERT_TRUE(rig.Open().ok());
    EXPECT_EQ(rig.opened.regions.at(RegionId(1)).last, Id(untouched ? 2 : 5, 1));
  }
}

}  // namespace
}  // namespace rutile::wal
