#include "wal/log_use.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "wal/recovery.h"

namespace rutile::wal {

std::uint64_t LogUse::file_bytes() const {
  std::uint64_t bytes = 0;
  for (const auto& [number, segment] : segments) bytes += segment.file_bytes;
  return bytes;
}

std::uint64_t LogUse::live_bytes() const {
  std::uint64_t bytes = 0;
  for (const auto& [id, region] : regions) bytes += region.live_bytes;
  return bytes;
}

std::set<RegionId> LogUse::Pinning() const {
  std::set<RegionId> pinning;
  if (segments.empty()) return pinning;
  for (const auto& [id, region] : regions) {
    if (region.segments.contains(segments.begin()->first)) pinning.insert(id);
  }
  return pinning;
}

Result<LogUse> MeasureLog(FileSystem& files, const std::string& directory,
                          const std::function<Status(const Finding&)>& on_finding) {
  LogUse use;
  std::map<RegionId, std::uint64_t> written;
  const LogVisitor visitor{.on_finding = on_finding,
                           .on_batch = [&](const Segment& segment, const ScannedBatch& batch) {
                             SegmentSpace& space = use.segments[segment.header.segment];
                             space.written_bytes = batch.offset + batch.header.TotalBytes();
                             ++space.batches;
                             for (const Item& item : batch.items) {
                               written[item.region] += item.block_bytes;
                             }
                             return Status();
                           }};
  RUTILE_ASSIGN_OR_RETURN(const Recovered log, ReadLog(files, directory, visitor));
  for (const auto& [number, segment] : log.segments) {
    SegmentSpace& space = use.segments[number];
    space.path = segment->path;
    space.file_bytes = segment->header.bytes;
    space.live_bytes = log.index.use().Of(number).live_bytes;
  }
  for (const auto& [id, region] : log.index.regions()) {
    RegionUse& one = use.regions[id];
    one.log = log.index.Describe(region);
    one.contradicted = log.contradicted.contains(id);
    for (const Piece& piece : region.pieces) {
      one.live_bytes += piece.live_bytes;
      one.segments.insert(piece.segment);
    }
    if (region.state_segment != 0) one.segments.insert(region.state_segment);
    one.garbage_bytes = written[id] - std::min(written[id], one.live_bytes);
  }
  // Without a segment, recovery calls all spare files leftovers.
  const auto& spares = log.segments.empty() ? log.leftovers : log.spares;
  for (const std::string& name : spares) {
    std::string path = directory;
    path.append("/").append(name);
    RUTILE_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, files.Open(path));
    RUTILE_ASSIGN_OR_RETURN(const std::uint64_t bytes, file->Size());
    ++use.spare_files;
    use.spare_bytes += bytes;
  }
  return use;
}

}  // namespace rutile::wal
