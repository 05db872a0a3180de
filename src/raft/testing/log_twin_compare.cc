#include <algorithm>
#include <utility>

#include "raft/testing/log_twin.h"

namespace rutile::raft::testing {

void LogTwin::Check(bool condition, const std::string& what) {
  if (!condition && differs_.empty()) {
    differs_ = what + " after " + operation_ + ": " + tail_.DebugString();
  }
}

void LogTwin::CompareCursors() {
  Check(tail_.base() == base_, "base");
  Check(tail_.first() == base_.index.Next(), "first");
  Check(tail_.last() == IdAt(Last()), "last");
  Check(tail_.applied() == applied_, "applied");
  Check(tail_.applying() == applying_, "applying");
  Check(tail_.committed() == committed_, "committed");
  Check(tail_.durable() == ExpectedDurable(), "durable");
  Check(tail_.first_resident() == resident_from_, "first resident");
  Check(tail_.submitted() >= tail_.durable() && tail_.submitted() <= Last(), "submitted");
}

void LogTwin::CompareContent() {
  Check(tail_.TermAt(base_.index) == std::optional(base_.term), "the term of base");
  Check(!tail_.TermAt(Last().Next()).has_value(), "a term beyond the end");
  if (!base_.index.IsZero()) {
    Check(!tail_.TermAt(base_.index.Prev()).has_value(), "a term before base");
  }
  std::size_t bytes = 0;
  for (const auto& [index, item] : log_) {
    Check(tail_.TermAt(index) == std::optional(item.entry.id.term), "a term");
    if (index >= resident_from_) bytes += item.entry.size_bytes();
  }
  Check(tail_.resident_bytes() == bytes, "resident bytes");
  const std::optional<LogSlice> all = tail_.Read(resident_from_.Prev(), Last(), SIZE_MAX);
  Check(all && all->prev == IdAt(resident_from_.Prev()), "reading all");
  if (!all) return;
  auto it = log_.lower_bound(resident_from_);
  for (const Entry& entry : all->entries) {
    if (it == log_.end()) return Check(false, "too many entries");
    Check(it->second.entry == entry, "an entry");
    ++it;
  }
  Check(it == log_.end(), "entries are missing");
}

void LogTwin::CompareRandomRead() {
  const Index prev(random_.Below(Last().value() + 3));
  const Index to = prev.Plus(random_.Below(5));
  const std::size_t max_bytes = random_.Below(200);
  const std::optional<LogSlice> slice = tail_.Read(prev, to, max_bytes);
  const bool readable = prev >= base_.index && prev.Next() >= resident_from_ && prev <= Last();
  Check(slice.has_value() == readable, "whether a range is readable");
  if (slice) {
    std::size_t bytes = 0;
    Index index = prev;
    for (const Entry& entry : slice->entries) {
      index = index.Next();
      bytes += entry.size_bytes();
      Check(index <= to && log_.contains(index) && log_.at(index).entry == entry, "a range");
    }
    Check(slice->entries.size() <= 1 || bytes <= max_bytes, "the size of a range");
    const bool more = index < std::min(to, Last());
    Check(!more || (index > prev && bytes + log_.at(index.Next()).entry.size_bytes() > max_bytes),
          "a range that ends too early");
    if (slice->last().index > base_.index) {
      Check(tail_.BytesBetween(prev, slice->last().index) == bytes, "bytes of a range");
    }
  }
  const LogId id{Term(random_.Below(term_.value() + 2)), Index(random_.Below(Last().value() + 3))};
  LogId agreement = base_;
  for (const auto& [index, item] : log_) {
    if (index <= id.index && item.entry.id.term <= id.term) agreement = item.entry.id;
  }
  Check(tail_.FindAgreement(id) == agreement, "the agreement with " + ToString(id));
}

// A mark is current when the very entry that it ends with is still there. The tail may forget that
// it is for marks older than what the disk has since learnt, but never says it when it is not.
void LogTwin::CompareMarks() {
  for (const Flight& flight : in_flight_) {
    Check(!tail_.IsCurrent(flight.write.mark), "a mark that is in flight");
  }
  for (const Flight& flight : acknowledged_) {
    const Mark& mark = flight.write.mark;
    // A mark of an empty log covers nothing, which stays true.
    const bool there = mark.index.IsZero() || NumberAt(mark.index) == flight.last_number;
    Check(there || !tail_.IsCurrent(mark), "a mark that is void");
    if (there && mark.epoch == acknowledged_.back().write.mark.epoch) {
      Check(tail_.IsCurrent(mark), "a mark that is current");
    }
  }
}

LogId LogTwin::IdAt(Index index) const {
  return index == base_.index ? base_ : log_.at(index).entry.id;
}

Index LogTwin::Last() const { return log_.empty() ? base_.index : log_.rbegin()->first; }

// Up to where the disk has not only the same (index, term) but the same entries.
Index LogTwin::ExpectedDurable() const {
  Index durable = base_.index;
  for (const auto& [index, item] : log_) {
    const auto it = disk_.find(index);
    if (it == disk_.end() || it->second.number != item.number) break;
    durable = index;
  }
  return durable;
}

std::uint64_t LogTwin::NumberAt(Index index) const {
  const auto it = numbers_.find(index);
  return it == numbers_.end() ? UINT64_MAX : it->second;
}

void LogTwin::WriteToDisk(const Flight& flight) {
  const LogTail::Write& write = flight.write;
  if (write.reset) {
    disk_.clear();
    disk_base_ = write.slice.prev;
  }
  const auto after = disk_.upper_bound(write.slice.prev.index);
  Check(write.cut || after == disk_.end(), "a write that replaces entries does not say so");
  disk_.erase(after, disk_.end());
  for (const auto& [index, item] : flight.entries) {
    if (index > disk_base_.index) disk_[index] = item;
  }
  disk_commit_ = std::max(disk_commit_, flight.commit);
}

// The payload is a function of the id: two entries with one id are the same (Raft 5.3).
Entry LogTwin::MakeEntry(LogId id) const {
  const std::uint64_t size = (id.index.value() * 7 + id.term.value() * 3) % 40;
  const char letter = static_cast<char>('a' + (id.index.value() + id.term.value()) % 26);
  return {.id = id, .type = EntryType::kNormal, .payload = Bytes(std::string(size, letter))};
}

Index LogTwin::Between(Index low, Index high) {
  return low.Plus(random_.Below(high.DistanceFrom(low) + 1));
}

}  // namespace rutile::raft::testing
