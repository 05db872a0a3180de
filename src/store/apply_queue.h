#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/log_slice.h"
#include "base/mutex.h"
#include "base/status.h"
#include "base/task.h"
#include "base/time.h"
#include "engine/kv_engine.h"
#include "env/env.h"
#include "raft/types.h"
#include "store/admission.h"
#include "store/garbage_filter.h"
#include "store/log_metrics.h"
#include "store/marks_cache.h"
#include "store/region.h"
#include "store/snapshot_file.h"
#include "store/state_machine.h"

namespace rutile::store {

// Somebody waiting for the entry `id` to be applied.
struct Proposal {
  LogId id = {};
  WriteDone done = {};
  Admitted admitted = {};
  Instant since = {};
};

// Applies committed entries of one region to the engine, in order, on the region's apply executor.
// Everything that has gathered since the last turn goes into one atomic engine batch together with
// the applied position, so a busy region pays one engine write for many entries.
//
// Push* are called on the region's executor.
class ApplyQueue {
 public:
  struct Options {
    Region region = {};  // The descriptor as applied.
    std::size_t max_batch_bytes = std::size_t{4} << 20;
    const Clock* clock = nullptr;     // With both, how long all takes is measured.
    LogMetrics* metrics = nullptr;    // They outlive the queue.
    GarbageFilter* filter = nullptr;  // Learns of the region's marks; outlives the queue.
  };
  // What the owner is told. All run on the apply executor.
  struct Callbacks {
    // Entries up to `index` are in the engine. Called once for everything a turn has applied,
    // before the proposers are answered.
    UniqueFunction<void(Index index)> on_applied;
    // The descriptor has changed, by an entry or with a snapshot: it is in the engine. Called
    // before the on_applied that covers it.
    UniqueFunction<void(const Region& region)> on_region;
    // The engine or the snapshot's file failed: the node must stop.
    UniqueFunction<void(const Status&)> on_failure;
  };

  // `applied` is what the engine holds. The references must outlive the queue.
  ApplyQueue(const Options& options, engine::KvEngine& engine, FileSystem& files,
             Executor& executor, std::unique_ptr<StateMachine> machine, LogId applied,
             Callbacks callbacks);

  // Tasks on the executor run only while `owner` lives, and keep it alive while they run. Before
  // the first Push. Without it the queue must outlive the executor's tasks.
  void SetOwner(std::weak_ptr<const void> owner) { owner_ = std::move(owner); }

  // `slice` continues where the last one, or the last install, ended. Each proposal names an entry
  // of the slice, in order.
  void PushEntries(LogSlice slice, std::vector<Proposal> proposals);
  // Replaces the group's data by the snapshot file of `id`. Done before anything pushed later, and
  // not before MayInstall() was called once for it, on any thread: while the log does not say that
  // it begins there, a crash in the middle would leave a mixture that nothing repairs.
  void PushInstall(LogId id);
  void MayInstall();
  // The group is at its end here: when all that was pushed before is done, `stopped` runs on the
  // apply executor with the descriptor as applied, and nothing after it is taken.
  using Stopped = UniqueFunction<void(const Region& region)>;
  void PushStop(Stopped stopped);

  // Only for reading what does not change: Ranges() of a KV region. Any thread.
  const StateMachine& machine() const { return *machine_; }
  MarksCache& marks() { return marks_; }  // Any thread.
  // How many records of transactions were written or removed since this was made. Any thread.
  std::uint64_t records_changed() const { return records_changed_.load(std::memory_order_relaxed); }

 private:
  struct Work {
    LogSlice slice = {};
    std::vector<Proposal> proposals = {};
    std::optional<LogId> install = {};
    Stopped stopped = {};
    Instant since = {};
  };
  struct Answer {
    WriteDone done = {};
    WriteOutcome outcome = {};
  };
  class Batch;

  Instant Now() const { return options_.metrics == nullptr ? Instant() : options_.clock->Now(); }
  void Push(Work work);
  void Schedule();
  // What may be done now, in order.
  std::vector<Work> Take();
  void Run();
  Status Apply(std::vector<Work> works);
  Status ApplyConfiguration(const Entry& entry, Batch& batch);
  Status ApplyEntries(Work& work, Batch& batch, std::vector<Answer>& answers);
  Status Install(LogId id);
  void CountRecords(const engine::WriteBatch& changes);
  void EndMarksChange();

  // Constant after construction.
  const Options options_;
  engine::KvEngine& engine_;
  FileSystem& files_;
  Executor& executor_;
  Callbacks callbacks_;
  std::optional<std::weak_ptr<const void>> owner_;

  // Only on the apply executor.
  const std::unique_ptr<StateMachine> machine_;
  LogId applied_;
  Region region_;
  bool region_changed_ = false;  // And nobody told yet.
  bool failed_ = false;          // Or stopped: nothing is applied any more.

  MarksCache marks_;
  std::atomic<std::uint64_t> records_changed_ = 0;

  Mutex mutex_;
  std::vector<Work> waiting_ GUARDED_BY(mutex_);
  bool scheduled_ GUARDED_BY(mutex_) = false;
  std::uint64_t installs_allowed_ GUARDED_BY(mutex_) = 0;  // And not begun.
};

// The stored form of an applied position.
std::string EncodeApplied(LogId id);
Result<LogId> DecodeApplied(std::string_view bytes);

}  // namespace rutile::store
