#include "env/sim/sim_files.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace rutile::sim {
namespace {

constexpr Loss kLosses[] = {Loss::kNone, Loss::kAll, Loss::kSuffix, Loss::kScatter, Loss::kAny};
constexpr std::size_t kSector = 512;

class SimFilesTest : public ::testing::Test {
 protected:
  std::unique_ptr<File> CreateDurable(const std::string& path, std::string_view contents) {
    std::unique_ptr<File> file = disk_.Create(path).value();
    EXPECT_TRUE(file->WriteAt(0, contents).ok());
    EXPECT_TRUE(file->Sync().ok());
    EXPECT_TRUE(disk_.SyncDirectory(".").ok());
    return file;
  }

  World world_{1};
  SimFileSystem disk_{world_};
};

TEST_F(SimFilesTest, WhatIsSyncedSurvivesEveryPowerCut) {
  CreateDurable("f", "precious");
  for (const Loss loss : kLosses) {
    disk_.CutPower(loss);
    EXPECT_EQ(disk_.ReadAll("f").value(), "precious");
  }
}

TEST_F(SimFilesTest, WhatIsNotSyncedMayBeLostInAnyCombinationOfSectors) {
  const std::string old(4 * kSector, 'o');
  std::map<std::string, int> seen;  // One letter a sector.
  for (int round = 0; round < 400; ++round) {
    const std::unique_ptr<File> file = CreateDurable("f", old);
    EXPECT_TRUE(file->WriteAt(0, std::string(4 * kSector, 'n')).ok());
    disk_.CutPower(Loss::kScatter);
    const std::string left = disk_.ReadAll("f").value();
    ASSERT_EQ(left.size(), old.size());
    std::string letters;
    for (std::size_t at = 0; at < left.size(); at += kSector) {
      // Sectors are whole.
      ASSERT_EQ(left.substr(at, kSector), std::string(kSector, left[at]));
      letters += left[at];
    }
    ++seen[letters];
  }
  EXPECT_EQ(seen.size(), 16u);  // All of them.
}

TEST_F(SimFilesTest, AWriteInTheMiddleOfSectorsTearsAtTheirBorders) {
  std::map<std::string, int> seen;
  for (int round = 0; round < 100; ++round) {
    const std::unique_ptr<File> file = CreateDurable("f", std::string(2 * kSector, '.'));
    EXPECT_TRUE(file->WriteAt(kSector - 1, "ab").ok());
    disk_.CutPower(Loss::kScatter);
    ++seen[disk_.ReadAll("f").value().substr(kSector - 1, 2)];
  }
  EXPECT_EQ(seen.size(), 4u);
  EXPECT_TRUE(seen.contains("a.") && seen.contains(".b"));
}

TEST_F(SimFilesTest, LossOfTheEndKeepsTheOrderOfWrites) {
  for (int round = 0; round < 200; ++round) {
    const std::unique_ptr<File> file = CreateDurable("f", std::string(8, '.'));
    for (std::size_t i = 0; i < 8; ++i) EXPECT_TRUE(file->WriteAt(i, "x").ok());
    disk_.CutPower(Loss::kSuffix);
    const std::string left = disk_.ReadAll("f").value();
    EXPECT_TRUE(std::is_sorted(left.rbegin(), left.rend())) << left;
  }
}

TEST_F(SimFilesTest, EarlierVersionsOfASectorMayComeBack) {
  std::map<std::string, int> seen;
  for (int round = 0; round < 200; ++round) {
    const std::unique_ptr<File> file = CreateDurable("f", "0");
    EXPECT_TRUE(file->WriteAt(0, "1").ok());
    EXPECT_TRUE(file->WriteAt(0, "2").ok());
    disk_.CutPower(Loss::kAny);
    ++seen[disk_.ReadAll("f").value()];
  }
  EXPECT_EQ(seen.size(), 3u);
}

TEST_F(SimFilesTest, ALostMiddleReadsAsZeroes) {
  bool seen = false;
  for (int round = 0; round < 100 && !seen; ++round) {
    const std::unique_ptr<File> file = CreateDurable("f", "");
    EXPECT_TRUE(file->WriteAt(0, std::string(3 * kSector, 'x')).ok());
    disk_.CutPower(Loss::kScatter);
    const std::string left = disk_.ReadAll("f").value();
    seen = left.size() == 3 * kSector && left[kSector] == '\0' && left[0] == 'x';
    EXPECT_TRUE(disk_.Remove("f").ok());
  }
  EXPECT_TRUE(seen);
}

TEST_F(SimFilesTest, NamesAreLostUntilTheDirectoryIsSynced) {
  const std::unique_ptr<File> file = disk_.Create("f").value();
  EXPECT_TRUE(file->WriteAt(0, "x").ok());
  EXPECT_TRUE(file->Sync().ok());
  disk_.CutPower(Loss::kAll);
  EXPECT_FALSE(disk_.Exists("f"));

  CreateDurable("f", "x");
  EXPECT_TRUE(disk_.Rename("f", "g").ok());
  disk_.CutPower(Loss::kAll);
  EXPECT_EQ(disk_.List(".").value(), std::vector<std::string>{"f"});

  EXPECT_TRUE(disk_.Rename("f", "g").ok());
  EXPECT_TRUE(disk_.SyncDirectory(".").ok());
  EXPECT_TRUE(disk_.Remove("g").ok());
  disk_.CutPower(Loss::kAll);
  EXPECT_EQ(disk_.ReadAll("g").value(), "x");
}

TEST_F(SimFilesTest, SyncOfOneDirectoryDoesNotHelpAnother) {
  ASSERT_TRUE(disk_.CreateDirectories("a").ok());
  ASSERT_TRUE(disk_.CreateDirectories("b").ok());
  ASSERT_TRUE(disk_.Create("a/f").ok());
  ASSERT_TRUE(disk_.Create("b/f").ok());
  ASSERT_TRUE(disk_.SyncDirectory("a").ok());
  disk_.CutPower(Loss::kAll);
  EXPECT_TRUE(disk_.Exists("a/f"));
  EXPECT_FALSE(disk_.Exists("b/f"));
  EXPECT_TRUE(disk_.Exists("b"));
}

TEST_F(SimFilesTest, AMoveBetweenDirectoriesIsOneChange) {
  for (const Loss loss : kLosses) {
    for (const char* synced : {"a", "b"}) {
      disk_.CreateDirectories("a").ok();
      disk_.CreateDirectories("b").ok();
      ASSERT_TRUE(disk_.Create("a/f").ok());
      ASSERT_TRUE(disk_.Rename("a/f", "b/f").ok());
      ASSERT_TRUE(disk_.SyncDirectory(synced).ok());
      disk_.CutPower(loss);
      EXPECT_FALSE(disk_.Exists("a/f"));
      ASSERT_TRUE(disk_.Exists("b/f"));
      ASSERT_TRUE(disk_.Remove("b/f").ok());
      ASSERT_TRUE(disk_.SyncDirectory("b").ok());
    }
  }
}

// Opens a file, replaces it with the protocol, and cuts the power during every one of its steps.
// Says what was left over all runs.
std::map<std::string, int> CutDuring(const std::function<Status(FileSystem&)>& protocol) {
  std::map<std::string, int> left;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    for (std::uint64_t step = 1; step <= 7; ++step) {
      World world(seed);
      SimFileSystem disk(world);
      EXPECT_TRUE(WriteFileAtomically(disk, ".", "f", "old").ok());
      disk.FailPowerAfter(step);
      const Status status = protocol(disk);
      EXPECT_EQ(status.ok(), disk.has_power());
      disk.CutPower();
      const auto contents = disk.ReadAll("f");
      ++left[contents.ok() ? contents.value() : contents.status().ToString()];
      // What was acknowledged is there.
      if (status.ok()) {
        EXPECT_EQ(contents.value(), "new");
      }
    }
  }
  return left;
}

