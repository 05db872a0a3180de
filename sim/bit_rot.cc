#include "sim/bit_rot.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "wal/format.h"

namespace rutile::sim {
namespace {

constexpr std::string_view kSegmentSuffix = ".log";
// Entries of older ones are in the engine by now.
constexpr std::uint64_t kNewestBatches = 16;

// Nothing for a file that is no segment, or whose header is damaged already.
std::uint64_t SegmentOf(const SimFileSystem& disk, const std::string& path) {
  if (!path.ends_with(kSegmentSuffix)) return 0;
  const auto header = wal::DecodeSegmentHeader(disk.ContentsOf(path));
  return header.ok() ? header.value().segment : 0;
}

}  // namespace

std::uint64_t BytesThatMayRot(const SimFileSystem& disk, const std::string& path) {
  const std::uint64_t all = disk.SizeOf(path);
  const std::uint64_t segment = SegmentOf(disk, path);
  if (segment == 0) return all;
  // Each stream of the log is a directory.
  const std::string stream = path.substr(0, path.rfind('/') + 1);
  for (const std::string& other : disk.Paths()) {
    if (other.starts_with(stream) && SegmentOf(disk, other) > segment) return all;
  }
  const std::string_view image = disk.ContentsOf(path);
  const std::uint32_t signature = wal::SignatureOf(segment);
  // By the newest batch, and by those that are durable themselves by its word.
  std::uint64_t synced = 0, told = 0;
  for (int pass = 0; pass < 2; ++pass) {
    for (std::uint64_t at = wal::kFirstBatchOffset; at + wal::kBatchHeaderBytes <= image.size();
         at += wal::kBatchAlignment) {
      wal::BatchHeader header;
      const auto state =
          wal::DecodeBatchHeader(image.substr(at, wal::kBatchHeaderBytes), signature, at, &header);
      if (state != wal::HeaderState::kValid) continue;
      if (pass == 0) synced = std::max(synced, header.synced_to);
      if (pass == 1 && at + header.TotalBytes() <= synced) told = std::max(told, header.synced_to);
    }
  }
  return std::max(told, wal::kFirstBatchOffset);
}

std::optional<BitOnDisk> BitOfAnEntry(const SimFileSystem& disk, std::uint64_t choice) {
  struct Payload {
    std::string path;
    std::uint64_t begin, bytes;
  };
  std::vector<Payload> payloads;
  for (const std::string& path : disk.Paths()) {
    const std::uint64_t segment = SegmentOf(disk, path);
    if (segment == 0) continue;
    const std::string_view image = disk.ContentsOf(path).substr(0, BytesThatMayRot(disk, path));
    for (std::uint64_t at = wal::kFirstBatchOffset; at + wal::kBatchHeaderBytes <= image.size();
         at += wal::kBatchAlignment) {
      wal::BatchHeader header;
      const auto state = wal::DecodeBatchHeader(image.substr(at, wal::kBatchHeaderBytes),
                                                wal::SignatureOf(segment), at, &header);
      if (state != wal::HeaderState::kValid || header.payload_bytes == 0) continue;
      const std::uint64_t begin = at + wal::kBatchHeaderBytes + header.items_bytes;
      if (begin + header.payload_bytes > image.size()) continue;
      payloads.push_back({path, begin, header.payload_bytes});
    }
  }
  if (payloads.empty()) return std::nullopt;
  const std::uint64_t newest = std::min<std::uint64_t>(kNewestBatches, payloads.size());
  const Payload& payload = payloads[payloads.size() - 1 - choice % newest];
  return BitOnDisk{payload.path, payload.begin * 8 + choice / newest % (payload.bytes * 8)};
}

}  // namespace rutile::sim
