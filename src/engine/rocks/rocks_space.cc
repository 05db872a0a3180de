#include "engine/rocks/rocks_space.h"

#include <rocksdb/file_system.h>

#include <chrono>
#include <string>
#include <thread>
#include <utility>

namespace rutile::engine {
namespace {

using rocksdb::FileOptions;
using rocksdb::FSWritableFile;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;

constexpr auto kLookAgain = std::chrono::milliseconds(100);
// Left for what the file system itself needs, and for others.
constexpr std::uint64_t kMarginBytes = std::uint64_t{1} << 20;

class PatientFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  PatientFile(std::unique_ptr<FSWritableFile>&& file, rocksdb::FileSystem& base, std::string path,
              MayWait may_wait)
      : FSWritableFileOwnerWrapper(std::move(file)),
        base_(base),
        path_(std::move(path)),
        may_wait_(std::move(may_wait)) {}

  IOStatus Append(const rocksdb::Slice& data, const IOOptions& options,
                  IODebugContext* debug) override {
    WaitForSpace(data.size());
    return FSWritableFileOwnerWrapper::Append(data, options, debug);
  }
  IOStatus Append(const rocksdb::Slice& data, const IOOptions& options,
                  const rocksdb::DataVerificationInfo& info, IODebugContext* debug) override {
    WaitForSpace(data.size());
    return FSWritableFileOwnerWrapper::Append(data, options, info, debug);
  }
  IOStatus PositionedAppend(const rocksdb::Slice& data, std::uint64_t offset,
                            const IOOptions& options, IODebugContext* debug) override {
    WaitForSpace(data.size());
    return FSWritableFileOwnerWrapper::PositionedAppend(data, offset, options, debug);
  }
  IOStatus PositionedAppend(const rocksdb::Slice& data, std::uint64_t offset,
                            const IOOptions& options, const rocksdb::DataVerificationInfo& info,
                            IODebugContext* debug) override {
    WaitForSpace(data.size());
    return FSWritableFileOwnerWrapper::PositionedAppend(data, offset, options, info, debug);
  }

 private:
  void WaitForSpace(std::uint64_t bytes) const {
    while (may_wait_->load(std::memory_order_relaxed)) {
      std::uint64_t free = 0;
      // Where nobody knows how much there is, nobody waits for it.
      if (!base_.GetFreeSpace(path_, IOOptions(), &free, nullptr).ok()) return;
      if (free >= bytes + kMarginBytes) return;
      std::this_thread::sleep_for(kLookAgain);
    }
  }

  rocksdb::FileSystem& base_;  // Outlives the file, as the file system does.
  const std::string path_;
  const MayWait may_wait_;
};

class PatientFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  PatientFileSystem(const std::shared_ptr<rocksdb::FileSystem>& base, MayWait may_wait)
      : FileSystemWrapper(base), may_wait_(std::move(may_wait)) {}

  const char* Name() const override { return "PatientFileSystem"; }

  IOStatus NewWritableFile(const std::string& path, const FileOptions& options,
                           std::unique_ptr<FSWritableFile>* file, IODebugContext* debug) override {
    return Wrap(FileSystemWrapper::NewWritableFile(path, options, file, debug), path, file);
  }
  IOStatus ReopenWritableFile(const std::string& path, const FileOptions& options,
                              std::unique_ptr<FSWritableFile>* file,
                              IODebugContext* debug) override {
    return Wrap(FileSystemWrapper::ReopenWritableFile(path, options, file, debug), path, file);
  }
  IOStatus ReuseWritableFile(const std::string& path, const std::string& old_path,
                             const FileOptions& options, std::unique_ptr<FSWritableFile>* file,
                             IODebugContext* debug) override {
    return Wrap(FileSystemWrapper::ReuseWritableFile(path, old_path, options, file, debug), path,
                file);
  }

 private:
  IOStatus Wrap(IOStatus opened, const std::string& path, std::unique_ptr<FSWritableFile>* file) {
    if (opened.ok()) {
      *file = std::make_unique<PatientFile>(std::move(*file), *target(), path, may_wait_);
    }
    return opened;
  }

  const MayWait may_wait_;
};

}  // namespace

std::shared_ptr<rocksdb::FileSystem> NewPatientFileSystem(
    const std::shared_ptr<rocksdb::FileSystem>& base, MayWait may_wait) {
  return std::make_shared<PatientFileSystem>(base, std::move(may_wait));
}

}  // namespace rutile::engine
