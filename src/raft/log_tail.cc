#include "raft/log_tail.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace rutile::raft {

LogTail::LogTail(LogId base)
    : base_(base),
      last_(base),
      applied_(base.index),
      applying_(base.index),
      committed_(base.index),
      durable_(base.index),
      submitted_(base.index) {}

LogTail LogTail::Recover(Recovered recovered) {
  const LogId base = recovered.base;
  const LogId applied = recovered.applied;
  const LogSlice& resident = recovered.resident;
  RUTILE_CHECK(applied.index >= base.index, "the state machine is behind the compacted log");
  RUTILE_CHECK(resident.Validate());
  RUTILE_CHECK(resident.prev.index >= base.index);

  LogTail tail(base);
  // Terms of what is on disk only, then what is in memory, which says the same where they overlap.
  for (const TermRun& run : recovered.runs) {
    if (run.start > resident.prev.index) break;
    tail.runs_.push_back({std::max(run.start, base.index.Next()), run.term});
  }
  RUTILE_CHECK(!tail.runs_.empty() || resident.prev == base, "the terms of the log are missing");
  tail.last_ = resident.prev;
  RUTILE_CHECK(tail.TermAt(resident.prev.index) == std::optional(resident.prev.term),
               "runs and resident entries disagree: " + tail.DebugString());
  for (Entry& entry : recovered.resident.entries) tail.PushEntry(std::move(entry));

  // The entry that was applied may be missing, or stand behind a cut that the disk had not learnt
  // of: a leader applies entries of its own before its disk has them. Either way nothing on this
  // disk follows what was applied, and the log starts anew there.
  if (!tail.Contains(applied)) {
    tail = LogTail(applied);
    tail.reset_pending_ = true;
    tail.CheckInvariants();
    return tail;
  }
  RUTILE_CHECK(resident.prev.index <= applied.index, "entries to be applied are not resident");
  tail.durable_ = tail.submitted_ = tail.last_.index;
  tail.applied_ = tail.applying_ = applied.index;
  // The stored commit index is a lower bound, written together with what it covers.
  tail.committed_ = std::max(applied.index, std::min(recovered.committed, tail.last_.index));
  tail.CheckInvariants();
  return tail;
}

std::optional<Term> LogTail::TermBefore(Index index) const {
  if (index == base_.index) return base_.term;
  if (index < base_.index || index > last_.index) return std::nullopt;
  return std::prev(RunAfter(index))->term;
}

LogId LogTail::FindAgreement(LogId id) const {
  Index end = last_.index;
  for (auto run = std::make_reverse_iterator(runs_.end());
       run != std::make_reverse_iterator(runs_.begin()); ++run) {
    if (run->start <= id.index && run->term <= id.term) {
      return {run->term, std::min(id.index, end)};
    }
    end = run->start.Prev();
  }
  return base_;
}

std::optional<LogSlice> LogTail::Read(Index prev, Index to, std::size_t max_bytes) const {
  std::optional<LogSlice> slice(std::in_place);
  if (!ReadInto(*slice, prev, to, max_bytes)) slice.reset();
  return slice;
}

bool LogTail::ReadInto(LogSlice& out, Index prev, Index to, std::size_t max_bytes) const {
  const std::optional<Term> prev_term = TermAt(prev);
  if (!prev_term || prev.Next() < first_resident()) return false;
  out.prev = {*prev_term, prev};
  to = std::min(to, last_.index);
  if (to <= prev) return true;

  const std::size_t begin = prev.Next().DistanceFrom(first_resident());
  const std::size_t limit = begin + to.DistanceFrom(prev);
  std::size_t end = begin + 1;
  if (end < limit) {
    std::size_t bytes = resident_[begin].size_bytes();
    while (end < limit && (bytes += resident_[end].size_bytes()) <= max_bytes) ++end;
    out.entries.reserve(end - begin);
  }
  Index index = prev;
  auto run = RunAfter(prev.Next());
  for (std::size_t i = begin; i < end; ++i) {
    index = index.Next();
    if (run != runs_.end() && run->start == index) ++run;
    const Resident& from = resident_[i];
    Entry& entry = out.entries.emplace_back();  // Filled in field by field: nothing is made twice.
    entry.id.term = std::prev(run)->term;
    entry.id.index = index;
    entry.type = from.type;
    entry.payload = from.payload;
  }
  return true;
}

LogTail::Runs::const_iterator LogTail::RunAfter(Index index) const {
  // Nearly always asked of the newest.
  if (index >= runs_.back().start) return runs_.end();
  return std::upper_bound(runs_.begin(), runs_.end(), index,
                          [](Index i, const TermRun& run) { return i < run.start; });
}

