#include <algorithm>
#include <utility>

#include "wal/read_piece.h"
#include "wal/wal_impl.h"

namespace rutile::wal {
namespace {

// A reader that lost its segment to recycling looks again. Each time the log has moved on by a
// whole Collect, so a few times are plenty.
constexpr int kAttempts = 8;

}  // namespace

Status WalImpl::FindExtents(RegionId region, Index prev, Index to, std::size_t max_bytes,
                            LogId* prev_id, std::vector<Extent>* extents) const {
  MutexLock lock(mutex_);
  const RegionIndex* known = index_.Find(region);
  if (known == nullptr) {
    return Status(Code::kNotFound, "the log has no region " + ToString(region));
  }
  if (prev < known->base.index || to < prev || prev > known->last.index) {
    return Status(Code::kNotFound, "the log of region " + ToString(region) + " is (" +
                                       ToString(known->base) + ", " + ToString(known->last) +
                                       "], not what follows " + ToString(prev));
  }
  const std::optional<Term> term = known->TermAt(prev);
  RUTILE_CHECK(term.has_value(), ToString(region));
  *prev_id = {.term = *term, .index = prev};
  std::size_t bytes = 0;
  for (auto piece = known->Find(prev.Next()); piece != known->pieces.end(); ++piece) {
    if (piece->first > to || bytes > max_bytes) break;
    extents->push_back({.piece = *piece,
                        .segment = segments_.at(piece->segment),
                        .first = std::max(piece->first, prev.Next()),
                        .last = std::min(piece->last(), to)});
    bytes += piece->live_bytes;
  }
  if (extents->empty() && prev < to) {
    return Status(Code::kNotFound,
                  "the log of region " + ToString(region) + " ends at " + ToString(known->last));
  }
  return Status();
}

Result<Entries> WalImpl::ReadExtent(RegionId region, const Extent& extent) const {
  const Piece& piece = extent.piece;
  RUTILE_ASSIGN_OR_RETURN(Entries entries, ReadPiece(*extent.segment, region, piece));
  const auto begin =
      entries.begin() + static_cast<std::ptrdiff_t>(extent.first.DistanceFrom(piece.first));
  const auto end = begin + static_cast<std::ptrdiff_t>(extent.last.DistanceFrom(extent.first) + 1);
  return Entries(std::make_move_iterator(begin), std::make_move_iterator(end));
}

Result<LogSlice> WalImpl::Read(RegionId region, Index prev, Index to, std::size_t max_bytes) {
  for (int attempt = 1;; ++attempt) {
    LogSlice slice;
    std::vector<Extent> extents;
    RUTILE_RETURN_IF_ERROR(FindExtents(region, prev, to, max_bytes, &slice.prev, &extents));
    std::size_t bytes = 0;
    bool retry = false;
    for (const Extent& extent : extents) {
      Result<Entries> entries = ReadExtent(region, extent);
      if (!entries.ok()) {
        // Not damage when the file was recycled while it was read: the entries, if they are still
        // part of the log, are elsewhere now.
        retry = extent.segment->retired.load() && attempt < kAttempts;
        if (retry) break;
        return entries.status();
      }
      for (Entry& entry : entries.value()) {
        bytes += entry.size_bytes();
        if (bytes > max_bytes && !slice.empty()) return slice;
        slice.entries.push_back(std::move(entry));
      }
    }
    if (!retry) return slice;
  }
}

}  // namespace rutile::wal
