// What only the engine on RocksDB has to show: processes killed at any moment, failing disks.

#include "engine/rocks/rocks_engine.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "engine/rocks/rocks_health.h"
#include "engine/testing/engines.h"
#include "engine/testing/model.h"

namespace rutile::engine {
namespace {

using testing::Dump;
using testing::FromEnvironment;
using ::testing::HasSubstr;
using testing::Model;
using testing::TemporaryDirectory;

RocksOptions TinyBuffers(const std::string& directory) {
  return {.directory = directory, .write_buffer_bytes = 64 << 10};
}

// --- Killed processes

// The n-th batch of a process that will be killed: some changes, and n in every family.
WriteBatch NumberedBatch(std::uint64_t n) {
  SeededRandom random(n);
  WriteBatch batch = testing::RandomBatch(random, 6);
  batch.Put(Family::kDefault, "bulk" + std::to_string(n % 50), std::string(500, 'x'));
  for (const Family family : kAllFamilies) batch.Put(family, "last", std::to_string(n));
  return batch;
}

// What the process says after each batch.
struct Report {
  std::uint64_t n = 0;
  std::uint64_t written = 0;
  std::uint64_t durable = 0;
};

constexpr char kDirectoryVariable[] = "RUTILE_ENGINE_CRASH_DIRECTORY";
constexpr int kReportDescriptor = 9;

// Not a test: what the killed process runs. It ends when it is killed.
TEST(RocksCrash, DISABLED_Writer) {
  const char* directory = std::getenv(kDirectoryVariable);
  ASSERT_NE(directory, nullptr) << "started by another test only";
  const auto engine = OpenRocksEngine(TinyBuffers(directory)).value();
  for (std::uint64_t n = 1;; ++n) {
    ASSERT_TRUE(engine->Write(NumberedBatch(n)).ok());
    if (n % 400 == 0) {
      ASSERT_TRUE(engine->Flush().ok());
    }
    const Report report = {
        .n = n, .written = engine->WrittenSequence(), .durable = engine->DurableSequence()};
    if (write(kReportDescriptor, &report, sizeof(report)) != sizeof(report)) return;
  }
}

// A process of this program that runs the writer above. A fork would do without RocksDB's threads.
class Writer {
 public:
  explicit Writer(const std::string& directory) {
    int ends[2];
    RUTILE_CHECK(pipe2(ends, O_CLOEXEC) == 0);
    reports_ = ends[0];
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], kReportDescriptor);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    setenv(kDirectoryVariable, directory.c_str(), 1);
    std::string program = "/proc/self/exe";
    std::string filter = "--gtest_filter=RocksCrash.DISABLED_Writer";
    std::string disabled = "--gtest_also_run_disabled_tests";
    char* arguments[] = {program.data(), filter.data(), disabled.data(), nullptr};
    RUTILE_CHECK(posix_spawn(&process_, program.c_str(), &actions, nullptr, arguments, environ) ==
                 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
  }
  ~Writer() { close(reports_); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // Kills it after `batches` reports and returns all that it could say.
  std::vector<Report> KillAfter(std::uint64_t batches) {
    std::vector<Report> reports;
    Report report;
    while (read(reports_, &report, sizeof(report)) == sizeof(report)) {
      reports.push_back(report);
      if (reports.size() == batches) kill(process_, SIGKILL);
    }
    int status = 0;
    waitpid(process_, &status, 0);
    RUTILE_CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "the writer failed by itself");
    return reports;
  }

 private:
  int reports_ = -1;
  pid_t process_ = -1;
};

TEST(RocksCrash, KilledProcessLeavesTheStateAfterOneBatchNotBeforeTheDurableOne) {
  SeededRandom random(FromEnvironment("RUTILE_SEED", 1));
  const std::uint64_t rounds = 3 * FromEnvironment("RUTILE_TEST_SCALE", 1);
  for (std::uint64_t round = 0; round < rounds; ++round) {
    TemporaryDirectory directory;
    const std::vector<Report> reports = Writer(directory.path()).KillAfter(50 + random.Below(2500));
    std::uint64_t durable = 0;  // The last batch that was said to be so.
    for (const Report& report : reports) {
      ASSERT_LE(report.durable, report.written);
      for (; durable < report.n && reports[durable].written <= report.durable; ++durable) {
      }
    }
    const auto engine = OpenRocksEngine(TinyBuffers(directory.path())).value();
    const auto last = engine->Get(Family::kMeta, "last").value();
    const std::uint64_t found = last ? std::stoull(*last) : 0;
    EXPECT_GE(found, durable);
    // One more may have been written than reported.
    EXPECT_LE(found, reports.back().n + 1);
    Model expected;
    for (std::uint64_t n = 1; n <= found; ++n) expected.Apply(NumberedBatch(n));
    EXPECT_TRUE(Dump(*engine) == expected) << "not the state after batch " << found;
  }
}

// --- Failing disks

// Table files whose writing fails from a given moment on.
class FailingEnv final : public rocksdb::EnvWrapper {
 public:
  FailingEnv() : EnvWrapper(rocksdb::Env::Default()) {}

