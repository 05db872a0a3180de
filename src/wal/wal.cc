#include "wal/wal.h"

#include <utility>

#include "wal/recovery.h"
#include "wal/wal_impl.h"

namespace rutile::wal {
namespace {

Status CheckOptions(const Options& options) {
  if (options.segment_bytes < 2 * kPageBytes || options.segment_bytes % kPageBytes != 0 ||
      options.max_segments < 2 || options.spare_segments < 0 || options.max_record_bytes == 0 ||
      options.max_record_bytes > (std::size_t{1} << 30)) {
    return Status(Code::kInvalidArgument,
                  "log options: segment_bytes must be a multiple of 4096 and at least 8192, "
                  "max_segments at least 2, max_record_bytes from 1 to 1 GiB");
  }
  return Status();
}

}  // namespace

Result<Wal::Opened> Wal::Open(FileSystem& files, const Options& options) {
  RUTILE_RETURN_IF_ERROR(CheckOptions(options));
  RUTILE_RETURN_IF_ERROR(files.CreateDirectories(options.directory));
  RUTILE_ASSIGN_OR_RETURN(Recovered recovered, Recover(files, options));
  Opened opened;
  opened.dropped_tail_bytes = recovered.end.dropped_bytes;
  const std::vector<std::string> leftovers = std::move(recovered.leftovers);
  const std::vector<std::string> spares = std::move(recovered.spares);
  auto wal = std::make_unique<WalImpl>(files, options, std::move(recovered));
  RUTILE_RETURN_IF_ERROR(wal->Start(leftovers, spares));
  opened.regions = wal->DescribeRegions();
  opened.wal = std::move(wal);
  return opened;
}

WalImpl::WalImpl(FileSystem& files, const Options& options, Recovered recovered)
    : files_(files),
      options_(options),
      segment_files_(files, options),
      index_(std::move(recovered.index)),
      segments_(std::move(recovered.segments)) {
  if (segments_.empty()) return;
  active_ = segments_.rbegin()->second;
  end_ = synced_to_ = data_end_ = recovered.end.end;
  next_sequence_ = recovered.end.next_sequence;
  first_live_ = recovered.end.first_live;
  // A segment that an older build began says so, and that build is not to find newer things in it.
  untouched_ = recovered.end.batches == 0 && recovered.end.dropped_bytes == 0 &&
               active_->header.version == kFormatVersion;
  stats_.segments = segments_.size();
}

Status WalImpl::Start(const std::vector<std::string>& leftovers,
                      const std::vector<std::string>& spares) {
  const bool none = active_ == nullptr;
  for (const std::string& name : spares) RUTILE_RETURN_IF_ERROR(segment_files_.Adopt(name));
  for (const std::string& name : leftovers) {
    const std::string path = segment_files_.Path(name);
    const std::optional<std::uint64_t> number = NumberIn(name, kLogSuffix);
    if (!number) {
      RUTILE_RETURN_IF_ERROR(files_.Remove(path));
      continue;
    }
    RUTILE_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, files_.Open(path));
    RUTILE_ASSIGN_OR_RETURN(const std::uint64_t bytes, file->Size());
    RUTILE_RETURN_IF_ERROR(segment_files_.Retire(*number, bytes));
  }
  if (!leftovers.empty()) RUTILE_RETURN_IF_ERROR(segment_files_.SyncDirectory());
  if (none || !untouched_) RUTILE_RETURN_IF_ERROR(Rotate(0));
  watermark_ = end_;
  return Status();
}

std::map<RegionId, RegionLog> WalImpl::DescribeRegions() const {
  MutexLock lock(mutex_);
  std::map<RegionId, RegionLog> regions;
  for (const auto& [id, region] : index_.regions()) {
    RegionLog& log = regions.emplace(id, index_.Describe(region)).first->second;
    if (!log.lost) continue;
    const Piece& piece = *region.Find(log.lost->first.index);
    log.lost->path = segments_.at(piece.segment)->path;
    log.lost->offset = piece.offset;
  }
  return regions;
}

Stats WalImpl::stats() const {
  MutexLock lock(mutex_);
  return stats_;
}

}  // namespace rutile::wal
