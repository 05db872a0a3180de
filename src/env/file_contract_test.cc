// What every file system owes its users, and that the simulated one answers as the machine's does.

#include <gtest/gtest.h>

#include "base/random.h"
#include "env/posix/posix_files.h"
#include "env/sim/sim_files.h"
#include "env/sim/world.h"
#include "env/testing/temporary_directory.h"

namespace rutile {
namespace {

class FilesSubject {
 public:
  virtual ~FilesSubject() = default;
  virtual FileSystem& files() = 0;
};

class PosixFiles final : public FilesSubject {
 public:
  FileSystem& files() override { return files_; }

 private:
  testing::TemporaryDirectory directory_;
  posix::PosixFileSystem files_{directory_.path()};
};

class SimFiles final : public FilesSubject {
 public:
  FileSystem& files() override { return files_; }

 private:
  sim::World world_{1};
  sim::SimFileSystem files_{world_};
};

using FilesFactory = std::unique_ptr<FilesSubject> (*)();
template <class S>
std::unique_ptr<FilesSubject> MakeFiles() {
  return std::make_unique<S>();
}

class FileContract : public ::testing::TestWithParam<FilesFactory> {
 protected:
  std::unique_ptr<File> CreateFile(const std::string& path, std::string_view contents) {
    std::unique_ptr<File> file = files_.Create(path).value();
    EXPECT_TRUE(file->WriteAt(0, contents).ok());
    return file;
  }

