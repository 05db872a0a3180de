#include "store/apply_queue.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/buggify.h"
#include "base/check.h"
#include "codec/integers.h"
#include "codec/keys.h"
#include "store/membership.h"

namespace rutile::store {

std::string EncodeApplied(LogId id) {
  std::string out;
  codec::PutVarint(&out, id.term.value());
  codec::PutVarint(&out, id.index.value());
  return out;
}

Result<LogId> DecodeApplied(std::string_view bytes) {
  codec::Reader reader(bytes);
  const Term term(reader.Varint());
  const Index index(reader.Varint());
  if (!reader.Done()) return Status(Code::kCorruption, "applied position: wrong length");
  return LogId{term, index};
}

namespace {

void Add(const engine::WriteBatch::Change& change, engine::WriteBatch* batch) {
  using Kind = engine::WriteBatch::Kind;
  switch (change.kind) {
    case Kind::kPut: return batch->Put(change.family, change.key, change.value);
    case Kind::kDelete: return batch->Delete(change.family, change.key);
    case Kind::kDeleteRange: return batch->DeleteRange(change.family, change.key, change.value);
  }
}

}  // namespace

// Collects the changes of many entries. Whatever reaches the engine carries the position of the
// last whole entry in it: a crash between two writes of one turn repeats nothing.
class ApplyQueue::Batch final : public ApplyBatch {
 public:
  Batch(ApplyQueue& queue) : queue_(queue) {}  // NOLINT(google-explicit-constructor)

  engine::WriteBatch& changes() override { return changes_; }
  void NoteMarks() override { has_marks_ = true; }

  Result<std::optional<std::string>> Get(engine::Family family, std::string_view key) override {
    RUTILE_RETURN_IF_ERROR(Flush());
    return queue_.engine_.Get(family, key);
  }

  // The current entry is complete.
  void Advance(LogId id) {
    reached_ = id;
    complete_ = changes_.changes().size();
  }
  // The last entry that was complete.
  LogId reached() const { return reached_; }

  Status Flush() {
    if (reached_ == queue_.applied_) return {};
    engine::WriteBatch current = TakeCurrent();
    changes_.Put(engine::Family::kMeta, codec::AppliedKey(queue_.options_.region.id),
                 EncodeApplied(reached_));
    RUTILE_RETURN_IF_ERROR(Write());
    changes_ = std::move(current);
    complete_ = 0;
    // Whether the rest has some is not known.
    has_marks_ = has_marks_ && !changes_.empty();
    queue_.applied_ = reached_;
    return {};
  }

 private:
  Status Write() {
    queue_.CountRecords(changes_);
    if (!has_marks_) return queue_.engine_.Write(changes_);
    queue_.marks_.BeginChange();
    Status status = queue_.engine_.Write(changes_);
    queue_.EndMarksChange();
    return status;
  }

  // What the entry that is being applied has put so far, if it reads after that: half an entry must
  // not reach the engine, least of all under the position of the one before.
  engine::WriteBatch TakeCurrent() {
    engine::WriteBatch current;
    if (complete_ == changes_.changes().size()) return current;
    engine::WriteBatch complete;
    for (std::size_t i = 0; i < changes_.changes().size(); ++i) {
      Add(changes_.changes()[i], i < complete_ ? &complete : &current);
    }
    changes_ = std::move(complete);
    return current;
  }

