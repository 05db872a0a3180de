#include "raft/testing/log_twin.h"

#include <algorithm>
#include <utility>

namespace rutile::raft::testing {
namespace {

constexpr std::uint64_t kMaxLog = 40;
constexpr std::size_t kRememberedMarks = 4;
constexpr std::uint64_t kRememberedNumbers = 1000;  // More than any remembered mark is behind.

}  // namespace

LogTwin::LogTwin(std::uint64_t seed) : random_(seed), tail_(LogId{}) {
  applied_ids_[base_.index] = base_;
  numbers_[base_.index] = 0;
}

std::string LogTwin::Step() {
  differs_.clear();
  const std::uint64_t dice = random_.Below(100);
  if (dice < 22) {
    AppendAsFollower();
  } else if (dice < 32) {
    AppendAsLeader();
  } else if (dice < 44) {
    Commit();
  } else if (dice < 58) {
    TakeWrite();
  } else if (dice < 72) {
    Acknowledge();
  } else if (dice < 80) {
    HandOut();
  } else if (dice < 86) {
    Apply();
  } else if (dice < 91) {
    Compact();
  } else if (dice < 97) {
    Evict();
  } else if (dice < 98) {
    Snapshot();
  } else {
    Restart();
  }
  if (random_.OneIn(16)) term_ = term_.Next();
  CompareCursors();
  CompareContent();
  CompareRandomRead();
  CompareMarks();
  return differs_;
}

void LogTwin::Put(const Entry& entry) {
  const Index index = entry.id.index;
  log_.erase(log_.lower_bound(index), log_.end());
  numbers_.erase(numbers_.lower_bound(index), numbers_.end());
  log_[index] = {entry, next_number_};
  numbers_[index] = next_number_++;
}

// --- Operations. Each does to the maps what it asks of the tail.

void LogTwin::AppendAsFollower() {
  // Anywhere from a little below base (as a late duplicate may) to the end; often at the end.
  Index prev = random_.OneIn(3) ? Last() : Between(base_.index, Last());
  const bool below_base = base_.index > Index(3) && random_.OneIn(10);
  LogSlice slice;
  if (below_base) {
    slice.prev = {Term(), base_.index.Prev().Prev()};
    prev = base_.index;
  } else {
    slice.prev = IdAt(prev);
  }
  Term term = IdAt(prev).term;
  if (below_base) {
    if (term < term_ && random_.OneIn(4)) term = term.Next();  // Not what was committed there.
    slice.entries.push_back(MakeEntry({Term(), base_.index.Prev()}));
    slice.entries.push_back(MakeEntry({term, base_.index}));
  }
  const std::uint64_t count = random_.Below(Last().DistanceFrom(base_.index) > kMaxLog ? 1 : 6);
  for (std::uint64_t i = 1; i <= count; ++i) {
    // Now the same as what is here, now another term: sometimes one that was here before.
    const Index index = prev.Plus(i);
    const bool same = index <= Last() && IdAt(index).term >= term && random_.Below(4) != 0;
    if (same) {
      term = IdAt(index).term;
    } else if (random_.OneIn(3)) {
      term = Term(term.value() + random_.Below(term_.value() - term.value() + 1));
    }
    slice.entries.push_back(MakeEntry({term, index}));
  }
  operation_ = "append after " + ToString(slice.prev) + " to " + ToString(slice.last());

  std::size_t conflict = 0;
  for (; conflict < slice.entries.size(); ++conflict) {
    const LogId id = slice.entries[conflict].id;
    if (id.index > Last() || (id.index >= base_.index && IdAt(id.index) != id)) break;
  }
  const bool legal =
      conflict == slice.entries.size() || slice.entries[conflict].id.index > committed_;
  Check(tail_.Append(slice) == legal, "the verdict on a conflict");
  if (!legal) return;
  for (; conflict < slice.entries.size(); ++conflict) Put(slice.entries[conflict]);
}

void LogTwin::AppendAsLeader() {
  if (Last().DistanceFrom(base_.index) > kMaxLog) return;
  const Entry entry = MakeEntry({term_, Last().Next()});
  operation_ = "append own " + ToString(entry.id);
  tail_.AppendOwn(term_, entry.type, entry.payload);
  Put(entry);
}

void LogTwin::Commit() {
  const Index to = Between(base_.index, Last());
  operation_ = "commit " + ToString(to);
  tail_.CommitTo(to);
  committed_ = std::max(committed_, to);
}

void LogTwin::TakeWrite() {
  operation_ = "take write";
  if (!tail_.HasWrite() && !random_.OneIn(4)) return;
  Flight flight{.write = tail_.TakeWrite(term_), .commit = committed_};
  for (const Entry& entry : flight.write.slice.entries) {
    const auto it = log_.find(entry.id.index);
    Check(it != log_.end() && it->second.entry == entry, "an entry of a write");
    if (it != log_.end()) flight.entries[entry.id.index] = it->second;
  }
  Check(flight.write.slice.last().index == Last(), "the end of a write");
  Check(flight.write.mark.index == Last(), "the index of a mark");
  Check(!tail_.HasWrite(), "nothing is left to write");
  flight.last_number = NumberAt(Last());
  in_flight_.push_back(std::move(flight));
}

void LogTwin::Acknowledge() {
  operation_ = "acknowledge";
  if (!acknowledged_.empty() && random_.OneIn(3)) {  // Repeated, or later than newer ones.
    const auto& old = acknowledged_[random_.Below(acknowledged_.size())];
    Check(!tail_.OnDurable(old.write.mark), "an old acknowledgement moved the tail");
    return;
  }
  if (random_.OneIn(20)) {  // Of a write that was never made.
    Mark mark{.term = term_, .epoch = tail_.epoch(), .index = Last()};
    mark.write = tail_.issued_write().Plus(1 + random_.Below(3));
    Check(!tail_.OnDurable(mark), "a foreign acknowledgement moved the tail");
    return;
  }
  if (in_flight_.empty()) return;
  const std::size_t count = 1 + random_.Below(in_flight_.size());
  const Mark mark = in_flight_[count - 1].write.mark;
  const Index before = ExpectedDurable();
  for (std::size_t i = 0; i < count; ++i) {
    WriteToDisk(in_flight_.front());
    acknowledged_.push_back(std::move(in_flight_.front()));
    in_flight_.pop_front();
  }
  while (acknowledged_.size() > kRememberedMarks) acknowledged_.pop_front();
  operation_ += " " + ToString(mark);
  Check(tail_.OnDurable(mark) == (ExpectedDurable() > before), "whether durable moved");
}

void LogTwin::HandOut() {
  LogTail::HandOutRule rule{.is_leader = random_.OneIn(2),
                            .term = random_.OneIn(2) ? term_ : IdAt(Last()).term,
                            .before_durable = !random_.OneIn(4),
                            .max_bytes = random_.Below(200)};
  Index limit = base_.index;
  const Index durable = ExpectedDurable();
  for (Index i = base_.index.Next(); i <= committed_; i = i.Next(), limit = limit.Next()) {
    const bool own = rule.is_leader && rule.before_durable && IdAt(i).term == rule.term;
    if (i > durable && !own) break;
  }
  Check(tail_.HandOutLimit(rule) == limit, "the limit of handing out");
  const LogSlice slice = tail_.HandOut(rule);
  operation_ = "hand out to " + ToString(slice.last());
  Check(slice.prev == IdAt(applying_), "where handing out continues");
  Check(slice.empty() == (limit <= applying_), "whether anything is handed out");
  std::size_t bytes = 0;
  for (const Entry& entry : slice.entries) {
    bytes += entry.size_bytes();
    applying_ = applying_.Next();
    Check(log_.contains(applying_) && log_.at(applying_).entry == entry, "an entry handed out");
  }
  Check(slice.entries.size() <= 1 || bytes <= rule.max_bytes, "the size of what is handed out");
}

void LogTwin::Apply() {
  const Index to = Between(applied_, applying_);
  operation_ = "applied " + ToString(to);
  tail_.OnApplied(to);
  applied_ = to;
  applied_ids_[to] = IdAt(to);
}

void LogTwin::Compact() {
  const Index to = Between(base_.index, std::min(applied_, ExpectedDurable()));
  operation_ = "compact " + ToString(to);
  if (to == base_.index) return tail_.CompactTo(to);
  base_ = IdAt(to);
  numbers_.erase(
      numbers_.begin(),
      numbers_.lower_bound(Index(to.value() - std::min(to.value(), kRememberedNumbers))));
  tail_.CompactTo(to);
  log_.erase(log_.begin(), log_.upper_bound(to));
  resident_from_ = std::max(resident_from_, to.Next());
  // The engine's data is flushed before the log is let go of.
  applied_ids_.erase(applied_ids_.begin(), applied_ids_.lower_bound(to));
  applied_ids_[to] = base_;
  disk_base_ = base_;
  disk_.erase(disk_.begin(), disk_.upper_bound(to));
}

void LogTwin::Evict() {
  const std::size_t keep = random_.Below(400);
  std::size_t resident = 0;
  for (auto it = log_.lower_bound(resident_from_); it != log_.end(); ++it) {
    resident += it->second.entry.size_bytes();
  }
  const Index limit = std::min(ExpectedDurable(), applying_);
  std::size_t freed = 0;
  while (resident - freed > keep && resident_from_ <= limit && resident_from_ <= Last()) {
    freed += log_.at(resident_from_).entry.size_bytes();
    resident_from_ = resident_from_.Next();
  }
  operation_ = "evict to " + std::to_string(keep);
  Check(tail_.Evict(keep) == freed, "the bytes freed");
}

void LogTwin::Snapshot() {
  const LogId id{term_, committed_.Plus(1 + random_.Below(8))};
  if (tail_.Contains(id)) return;
  operation_ = "reset to " + ToString(id);
  tail_.Reset(id);
  base_ = id;
  log_.clear();
  numbers_.clear();
  numbers_[id.index] = next_number_++;
  resident_from_ = id.index.Next();
  committed_ = applying_ = applied_ = id.index;
  applied_ids_.clear();
  applied_ids_[id.index] = id;
}

// A power cut: of the writes in flight some of the oldest survive; the engine has lost what it had
// not flushed.
void LogTwin::Restart() {
  for (std::size_t n = random_.Below(in_flight_.size() + 1); n > 0; --n) {
    WriteToDisk(in_flight_.front());
    in_flight_.pop_front();
  }
  in_flight_.clear();
  acknowledged_.clear();
  auto at = std::next(applied_ids_.begin(),
                      static_cast<std::ptrdiff_t>(random_.Below(applied_ids_.size())));
  if (at->first < disk_base_.index) at = applied_ids_.lower_bound(disk_base_.index);
  const LogId applied = at->second;
  operation_ = "restart with applied " + ToString(applied);

  const LogId disk_last = disk_.empty() ? disk_base_ : disk_.rbegin()->second.entry.id;
  const Index from = Between(disk_base_.index, std::min(disk_last.index, applied.index));
  LogTail::Recovered found{.base = disk_base_, .committed = disk_commit_, .applied = applied};
  found.resident.prev = from == disk_base_.index ? disk_base_ : disk_.at(from).entry.id;
  for (const auto& [index, item] : disk_) {
    if (found.runs.empty() || found.runs.back().term != item.entry.id.term) {
      found.runs.push_back({index, item.entry.id.term});
    }
    if (index > from) found.resident.entries.push_back(item.entry);
  }
  tail_ = LogTail::Recover(std::move(found));

  const bool have = applied == disk_base_ ||
                    (disk_.contains(applied.index) && disk_.at(applied.index).entry.id == applied);
  base_ = have ? disk_base_ : applied;
  log_ = have ? disk_ : Log();
  numbers_.clear();
  numbers_[base_.index] = next_number_++;
  for (const auto& [index, item] : log_) numbers_[index] = item.number;
  resident_from_ = have ? from.Next() : applied.index.Next();
  applied_ = applying_ = applied.index;
  committed_ = have ? std::max(applied.index, disk_commit_) : applied.index;
  applied_ids_.erase(applied_ids_.upper_bound(applied.index), applied_ids_.end());
}

}  // namespace rutile::raft::testing