TEST(SimFiles, AtomicReplacementSurvivesACutAtEveryStep) {
  const auto left =
      CutDuring([](FileSystem& files) { return WriteFileAtomically(files, ".", "f", "new"); });
  EXPECT_EQ(left.size(), 2u);
  EXPECT_TRUE(left.contains("old") && left.contains("new"));
}

// The disk is worth something only if it catches those who forget.
TEST(SimFiles, AForgottenSyncIsFoundOut) {
  const auto left = CutDuring([](FileSystem& files) -> Status {
    RUTILE_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, files.Create("t"));
    RUTILE_RETURN_IF_ERROR(file->WriteAt(0, "new"));
    RUTILE_RETURN_IF_ERROR(files.SyncDirectory("."));
    RUTILE_RETURN_IF_ERROR(files.Rename("t", "f"));
    RUTILE_RETURN_IF_ERROR(file->Sync());  // Too late.
    return files.SyncDirectory(".");
  });
  EXPECT_TRUE(left.contains(""));
}

TEST(SimFiles, TheProtocolReadsAsText) {
  World world(1);
  SimFileSystem disk(world);
  std::vector<std::string> lines;
  disk.SetObserver([&](std::string_view line) { lines.emplace_back(line); });
  ASSERT_TRUE(WriteFileAtomically(disk, ".", "f", "12345").ok());
  EXPECT_EQ(lines, (std::vector<std::string>{"create f.new", "write f.new 0+5", "sync f.new",
                                             "rename f.new f", "sync-directory ."}));
}