  ApplyQueue& queue_;
  engine::WriteBatch changes_;
  std::size_t complete_ = 0;  // So many of the changes are of whole entries.
  LogId reached_ = queue_.applied_;
  bool has_marks_ = false;
};

ApplyQueue::ApplyQueue(const Options& options, engine::KvEngine& engine, FileSystem& files,
                       Executor& executor, std::unique_ptr<StateMachine> machine, LogId applied,
                       Callbacks callbacks)
    : options_(options),
      engine_(engine),
      files_(files),
      executor_(executor),
      callbacks_(std::move(callbacks)),
      machine_(std::move(machine)),
      applied_(applied),
      region_(options.region) {
  if (options_.filter != nullptr) options_.filter->Learn(region_);
}

void ApplyQueue::PushEntries(LogSlice slice, std::vector<Proposal> proposals) {
  Push({.slice = std::move(slice), .proposals = std::move(proposals)});
}

void ApplyQueue::PushInstall(LogId id) { Push({.install = id}); }

void ApplyQueue::PushStop(Stopped stopped) { Push({.stopped = std::move(stopped)}); }

void ApplyQueue::Push(Work work) {
  work.since = Now();
  {
    MutexLock lock(mutex_);
    waiting_.push_back(std::move(work));
    if (std::exchange(scheduled_, true)) return;
  }
  Schedule();
}

void ApplyQueue::MayInstall() {
  {
    MutexLock lock(mutex_);
    ++installs_allowed_;
    if (std::exchange(scheduled_, true)) return;
  }
  Schedule();
}

void ApplyQueue::Schedule() {
  if (!owner_) return executor_.Post([this] { Run(); });
  executor_.Post([this, owner = *owner_] {
    if (const auto alive = owner.lock()) Run();
  });
}

std::vector<ApplyQueue::Work> ApplyQueue::Take() {
  MutexLock lock(mutex_);
  scheduled_ = false;
  auto end = waiting_.begin();
  for (; end != waiting_.end(); ++end) {
    if (!end->install) continue;
    if (installs_allowed_ == 0) break;
    --installs_allowed_;
  }
  std::vector<Work> works(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(end));
  waiting_.erase(waiting_.begin(), end);
  return works;
}

void ApplyQueue::Run() {
  std::vector<Work> works = Take();
  if (works.empty()) return;
  if (failed_) return;
  const Instant begin = Now();
  const Instant oldest = works.front().since;
  Status status = Apply(std::move(works));
  if (options_.metrics != nullptr) {
    options_.metrics->apply_wait.Observe(begin - oldest);
    options_.metrics->apply_time.Observe(Now() - begin);
  }
  if (!status.ok()) {
    failed_ = true;
    callbacks_.on_failure(std::move(status).WithContext("region " + ToString(options_.region.id) +
                                                        ": apply after " + ToString(applied_)));
  }
}

Status ApplyQueue::Apply(std::vector<Work> works) {
  std::vector<Answer> answers;
  Batch batch(*this);
  Stopped stopped;
  for (Work& work : works) {
    if (work.stopped) {
      stopped = std::move(work.stopped);
      break;
    }
    if (work.install) {
      RUTILE_RETURN_IF_ERROR(batch.Flush());
      marks_.BeginChange();
      RUTILE_RETURN_IF_ERROR(Install(*work.install));
      EndMarksChange();
      batch.Advance(applied_);
    } else {
      RUTILE_RETURN_IF_ERROR(ApplyEntries(work, batch, answers));
    }
  }
  RUTILE_RETURN_IF_ERROR(batch.Flush());
  if (std::exchange(region_changed_, false)) callbacks_.on_region(region_);
  callbacks_.on_applied(applied_.index);
  for (Answer& answer : answers) answer.done(std::move(answer.outcome));
  if (stopped) {
    failed_ = true;
    stopped(region_);
  }
  return {};
}

void ApplyQueue::CountRecords(const engine::WriteBatch& changes) {
  const auto count =
      std::count_if(changes.changes().begin(), changes.changes().end(),
                    [](const auto& change) { return change.family == engine::Family::kWrite; });
  if (count == 0) return;
  records_changed_.fetch_add(static_cast<std::uint64_t>(count), std::memory_order_relaxed);
}

void ApplyQueue::EndMarksChange() {
  marks_.EndChange();
  if (options_.filter != nullptr) options_.filter->Learn(region_);
}

// In the same batch as the position, so that the descriptor is that of the position always: it goes
// into snapshots, and into the core at the next start.
Status ApplyQueue::ApplyConfiguration(const Entry& entry, Batch& batch) {
  RUTILE_ASSIGN_OR_RETURN(region_, RegionAfter(region_, entry.payload.view()));
  batch.changes().Put(engine::Family::kMeta, codec::RegionKey(region_.id), EncodeRegion(region_));
  region_changed_ = true;
  return {};
}

Status ApplyQueue::ApplyEntries(Work& work, Batch& batch, std::vector<Answer>& answers) {
  // Applied twice or left out, an entry would make this replica differ from the others for good.
  RUTILE_CHECK(work.slice.prev == batch.reached(), "a slice that does not continue the last one");
  auto proposal = work.proposals.begin();
  for (const Entry& entry : work.slice.entries) {
    WriteOutcome outcome;
    if (entry.type == EntryType::kNormal) {
      RUTILE_ASSIGN_OR_RETURN(outcome, machine_->Apply(entry.id, entry.payload.view(), batch));
    } else if (entry.type == EntryType::kConfig) {
      RUTILE_RETURN_IF_ERROR(ApplyConfiguration(entry, batch));
    }
    batch.Advance(entry.id);
    if (proposal != work.proposals.end() && proposal->id == entry.id) {
      answers.push_back({std::move(proposal->done), std::move(outcome)});
      ++proposal;
    }
    if (batch.changes().size_bytes() >= options_.max_batch_bytes ||
        RUTILE_BUGGIFY("buggify store: what was applied is written early")) {
      RUTILE_RETURN_IF_ERROR(batch.Flush());
    }
  }
  RUTILE_CHECK(proposal == work.proposals.end(), "a proposal without its entry");
  return {};
}

Status ApplyQueue::Install(LogId id) {
  const SnapshotFile file(files_, options_.region.id, id);
  RUTILE_ASSIGN_OR_RETURN(SnapshotReader reader, file.OpenForReading());
  engine::WriteBatch changes;
  if (!region_.IsWaiting()) {
    // (A replica that was waiting has no data, and does not know yet which keys are its own.)
    for (const DataRange& range : machine_->Ranges()) {
      changes.DeleteRange(range.family, range.begin, range.end);
    }
  }
  // Until the last batch the engine holds a mixture under the old applied position. A crash in
  // between is repaired at start: the log says that it begins after `id`, the engine is behind
  // that, so the install is repeated from the file, which stays until the result is durable.
  SnapshotRecord record;
  while (true) {
    RUTILE_ASSIGN_OR_RETURN(const bool more, reader.Next(&record));
    if (!more) break;
    changes.Put(record.family, std::move(record.key), std::move(record.value));
    if (changes.size_bytes() < options_.max_batch_bytes &&
        !RUTILE_BUGGIFY("buggify store: a snapshot is installed in more steps")) {
      continue;
    }
    CountRecords(changes);
    RUTILE_RETURN_IF_ERROR(engine_.Write(changes));
    changes.Clear();
  }
  CountRecords(changes);
  changes.Put(engine::Family::kMeta, codec::AppliedKey(options_.region.id), EncodeApplied(id));
  RUTILE_RETURN_IF_ERROR(engine_.Write(changes));
  RUTILE_RETURN_IF_ERROR(engine_.Flush());
  applied_ = id;
  RUTILE_RETURN_IF_ERROR(machine_->Load(engine_));
  // The descriptor came with the data.
  RUTILE_ASSIGN_OR_RETURN(const std::optional<std::string> descriptor,
                          engine_.Get(engine::Family::kMeta, codec::RegionKey(region_.id)));
  if (!descriptor) {
    return Status(Code::kCorruption, "the snapshot at " + ToString(id) + " has no descriptor");
  }
  RUTILE_ASSIGN_OR_RETURN(region_, DecodeRegion(*descriptor));
  region_changed_ = true;
  return file.Remove();
}

}  // namespace rutile::store
