#include "wal/segment_scan.h"

#include <algorithm>
#include <utility>

#include "codec/crc32c.h"
#include "codec/integers.h"
#include "wal/entry_block.h"
#include "wal/recovery_table.h"

namespace rutile::wal {
namespace {

// Damaged places that are looked for in one segment.
constexpr std::uint64_t kMaxDamages = 100;

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
    if (!ItemsVerify(batch)) return Found::kBroken;
    return batch->holed.empty() ? Found::kWhole : Found::kHoled;
  }

  // Batches begin at multiples of eight, so every header that the file holds is found, however
  // much before it is damaged.
  Behind LookBehind(std::uint64_t offset, std::uint64_t sequence) const {
    Behind behind;
    BatchHeader header;
    for (auto at = NextHeader(offset, sequence, &header); at;
         at = NextHeader(*at, sequence, &header)) {
      behind.any = true;
      behind.synced_to = std::max(behind.synced_to, header.synced_to);
      behind.end = std::max(
          behind.end, *at + std::min<std::uint64_t>(header.TotalBytes(), image_.size() - *at));
    }
    return behind;
  }

  // Where the first header behind `offset` is that verifies and is of a later batch than
  // `sequence`.
  std::optional<std::uint64_t> NextHeader(std::uint64_t offset, std::uint64_t sequence,
                                          BatchHeader* header) const {
    for (std::uint64_t at = offset + kBatchAlignment; at + kBatchHeaderBytes <= image_.size();
         at += kBatchAlignment) {
      if (codec::DecodeFixed32(image_.data() + at) != magic_) continue;
      if (DecodeBatchHeader(image_.substr(at), signature_, at, header) == HeaderState::kValid &&
          header->sequence > sequence) {
        return at;
      }
    }
    return std::nullopt;
  }

