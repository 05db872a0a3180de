#include "wal/format.h"
#include "wal/testing/rig.h"
#include "wal/wal.h"

// A disk that damages what it has acknowledged. Whatever it does, the answer is right or there is
// none.
namespace rutile::wal {
namespace {

using ::testing::HasSubstr;
using testing::Id;
using testing::LogTwin;
using testing::Rig;
using testing::WriteOf;
using Contents = std::map<std::string, std::string>;

struct Story {
  Contents files = {};
  std::vector<std::string> texts = {};  // After each batch.
  LogTwin twin = {};                    // Likewise after the last.
  std::vector<std::string> segments = {};
};

// Three segments; with `watermark` the last batch says that all before it is synced.
Story MakeStory(bool watermark, std::uint64_t segment_bytes = 8192) {
  Rig rig;
  rig.options.segment_bytes = segment_bytes;
  EXPECT_TRUE(rig.Open().ok());
  Story story;
  LogTwin& twin = story.twin;
  LogId last;
  for (int i = 0; i < 5; ++i) {
    RegionWrite write = WriteOf(1, last, 1, 2, 700);
    last = write.slice.last();
    write.state = "state " + std::to_string(i);
    rig.Append(write);
    twin.Apply(write);
    story.texts.push_back(twin.Text());
  }
  const Status collected = watermark ? rig.opened.wal->Collect() : Status();
  EXPECT_TRUE(collected.ok());
  story.files = rig.Files();
  story.segments = rig.Segments();
  return story;
}

Rig& With(Rig& rig, const Contents& files) {
  rig.options.segment_bytes = 8192;
  rig.SetFiles(files);
  return rig;
}

// The log opened, and says that one batch has lost its two entries: all else is as it was.
void ExpectLossIsAllThatIsMissing(Rig& rig, const Story& story, const std::string& path) {
  const RegionLog& log = rig.opened.regions.at(RegionId(1));
  const testing::TwinRegion& before = story.twin.regions().at(RegionId(1));
  EXPECT_EQ(log.base, before.base);
  EXPECT_EQ(log.last, before.last);
  EXPECT_EQ(log.state, before.state);
  EXPECT_EQ(log.lost->path, path);
  EXPECT_EQ(log.lost->last.index, log.lost->first.index.Next());
  for (const auto& [index, entry] : before.entries) {
    const Result<LogSlice> read = rig.opened.wal->Read(RegionId(1), index.Prev(), index, 10000);
    if (index >= log.lost->first.index && index <= log.lost->last.index) {
      EXPECT_EQ(read.status().code(), Code::kCorruption);
      EXPECT_THAT(read.status().ToString(), HasSubstr(path));
      continue;
    }
    ASSERT_TRUE(read.ok()) << read.status().ToString();
    ASSERT_EQ(read.value().entries.size(), 1u);
    EXPECT_EQ(read.value().entries.front(), entry);
  }
}

TEST(Damage, EveryFlippedByteIsFoundOrDoesNotMatter) {
  const Story story = MakeStory(true);
  ASSERT_GE(story.segments.size(), 2u);
  int found = 0;
  int repaired = 0;
  for (const std::string& path : story.segments) {
    for (std::size_t at = 0; at < story.files.at(path).size(); at += testing::kStride) {
      Contents files = story.files;
      files[path][at] = static_cast<char>(files[path][at] ^ (1 << (at % 8)));
      Rig rig;
      const Status status = With(rig, files).Open();
      if (status.ok() && rig.opened.regions.at(RegionId(1)).lost) {
        ++repaired;
        ExpectLossIsAllThatIsMissing(rig, story, path);
        ASSERT_FALSE(HasFailure()) << path << " " << at;
        continue;
      }
      if (status.ok()) {
        ASSERT_EQ(rig.Reopened(), story.texts.back()) << path << " " << at;
        continue;
      }
      ++found;
      ASSERT_EQ(status.code(), Code::kCorruption) << path << " " << at;
      ASSERT_THAT(status.ToString(), HasSubstr(path));
      ASSERT_THAT(status.ToString(), HasSubstr("leave this node stopped"));
    }
  }
  // Headers of segments and of batches; the payload.
  EXPECT_GT(static_cast<std::size_t>(found) * testing::kStride, 2u * 4096 + 5 * kBatchHeaderBytes);
  EXPECT_GT(static_cast<std::size_t>(repaired) * testing::kStride, 5u * 1400);
}

TEST(Damage, WithoutAWatermarkOnlyTheLastBatchCanPassForTorn) {
  const Story story = MakeStory(false);
  const std::string& path = story.segments.back();
  for (std::size_t at = 0; at < story.files.at(path).size(); at += testing::kStride) {
    Contents files = story.files;
    files[path][at] = static_cast<char>(files[path][at] ^ (1 << (at % 8)));
    Rig rig;
    const std::string text = With(rig, files).Reopened();
    if (text == story.texts.back()) continue;
    if (text == story.texts[story.texts.size() - 2]) continue;
    ASSERT_THAT(text, HasSubstr("the log is damaged")) << at;
  }
}

TEST(Damage, EveryShorterFileIsFound) {
  const Story story = MakeStory(true);
  for (const std::string& path : story.segments) {
    for (std::size_t size = 0; size < story.files.at(path).size(); size += 61) {
      Contents files = story.files;
      files[path].resize(size);
      Rig rig;
      const Status status = With(rig, files).Open();
      ASSERT_EQ(status.code(), Code::kCorruption) << path << " " << size;
      ASSERT_THAT(status.ToString(), HasSubstr(path));
    }
  }
}

TEST(Damage, AMissingOrRenamedSegmentIsFound) {
  const Story story = MakeStory(true);
  for (std::size_t i = 0; i + 1 < story.segments.size(); ++i) {
    Contents files = story.files;
    files.erase(story.segments[i]);
    Rig rig;
    const Status status = With(rig, files).Open();
    EXPECT_EQ(status.code(), Code::kCorruption);
    EXPECT_THAT(status.ToString(), HasSubstr(story.segments[i]));
  }
  Contents files = story.files;
  std::swap(files[story.segments[0]], files[story.segments[1]]);
  Rig rig;
  EXPECT_EQ(With(rig, files).Open().code(), Code::kCorruption);
}

// What an earlier life of a recycled file left behind is not taken for the log, wherever it ends.
TEST(Damage, StaleBatchesOfARecycledFileAreNotTheLog) {
  const Story story = MakeStory(false, 16384);
  ASSERT_EQ(story.segments.size(), 1u);
  Rig rig;
  ASSERT_TRUE(rig.Open().ok());
  LogTwin twin;
  LogId last;
  for (int i = 0; i < 8; ++i) {
    // A spare that is full of valid batches of another segment; the next reopening takes it.
    Contents files = rig.Files();
    std::erase_if(files, [](const auto& file) { return file.first.ends_with(".spare"); });
    files["wal/0000000000000009.spare"] = story.files.at(story.segments[0]);
    rig.SetFiles(files);
    ASSERT_EQ(rig.Reopened(), twin.Text());
    ASSERT_EQ(rig.Reopened(), twin.Text());
    const RegionWrite write = WriteOf(1, last, 1, 1, i % 2 == 0 ? 700 : 20);
    last = write.slice.last();
    rig.Append(write);
    twin.Apply(write);
    ASSERT_EQ(rig.Reopened(), twin.Text());
    ASSERT_EQ(rig.opened.dropped_tail_bytes, 0u);
  }
}

// Segment numbers begin again when all segments are gone; then no spare may be left from before.
TEST(Damage, SparesAloneAreNotUsed) {
  const Story story = MakeStory(false);
  Rig rig;
  With(rig, {{"wal/0000000000000001.spare", story.files.at(story.segments[0])}});
  ASSERT_TRUE(rig.Open().ok());
  rig.Append({.region = RegionId(5), .peer = PeerId(1)});
  EXPECT_EQ(rig.Reopened(), "region 5 peer 1 base 0@0 last 0@0 state  entries\n");
}

TEST(Damage, AReadOfDamagedEntriesSaysSo) {
  Rig rig;
  ASSERT_TRUE(rig.Open().ok());
  rig.Append(WriteOf(1, Id(0, 0), 1, 1, 500));
  rig.files.FlipBit(rig.Segments().back(), (kFirstBatchOffset + 300) * 8);
  const Status status = rig.opened.wal->Read(RegionId(1), Index(0), Index(1), 1000).status();
  EXPECT_EQ(status.code(), Code::kCorruption);
  EXPECT_THAT(status.ToString(), HasSubstr(rig.Segments().back()));
}

TEST(Damage, AFailedSyncIsFinal) {
  Rig rig;
  ASSERT_TRUE(rig.Open().ok());
  rig.Append(WriteOf(1, Id(0, 0), 1, 1));
  ASSERT_TRUE(rig.Write({WriteOf(1, Id(1, 1), 1, 1)}).ok());
  rig.files.FailNext(sim::SimFileSystem::Operation::kSync);
  const Status first = rig.opened.wal->Sync();
  EXPECT_EQ(first.code(), Code::kIoError);
  EXPECT_THAT(first.ToString(), HasSubstr(rig.Segments().back()));
  EXPECT_THAT(first.ToString(), HasSubstr("Input/output error"));
  EXPECT_THAT(first.ToString(), HasSubstr("must stop"));
  // A second sync would succeed, and lie.
  EXPECT_EQ(rig.opened.wal->Sync().ToString(), first.ToString());
  EXPECT_EQ(rig.Write({WriteOf(1, Id(2, 1), 1, 1)}).ToString(), first.ToString());
  EXPECT_EQ(rig.opened.wal->Collect().ToString(), first.ToString());
  EXPECT_EQ(rig.opened.wal->Prefill().ToString(), first.ToString());
}

TEST(Damage, AFailedWriteIsFinal) {
  Rig rig;
  ASSERT_TRUE(rig.Open().ok());
  rig.files.FailNext(sim::SimFileSystem::Operation::kWrite);
  const Status first = rig.Write({WriteOf(1, Id(0, 0), 1, 1)});
  EXPECT_EQ(first.code(), Code::kIoError);
  EXPECT_EQ(rig.opened.wal->Sync().ToString(), first.ToString());
}

}  // namespace
}  // namespace rutile::wal
