#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/small_vector.h"
#include "base/status.h"
#include "wal/format.h"
#include "wal/wal.h"

namespace rutile::wal {

// Consecutive entries of one term in one block on disk.
struct Piece {
  Index first = {};
  Term term = {};
  std::uint32_t count = 0;
  std::uint32_t skip = 0;  // Entries of the block before `first`.
  std::uint32_t block_bytes = 0;
  std::uint32_t live_bytes = 0;  // The part of block_bytes that these entries make up, about.
  std::uint64_t segment = 0;
  std::uint64_t offset = 0;  // Of the block.

  Index last() const { return first.Plus(count - 1); }
};
using Pieces = SmallVector<Piece, 1>;  // Of one item.

// What is still needed in each segment.
class SegmentUse {
 public:
  struct Use {
    std::uint64_t references = 0;  // Pieces, and regions whose state is nowhere newer.
    std::uint64_t live_bytes = 0;
  };
  void Add(std::uint64_t segment, std::uint64_t bytes);
  void Remove(std::uint64_t segment, std::uint64_t bytes);
  // A piece that stays needs this much less.
  void Shrink(std::uint64_t segment, std::uint64_t bytes);
  Use Of(std::uint64_t segment) const;
  std::uint64_t total_live_bytes() const { return total_; }

 private:
  std::map<std::uint64_t, Use> uses_;
  std::uint64_t total_ = 0;
};

// Where one region's log stands on disk. A cursor pair and runs; no payload.
struct RegionIndex {
  PeerId peer = {};
  LogId base = {};
  LogId last = {};
  std::deque<Piece> pieces = {};  // By index. Cover (base, last], except while the log is read in.
  std::string state = {};
  std::uint64_t state_segment = 0;  // Where `state` stands; without one, the newest item.
  // The newest mark, for records that are written on the region's behalf.
  Term mark_term = {};
  std::uint64_t mark_epoch = 0;

  // The term of an entry, or of base; nothing for what is not here.
  std::optional<Term> TermAt(Index index) const;
  // The piece that has `index`, or the first behind it.
  std::deque<Piece>::const_iterator Find(Index index) const;
};

// All regions. Items go in in the order in which they stand in the log, when it is written and when
// it is read back: one code path decides what a log says.
class LogIndex {
 public:
  // `block_offset` is where the item's block is. kCorruption, naming the contradiction, when the
  // item does not follow from what was applied before; the index is then of no further use for
  // this region, until an item with which it begins anew.
  Status Apply(const Item& item, std::uint64_t segment, std::uint64_t block_offset);
  // The block at this place does not verify, though what is in it was durable. What still refers to
  // it at the end of recovery is lost.
  void MarkLost(std::uint64_t segment, std::uint64_t block_offset) {
    lost_.emplace(segment, block_offset);
  }
  bool IsLost(const Piece& piece) const {
    return !lost_.empty() && lost_.contains({piece.segment, piece.offset});
  }
  // Whether the region's entries have all been written. For the end of recovery.
  static Status CheckComplete(RegionId id, const RegionIndex& region);

  const RegionIndex* Find(RegionId region) const;
  const std::map<RegionId, RegionIndex>& regions() const { return regions_; }
  const SegmentUse& use() const { return use_; }
  RegionLog Describe(const RegionIndex& region) const;

 private:
  Status ApplyMoved(RegionIndex& region, bool fresh, const Item& item, const Pieces& pieces);
  Status ApplyAppend(RegionIndex& region, bool fresh, const Item& item, const Pieces& pieces);
  void Drop(const Piece& piece) { use_.Remove(piece.segment, piece.live_bytes); }
  void DropAll(RegionIndex& region);
  void CutAfter(RegionIndex& region, Index last);
  void CompactTo(RegionIndex& region, const LogId& base);
  void TrimFront(Piece& piece, std::uint32_t entries);
  void TrimBack(Piece& piece, std::uint32_t entries);
  void Pin(RegionIndex& region, std::uint64_t segment);

  std::map<RegionId, RegionIndex> regions_;
  SegmentUse use_;
  // Segments and offsets of blocks. Nearly always empty; no place comes twice.
  std::set<std::pair<std::uint64_t, std::uint64_t>> lost_;
};

}  // namespace rutile::wal
