#include "wal/region_index.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace rutile::wal {
namespace {

Pieces PiecesOf(const Item& item, std::uint64_t segment, std::uint64_t block_offset) {
  Pieces pieces;
  const std::uint64_t total = item.EntryCount();
  Index first = item.prev.index.Next();
  std::uint32_t skip = 0;
  for (const EntryRun& run : item.runs) {
    pieces.push_back({.first = first,
                      .term = run.term,
                      .count = run.count,
                      .skip = skip,
                      .block_bytes = item.block_bytes,
                      .live_bytes = static_cast<std::uint32_t>(std::uint64_t{item.block_bytes} *
                                                               run.count / total),
                      .segment = segment,
                      .offset = block_offset});
    first = first.Plus(run.count);
    skip += run.count;
  }
  return pieces;
}

Status Contradiction(const Item& item, const std::string& what) {
  return Status(Code::kCorruption, "the record of region " + ToString(item.region) +
                                       " contradicts the ones before it: " + what);
}

// The term at `index` as the records so far tell it; the last entry's is known when its run is not.
std::optional<Term> TermIn(const RegionIndex& region, Index index) {
  return index == region.last.index ? region.last.term : region.TermAt(index);
}

}  // namespace

void SegmentUse::Add(std::uint64_t segment, std::uint64_t bytes) {
  Use& use = uses_[segment];
  ++use.references;
  use.live_bytes += bytes;
  total_ += bytes;
}

void SegmentUse::Remove(std::uint64_t segment, std::uint64_t bytes) {
  Shrink(segment, bytes);
  const auto use = uses_.find(segment);
  if (--use->second.references == 0) uses_.erase(use);
}

void SegmentUse::Shrink(std::uint64_t segment, std::uint64_t bytes) {
  const auto use = uses_.find(segment);
  RUTILE_CHECK(use != uses_.end() && use->second.live_bytes >= bytes && total_ >= bytes);
  use->second.live_bytes -= bytes;
  total_ -= bytes;
}

SegmentUse::Use SegmentUse::Of(std::uint64_t segment) const {
  const auto use = uses_.find(segment);
  return use == uses_.end() ? Use{} : use->second;
}

std::deque<Piece>::const_iterator RegionIndex::Find(Index index) const {
  return std::lower_bound(pieces.begin(), pieces.end(), index,
                          [](const Piece& piece, Index at) { return piece.last() < at; });
}

std::optional<Term> RegionIndex::TermAt(Index index) const {
  if (index == base.index) return base.term;
  const auto piece = Find(index);
  if (piece == pieces.end() || index < piece->first) return std::nullopt;
  return piece->term;
}

const RegionIndex* LogIndex::Find(RegionId region) const {
  const auto found = regions_.find(region);
  return found == regions_.end() ? nullptr : &found->second;
}

Status LogIndex::Apply(const Item& item, std::uint64_t segment, std::uint64_t block_offset) {
  auto found = regions_.find(item.region);
  if (item.clean || (found != regions_.end() && found->second.peer != item.peer)) {
    if (found != regions_.end()) {
      DropAll(found->second);
      Pin(found->second, 0);
      regions_.erase(found);
      found = regions_.end();
    }
    if (item.clean) return Status();
  }
  const bool fresh = found == regions_.end();
  RegionIndex& region = fresh ? regions_[item.region] : found->second;
  region.peer = item.peer;
  region.mark_term = item.term;
  region.mark_epoch = item.epoch;
  const Pieces pieces = PiecesOf(item, segment, block_offset);
  RUTILE_RETURN_IF_ERROR(item.moved ? ApplyMoved(region, fresh, item, pieces)
                                    : ApplyAppend(region, fresh, item, pieces));
  if (item.state) region.state = *item.state;
  // Every item says where the log begins and ends, so without a state the newest one is enough.
  if (item.state || region.state.empty()) Pin(region, segment);
  return Status();
}

Status LogIndex::ApplyAppend(RegionIndex& region, bool fresh, const Item& item,
                             const Pieces& pieces) {
  if (fresh || item.reset) {
    DropAll(region);
    // The item's base is after its compaction; what it appends may begin below.
    region.base =
        std::min(item.base.index, item.prev.index) == item.base.index ? item.base : item.prev;
    region.last = item.prev;
  } else {
    if (item.prev.index > region.last.index || item.prev.index < region.base.index) {
      return Contradiction(item, "it follows " + ToString(item.prev) + ", the log is (" +
                                     ToString(region.base) + ", " + ToString(region.last) + "]");
    }
    const std::optional<Term> term = TermIn(region, item.prev.index);
    if (term && *term != item.prev.term) {
      return Contradiction(item, "it follows " + ToString(item.prev) +
                                     ", the entry there is of term " + ToString(*term));
    }
    CutAfter(region, item.prev.index);
    region.last = item.prev;
  }
  for (const Piece& piece : pieces) {
    use_.Add(piece.segment, piece.live_bytes);
    region.pieces.push_back(piece);
  }
  region.last = item.LastEntry();
  if (item.base.index < region.base.index || item.base.index > region.last.index) {
    return Contradiction(item, "its base " + ToString(item.base) + " is outside of (" +
                                   ToString(region.base) + ", " + ToString(region.last) + "]");
  }
  const std::optional<Term> base_term = TermIn(region, item.base.index);
  if (base_term && *base_term != item.base.term) {
    return Contradiction(item, "its base is " + ToString(item.base) +
                                   ", the entry there is of term " + ToString(*base_term));
  }
  CompactTo(region, item.base);
  return Status();
}