TEST_F(SimFilesTest, AfterTheCutNothingChangesTheDisk) {
  const std::unique_ptr<File> file = CreateDurable("f", "old");
  bool told = false;
  disk_.FailPowerAfter(1, [&] { told = true; });
  EXPECT_FALSE(disk_.Create("g").ok());
  EXPECT_TRUE(told);
  EXPECT_FALSE(file->WriteAt(0, "new").ok());
  EXPECT_FALSE(file->Sync().ok());
  EXPECT_FALSE(disk_.Remove("f").ok());
  EXPECT_FALSE(disk_.ReadAll("f").ok());
  disk_.CutPower(Loss::kNone);
  EXPECT_EQ(disk_.ReadAll("f").value(), "old");
}

TEST_F(SimFilesTest, AFailedSyncIsNotMadeGoodByTheNext) {
  bool lost = false;
  for (int round = 0; round < 50 && !lost; ++round) {
    const std::unique_ptr<File> file = CreateDurable("f", "old");
    EXPECT_TRUE(file->WriteAt(0, "new").ok());
    disk_.FailNext(SimFileSystem::Operation::kSync);
    EXPECT_EQ(file->Sync().code(), Code::kIoError);
    EXPECT_TRUE(file->Sync().ok());
    EXPECT_EQ(file->ReadAt(0, 3).value(), "new");
    disk_.CutPower(Loss::kNone);
    lost = disk_.ReadAll("f").value() == "old";
  }
  EXPECT_TRUE(lost);
}

TEST_F(SimFilesTest, ALyingDiskLosesWhatItPromised) {
  const std::unique_ptr<File> file = CreateDurable("f", "old");
  disk_.LieAboutSyncs();
  EXPECT_TRUE(file->WriteAt(0, "new").ok());
  EXPECT_TRUE(file->Sync().ok());
  disk_.CutPower(Loss::kAll);
  EXPECT_EQ(disk_.ReadAll("f").value(), "old");
}

TEST_F(SimFilesTest, FailuresAreOfTheKindAskedFor) {
  const std::unique_ptr<File> file = CreateDurable("f", "abc");
  disk_.FailNext(SimFileSystem::Operation::kRead, 2);
  EXPECT_EQ(file->ReadAt(0, 1).status().code(), Code::kIoError);
  EXPECT_TRUE(file->WriteAt(0, "x").ok());
  EXPECT_EQ(disk_.ReadAll("f").status().code(), Code::kIoError);
  EXPECT_EQ(disk_.ReadAll("f").value(), "xbc");
  disk_.SetFailureRate(SimFileSystem::Operation::kWrite, 1'000'000);
  EXPECT_EQ(disk_.Create("g").status().code(), Code::kIoError);
  EXPECT_FALSE(disk_.Exists("g"));
  disk_.SetFailureRate(SimFileSystem::Operation::kWrite, 0);
  EXPECT_TRUE(disk_.Create("g").ok());
}

TEST_F(SimFilesTest, AFullDiskTakesWhatFits) {
  const std::unique_ptr<File> file = CreateDurable("f", "12345");
  disk_.SetCapacity(8);
  EXPECT_EQ(disk_.FreeBytes().value(), 3u);
  EXPECT_TRUE(file->WriteAt(0, "ABCDE").ok());  // Overwriting needs no room.
  EXPECT_EQ(disk_.exceeded_capacity_bytes(), 0u);
  EXPECT_EQ(file->WriteAt(4, "efghij").code(), Code::kResourceExhausted);
  EXPECT_EQ(disk_.exceeded_capacity_bytes(), 8u);
  EXPECT_EQ(file->Size().value(), 8u);
  EXPECT_EQ(disk_.FreeBytes().value(), 0u);
  EXPECT_TRUE(disk_.Remove("f").ok());
  EXPECT_EQ(disk_.FreeBytes().value(), 8u);
}

