#include "wal/segment_files.h"

#include <algorithm>
#include <utility>

namespace rutile::wal {
namespace {

// Synced as it goes, so that no sync has more than this to write.
constexpr std::uint64_t kFillStep = std::uint64_t{1} << 20;

}  // namespace

Status SegmentFiles::Adopt(const std::string& name) {
  if (const auto number = NumberIn(name, kNewSuffix)) {
    next_new_ = std::max(next_new_, *number + 1);
  }
  RUTILE_ASSIGN_OR_RETURN(std::unique_ptr<File> file, files_.Open(Path(name)));
  RUTILE_ASSIGN_OR_RETURN(const std::uint64_t size, file->Size());
  // A file that was not filled to the end, or is of another size than segments have now.
  if (size != options_.segment_bytes || !wants_spare()) return files_.Remove(Path(name));
  spares_.push_back({.name = name, .bytes = size});
  return Status();
}

Status SegmentFiles::Retire(std::uint64_t segment, std::uint64_t bytes) {
  const std::string log = FileName(segment, kLogSuffix);
  if (bytes != options_.segment_bytes || !wants_spare()) return files_.Remove(Path(log));
  const std::string spare = FileName(segment, kSpareSuffix);
  RUTILE_RETURN_IF_ERROR(files_.Rename(Path(log), Path(spare)));
  spares_.push_back({.name = spare, .bytes = bytes});
  return Status();
}

Status SegmentFiles::SyncDirectory() {
  return files_.SyncDirectory(options_.directory)
      .WithContext("sync of directory " + options_.directory);
}

bool SegmentFiles::Ready(std::uint64_t bytes) const {
  return !spares_.empty() && spares_.front().bytes >= bytes;
}

bool SegmentFiles::wants_spare() const {
  return spares_.size() < static_cast<std::size_t>(std::max(1, options_.spare_segments));
}

Status SegmentFiles::StartFilling(std::uint64_t bytes) {
  RUTILE_ASSIGN_OR_RETURN(const std::uint64_t free_bytes, files_.FreeBytes());
  if (free_bytes < bytes) {
    return Status(Code::kResourceExhausted,
                  "no space for the next segment of the log in " + options_.directory + ": " +
                      std::to_string(free_bytes) + " bytes free, " + std::to_string(bytes) +
                      " needed; free some space, writing goes on by itself then");
  }
  const std::string name = FileName(next_new_++, kNewSuffix);
  RUTILE_ASSIGN_OR_RETURN(std::unique_ptr<File> file, files_.Create(Path(name)));
  filling_ = Filling{.name = name, .file = std::move(file), .bytes = bytes};
  return Status();
}

void SegmentFiles::AbandonFilling() {
  const std::string path = Path(filling_->name);
  filling_.reset();
  // What fails here is found and removed by the next start.
  static_cast<void>(files_.Remove(path));
}

Status SegmentFiles::Fill(std::uint64_t bytes) {
  const std::uint64_t until = std::min(filling_->bytes, filling_->done + bytes);
  while (filling_->done < until) {
    const std::uint64_t step = std::min(kFillStep, until - filling_->done);
    Status status = filling_->file->WriteAt(filling_->done, std::string(step, '\0'));
    if (status.ok()) {
      ++syncs_;
      status = filling_->file->Sync();
    }
    if (!status.ok()) {
      const std::string path = Path(filling_->name);
      AbandonFilling();
      return std::move(status).WithContext("preparing " + path);
    }
    filling_->done += step;
    written_bytes_ += step;
  }
  if (filling_->done == filling_->bytes) {
    Spare spare{.name = filling_->name, .bytes = filling_->bytes};
    filling_.reset();
    // One made for a large batch is for the batch that waits for it.
    if (spare.bytes > options_.segment_bytes) {
      spares_.push_front(std::move(spare));
    } else {
      spares_.push_back(std::move(spare));
    }
  }
  return Status();
}

Status SegmentFiles::Prefill(std::uint64_t bytes) {
  if (!filling_) {
    if (!wants_spare()) return Status();
    RUTILE_RETURN_IF_ERROR(StartFilling(options_.segment_bytes));
  }
  return Fill(bytes);
}

Status SegmentFiles::Prepare(std::uint64_t bytes) {
  if (Ready(bytes)) return Status();
  if (bytes > options_.segment_bytes) {
    if (filling_) AbandonFilling();
    RUTILE_RETURN_IF_ERROR(StartFilling((bytes + kPageBytes - 1) / kPageBytes * kPageBytes));
    return Fill(filling_->bytes);
  }
  if (!filling_) RUTILE_RETURN_IF_ERROR(StartFilling(options_.segment_bytes));
  return Fill(filling_->bytes);
}

Result<std::shared_ptr<Segment>> SegmentFiles::Begin(SegmentHeader header) {
  RUTILE_CHECK(!spares_.empty(), "Prepare() comes first");
  const Spare spare = std::move(spares_.front());
  spares_.pop_front();
  header.bytes = spare.bytes;
  auto segment = std::make_shared<Segment>();
  segment->header = header;
  segment->path = Path(FileName(header.segment, kLogSuffix));
  segment->signature = SignatureOf(header.segment);
  {
    // The header is durable under the spare's name: a file that has a segment's name always has a
    // header that verifies, unless the disk has damaged it.
    RUTILE_ASSIGN_OR_RETURN(std::unique_ptr<File> file, files_.Open(Path(spare.name)));
    RUTILE_RETURN_IF_ERROR(file->WriteAt(0, EncodeSegmentHeader(header))
                               .WithContext("write of the header of " + segment->path));
    ++syncs_;
    written_bytes_ += kPageBytes;
    RUTILE_RETURN_IF_ERROR(file->Sync().WithContext("sync of the header of " + segment->path));
  }
  RUTILE_RETURN_IF_ERROR(files_.Rename(Path(spare.name), segment->path));
  RUTILE_RETURN_IF_ERROR(SyncDirectory());
  RUTILE_ASSIGN_OR_RETURN(segment->file, files_.Open(segment->path));
  return segment;
}

}  // namespace rutile::wal