Status LogIndex::ApplyMoved(RegionIndex& region, bool fresh, const Item& item,
                            const Pieces& pieces) {
  if (fresh) {
    region.base = item.base;
    region.last = item.last;
  } else if (region.base != item.base || region.last != item.last) {
    return Contradiction(item, "it says (" + ToString(item.base) + ", " + ToString(item.last) +
                                   "], the log is (" + ToString(region.base) + ", " +
                                   ToString(region.last) + "]");
  }
  const Index from = item.prev.index.Next();
  const Index to = item.LastEntry().index;
  if (item.prev.index < region.base.index || to > region.last.index || pieces.empty()) {
    return Contradiction(item, "it copies what is not in the log");
  }
  for (const LogId& id : {item.prev, item.LastEntry()}) {
    const std::optional<Term> term = region.TermAt(id.index);
    if (term && *term != id.term) {
      return Contradiction(
          item, "it copies " + ToString(id) + ", the entry there is of term " + ToString(*term));
    }
  }
  std::deque<Piece> merged;
  bool placed = false;
  const auto place = [&] {
    if (std::exchange(placed, true)) return;
    for (const Piece& piece : pieces) {
      use_.Add(piece.segment, piece.live_bytes);
      merged.push_back(piece);
    }
  };
  for (const Piece& old : region.pieces) {
    Piece before = old;
    if (old.last() < from) {
      merged.push_back(old);
      continue;
    }
    if (old.first < from) {
      // The second part of a piece that is split counts as a reference of its own.
      use_.Add(old.segment, 0);
      TrimBack(before, static_cast<std::uint32_t>(old.last().DistanceFrom(from) + 1));
      merged.push_back(before);
    }
    Piece rest = old;
    if (old.first < from) {
      rest.skip += before.count;
      rest.first = from;
      rest.count -= before.count;
      rest.live_bytes = 0;
    }
    if (rest.first > to) {
      place();
      merged.push_back(rest);
    } else if (rest.last() > to) {
      TrimFront(rest, static_cast<std::uint32_t>(to.DistanceFrom(rest.first) + 1));
      place();
      merged.push_back(rest);
    } else {
      Drop(rest);
    }
  }
  place();
  region.pieces = std::move(merged);
  return Status();
}

void LogIndex::DropAll(RegionIndex& region) {
  for (const Piece& piece : region.pieces) Drop(piece);
  region.pieces.clear();
}

void LogIndex::TrimFront(Piece& piece, std::uint32_t entries) {
  RUTILE_CHECK(piece.count > 0, "a piece of the log without an entry");
  const auto freed =
      static_cast<std::uint32_t>(std::uint64_t{piece.live_bytes} * entries / piece.count);
  use_.Shrink(piece.segment, freed);
  piece.live_bytes -= freed;
  piece.first = piece.first.Plus(entries);
  piece.skip += entries;
  piece.count -= entries;
}

void LogIndex::TrimBack(Piece& piece, std::uint32_t entries) {
  const auto freed =
      static_cast<std::uint32_t>(std::uint64_t{piece.live_bytes} * entries / piece.count);
  use_.Shrink(piece.segment, freed);
  piece.live_bytes -= freed;
  piece.count -= entries;
}

void LogIndex::CutAfter(RegionIndex& region, Index last) {
  while (!region.pieces.empty() && region.pieces.back().first > last) {
    Drop(region.pieces.back());
    region.pieces.pop_back();
  }
  if (region.pieces.empty() || region.pieces.back().last() <= last) return;
  Piece& piece = region.pieces.back();
  TrimBack(piece, static_cast<std::uint32_t>(piece.last().DistanceFrom(last)));
}

void LogIndex::CompactTo(RegionIndex& region, const LogId& base) {
  while (!region.pieces.empty() && region.pieces.front().last() <= base.index) {
    Drop(region.pieces.front());
    region.pieces.pop_front();
  }
  region.base = base;
  if (region.pieces.empty() || region.pieces.front().first > base.index) return;
  Piece& piece = region.pieces.front();
  TrimFront(piece, static_cast<std::uint32_t>(base.index.DistanceFrom(piece.first) + 1));
}

void LogIndex::Pin(RegionIndex& region, std::uint64_t segment) {
  if (region.state_segment != 0) use_.Remove(region.state_segment, 0);
  region.state_segment = segment;
  if (segment != 0) use_.Add(segment, 0);
}

Status LogIndex::CheckComplete(RegionId id, const RegionIndex& region) {
  Index next = region.base.index.Next();
  for (const Piece& piece : region.pieces) {
    if (piece.first != next) break;
    next = piece.last().Next();
  }
  if (next == region.last.index.Next()) return Status();
  return Status(Code::kCorruption, "the log of region " + ToString(id) + " is (" +
                                       ToString(region.base) + ", " + ToString(region.last) +
                                       "], but entry " + ToString(next) + " is in no segment");
}

RegionLog LogIndex::Describe(const RegionIndex& region) const {
  RegionLog log{.peer = region.peer, .base = region.base, .last = region.last};
  for (const Piece& piece : region.pieces) {
    if (log.runs.empty() || log.runs.back().term != piece.term) {
      log.runs.push_back({.start = piece.first, .term = piece.term});
    }
    if (!IsLost(piece)) continue;
    if (!log.lost) log.lost = LostEntries{.first = {piece.term, piece.first}};
    log.lost->last = {piece.term, piece.last()};
  }
  log.state = region.state;
  return log;
}

}  // namespace rutile::wal
