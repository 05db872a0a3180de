#include <algorithm>
#include <deque>
#include <utility>

#include "base/buggify.h"
#include "base/probe.h"
#include "wal/wal_impl.h"

namespace rutile::wal {
namespace {

// What one call of Collect copies at most, and how much goes into one batch.
constexpr std::uint64_t kMoveBytes = std::uint64_t{8} << 20;
constexpr std::uint64_t kMoveBatchBytes = std::uint64_t{1} << 20;
// A segment with no more than this part of it alive is emptied as soon as it is not one of the
// newest; copying costs at most this share of what is won.
constexpr std::uint64_t kCheapShare = 8;
// What a region must hold in too old segments to be named as pinning them; less is copied.
constexpr std::uint64_t kHeavyBytes = std::uint64_t{64} << 10;

}  // namespace

std::uint64_t WalImpl::FirstNeeded() const {
  MutexLock lock(mutex_);
  for (const auto& [number, segment] : segments_) {
    if (index_.use().Of(number).references != 0) return number;
  }
  return active_->header.segment;
}

std::optional<std::uint64_t> WalImpl::SegmentToEmpty() const {
  for (const auto& [number, segment] : segments_) {
    const SegmentUse::Use use = index_.use().Of(number);
    if (use.references == 0) continue;
    // The active segment and the one before are left alone: most of what is in them goes by itself.
    if (number + 1 >= active_->header.segment) return std::nullopt;
    const bool cheap = use.live_bytes <= segment->header.bytes / kCheapShare;
    // Too many segments, and most of what is in them is dead, but behind an old one that is not:
    // copying that one, whatever it costs, wins more than it costs.
    const std::uint64_t count = active_->header.segment - number + 1;
    const bool crowded = count > static_cast<std::uint64_t>(options_.max_segments) &&
                         index_.use().total_live_bytes() < count * options_.segment_bytes / 2;
    RUTILE_SOMETIMES(crowded && !cheap, "wal: a segment with much in it is emptied");
    return cheap || crowded ? std::optional(number) : std::nullopt;
  }
  return std::nullopt;
}

Status WalImpl::MoveRemains() {
  std::vector<Move> moves;
  {
    MutexLock lock(mutex_);
    const std::optional<std::uint64_t> segment = SegmentToEmpty();
    if (!segment) return Status();
    std::uint64_t bytes = 0;
    for (const auto& [id, region] : index_.regions()) {
      if (region.state_segment == *segment) {
        moves.push_back({.region = id, .piece = std::nullopt});
        bytes += region.state.size();
      }
      for (const Piece& piece : region.pieces) {
        if (piece.segment != *segment) continue;
        moves.push_back({.region = id, .piece = piece});
        bytes += piece.live_bytes;
      }
      if (bytes >= kMoveBytes || RUTILE_BUGGIFY("buggify wal: less is moved in a turn")) {
        needs_collect_ = true;
        break;
      }
    }
  }
  RUTILE_SOMETIMES(!moves.empty(), "wal: what is left of a segment is moved");
  RUTILE_SOMETIMES(needs_collect_, "wal: a segment is emptied in several turns");
  return WriteMoves(moves);
}

Status WalImpl::WriteMoves(const std::vector<Move>& moves) {
  std::vector<PlannedItem> items;
  std::deque<Entries> entries;  // What items point to.
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < moves.size(); ++i) {
    const Move& move = moves[i];
    Item item{.region = move.region};
    std::optional<Extent> extent;
    {
      MutexLock lock(mutex_);
      const RegionIndex& region = *index_.Find(move.region);
      item.peer = region.peer;
      item.term = region.mark_term;
      item.epoch = region.mark_epoch;
      item.base = region.base;
      item.prev = region.last;
      if (!move.piece) {
        item.state = region.state;
        bytes += region.state.size();
      } else {
        const Index before = move.piece->first.Prev();
        item.moved = true;
        item.last = region.last;
        item.prev = {.term = region.TermAt(before).value_or(Term()), .index = before};
        item.runs.push_back({.term = move.piece->term, .count = move.piece->count});
        extent = Extent{.piece = *move.piece,
                        .segment = segments_.at(move.piece->segment),
                        .first = move.piece->first,
                        .last = move.piece->last()};
      }
    }
    if (extent) {
      RUTILE_ASSIGN_OR_RETURN(Entries read, ReadExtent(move.region, *extent));
      // More than it takes on disk, where it is compressed.
      for (const Entry& entry : read) bytes += entry.size_bytes();
      entries.push_back(std::move(read));
    }
    items.push_back({.item = std::move(item), .entries = extent ? &entries.back() : nullptr});
    if (bytes < kMoveBatchBytes && i + 1 < moves.size()) continue;
    RUTILE_RETURN_IF_ERROR(Append(std::exchange(items, {}), 2 * kBatchHeaderBytes));
    data_end_ = end_;
    entries.clear();
    bytes = 0;
  }
  return Status();
}