  enum class Fault : std::uint8_t { kNone, kNoSpace, kSync };
  std::atomic<Fault> fault = Fault::kNone;

  // RocksDB rests for a second after an error.
  void SleepForMicroseconds(int /*micros*/) override {}

  rocksdb::Status NewWritableFile(const std::string& name,
                                  std::unique_ptr<rocksdb::WritableFile>* result,
                                  const rocksdb::EnvOptions& options) override {
    std::unique_ptr<rocksdb::WritableFile> file;
    rocksdb::Status status = target()->NewWritableFile(name, &file, options);
    if (status.ok() && name.ends_with(".sst")) {
      *result = std::make_unique<FailingFile>(std::move(file), fault);
    } else {
      *result = std::move(file);
    }
    return status;
  }

 private:
  class FailingFile final : public rocksdb::WritableFileWrapper {
   public:
    FailingFile(std::unique_ptr<rocksdb::WritableFile> file, const std::atomic<Fault>& fault)
        : WritableFileWrapper(file.get()), file_(std::move(file)), fault_(fault) {}

    using WritableFileWrapper::Append;
    rocksdb::Status Append(const rocksdb::Slice& data) override {
      if (fault_ == Fault::kNoSpace) return rocksdb::Status::NoSpace("No space left on device");
      return WritableFileWrapper::Append(data);
    }
    rocksdb::Status Sync() override { return Fsync(); }
    rocksdb::Status Fsync() override {
      if (fault_ == Fault::kSync) return rocksdb::Status::IOError("Input/output error");
      return WritableFileWrapper::Fsync();
    }

