#include "wal/segment_scan.h"

#include <algorithm>
#include <utility>

#include "codec/crc32c.h"
#include "codec/integers.h"
#include "wal/recovery_table.h"

namespace rutile::wal {
namespace {

// What the headers behind a damaged place tell.
struct Behind {
  bool any = false;
  std::uint64_t synced_to = 0;  // The furthest that one of them names.
  std::uint64_t end = 0;        // Where the last of them ends.
};

class Walk {
 public:
  Walk(std::string_view image, const SegmentHeader& header)
      : image_(image),
        signature_(SignatureOf(header.segment)),
        magic_(codec::DecodeFixed32(EncodeBatchHeader({}, signature_, 0).data())) {}

  // Reads what stands at `offset`. `limit` is where batches must end, at the latest.
  Found Look(std::uint64_t offset, std::uint64_t limit, std::uint64_t sequence,
             ScannedBatch* batch) const {
    if (offset > limit || limit - offset < kBatchHeaderBytes) return Found::kNothing;
    switch (DecodeBatchHeader(image_.substr(offset), signature_, offset, &batch->header)) {
      case HeaderState::kForeign: return Found::kNothing;
      case HeaderState::kDamaged: return Found::kBroken;
      case HeaderState::kValid: break;
    }
    if (batch->header.sequence != sequence || batch->header.TotalBytes() > limit - offset) {
      return Found::kMisplaced;
    }
    batch->offset = offset;
    batch->payload_offset = offset + kBatchHeaderBytes + batch->header.items_bytes;
    return BodyVerifies(batch) ? Found::kWhole : Found::kBroken;
  }

  // Batches begin at multiples of eight, so every header that the file holds is found, however
  // much before it is damaged.
  Behind LookBehind(std::uint64_t offset, std::uint64_t sequence) const {
    Behind behind;
    BatchHeader header;
    for (std::uint64_t at = offset + kBatchAlignment; at + kBatchHeaderBytes <= image_.size();
         at += kBatchAlignment) {
      if (codec::DecodeFixed32(image_.data() + at) != magic_) continue;
      if (DecodeBatchHeader(image_.substr(at), signature_, at, &header) != HeaderState::kValid ||
          header.sequence <= sequence) {
        continue;
      }
      behind.any = true;
      behind.synced_to = std::max(behind.synced_to, header.synced_to);
      behind.end = std::max(behind.end,
                            at + std::min<std::uint64_t>(header.TotalBytes(), image_.size() - at));
    }
    return behind;
  }

 private:
  bool BodyVerifies(ScannedBatch* batch) const {
    const BatchHeader& header = batch->header;
    const std::string_view items =
        image_.substr(batch->offset + kBatchHeaderBytes, header.items_bytes);
    if (codec::Crc32c(items, signature_) != header.items_crc) return false;
    std::optional<std::vector<Item>> decoded = DecodeItems(items, header.item_count);
    if (!decoded) return false;
    std::string_view payload = image_.substr(batch->payload_offset, header.payload_bytes);
    for (const Item& item : *decoded) {
      if (item.runs.empty()) continue;
      if (item.block_bytes > payload.size() ||
          !VerifyBlock(payload.substr(0, item.block_bytes), item.region, item.prev.index.Next(),
                       signature_)) {
        return false;
      }
      payload.remove_prefix(item.block_bytes);
    }
    if (!payload.empty()) return false;
    batch->items = *std::move(decoded);
    return true;
  }

  const std::string_view image_;
  const std::uint32_t signature_;
  const std::uint32_t magic_;
};

std::string_view Describe(Found found) {
  switch (found) {
    case Found::kNothing: return "a batch that was durable is missing";
    case Found::kBroken: return "a batch that was durable does not verify";
    case Found::kMisplaced: return "a batch stands where it was not written";
    case Found::kWhole: return "a batch";
  }
  RUTILE_UNREACHABLE();
}

}  // namespace

Status CorruptionAt(const std::string& path, std::uint64_t offset, std::string_view finding) {
  return Status(
      Code::kCorruption,
      "the log is damaged: " + path + " at offset " + std::to_string(offset) + ": " +
          std::string(finding) +
          ". The node does not start, because what it had acknowledged is not all "
          "there. Check the disk, and leave this node stopped until it can be replaced: its "
          "peers go on without it; a node without peers needs a backup");
}

Result<SegmentEnd> ScanSegment(const std::string& path, const SegmentHeader& header,
                               std::string_view image, std::optional<std::uint64_t> sealed_end,
                               const std::function<Status(const ScannedBatch&)>& on_batch) {
  const Walk walk(image, header);
  const std::uint64_t limit = sealed_end.value_or(header.bytes);
  if (limit > image.size() || limit < kFirstBatchOffset) {
    return CorruptionAt(path, image.size(), "the file is shorter than the log says");
  }
  SegmentEnd result{.end = kFirstBatchOffset,
                    .next_sequence = header.first_batch,
                    .first_live = header.first_live};
  while (true) {
    ScannedBatch batch;
    Facts facts{.sealed = sealed_end.has_value()};
    facts.at_end = facts.sealed ? result.end == limit : limit - result.end < kBatchHeaderBytes;
    facts.found = walk.Look(result.end, limit, result.next_sequence, &batch);
    Behind behind;
    // A whole batch is kept whatever follows it, and in a sealed segment nothing is dropped: there
    // is no need to look further.
    if (!facts.sealed && !facts.at_end && facts.found != Found::kWhole) {
      behind = walk.LookBehind(result.end, result.next_sequence);
      facts.valid_behind = behind.any;
      facts.synced = behind.synced_to > result.end;
    }
    switch (Decide(facts).decision) {
      case Decision::kKeep:
        RUTILE_RETURN_IF_ERROR(on_batch(batch));
        ++result.batches;
        ++result.next_sequence;
        result.first_live = std::max(result.first_live, batch.header.first_live);
        result.end += batch.header.TotalBytes();
        break;
      case Decision::kEnd: return result;
      case Decision::kDropTail: {
        std::uint64_t end = std::max(behind.end, result.end + kBatchHeaderBytes);
        if (batch.offset != 0) {
          end = std::max(end, result.end + batch.header.TotalBytes());
        }
        result.dropped_bytes = end - result.end;
        return result;
      }
      case Decision::kCorrupt: return CorruptionAt(path, result.end, Describe(facts.found));
    }
  }
}

}  // namespace rutile::wal
