#include "store/apply_queue.h"

#include <utility>

#include "base/check.h"
#include "codec/integers.h"
#include "codec/keys.h"

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

// Collects the changes of many entries. Whatever reaches the engine carries the position of the
// last whole entry in it: a crash between two writes of one turn repeats nothing.
class ApplyQueue::Batch final : public ApplyBatch {
 public:
  Batch(ApplyQueue& queue) : queue_(queue) {}  // NOLINT(google-explicit-constructor)

  engine::WriteBatch& changes() override { return changes_; }

  Result<std::optional<std::string>> Get(engine::Family family, std::string_view key) override {
    RUTILE_RETURN_IF_ERROR(Flush());
    return queue_.engine_.Get(family, key);
  }

  // The current entry is complete.
  void Advance(LogId id) { reached_ = id; }

  Status Flush() {
    if (reached_ == queue_.applied_) return {};
    changes_.Put(engine::Family::kMeta, codec::AppliedKey(queue_.options_.region),
                 EncodeApplied(reached_));
    RUTILE_RETURN_IF_ERROR(queue_.engine_.Write(changes_));
    changes_.Clear();
    queue_.applied_ = reached_;
    return {};
  }

 private:
  ApplyQueue& queue_;
  engine::WriteBatch changes_;
  LogId reached_ = queue_.applied_;
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
      applied_(applied) {}

void ApplyQueue::PushEntries(LogSlice slice, std::vector<Proposal> proposals) {
  Push({.slice = std::move(slice), .proposals = std::move(proposals), .install = {}});
}

void ApplyQueue::PushInstall(LogId id) { Push({.slice = {}, .proposals = {}, .install = id}); }

void ApplyQueue::Push(Work work) {
  {
    MutexLock lock(mutex_);
    waiting_.push_back(std::move(work));
    if (scheduled_) return;
    scheduled_ = true;
  }
  executor_.Post([this] { Run(); });
}

void ApplyQueue::Run() {
  std::vector<Work> works;
  {
    MutexLock lock(mutex_);
    works.swap(waiting_);
    scheduled_ = false;
  }
  if (failed_) return;
  if (Status status = Apply(std::move(works)); !status.ok()) {
    failed_ = true;
    callbacks_.on_failure(std::move(status).WithContext("region " + ToString(options_.region) +
                                                        ": apply after " + ToString(applied_)));
  }
}

Status ApplyQueue::Apply(std::vector<Work> works) {
  std::vector<Answer> answers;
  Batch batch(*this);
  for (Work& work : works) {
    if (work.install) {
      RUTILE_RETURN_IF_ERROR(batch.Flush());
      RUTILE_RETURN_IF_ERROR(Install(*work.install));
      batch.Advance(applied_);
    } else {
      RUTILE_RETURN_IF_ERROR(ApplyEntries(work, batch, answers));
    }
  }
  RUTILE_RETURN_IF_ERROR(batch.Flush());
  callbacks_.on_applied(applied_.index);
  for (Answer& answer : answers) answer.done(std::move(answer.outcome));
  return {};
}

Status ApplyQueue::ApplyEntries(Work& work, Batch& batch, std::vector<Answer>& answers) {
  auto proposal = work.proposals.begin();
  for (const Entry& entry : work.slice.entries) {
    WriteOutcome outcome;
    if (entry.type == EntryType::kNormal) {
      RUTILE_ASSIGN_OR_RETURN(outcome, machine_->Apply(entry.id, entry.payload.view(), batch));
    }
    batch.Advance(entry.id);
    if (proposal != work.proposals.end() && proposal->id == entry.id) {
      answers.push_back({std::move(proposal->done), std::move(outcome)});
      ++proposal;
    }
    if (batch.changes().size_bytes() >= options_.max_batch_bytes) {
      RUTILE_RETURN_IF_ERROR(batch.Flush());
    }
  }
  RUTILE_CHECK(proposal == work.proposals.end(), "a proposal without its entry");
  return {};
}

Status ApplyQueue::Install(LogId id) {
  const SnapshotFile file(files_, options_.region, id);
  RUTILE_ASSIGN_OR_RETURN(SnapshotReader reader, file.OpenForReading());
  engine::WriteBatch changes;
  for (const DataRange& range : machine_->Ranges()) {
    changes.DeleteRange(range.family, range.begin, range.end);
  }
  // Until the last batch the engine holds a mixture under the old applied position. A crash in
  // between is repaired at start: the log says that it begins after `id`, the engine is behind
  // that, so the install is repeated from the file, which stays until the result is durable.
  SnapshotRecord record;
  while (true) {
    RUTILE_ASSIGN_OR_RETURN(const bool more, reader.Next(&record));
    if (!more) break;
    changes.Put(record.family, std::move(record.key), std::move(record.value));
    if (changes.size_bytes() < options_.max_batch_bytes) continue;
    RUTILE_RETURN_IF_ERROR(engine_.Write(changes));
    changes.Clear();
  }
  changes.Put(engine::Family::kMeta, codec::AppliedKey(options_.region), EncodeApplied(id));
  RUTILE_RETURN_IF_ERROR(engine_.Write(changes));
  RUTILE_RETURN_IF_ERROR(engine_.Flush());
  applied_ = id;
  RUTILE_RETURN_IF_ERROR(machine_->Load(engine_));
  return file.Remove();
}

}  // namespace rutile::store