Status WalImpl::RetireBelow(std::uint64_t first) {
  while (true) {
    std::shared_ptr<Segment> segment;
    {
      MutexLock lock(mutex_);
      if (segments_.begin()->first >= first) break;
      segment = std::move(segments_.begin()->second);
      segments_.erase(segments_.begin());
    }
    segment->retired.store(true);
    RUTILE_RETURN_IF_ERROR(
        Latch(segment_files_.Retire(segment->header.segment, segment->header.bytes)));
  }
  // Before a spare gets a new header, its old name must be gone for good.
  RUTILE_RETURN_IF_ERROR(Latch(segment_files_.SyncDirectory()));
  MutexLock lock(mutex_);
  stats_.segments = segments_.size();
  stats_.spare_segments = segment_files_.spares();
  return Status();
}

Status WalImpl::Collect() {
  RUTILE_RETURN_IF_ERROR(failure_);
  needs_collect_ = false;
  // What is copied is durable before what it was copied from goes: the same sync covers it.
  RUTILE_RETURN_IF_ERROR(MoveRemains());
  const std::uint64_t first = FirstNeeded();
  bool some = false;
  {
    MutexLock lock(mutex_);
    some = segments_.begin()->first < first;
  }
  if (some) {
    // First durable in the log, then true of the directory: whatever subset of the renames
    // survives a crash, recovery knows what is part of the log.
    first_live_ = first;
    RUTILE_RETURN_IF_ERROR(Append({}, 0));
    RUTILE_RETURN_IF_ERROR(Sync());
    return RetireBelow(first);
  }
  // So that damage to the last batch before a quiet time is seen to be damage, and not taken for a
  // torn tail. It needs no sync: lost, it is as if it had never been.
  if (synced_to_ == end_ && watermark_ < data_end_ &&
      end_ + 2 * kBatchHeaderBytes <= active_->header.bytes) {
    return Append({}, kBatchHeaderBytes);
  }
  return Status();
}

std::uint64_t WalImpl::SegmentsSince(RegionId region) const {
  MutexLock lock(mutex_);
  const RegionIndex* const known = index_.Find(region);
  if (known == nullptr || segments_.empty()) return 0;
  std::uint64_t oldest = known->state_segment;
  for (const Piece& piece : known->pieces) oldest = std::min(oldest, piece.segment);
  return static_cast<std::uint64_t>(std::distance(segments_.lower_bound(oldest), segments_.end()));
}

std::map<RegionId, Index> WalImpl::PinningRegions() const {
  std::map<RegionId, Index> pinning;
  MutexLock lock(mutex_);
  const auto wanted = static_cast<std::uint64_t>(options_.max_segments);
  if (segments_.size() <= wanted) return pinning;
  const std::uint64_t newest = segments_.rbegin()->first;
  const std::uint64_t heavy = std::min(kHeavyBytes, options_.segment_bytes / 16);
  for (const auto& [id, region] : index_.regions()) {
    std::uint64_t bytes = 0;
    Index last;
    for (const Piece& piece : region.pieces) {
      if (piece.segment + wanted > newest) continue;
      bytes += piece.live_bytes;
      last = std::max(last, piece.last());
    }
    if (bytes >= heavy) pinning.emplace(id, last);
  }
  return pinning;
}

}  // namespace rutile::wal
