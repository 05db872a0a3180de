#include "wal/log_streams.h"

#include <gmock/gmock.h>

#include "env/sim/machine.h"
#include "wal/testing/rig.h"

namespace rutile::wal {
namespace {

using sim::Loss;
using ::testing::HasSubstr;
using testing::Id;
using testing::WriteOf;

constexpr std::uint64_t kRegions = 7;

// A node's log on a simulated disk, with the record of its streams in a file.
class Node {
 public:
  explicit Node(std::uint64_t seed = 1) : world(seed), files(world) {}

  std::size_t recorded() {
    const Result<std::string> record = files.ReadAll("RECORD");
    return record.ok() ? std::stoul(record.value()) : 1;
  }

  Status Open(std::size_t streams) {
    opened = {};
    files.KillProcess();
    RUTILE_ASSIGN_OR_RETURN(
        opened, LogStreams::Open(files, options, {recorded(), streams}, [&](std::size_t count) {
          return WriteFileAtomically(files, ".", "RECORD", std::to_string(count));
        }));
    return {};
  }

  void CutPower(Loss loss) {
    opened = {};
    files.CutPower(loss);
  }

  // All regions with their entries and states.
  std::string Text() {
    std::string all;
    for (const auto& [region, log] : opened.regions) {
      all += testing::TextOf(opened.logs->WalOf(region), {{region, log}}).value();
    }
    return all;
  }

  // A log for each region, of several batches and with states.
  void Fill() {
    for (std::uint64_t region = 1; region <= kRegions; ++region) {
      Wal& wal = opened.logs->WalOf(RegionId(region));
      RegionWrite first = WriteOf(region, Id(region, 1), 2, 3, 300 * region);
      first.state = "voted " + std::to_string(region);
      RUTILE_CHECK(wal.Write({first}).ok());
      if (region % 2 == 0) RUTILE_CHECK(wal.Write({WriteOf(region, Id(region + 2, 2), 3, 4)}).ok());
      RUTILE_CHECK(wal.Sync().ok());
    }
  }

