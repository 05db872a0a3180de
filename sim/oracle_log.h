#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>

#include "base/ids.h"
#include "base/log_slice.h"

namespace rutile::sim {

// One entry as the naive twin remembers it. `number` is never given twice, so that an entry that
// was cut and came back with the same (index, term) is another one.
struct TwinItem {
  Entry entry = {};
  std::uint64_t hash = 0;  // Of type and payload.
  std::uint64_t number = 0;
};

// A log as a plain list from index to entry, in memory or on disk. Knows nothing of cursors.
class TwinLog {
 public:
  LogId base() const { return base_; }
  LogId last() const { return items_.empty() ? base_ : items_.back().entry.id; }
  // Null below the base, at the base and beyond the end.
  const TwinItem* Find(Index index) const {
    if (index <= base_.index || index > last().index) return nullptr;
    return &items_[index.DistanceFrom(base_.index) - 1];
  }
  // The base's id counts as there.
  bool Contains(LogId id) const {
    if (id.index == base_.index) return id == base_;
    const TwinItem* item = Find(id.index);
    return item != nullptr && item->entry.id == id;
  }
  void Reset(LogId base) {
    items_.clear();
    base_ = base;
  }
  // Requires base <= last.
  void CutAfter(Index last_kept) {
    while (!items_.empty() && items_.back().entry.id.index > last_kept) items_.pop_back();
  }
  // Requires the entry to follow the last one.
  void Append(TwinItem item) { items_.push_back(std::move(item)); }
  void CompactTo(LogId base) {
    while (!items_.empty() && items_.front().entry.id.index <= base.index) items_.pop_front();
    base_ = base;
  }

 private:
  LogId base_ = {};
  std::deque<TwinItem> items_ = {};
};

}  // namespace rutile::sim
