#include "store/snapshot_file.h"

#include <utility>

#include "codec/crc32c.h"
#include "codec/integers.h"
#include "codec/keys.h"

namespace rutile::store {
namespace {

// A block in the file: length of the records, u32; their crc32c, u32; the records.
constexpr std::size_t kBlockHeader = 8;
constexpr std::size_t kMaxBlock = std::size_t{64} << 20;

std::string PathOf(RegionId region, LogId id) {
  return std::string(SnapshotFile::Directory()) + "/" + ToString(region) + "-" +
         ToString(id.index) + "-" + ToString(id.term);
}

}  // namespace

void AppendSnapshotRecord(std::string* out, engine::Family family, std::string_view key,
                          std::string_view value) {
  codec::PutFixed8(out, static_cast<std::uint8_t>(family));
  codec::PutBytes(out, key);
  codec::PutBytes(out, value);
}

SnapshotReader::SnapshotReader(std::unique_ptr<File> file, std::uint64_t size, std::string path)
    : file_(std::move(file)), size_(size), path_(std::move(path)) {}

Status SnapshotReader::FillBuffer() {
  const auto damaged = [this](const char* what) {
    return Status(Code::kCorruption, path_ + " at " + std::to_string(offset_) + ": " + what);
  };
  RUTILE_ASSIGN_OR_RETURN(const std::string header, file_->ReadAt(offset_, kBlockHeader));
  if (header.size() < kBlockHeader) return damaged("no room for a block header");
  const std::uint32_t length = codec::DecodeFixed32(header.data());
  const std::uint32_t checksum = codec::DecodeFixed32(header.data() + 4);
  if (length > kMaxBlock) return damaged("impossible block length");
  RUTILE_ASSIGN_OR_RETURN(block_, file_->ReadAt(offset_ + kBlockHeader, length));
  if (block_.size() < length) return damaged("block is cut off");
  if (codec::Crc32c(block_) != checksum) return damaged("block does not verify");
  offset_ += kBlockHeader + length;
  position_ = 0;
  return {};
}

Result<bool> SnapshotReader::Next(SnapshotRecord* record) {
  while (position_ == block_.size()) {
    if (offset_ == size_) return false;
    RUTILE_RETURN_IF_ERROR(FillBuffer());
  }
  codec::Reader reader(std::string_view(block_).substr(position_));
  const std::uint8_t family = reader.Fixed8();
  const std::string_view key = reader.Bytes();
  const std::string_view value = reader.Bytes();
  if (!reader.ok() || family >= engine::kAllFamilies.size()) {
    return Status(Code::kCorruption, path_ + ": broken record");
  }
  record->family = static_cast<engine::Family>(family);
  record->key = key;
  record->value = value;
  position_ = block_.size() - reader.rest().size();
  return true;
}

SnapshotFile::SnapshotFile(FileSystem& files, RegionId region, LogId id)
    : files_(files), path_(PathOf(region, id)) {}

Result<std::vector<std::string>> SnapshotFile::PathsOf(FileSystem& files, RegionId region) {
  RUTILE_RETURN_IF_ERROR(files.CreateDirectories(Directory()));
  RUTILE_ASSIGN_OR_RETURN(const std::vector<std::string> names, files.List(Directory()));
  std::vector<std::string> paths;
  for (const std::string& name : names) {
    if (name.starts_with(ToString(region) + "-")) {
      paths.push_back(std::string(Directory()) + "/" + name);
    }
  }
  return paths;
}

bool SnapshotFile::Exists() const { return files_.Exists(path_); }

Result<SnapshotReader> SnapshotFile::OpenForReading() const {
  RUTILE_ASSIGN_OR_RETURN(std::unique_ptr<File> file, files_.Open(path_));
  RUTILE_ASSIGN_OR_RETURN(const std::uint64_t size, file->Size());
  return SnapshotReader(std::move(file), size, path_);
}

Status SnapshotFile::Remove() const {
  RUTILE_RETURN_IF_ERROR(files_.Remove(path_));
  return files_.SyncDirectory(Directory());
}

Result<std::unique_ptr<SnapshotFileWriter>> SnapshotFileWriter::Create(FileSystem& files,
                                                                       RegionId region, LogId id) {
  RUTILE_RETURN_IF_ERROR(files.CreateDirectories(SnapshotFile::Directory()));
  std::string path = PathOf(region, id);
  std::string temporary = path + ".part";
  RUTILE_ASSIGN_OR_RETURN(std::unique_ptr<File> file, files.Create(temporary));
  return std::unique_ptr<SnapshotFileWriter>(
      new SnapshotFileWriter(files, std::move(file), std::move(temporary), std::move(path)));
}

Status SnapshotFileWriter::Append(std::string_view block) {
  if (block.empty()) return {};
  std::string bytes;
  bytes.reserve(kBlockHeader + block.size());
  codec::PutFixed32(&bytes, static_cast<std::uint32_t>(block.size()));
  codec::PutFixed32(&bytes, codec::Crc32c(block));
  bytes.append(block);
  RUTILE_RETURN_IF_ERROR(file_->WriteAt(offset_, bytes));
  offset_ += bytes.size();
  return {};
}

Status SnapshotFileWriter::Finish() {
  RUTILE_RETURN_IF_ERROR(file_->Sync());
  RUTILE_RETURN_IF_ERROR(files_.Rename(temporary_, path_));
  return files_.SyncDirectory(SnapshotFile::Directory());
}

void SnapshotFileWriter::Abandon() {
  file_.reset();
  // A leftover is removed at the next start as well.
  static_cast<void>(files_.Remove(temporary_));
}

Result<Region> ReadDescriptor(const SnapshotFile& file, RegionId region) {
  RUTILE_ASSIGN_OR_RETURN(SnapshotReader reader, file.OpenForReading());
  SnapshotRecord record;
  RUTILE_ASSIGN_OR_RETURN(const bool any, reader.Next(&record));
  if (!any || record.family != engine::Family::kMeta || record.key != codec::RegionKey(region)) {
    return Status(Code::kCorruption, file.path() + " does not begin with the region's descriptor");
  }
  return DecodeRegion(record.value);
}

}  // namespace rutile::store