std::size_t LogTail::BytesBetween(Index from, Index to) const {
  RUTILE_CHECK(from.Next() >= first_resident() && to <= last_.index, DebugString());
  std::size_t bytes = 0;
  for (Index i = from.Next(); i <= to; i = i.Next()) {
    bytes += resident_[i.DistanceFrom(first_resident())].size_bytes();
  }
  return bytes;
}

bool LogTail::Append(LogSlice&& slice) {
  RUTILE_DCHECK(slice.Validate());
  RUTILE_CHECK(slice.prev.index < base_.index || Contains(slice.prev), DebugString());
  // Raft 5.3: what is here already stays, the first conflict and all that follows it goes.
  std::size_t skip = 0;
  while (skip < slice.entries.size()) {
    const LogId id = slice.entries[skip].id;
    if (id.index >= base_.index && !Contains(id)) break;
    ++skip;
  }
  if (skip == slice.entries.size()) return true;
  const Index first_new = slice.entries[skip].id.index;
  if (first_new <= committed_) return false;
  if (first_new <= last_.index) CutFrom(first_new);
  for (; skip < slice.entries.size(); ++skip) PushEntry(std::move(slice.entries[skip]));
  CheckInvariants();
  return true;
}

void LogTail::AppendOwn(Term term, EntryType type, Bytes payload) {
  PushEntry({term, last_.index.Next()}, type, std::move(payload));
  CheckInvariants();
}

void LogTail::CommitTo(Index index) {
  RUTILE_CHECK(index <= last_.index, DebugString());
  committed_ = std::max(committed_, index);
}

void LogTail::Reset(LogId id) {
  RUTILE_CHECK(id.index > committed_ && !Contains(id), DebugString());
  resident_.clear();
  resident_bytes_ = 0;
  runs_.clear();
  base_ = last_ = id;
  applied_ = applying_ = committed_ = durable_ = submitted_ = id.index;
  RecordCut(Index(1));
  reset_pending_ = true;
  cut_pending_ = false;
  CheckInvariants();
}

bool LogTail::HasWrite() const {
  return submitted_ < last_.index || cut_pending_ || reset_pending_;
}

void LogTail::TakeWrite(Term term, Write& write) {
  RUTILE_CHECK(term >= last_.term, DebugString());
  issued_write_ = issued_write_.Next();
  write.mark = {.term = term, .epoch = epoch_, .index = last_.index, .write = issued_write_};
  write.reset = std::exchange(reset_pending_, false);
  write.cut = std::exchange(cut_pending_, false);
  RUTILE_CHECK(ReadInto(write.slice, submitted_, last_.index, SIZE_MAX),
               "what was not submitted is not resident: " + DebugString());
  submitted_ = last_.index;
}

bool LogTail::OnDurable(const Mark& mark) {
  if (mark.write <= durable_write_ || mark.write > issued_write_) return false;
  durable_write_ = mark.write;
  const Index reached = ClampToCuts(mark.epoch, mark.index);
  // Writes that are still in flight were issued after this one and know at least of its cuts.
  durable_epoch_ = mark.epoch;
  erase_if(cuts_, [&](const Cut& cut) { return cut.epoch <= mark.epoch; });
  if (reached <= durable_) return false;
  durable_ = reached;
  CheckInvariants();
  return true;
}

bool LogTail::IsCurrent(const Mark& mark) const {
  return mark.write <= durable_write_ && mark.epoch >= durable_epoch_ && mark.index <= durable_ &&
         ClampToCuts(mark.epoch, mark.index) == mark.index;
}

Index LogTail::HandOutLimit(const HandOutRule& rule) const {
  const Index on_disk = std::min(committed_, durable_);
  if (on_disk == committed_ || !rule.is_leader || !rule.before_durable) return on_disk;
  // Terms never decrease: if the first entry that the disk lacks is the leader's own, all are.
  return TermAt(on_disk.Next()) == std::optional(rule.term) ? committed_ : on_disk;
}

void LogTail::HandOut(const HandOutRule& rule, LogSlice& slice) {
  const Index limit = HandOutLimit(rule);
  if (limit <= applying_) {
    slice.prev = {*TermAt(applying_), applying_};
    return;
  }
  RUTILE_CHECK(ReadInto(slice, applying_, limit, rule.max_bytes),
               "what was not handed out is not resident: " + DebugString());
  applying_ = slice.last().index;
}

void LogTail::OnApplied(Index index) {
  RUTILE_CHECK(applied_ <= index && index <= applying_, DebugString());
  applied_ = index;
}

