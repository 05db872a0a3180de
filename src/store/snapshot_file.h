#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "engine/kv_engine.h"
#include "env/env.h"
#include "store/region.h"

namespace rutile::store {

// One pair of a snapshot.
struct SnapshotRecord {
  engine::Family family = engine::Family::kDefault;
  std::string key = {};
  std::string value = {};
};

// Appends a record to `out`, in the form that a snapshot has on the wire and in its file.
void AppendSnapshotRecord(std::string* out, engine::Family family, std::string_view key,
                          std::string_view value);

// Walks over a received snapshot. Used by one executor.
class SnapshotReader {
 public:
  SnapshotReader(std::unique_ptr<File> file, std::uint64_t size, std::string path);
  // Returns false at the end. kCorruption when the file does not verify.
  Result<bool> Next(SnapshotRecord* record);

 private:
  Status FillBuffer();

  std::unique_ptr<File> file_;
  std::uint64_t size_;
  std::string path_;
  std::uint64_t offset_ = 0;  // Of the next block in the file.
  std::string block_;
  std::size_t position_ = 0;  // In block_.
};

// The file in which the data of a snapshot waits to be installed:
// "snapshot/<region>-<index>-<term>". It is complete and durable from the moment it has that name
// until the engine has flushed what was in it; docs/formats/snapshot.md.
class SnapshotFile {
 public:
  SnapshotFile(FileSystem& files, RegionId region, LogId id);

  bool Exists() const;
  Result<SnapshotReader> OpenForReading() const;
  Status Remove() const;

  const std::string& path() const { return path_; }
  // All files of a region, whole or not.
  static Result<std::vector<std::string>> PathsOf(FileSystem& files, RegionId region);
  static const char* Directory() { return "snapshot"; }

 private:
  FileSystem& files_;
  std::string path_;
};

// The region as it was at the snapshot's place: its first record. kCorruption when it is not.
Result<Region> ReadDescriptor(const SnapshotFile& file, RegionId region);

// Receives blocks, and gives the file its name when all are there and durable.
class SnapshotFileWriter {
 public:
  static Result<std::unique_ptr<SnapshotFileWriter>> Create(FileSystem& files, RegionId region,
                                                            LogId id);
  // `block` is a sequence of whole records.
  Status Append(std::string_view block);
  Status Finish();
  // Removes what was written. For a transfer that was given up.
  void Abandon();

 private:
  SnapshotFileWriter(FileSystem& files, std::unique_ptr<File> file, std::string temporary,
                     std::string path)
      : files_(files),
        file_(std::move(file)),
        temporary_(std::move(temporary)),
        path_(std::move(path)) {}

  FileSystem& files_;
  std::unique_ptr<File> file_;
  std::string temporary_;
  std::string path_;
  std::uint64_t offset_ = 0;
};

}  // namespace rutile::store