  std::unique_ptr<FilesSubject> subject_ = GetParam()();
  FileSystem& files_ = subject_->files();
};

TEST_P(FileContract, WhatIsWrittenIsRead) {
  const std::unique_ptr<File> file = CreateFile("f", "hello world");
  EXPECT_EQ(file->ReadAt(6, 5).value(), "world");
  EXPECT_EQ(file->Size().value(), 11u);
  EXPECT_TRUE(file->Sync().ok());
  EXPECT_EQ(files_.ReadAll("f").value(), "hello world");
  const std::unique_ptr<File> again = files_.Open("f").value();
  EXPECT_TRUE(again->WriteAt(0, "J").ok());
  EXPECT_EQ(file->ReadAt(0, 5).value(), "Jello");
}

TEST_P(FileContract, ReadsEndWithTheFile) {
  const std::unique_ptr<File> file = CreateFile("f", "abc");
  EXPECT_EQ(file->ReadAt(1, 100).value(), "bc");
  EXPECT_EQ(file->ReadAt(3, 1).value(), "");
  EXPECT_EQ(file->ReadAt(1000, 1).value(), "");
}

TEST_P(FileContract, ReadIntoReplacesWhatWasThere) {
  const std::unique_ptr<File> file = CreateFile("f", "abcdef");
  std::string out = "something longer";
  ASSERT_TRUE(file->ReadInto(1, 3, &out).ok());
  EXPECT_EQ(out, "bcd");
  ASSERT_TRUE(file->ReadInto(0, 100, &out).ok());
  EXPECT_EQ(out, "abcdef");
  ASSERT_TRUE(file->ReadInto(6, 1, &out).ok());
  EXPECT_EQ(out, "");
}

TEST_P(FileContract, GapsReadAsZeroes) {
  const std::unique_ptr<File> file = CreateFile("f", "a");
  EXPECT_TRUE(file->WriteAt(4, "b").ok());
  EXPECT_EQ(file->ReadAt(0, 10).value(), std::string("a\0\0\0b", 5));
  EXPECT_TRUE(file->WriteAt(100, "").ok());  // Nothing is written, nowhere.
  EXPECT_EQ(file->Size().value(), 5u);
}

TEST_P(FileContract, TruncateShortensAndLengthens) {
  const std::unique_ptr<File> file = CreateFile("f", "abcdef");
  EXPECT_TRUE(file->Truncate(2).ok());
  EXPECT_TRUE(file->Truncate(4).ok());
  EXPECT_EQ(files_.ReadAll("f").value(), std::string("ab\0\0", 4));
}

TEST_P(FileContract, OpenNeedsAFile) {
  EXPECT_EQ(files_.Open("none").status().code(), Code::kNotFound);
  EXPECT_EQ(files_.ReadAll("none").status().code(), Code::kNotFound);
  EXPECT_THAT(std::string(files_.Open("none").status().message()), ::testing::HasSubstr("none"));
  ASSERT_TRUE(files_.CreateDirectories("d").ok());
  EXPECT_EQ(files_.Open("d").status().code(), Code::kIoError);
  EXPECT_EQ(files_.Create("d").status().code(), Code::kIoError);
}

TEST_P(FileContract, CreateEmptiesWhatIsThere) {
  CreateFile("f", "old");
  EXPECT_EQ(files_.Create("f").value()->Size().value(), 0u);
}

TEST_P(FileContract, CreateNeedsTheDirectory) {
  EXPECT_EQ(files_.Create("d/f").status().code(), Code::kNotFound);
  ASSERT_TRUE(files_.CreateDirectories("d").ok());
  EXPECT_TRUE(files_.Create("d/f").ok());
}

TEST_P(FileContract, DirectoriesAreMadeWithTheirParents) {
  EXPECT_TRUE(files_.CreateDirectories("a/b/c").ok());
  EXPECT_TRUE(files_.CreateDirectories("a/b/c").ok());
  EXPECT_TRUE(files_.CreateDirectories("a/b/d").ok());
  EXPECT_EQ(files_.List("a/b").value(), (std::vector<std::string>{"c", "d"}));
  EXPECT_TRUE(files_.Exists("a/b"));
  EXPECT_FALSE(files_.Exists("b"));
  CreateFile("file", "");
  EXPECT_FALSE(files_.CreateDirectories("file/x").ok());
}

TEST_P(FileContract, ListIsSortedAndDoesNotDescend) {
  ASSERT_TRUE(files_.CreateDirectories("sub").ok());
  CreateFile("sub/inner", "");
  CreateFile("b", "");
  CreateFile("a", "");
  EXPECT_EQ(files_.List(".").value(), (std::vector<std::string>{"a", "b", "sub"}));
  EXPECT_EQ(files_.List("none").status().code(), Code::kNotFound);
}

TEST_P(FileContract, RenameReplaces) {
  CreateFile("a", "new");
  CreateFile("b", "old");
  EXPECT_TRUE(files_.Rename("a", "b").ok());
  EXPECT_EQ(files_.ReadAll("b").value(), "new");
  EXPECT_FALSE(files_.Exists("a"));
  EXPECT_EQ(files_.Rename("a", "b").code(), Code::kNotFound);
  EXPECT_TRUE(files_.Rename("b", "b").ok());
  EXPECT_EQ(files_.ReadAll("b").value(), "new");
}

TEST_P(FileContract, RemovedFilesStayReadableWhileOpen) {
  const std::unique_ptr<File> file = CreateFile("f", "still here");
  EXPECT_TRUE(files_.Remove("f").ok());
  EXPECT_FALSE(files_.Exists("f"));
  EXPECT_EQ(files_.Remove("f").code(), Code::kNotFound);
  EXPECT_EQ(file->ReadAt(0, 100).value(), "still here");
  EXPECT_TRUE(file->WriteAt(0, "S").ok());
  CreateFile("f", "another");
  EXPECT_EQ(file->ReadAt(0, 5).value(), "Still");
}

TEST_P(FileContract, SyncDirectoryNeedsOne) {
  EXPECT_TRUE(files_.SyncDirectory(".").ok());
  EXPECT_EQ(files_.SyncDirectory("none").code(), Code::kNotFound);
}

TEST_P(FileContract, LocksKeepOthersOut) {
  {
    const auto lock = files_.Lock("LOCK");
    ASSERT_TRUE(lock.ok());
    const Status second = files_.Lock("LOCK").status();
    EXPECT_EQ(second.code(), Code::kAlreadyExists);
    EXPECT_THAT(std::string(second.message()), ::testing::ContainsRegex("process [0-9]+"));
  }
  EXPECT_TRUE(files_.Lock("LOCK").ok());
  EXPECT_TRUE(files_.Exists("LOCK"));
}

TEST_P(FileContract, WriteFileAtomicallyReplaces) {
  ASSERT_TRUE(files_.CreateDirectories("d").ok());
  ASSERT_TRUE(WriteFileAtomically(files_, "d", "f", "one").ok());
  ASSERT_TRUE(WriteFileAtomically(files_, "d", "f", "two").ok());
  EXPECT_EQ(files_.ReadAll("d/f").value(), "two");
  EXPECT_EQ(files_.List("d").value(), std::vector<std::string>{"f"});
  EXPECT_EQ(WriteFileAtomically(files_, "none", "f", "x").code(), Code::kNotFound);
}

TEST_P(FileContract, FreeBytesIsSomething) { EXPECT_GT(files_.FreeBytes().value(), 0u); }

INSTANTIATE_TEST_SUITE_P(Posix, FileContract, ::testing::Values(&MakeFiles<PosixFiles>));
INSTANTIATE_TEST_SUITE_P(Sim, FileContract, ::testing::Values(&MakeFiles<SimFiles>));

// Does one random thing, and tells what came of it.
std::string DoSomething(Random& random, FileSystem& files,
                        std::map<std::uint64_t, std::unique_ptr<File>>& open) {
  const std::string path = std::vector<std::string>{"a", "b", "d/a", "d/b", "e/a"}[random.Below(5)];
  const std::string other = std::vector<std::string>{"a", "c", "d/a", "d/c"}[random.Below(4)];
  const std::uint64_t slot = random.Below(3);
  const std::uint64_t at = random.Below(2000);
  const std::uint64_t size = random.Below(1500);
  const auto fill = static_cast<char>('a' + random.Below(26));
  const auto keep = [&](Result<std::unique_ptr<File>> file) {
    if (file.ok()) open[slot] = std::move(file).value();
    return std::string(ToString(file.status().code()));
  };
  const auto code = [](const Status& status) { return std::string(ToString(status.code())); };
  File* const file = open[slot].get();
  switch (random.Below(10)) {
    case 0: return "open " + path + keep(files.Open(path));
    case 1: return "create " + path + keep(files.Create(path));
    case 2: return "rename " + path + code(files.Rename(path, other));
    case 3: return "remove " + path + code(files.Remove(path));
    case 4: {
      const auto read = files.ReadAll(path);
      return "read " + path + (read.ok() ? read.value() : code(read.status()));
    }
    case 5: {
      std::string all = "list";
      const std::vector<std::string> names = files.List("d").value();
      for (const std::string& name : names) all += " " + name;
      return all;
    }
    case 6: return file ? "truncate" + code(file->Truncate(at)) : "";
    case 7: return file ? "part " + file->ReadAt(at, size).value() : "";
    default: return file ? "write" + code(file->WriteAt(at, std::string(size, fill))) : "";
  }
}

TEST(FileTwins, TheSimulatedDiskAnswersAsTheMachinesDoes) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    PosixFiles machine;
    SimFiles simulated;
    std::map<std::uint64_t, std::unique_ptr<File>> of_machine, of_simulated;
    SeededRandom a(seed), b(seed);
    ASSERT_TRUE(machine.files().CreateDirectories("d").ok());
    ASSERT_TRUE(simulated.files().CreateDirectories("d").ok());
    for (int step = 0; step < 200; ++step) {
      ASSERT_EQ(DoSomething(a, machine.files(), of_machine),
                DoSomething(b, simulated.files(), of_simulated))
          << "seed " << seed << " step " << step;
    }
  }
}

}  // namespace
}  // namespace rutile
