#include "env/posix/posix_files.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "env/testing/temporary_directory.h"

namespace rutile::posix {
namespace {

using ::testing::HasSubstr;

TEST(PosixFiles, FullDiskSaysWhatToDo) {
  PosixFileSystem device("/dev");
  const std::unique_ptr<File> full = device.Open("full").value();
  const Status status = full->WriteAt(0, "x");
  EXPECT_EQ(status.code(), Code::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/dev/full"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("No space left on device"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("free space"));
}

TEST(PosixFiles, TooManyOpenFilesSaysWhatToDo) {
  const testing::TemporaryDirectory directory;
  PosixFileSystem files(directory.path());
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 0;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const Status status = files.Create("f").status();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(status.code(), Code::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("ulimit -n"));
}

TEST(PosixFiles, TheRootIsMadeWhenNeeded) {
  const testing::TemporaryDirectory directory;
  PosixFileSystem files(directory.path() + "/not/yet");
  EXPECT_FALSE(files.Exists("."));
  ASSERT_TRUE(files.CreateDirectories(".").ok());
  EXPECT_TRUE(files.Create("f").ok());
  EXPECT_EQ(files.FreeBytes().status().code(), Code::kOk);
}

TEST(PosixFiles, AFileInThePlaceOfADirectoryIsNamed) {
  const testing::TemporaryDirectory directory;
  PosixFileSystem files(directory.path());
  ASSERT_TRUE(files.Create("f").ok());
  const Status status = files.CreateDirectories("f/sub");
  EXPECT_THAT(std::string(status.message()), HasSubstr(directory.path() + "/f"));
}

// Runs `body` in a process of its own and returns its exit code.
template <class Body>
int InAnotherProcess(Body body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(PosixFiles, LocksNameTheirHolderToOtherProcesses) {
  const testing::TemporaryDirectory directory;
  PosixFileSystem files(directory.path());
  const auto lock = files.Lock("LOCK");
  ASSERT_TRUE(lock.ok());
  const std::string holder = "process " + std::to_string(::getpid());
  EXPECT_EQ(InAnotherProcess([&] {
              const Status status = PosixFileSystem(directory.path()).Lock("LOCK").status();
              const bool named = status.message().find(holder) != std::string_view::npos;
              return status.code() == Code::kAlreadyExists && named ? 0 : 1;
            }),
            0);
}

TEST(PosixFiles, ADeadProcessHoldsNoLock) {
  const testing::TemporaryDirectory directory;
  PosixFileSystem files(directory.path());
  EXPECT_EQ(InAnotherProcess([&] {
              auto lock = files.Lock("LOCK");
              const bool locked = lock.ok();
              // Leaves without releasing, as a crash does.
              if (locked) static_cast<void>(std::move(lock).value().release());
              return locked ? 0 : 1;
            }),
            0);
  EXPECT_TRUE(files.Lock("LOCK").ok());
}

}  // namespace
}  // namespace rutile::posix