void LogTail::CompactTo(Index index) {
  if (index <= base_.index) return;
  RUTILE_CHECK(index <= std::min(applied_, durable_), DebugString());
  base_ = {*TermAt(index), index};
  while (!resident_.empty() && first_resident() <= index) PopFront();
  if (resident_.empty()) resident_.clear();  // An idle group shall own nothing for it.
  runs_.erase(runs_.begin(), std::prev(RunAfter(index.Next())));
  if (index == last_.index) {
    runs_.clear();
  } else {
    runs_.front().start = index.Next();
  }
  CheckInvariants();
}

std::size_t LogTail::Evict(std::size_t keep_bytes) {
  const std::size_t before = resident_bytes_;
  const Index limit = std::min(durable_, applying_);
  while (resident_bytes_ > keep_bytes && !resident_.empty() && first_resident() <= limit) {
    PopFront();
  }
  CheckInvariants();
  return before - resident_bytes_;
}

void LogTail::CutFrom(Index index) {
  RUTILE_CHECK(committed_ < index && index <= last_.index, DebugString());
  for (Index end = last_.index; !resident_.empty() && end >= index; end = end.Prev()) {
    resident_bytes_ -= resident_.back().size_bytes();
    resident_.pop_back();
  }
  while (!runs_.empty() && runs_.back().start >= index) runs_.pop_back();
  last_ = {runs_.empty() ? base_.term : runs_.back().term, index.Prev()};
  // The log writer has, or will get, entries that are no longer true.
  if (submitted_ >= index) cut_pending_ = true;
  submitted_ = std::min(submitted_, last_.index);
  durable_ = std::min(durable_, last_.index);
  RecordCut(index);
}

void LogTail::RecordCut(Index at) {
  epoch_ = epoch_.Next();
  // An earlier cut at or after this place is covered by this one: whatever is older than it is
  // older than this, and this one clamps lower.
  while (!cuts_.empty() && cuts_.back().at >= at) cuts_.pop_back();
  cuts_.push_back({.epoch = epoch_, .at = at});
}

void LogTail::PushEntry(LogId id, EntryType type, Bytes&& payload) {
  RUTILE_CHECK(id.index == last_.index.Next() && id.term >= last_.term, DebugString());
  if (runs_.empty() || runs_.back().term != id.term) runs_.emplace_back(id.index, id.term);
  last_ = id;
  resident_bytes_ += resident_.emplace_back(type, std::move(payload)).size_bytes();
}

void LogTail::PopFront() {
  resident_bytes_ -= resident_.front().size_bytes();
  resident_.pop_front();
}

Index LogTail::ClampToCuts(Epoch epoch, Index index) const {
  for (const Cut& cut : cuts_) {
    if (cut.epoch > epoch) index = std::min(index, cut.at.Prev());
  }
  return index;
}

void LogTail::CheckInvariants() const {
  RUTILE_CHECK(base_.index <= applied_, DebugString());
  RUTILE_CHECK(applied_ <= applying_, DebugString());
  RUTILE_CHECK(applying_ <= committed_, DebugString());
  RUTILE_CHECK(committed_ <= last_.index, DebugString());
  RUTILE_CHECK(base_.index <= durable_, DebugString());
  RUTILE_CHECK(durable_ <= submitted_, DebugString());
  RUTILE_CHECK(submitted_ <= last_.index, DebugString());
  RUTILE_CHECK(durable_write_ <= issued_write_, DebugString());
  RUTILE_CHECK(first_resident() > base_.index, DebugString());
  RUTILE_CHECK(first_resident() <= std::min(durable_, applying_).Next(), DebugString());
  RUTILE_DCHECK(ContentIsConsistent(), DebugString());
}

bool LogTail::ContentIsConsistent() const {
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < resident_.size(); ++i) bytes += resident_[i].size_bytes();
  if (bytes != resident_bytes_) return false;
  if (runs_.empty()) return base_ == last_;
  if (runs_.front().start != base_.index.Next() || runs_.front().term < base_.term) return false;
  for (std::size_t i = 1; i < runs_.size(); ++i) {
    if (runs_[i].start <= runs_[i - 1].start || runs_[i].term <= runs_[i - 1].term) return false;
  }
  return runs_.back().start <= last_.index && runs_.back().term == last_.term;
}

std::string LogTail::DebugString() const {
  return "base " + ToString(base_) + " applied " + ToString(applied_) + " applying " +
         ToString(applying_) + " committed " + ToString(committed_) + " durable " +
         ToString(durable_) + " submitted " + ToString(submitted_) + " last " + ToString(last_) +
         " resident from " + ToString(first_resident()) + " epoch " + ToString(epoch_) +
         " writes " + ToString(durable_write_) + "/" + ToString(issued_write_);
}

}  // namespace rutile::raft