  sim::World world;
  sim::SimFileSystem files;
  const Options options = {
      .segment_bytes = 8192, .spare_segments = 1, .max_segments = 4, .compress_from_bytes = 0};
  LogStreams::Opened opened;
};

// The regions that a stream has, by itself.
std::vector<std::uint64_t> RegionsIn(Node& node, std::size_t number) {
  Options own = node.options;
  own.directory = StreamDirectory(own.directory, number);
  node.opened = {};
  node.files.KillProcess();
  std::vector<std::uint64_t> regions;
  const Wal::Opened stream = Wal::Open(node.files, own).value();
  for (const auto& [region, log] : stream.regions) {
    regions.push_back(region.value());
  }
  return regions;
}

TEST(LogStreams, ARegionIsInTheStreamOfItsNumber) {
  Node node;
  ASSERT_TRUE(node.Open(3).ok());
  node.Fill();
  EXPECT_EQ((std::vector<std::uint64_t>{3, 6}), RegionsIn(node, 0));
  EXPECT_EQ((std::vector<std::uint64_t>{1, 4, 7}), RegionsIn(node, 1));
  EXPECT_EQ((std::vector<std::uint64_t>{2, 5}), RegionsIn(node, 2));
}

TEST(LogStreams, AllIsThereWithAnyOtherNumber) {
  Node node;
  ASSERT_TRUE(node.Open(1).ok());
  node.Fill();
  ASSERT_TRUE(node.Open(1).ok());
  const std::string text = node.Text();
  ASSERT_THAT(text, HasSubstr("state voted 7"));
  for (const std::size_t streams : {2U, 5U, 3U, 1U, 4U, 4U, 1U}) {
    ASSERT_TRUE(node.Open(streams).ok());
    EXPECT_EQ(text, node.Text()) << streams;
    EXPECT_EQ(streams, node.recorded());
    EXPECT_EQ(kRegions, node.opened.regions.size());
    // And it goes on where it was: each region is in its home and nowhere else.
    std::size_t found = 0;
    for (std::size_t i = 0; i < streams; ++i) found += RegionsIn(node, i).size();
    EXPECT_EQ(kRegions, found) << streams;
    EXPECT_FALSE(node.files.Exists(StreamDirectory("wal", streams) + "/0000000000000001.log"));
  }
}

// While regions move the power goes during each change of the disk in turn; whatever number of
// streams the node is started with next, nothing is lost, doubled or stale.
TEST(LogStreams, APowerCutAtAnyMomentOfAMoveLosesNothing) {
  std::size_t cuts = 0;
  struct Move {
    std::size_t from, to, then;
  };
  for (const Move& move :
       {Move{1, 3, 3}, Move{3, 1, 1}, Move{1, 2, 1}, Move{2, 3, 4}, Move{3, 2, 5}, Move{4, 2, 4}}) {
    for (std::uint64_t changes = 1;; ++changes) {
      Node node(changes);
      ASSERT_TRUE(node.Open(move.from).ok());
      node.Fill();
      ASSERT_TRUE(node.Open(move.from).ok());
      const std::string text = node.Text();
      node.files.FailPowerAfter(changes);
      const bool moved = node.Open(move.to).ok();
      node.CutPower(changes % 3 == 0 ? Loss::kAll : Loss::kAny);
      const Status status = node.Open(move.then);
      ASSERT_TRUE(status.ok()) << status.ToString() << " after " << changes << " changes, "
                               << move.from << " to " << move.to << " to " << move.then;
      ASSERT_EQ(text, node.Text()) << changes;
      ++cuts;
      if (moved) break;
      changes += testing::kStride - 1;
    }
  }
  EXPECT_GT(cuts * testing::kStride, 300U);
}

TEST(LogStreams, ADiskThatIsNotThereIsMissed) {
  Node node;
  ASSERT_TRUE(node.Open(3).ok());
  node.Fill();
  node.opened = {};
  const std::vector<std::string> names = node.files.List("wal.1").value();
  for (const std::string& name : names) ASSERT_TRUE(node.files.Remove("wal.1/" + name).ok());
  for (const std::size_t streams : {3U, 1U, 4U}) {
    const Status status = node.Open(streams);
    EXPECT_EQ(Code::kCorruption, status.code());
    EXPECT_THAT(status.ToString(), HasSubstr("wal.1: this node keeps a part of its log here"));
  }
}

TEST(LogStreams, WhatAStreamThatWasGivenUpLeftBehindIsNotRead) {
  Node node;
  ASSERT_TRUE(node.Open(2).ok());
  node.Fill();
  node.opened = {};
  const std::vector<std::string> names = node.files.List("wal.1").value();
  std::map<std::string, std::string> old;
  for (const std::string& name : names) old[name] = node.files.ReadAll("wal.1/" + name).value();
  ASSERT_TRUE(node.Open(1).ok());
  RegionWrite more = WriteOf(1, Id(4, 2), 5, 1);
  more.state = "voted again";
  ASSERT_TRUE(node.opened.logs->WalOf(RegionId(1)).Write({more}).ok());
  ASSERT_TRUE(node.opened.logs->WalOf(RegionId(1)).Sync().ok());
  node.opened = {};
  // As if the power had gone before the files were removed.
  for (const auto& [name, bytes] : old) {
    ASSERT_TRUE(node.files.Create("wal.1/" + name).value()->WriteAt(0, bytes).ok());
  }
  ASSERT_TRUE(node.Open(2).ok());
  EXPECT_EQ("voted again", node.opened.regions.at(RegionId(1)).state);
  EXPECT_EQ(Id(5, 5), node.opened.regions.at(RegionId(1)).last);
}

TEST(LogStreams, EachStreamHasAWriterOfItsOwn) {
  sim::World world(1);
  sim::SimNetwork network(world, {});
  sim::Machine machine(world, network, StoreId(1), {});
  machine.Boot();
  LogStreams::Opened opened =
      LogStreams::Open(machine.disk(), {}, {1, 2}, [](std::size_t) { return Status(); }).value();
  sim::SimExecutor& first = machine.NewExecutor("log");
  sim::SimExecutor& second = machine.NewExecutor("log-1");
  std::size_t batches = 0;
  opened.logs->Start(
      {&first, &second}, machine.clock(), {},
      [](const Status& status) { ADD_FAILURE() << status.ToString(); },
      [&](const LogWriter::BatchReport&) { ++batches; });
  // The first writer stands still; the other's regions do not notice.
  first.Pause();
  std::vector<std::uint64_t> done;
  for (std::uint64_t region = 1; region <= 4; ++region) {
    opened.logs->WriterOf(RegionId(region))
        .Submit(WriteOf(region, Id(5, 1), 1, 2), [&done, region] { done.push_back(region); });
  }
  EXPECT_GT(opened.logs->pending_bytes(), 0U);
  world.RunFor(Milliseconds(500));
  EXPECT_EQ((std::vector<std::uint64_t>{1, 3}), done);
  EXPECT_GE(opened.logs->WriterOf(RegionId(2)).LongestWait(), Milliseconds(400));
  EXPECT_EQ(Duration(0), opened.logs->WriterOf(RegionId(1)).LongestWait());
  first.Resume();
  world.RunFor(Seconds(1));
  EXPECT_EQ((std::vector<std::uint64_t>{1, 3, 2, 4}), done);
  EXPECT_EQ(0U, opened.logs->pending_bytes());
  EXPECT_GE(batches, 2U);
}

}  // namespace
}  // namespace rutile::wal