 private:
  // Whether it is known what the batch has; `holed` tells which blocks of it do not verify.
  bool ItemsVerify(ScannedBatch* batch) const {
    const BatchHeader& header = batch->header;
    const std::string_view items =
        image_.substr(batch->offset + kBatchHeaderBytes, header.items_bytes);
    if (codec::Crc32c(items, signature_) != header.items_crc) return false;
    std::optional<std::vector<Item>> decoded = DecodeItems(items, header.item_count);
    if (!decoded) return false;
    batch->payload = image_.substr(batch->payload_offset, header.payload_bytes);
    std::string_view payload = batch->payload;
    for (std::size_t i = 0; i < decoded->size(); ++i) {
      const Item& item = (*decoded)[i];
      if (item.runs.empty()) continue;
      if (item.block_bytes > payload.size()) return false;
      if (!VerifyBlock(payload.substr(0, item.block_bytes), item.region, item.prev.index.Next(),
                       signature_)) {
        batch->holed.push_back(i);
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

// "entries of region 2 from 5@1 to 7@1": of the blocks that do not verify.
std::string LostOf(const ScannedBatch& batch) {
  std::string lost;
  for (const std::size_t i : batch.holed) {
    const Item& item = batch.items[i];
    const LogId first{item.runs.front().term, item.prev.index.Next()};
    lost.append(lost.empty() ? "entries" : ",")
        .append(" of region " + ToString(item.region) + " from " + ToString(first))
        .append(" to " + ToString(item.LastEntry()));
  }
  return lost;
}

Finding DamageAt(const std::string& path, std::uint64_t offset, Found found) {
  Finding finding{.path = path, .offset = offset};
  switch (found) {
    case Found::kNothing:
      finding.kind = FindingKind::kMissingBatch;
      finding.what = "a batch that was durable is missing";
      return finding;
    case Found::kBroken:
      finding.kind = FindingKind::kBrokenBatch;
      finding.what = "a batch that was durable does not verify";
      return finding;
    case Found::kMisplaced:
      finding.kind = FindingKind::kMisplacedBatch;
      finding.what = "a batch stands where it was not written";
      return finding;
    case Found::kHoled:
    case Found::kWhole: break;
  }
  RUTILE_UNREACHABLE();
}

// One segment, from its first batch to its end.
class Scan {
 public:
  Scan(const Segment& segment, std::string_view image, std::optional<std::uint64_t> sealed_end,
       const LogVisitor& visitor)
      : segment_(segment),
        walk_(image, segment.header),
        image_bytes_(image.size()),
        sealed_end_(sealed_end),
        visitor_(visitor),
        result_{.end = kFirstBatchOffset,
                .next_sequence = segment.header.first_batch,
                .first_live = segment.header.first_live} {}

  Result<SegmentEnd> Run() {
    limit_ = sealed_end_.value_or(segment_.header.bytes);
    if (limit_ > segment_.header.bytes || limit_ < kFirstBatchOffset) {
      result_.whole = false;
      RUTILE_RETURN_IF_ERROR(visitor_.on_finding(
          {.kind = FindingKind::kShortFile,
           .path = segment_.path,
           .offset = segment_.header.bytes,
           .what = "the next segment says that this one ends at " + std::to_string(limit_)}));
    }
    if (image_bytes_ < limit_) result_.whole = false;
    limit_ = std::min<std::uint64_t>({limit_, segment_.header.bytes, image_bytes_});
    while (!ended_ && limit_ >= kFirstBatchOffset) RUTILE_RETURN_IF_ERROR(Step());
    return result_;
  }

 private:
  Status Step() {
    ScannedBatch batch;
    Facts facts{.sealed = sealed_end_.has_value()};
    facts.at_end = facts.sealed ? result_.end == limit_ : limit_ - result_.end < kBatchHeaderBytes;
    facts.found = walk_.Look(result_.end, limit_, result_.next_sequence, &batch);
    Behind behind;
    // A whole batch is kept whatever follows it, and in a sealed segment nothing is dropped: there
    // is no need to look further.
    if (!facts.sealed && !facts.at_end && facts.found != Found::kWhole) {
      behind = walk_.LookBehind(result_.end, result_.next_sequence);
      facts.valid_behind = behind.any;
      facts.synced = behind.synced_to > result_.end;
    }
    switch (Decide(facts).decision) {
      case Decision::kKeep: return Keep(batch);
      case Decision::kRepair: return KeepWhatThereIs(batch);
      case Decision::kEnd: ended_ = true; return Status();
      case Decision::kDropTail: return DropTail(behind, batch);
      case Decision::kCorrupt: return PassDamage(facts.found);
    }
    RUTILE_UNREACHABLE();
  }

  Status Keep(const ScannedBatch& batch) {
    if (visitor_.on_batch) RUTILE_RETURN_IF_ERROR(visitor_.on_batch(segment_, batch));
    ++result_.batches;
    ++result_.next_sequence;
    result_.first_live = std::max(result_.first_live, batch.header.first_live);
    result_.end += batch.header.TotalBytes();
    return Status();
  }

  Status KeepWhatThereIs(const ScannedBatch& batch) {
    RUTILE_RETURN_IF_ERROR(
        visitor_.on_finding({.kind = FindingKind::kHoledBatch,
                             .path = segment_.path,
                             .offset = batch.offset,
                             .what = LostOf(batch) + " were durable and do not verify"}));
    RUTILE_RETURN_IF_ERROR(Keep(batch));
    return ++damages_ == kMaxDamages ? GiveUp(result_.end) : Status();
  }

  Status GiveUp(std::uint64_t offset) {
    ended_ = true;
    result_.whole = false;
    return visitor_.on_finding({.kind = FindingKind::kUnsearched,
                                .path = segment_.path,
                                .offset = offset,
                                .what = "after " + std::to_string(kMaxDamages) +
                                        " damaged places the rest was not looked at"});
  }

  Status DropTail(const Behind& behind, const ScannedBatch& batch) {
    std::uint64_t end = std::max(behind.end, result_.end + kBatchHeaderBytes);
    if (batch.offset != 0) end = std::max(end, result_.end + batch.header.TotalBytes());
    result_.dropped_bytes = end - result_.end;
    ended_ = true;
    return visitor_.on_finding(
        {.kind = FindingKind::kTornTail,
         .path = segment_.path,
         .offset = result_.end,
         .what = std::to_string(result_.dropped_bytes) +
                 " bytes that a crash tore and that were never acknowledged"});
  }

  Status PassDamage(Found found) {
    result_.whole = false;
    RUTILE_RETURN_IF_ERROR(visitor_.on_finding(DamageAt(segment_.path, result_.end, found)));
    BatchHeader header;
    const auto next = walk_.NextHeader(result_.end, result_.next_sequence, &header);
    ended_ = !next || *next >= limit_;
    if (ended_) return Status();
    if (++damages_ == kMaxDamages) return GiveUp(*next);
    result_.end = *next;
    result_.next_sequence = header.sequence;
    return Status();
  }

  const Segment& segment_;
  const Walk walk_;
  const std::uint64_t image_bytes_;
  const std::optional<std::uint64_t> sealed_end_;
  const LogVisitor& visitor_;
  std::uint64_t limit_ = 0;  // Where batches must end, at the latest.
  std::uint64_t damages_ = 0;
  bool ended_ = false;
  SegmentEnd result_;
};

}  // namespace

Status StopAtDamage(const Finding& finding) {
  return finding.IsDamage() ? ToStatus(finding) : Status();
}

Result<SegmentEnd> ScanSegment(const Segment& segment, std::string_view image,
                               std::optional<std::uint64_t> sealed_end, const LogVisitor& visitor) {
  return Scan(segment, image, sealed_end, visitor).Run();
}

}  // namespace rutile::wal
