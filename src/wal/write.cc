#include <algorithm>
#include <string_view>
#include <utility>

#include "base/buggify.h"
#include "base/probe.h"
#include "codec/crc32c.h"
#include "codec/integers.h"
#include "wal/entry_block.h"
#include "wal/wal_impl.h"

namespace rutile::wal {
namespace {

// Room kept at the end of each segment for the one batch that says that older segments are not
// needed: without it a log on a full disk could not be made smaller.
constexpr std::uint64_t kControlReserve = 2 * kBatchHeaderBytes;
// While no next segment is ready, this part of a segment takes only batches without entries:
// compactions and states, which are what makes room.
constexpr std::uint64_t kGrowthReserveShare = 16;
// Memory for a batch is kept up to this size: the writer's batches are below 1 MiB unless one entry
// is larger, and a log has one such buffer.
constexpr std::size_t kKeptBatchBytes = std::size_t{8} << 20;

EntryRuns RunsOf(const Entries& entries) {
  EntryRuns runs;
  for (const Entry& entry : entries) {
    if (runs.empty() || runs.back().term != entry.id.term) {
      runs.push_back({.term = entry.id.term, .count = 0});
    }
    ++runs.back().count;
  }
  return runs;
}

Status Refuse(const RegionWrite& write, const std::string& why) {
  return Status(Code::kInvalidArgument,
                "a write to the log of region " + ToString(write.region) + " " + why);
}

std::string Span(const LogId& base, const LogId& last) {
  return "(" + ToString(base) + ", " + ToString(last) + "]";
}

}  // namespace

Status WalImpl::Latch(Status status) {
  RUTILE_SOMETIMES(!status.ok(), "wal: a write or a sync fails");
  if (!status.ok() && failure_.ok()) {
    failure_ = std::move(status).WithContext(
        "the log can not be written and the node must stop; nothing that was not synced was "
        "acknowledged. Repair the disk, then start the node again");
  }
  return failure_;
}

std::optional<Term> WalImpl::TermAt(RegionId id, const Planned& region, Index index) const {
  if (index == region.last.index) return region.last.term;
  if (index == region.base.index) return region.base.term;
  for (auto stretch = region.appended.rbegin(); stretch != region.appended.rend(); ++stretch) {
    Index last = stretch->prev.index;
    if (index <= last) continue;
    for (const EntryRun& run : stretch->runs) {
      last = last.Plus(run.count);
      if (index <= last) return run.term;
    }
  }
  const RegionIndex* known = region.replaced ? nullptr : index_.Find(id);
  return known == nullptr ? std::nullopt : known->TermAt(index);
}

Status WalImpl::CheckAttachment(const RegionWrite& write, const Planned& region,
                                const LogId& at) const {
  if (at.index < region.base.index || at.index > region.last.index) {
    return Refuse(write,
                  "attaches to " + ToString(at) + ", the log is " + Span(region.base, region.last));
  }
  const std::optional<Term> term = TermAt(write.region, region, at.index);
  if (term == at.term) return Status();
  return Refuse(write, "attaches to " + ToString(at) + ", the entry there is of term " +
                           (term ? ToString(*term) : "unknown"));
}

Result<Item> WalImpl::Plan(const RegionWrite& write, std::map<RegionId, Planned>& planned) const {
  auto [it, first] = planned.try_emplace(write.region);
  Planned& region = it->second;
  if (first) {
    if (const RegionIndex* known = index_.Find(write.region)) {
      region = {.exists = true, .peer = known->peer, .base = known->base, .last = known->last};
    }
  }
  Item item{.region = write.region,
            .peer = write.peer,
            .term = write.term,
            .epoch = write.epoch,
            .reset = write.reset,
            .cut = write.cut,
            .clean = write.clean,
            .compact = write.compact.has_value()};
  if (write.clean) {
    region = {.exists = false, .replaced = true};
    return item;
  }
  if (!write.slice.Validate()) return Refuse(write, "has entries that do not follow one another");
  const bool fresh = !region.exists || region.peer != write.peer;
  if (fresh || write.reset) {
    region = {.exists = true,
              .replaced = true,
              .peer = write.peer,
              .base = write.slice.prev,
              .last = write.slice.prev};
  } else if (write.cut || !write.slice.empty()) {
    RUTILE_RETURN_IF_ERROR(CheckAttachment(write, region, write.slice.prev));
    region.last = write.slice.prev;
  }
  item.prev = region.last;
  item.state = write.state;
  if (!write.slice.empty()) {
    item.runs = RunsOf(write.slice.entries);
    region.last = write.slice.last();
    region.appended.push_back({.prev = item.prev, .runs = item.runs});
  }
  if (write.compact && write.compact->index > region.base.index) {
    RUTILE_RETURN_IF_ERROR(CheckAttachment(write, region, *write.compact));
    region.base = *write.compact;
  }
  item.base = region.base;
  return item;
}

Status WalImpl::Write(const std::vector<RegionWrite>& batch) {
  RUTILE_RETURN_IF_ERROR(failure_);
  if (batch.empty()) return Status();
  std::vector<PlannedItem> items;
  items.reserve(batch.size());
  std::size_t payload = 0;
  {
    MutexLock lock(mutex_);
    std::map<RegionId, Planned> planned;
    for (const RegionWrite& write : batch) {
      RUTILE_ASSIGN_OR_RETURN(Item item, Plan(write, planned));
      items.push_back({.item = std::move(item), .entries = &write.slice.entries});
      for (const Entry& entry : write.slice.entries) payload += entry.payload.size();
    }
  }
  if (payload > options_.max_record_bytes) {
    return Status(Code::kInvalidArgument, "a batch of " + std::to_string(payload) +
                                              " bytes is above the limit of max_record_bytes, " +
                                              std::to_string(options_.max_record_bytes));
  }
  const bool grows = std::any_of(batch.begin(), batch.end(),
                                 [](const RegionWrite& write) { return !write.slice.empty(); });
  std::uint64_t reserve = kControlReserve;
  if (grows && !segment_files_.Ready(options_.segment_bytes)) {
    reserve += active_->header.bytes / kGrowthReserveShare;
  }
  RUTILE_RETURN_IF_ERROR(Append(std::move(items), reserve));
  data_end_ = end_;
  MutexLock lock(mutex_);
  stats_.records += batch.size();
  stats_.payload_bytes += payload;
  return Status();
}

// Blocks follow the items, which tell how large the blocks have become. So that blocks need not be
// moved, there is room before them for items at their largest, and those go to the end of it.
WalImpl::Encoded WalImpl::Encode(std::vector<PlannedItem>* items) {
  std::size_t room = kBatchHeaderBytes;
  for (const PlannedItem& planned : *items) room += MostItemBytes(planned.item);
  batch_.assign(room, '\0');
  std::string encoded;
  for (PlannedItem& planned : *items) {
    Item& item = planned.item;
    if (!item.runs.empty()) {
      item.block_bytes =
          static_cast<std::uint32_t>(PutBlock(&batch_, item.region, *planned.entries,
                                              active_->signature, options_.compress_from_bytes));
    }
    PutItem(&encoded, item);
  }
  const BatchHeader header{.items_bytes = static_cast<std::uint32_t>(encoded.size()),
                           .payload_bytes = static_cast<std::uint32_t>(batch_.size() - room),
                           .items_crc = codec::Crc32c(encoded, active_->signature),
                           .item_count = static_cast<std::uint32_t>(items->size()),
                           .sequence = next_sequence_,
                           .synced_to = synced_to_,
                           .first_live = first_live_};
  const std::string head = EncodeBatchHeader(header, active_->signature, end_) + encoded;
  const std::size_t begin = room - head.size();
  batch_.replace(begin, head.size(), head);
  batch_.resize(begin + header.TotalBytes(), '\0');
  return {.begin = begin, .blocks = head.size()};
}

Status WalImpl::Append(std::vector<PlannedItem> items, std::uint64_t reserve) {
  Encoded encoded = Encode(&items);
  std::uint64_t size = batch_.size() - encoded.begin;
  const bool early =
      end_ > kFirstBatchOffset && RUTILE_BUGGIFY("buggify wal: a segment ends early");
  if (early || end_ + size + reserve > active_->header.bytes) {
    RUTILE_RETURN_IF_ERROR(Rotate(size));
    // Checksums are those of the new segment.
    encoded = Encode(&items);
    size = batch_.size() - encoded.begin;
  }
  const std::uint64_t at = end_;
  // Zeroes up to the end of the page: a page that is written whole is not read first, and what an
  // earlier life left in it goes.
  const std::uint64_t written = (at + size + kPageBytes - 1) / kPageBytes * kPageBytes - at;
  batch_.resize(encoded.begin + written, '\0');
  Status status = active_->file->WriteAt(at, std::string_view(batch_).substr(encoded.begin));
  if (batch_.capacity() > kKeptBatchBytes) std::string().swap(batch_);
  if (!status.ok()) return Latch(std::move(status).WithContext("write of " + active_->path));
  watermark_ = synced_to_;
  end_ += size;
  ++next_sequence_;
  MutexLock lock(mutex_);
  std::uint64_t block = at + encoded.blocks;
  for (const PlannedItem& planned : items) {
    const Status applied = index_.Apply(planned.item, active_->header.segment, block);
    RUTILE_CHECK(applied.ok(), applied.ToString());
    block += planned.item.block_bytes;
  }
  ++stats_.batches;
  stats_.written_bytes += written;
  return Status();
}

Status WalImpl::Rotate(std::uint64_t batch_bytes) {
  // What the new header says of this segment must be durable before the header is.
  RUTILE_RETURN_IF_ERROR(Sync());
  const std::uint64_t file_bytes = segment_files_.written_bytes();
  const std::uint64_t file_syncs = segment_files_.syncs();
  Status prepared = segment_files_.Prepare(
      std::max(options_.segment_bytes, kFirstBatchOffset + batch_bytes + kControlReserve));
  RUTILE_SOMETIMES(!prepared.ok(), "wal: no room for the next segment");
  if (prepared.code() == Code::kResourceExhausted) return prepared;
  RUTILE_RETURN_IF_ERROR(Latch(prepared));
  SegmentHeader header{.segment = 1, .first_batch = next_sequence_, .first_live = first_live_};
  if (active_ != nullptr) {
    header.segment = active_->header.segment + 1;
    header.previous_end = end_;
  }
  Result<std::shared_ptr<Segment>> begun = segment_files_.Begin(header);
  if (!begun.ok()) return Latch(begun.status());
  active_ = std::move(begun).value();
  end_ = synced_to_ = data_end_ = watermark_ = kFirstBatchOffset;
  MutexLock lock(mutex_);
  segments_.emplace(active_->header.segment, active_);
  stats_.segments = segments_.size();
  stats_.spare_segments = segment_files_.spares();
  stats_.syncs += segment_files_.syncs() - file_syncs;
  stats_.written_bytes += segment_files_.written_bytes() - file_bytes;
  return Status();
}

Status WalImpl::Sync() {
  RUTILE_RETURN_IF_ERROR(failure_);
  if (synced_to_ == end_) return Status();
  if (Status status = active_->file->Sync(); !status.ok()) {
    return Latch(std::move(status).WithContext("sync of " + active_->path));
  }
  synced_to_ = end_;
  MutexLock lock(mutex_);
  ++stats_.syncs;
  return Status();
}

Status WalImpl::Prefill() {
  RUTILE_RETURN_IF_ERROR(failure_);
  if (!segment_files_.wants_spare()) return Status();
  // The first spare is there when this segment is half full, a second when it is full.
  const std::uint64_t wanted = segment_files_.spares() == 0 ? 2 * end_ : end_;
  if (segment_files_.prefilled() >= std::min(wanted, options_.segment_bytes)) return Status();
  const std::uint64_t file_bytes = segment_files_.written_bytes();
  const std::uint64_t file_syncs = segment_files_.syncs();
  const Status status = segment_files_.Prefill(std::uint64_t{1} << 20);
  {
    MutexLock lock(mutex_);
    stats_.spare_segments = segment_files_.spares();
    stats_.syncs += segment_files_.syncs() - file_syncs;
    stats_.written_bytes += segment_files_.written_bytes() - file_bytes;
  }
  return status.code() == Code::kResourceExhausted ? status : Latch(status);
}

}  // namespace rutile::wal