TEST_F(SimFilesTest, UsedBytesAreThoseOfAllFilesWithAName) {
  const auto expect = [&] {
    std::uint64_t sum = 0;
    for (const std::string& path : disk_.Paths()) sum += disk_.SizeOf(path);
    EXPECT_EQ(disk_.used_bytes(), sum);
    return sum;
  };
  const std::unique_ptr<File> file = CreateDurable("f", "12345");
  EXPECT_EQ(expect(), 5u);
  EXPECT_TRUE(file->WriteAt(3, "abcd").ok());
  EXPECT_EQ(expect(), 7u);
  const std::unique_ptr<File> other = CreateDurable("g", "123");
  EXPECT_TRUE(disk_.Rename("f", "g").ok());
  EXPECT_EQ(expect(), 7u);
  EXPECT_TRUE(file->WriteAt(7, "e").ok());  // By its old name.
  EXPECT_TRUE(other->WriteAt(3, "456789").ok());
  EXPECT_EQ(expect(), 8u);
  EXPECT_TRUE(file->Truncate(2).ok());
  EXPECT_EQ(expect(), 2u);
  EXPECT_TRUE(disk_.Create("g").ok());
  EXPECT_EQ(expect(), 0u);
  EXPECT_TRUE(file->WriteAt(0, "ab").ok());
  EXPECT_TRUE(disk_.Remove("g").ok());
  EXPECT_EQ(expect(), 0u);
  disk_.CutPower(Loss::kAll);
  EXPECT_GT(expect(), 0u);
}

TEST_F(SimFilesTest, AKilledProcessLosesItsHandlesAndNothingElse) {
  const std::unique_ptr<File> file = CreateDurable("f", "old");
  auto lock = disk_.Lock("LOCK").value();
  EXPECT_TRUE(file->WriteAt(0, "new").ok());
  disk_.KillProcess();
  EXPECT_FALSE(file->WriteAt(0, "bad").ok());
  EXPECT_FALSE(file->ReadAt(0, 1).ok());
  EXPECT_FALSE(file->Sync().ok());
  EXPECT_EQ(disk_.ReadAll("f").value(), "new");
  const auto next = disk_.Lock("LOCK");
  EXPECT_TRUE(next.ok());
  lock = nullptr;  // The dead process's lock is not the living one's.
  EXPECT_EQ(disk_.Lock("LOCK").status().code(), Code::kAlreadyExists);
  disk_.CutPower(Loss::kAll);
  EXPECT_EQ(disk_.ReadAll("f").value(), "old");
}

TEST_F(SimFilesTest, OperationsTakeTheirTime) {
  disk_.SetLatency(SimFileSystem::Operation::kSync, {Milliseconds(2), Milliseconds(2)});
  disk_.SetLatency(SimFileSystem::Operation::kWrite, {Milliseconds(1), Milliseconds(1)});
  const Duration before = world_.Now();
  const std::unique_ptr<File> file = CreateDurable("f", "x");  // 2 changes and 2 syncs.
  EXPECT_EQ(world_.Now() - before, Milliseconds(6));
  disk_.StallFor(Seconds(3));
  EXPECT_TRUE(file->WriteAt(0, "y").ok());
  EXPECT_EQ(world_.Now() - before, Milliseconds(6) + Seconds(3) + Milliseconds(1));
}

TEST_F(SimFilesTest, AnOperationThatBeginsAfterASlowTimeIsNotSlow) {
  disk_.SetLatency(SimFileSystem::Operation::kSync, {Milliseconds(10), Milliseconds(10)});
  const std::unique_ptr<File> file = disk_.Create("f").value();
  disk_.SlowFor(SimFileSystem::Operation::kSync, 100, Milliseconds(1500));
  Duration taken;
  world_.After(Duration(0), [&] {
    const Duration begin = world_.Now();
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(file->Sync().ok());
    taken = world_.Now() - begin;
  });
  world_.RunFor(Seconds(10));
  // Two begin in the slow time, and the others in the same task behind it.
  EXPECT_EQ(taken, Milliseconds(2020));
  disk_.SlowFor(SimFileSystem::Operation::kSync, 100, Seconds(9));
  disk_.EndSlowness();
  const Duration begin = world_.Now();
  EXPECT_TRUE(file->Sync().ok());
  EXPECT_EQ(world_.Now() - begin, Milliseconds(10));
}

TEST_F(SimFilesTest, FlippedBitsAreOnTheDisk) {
  CreateDurable("f", "aaaa");
  disk_.FlipBit("f", 17);
  EXPECT_EQ(disk_.ReadAll("f").value(), "aaca");
  disk_.CutPower(Loss::kAll);
  EXPECT_EQ(disk_.ReadAll("f").value(), "aaca");
}

}  // namespace
}  // namespace rutile::sim