   private:
    const std::unique_ptr<rocksdb::WritableFile> file_;
    const std::atomic<Fault>& fault_;
  };
};

WriteBatch OnePut() {
  WriteBatch batch;
  batch.Put(Family::kDefault, "a", std::string(1000, 'x'));
  return batch;
}

TEST(RocksFailure, FullDiskNamesTheDirectoryAndStopsAllWriting) {
  TemporaryDirectory directory;
  FailingEnv env;
  const auto engine = OpenRocksEngine({.directory = directory.path(), .env = &env}).value();
  ASSERT_TRUE(engine->Write(OnePut()).ok());
  env.fault = FailingEnv::Fault::kNoSpace;
  const Status failed = engine->Flush();
  EXPECT_EQ(failed.code(), Code::kResourceExhausted);
  EXPECT_THAT(failed.ToString(), HasSubstr(directory.path()));
  EXPECT_THAT(failed.ToString(), HasSubstr("free some space"));
  env.fault = FailingEnv::Fault::kNone;
  EXPECT_EQ(engine->Write(OnePut()).code(), Code::kResourceExhausted);
  EXPECT_EQ(engine->Flush().code(), Code::kResourceExhausted);
  EXPECT_LT(engine->DurableSequence(), engine->WrittenSequence());
  EXPECT_TRUE(engine->Get(Family::kDefault, "a").value().has_value());
  EXPECT_THAT(engine->Statistics(), ::testing::Contains(::testing::Pair("failed", 1)));
}

TEST(RocksFailure, FailedSyncInTheBackgroundStopsWritingAndIsNotRetried) {
  TemporaryDirectory directory;
  FailingEnv env;
  RocksOptions options = TinyBuffers(directory.path());
  options.env = &env;
  const auto engine = OpenRocksEngine(options).value();
  const std::uint64_t durable = engine->DurableSequence();
  env.fault = FailingEnv::Fault::kSync;
  Status status;
  // Buffers fill and are flushed by RocksDB's threads; writing ends by itself.
  for (int i = 0; i < 100'000 && status.ok(); ++i) status = engine->Write(OnePut());
  EXPECT_EQ(status.code(), Code::kIoError);
  env.fault = FailingEnv::Fault::kNone;
  EXPECT_EQ(engine->Write(OnePut()).code(), Code::kIoError);
  EXPECT_EQ(engine->Flush().code(), Code::kIoError);
  EXPECT_EQ(engine->DurableSequence(), durable);
}

TEST(RocksFailure, SecondProcessOrEngineIsTurnedAway) {
  TemporaryDirectory directory;
  const auto engine = OpenRocksEngine({.directory = directory.path()}).value();
  const Status second = OpenRocksEngine({.directory = directory.path()}).status();
  EXPECT_EQ(second.code(), Code::kIoError);
  EXPECT_THAT(second.ToString(), HasSubstr(directory.path()));
}

TEST(RocksFailure, DirectoryThatCannotBeMadeIsNamed) {
  EXPECT_THAT(OpenRocksEngine({.directory = "/proc/no such place"}).status().ToString(),
              HasSubstr("/proc/no such place"));
}

TEST(RocksHealth, KeepsTheFirstFailureAndTheGreatestSequence) {
  RocksHealth health;
  EXPECT_TRUE(health.Check().ok());
  health.RaiseDurable(5);
  health.RaiseDurable(3);
  EXPECT_EQ(health.durable(), 5u);
  EXPECT_EQ(health.Fail(Status(Code::kIoError, "first")).message(), "first");
  EXPECT_EQ(health.Fail(Status(Code::kCorruption, "second")).message(), "first");
  EXPECT_EQ(health.Check().message(), "first");
}

// --- Disks without space

// A file system that has as much space as it is told.
class LimitedSpace final : public rocksdb::FileSystemWrapper {
 public:
  LimitedSpace() : FileSystemWrapper(rocksdb::FileSystem::Default()) {}
  const char* Name() const override { return "LimitedSpace"; }
  rocksdb::IOStatus GetFreeSpace(const std::string&, const rocksdb::IOOptions&, std::uint64_t* free,
                                 rocksdb::IODebugContext*) override {
    ++asked;
    *free = bytes;
    return rocksdb::IOStatus::OK();
  }
  std::atomic<std::uint64_t> bytes{std::uint64_t{1} << 40};
  std::atomic<int> asked{0};
};

class FullDisk : public ::testing::Test {
 protected:
  FullDisk() {
    RocksOptions options = TinyBuffers(directory_.path());
    options.env = env_.get();
    engine_ = OpenRocksEngine(options).value();
  }
  void WriteOne() {
    WriteBatch batch;
    batch.Put(Family::kDefault, "key", "value");
    ASSERT_TRUE(engine_->Write(batch).ok());
  }
  // Returns once a flush has met the lack of space.
  void AwaitWaiting() const {
    const int before = space_->asked;
    while (space_->asked < before + 2) std::this_thread::yield();
  }

  TemporaryDirectory directory_;
  const std::shared_ptr<LimitedSpace> space_ = std::make_shared<LimitedSpace>();
  const std::unique_ptr<rocksdb::Env> env_ = rocksdb::NewCompositeEnv(space_);
  std::unique_ptr<KvEngine> engine_;
};

TEST_F(FullDisk, AFlushWaitsForRoomAndThenSucceeds) {
  WriteOne();
  space_->bytes = 1000;
  Status flushed(Code::kInternal, "not yet");
  std::thread flusher([&] { flushed = engine_->Flush(); });
  AwaitWaiting();
  EXPECT_LT(engine_->DurableSequence(), engine_->WrittenSequence());
  WriteOne();  // Nothing has failed.
  space_->bytes = std::uint64_t{1} << 40;
  flusher.join();
  EXPECT_TRUE(flushed.ok()) << flushed.ToString();
  EXPECT_TRUE(engine_->Flush().ok());
  EXPECT_EQ(engine_->DurableSequence(), engine_->WrittenSequence());
}

TEST_F(FullDisk, ClosingDoesNotWait) {
  space_->bytes = 1000;
  const std::string value(1000, 'v');
  for (int i = 0; i < 100; ++i) {  // More than a buffer, fewer than make a write wait.
    WriteBatch batch;
    batch.Put(Family::kDefault, std::to_string(i), value);
    ASSERT_TRUE(engine_->Write(batch).ok());
  }
  AwaitWaiting();
  engine_.reset();
}

}  // namespace
}  // namespace rutile::engine
