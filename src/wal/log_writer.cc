#include <algorithm>
#include <deque>
#include <iterator>
#include <optional>
#include <utility>

#include "base/buggify.h"
#include "base/mutex.h"
#include "base/probe.h"
#include "wal/wal.h"

namespace rutile::wal {
namespace {

// How long to wait for space before trying again. Nothing that has space waits for this.
constexpr Duration kSpaceRetry = Milliseconds(100);

std::size_t SizeOf(const RegionWrite& write) {
  std::size_t bytes = 64;  // Its share of headers and items, about.
  if (write.state) bytes += write.state->size();
  for (const Entry& entry : write.slice.entries) bytes += entry.size_bytes();
  return bytes;
}

// A compaction of what is durable does not care which writes of its region come before it.
bool OnlyCompacts(const RegionWrite& write) {
  return write.compact && write.slice.empty() && !write.state && !write.reset && !write.cut &&
         !write.clean;
}

}  // namespace

class LogWriter::Queue : public std::enable_shared_from_this<LogWriter::Queue> {
 public:
  Queue(Wal& wal, Executor& executor, const Clock& clock, const Options& options,
        OnFailure on_failure, OnBatch on_batch)
      : wal_(wal),
        executor_(executor),
        clock_(clock),
        options_(options),
        on_failure_(std::move(on_failure)),
        on_batch_(std::move(on_batch)) {}

  void Submit(RegionWrite write, Task done) {
    Pending pending{.write = std::move(write), .done = std::move(done), .since = clock_.Now()};
    pending.bytes = SizeOf(pending.write);
    bool post = false;
    {
      MutexLock lock(mutex_);
      if (closed_) return;
      pending_bytes_ += pending.bytes;
      pending_.push_back(std::move(pending));
      post = !std::exchange(scheduled_, true);
    }
    if (post) Schedule();
  }

  std::size_t pending_bytes() const {
    MutexLock lock(mutex_);
    return pending_bytes_;
  }

  Duration LongestWait() const {
    MutexLock lock(mutex_);
    if (writing_since_) return clock_.Now() - *writing_since_;
    if (pending_.empty()) return {};
    // Others take the time before they take the lock.
    return std::max(clock_.Now() - pending_.front().since, Duration(0));
  }

  Status space() const {
    MutexLock lock(mutex_);
    return space_;
  }

  void Close() {
    std::deque<Pending> dropped;
    MutexLock lock(mutex_);
    closed_ = true;
    writing_since_.reset();
    dropped.swap(pending_);
    pending_bytes_ = 0;
  }

 private:
  struct Pending {
    RegionWrite write = {};
    Task done = {};
    Instant since = {};
    std::size_t bytes = 0;
  };

  void Schedule() {
    executor_.Post([self = shared_from_this()] { self->Run(); });
  }

  // One batch: everything that has gathered, up to the limit.
  void Run() {
    std::vector<Pending> batch = Take();
    if (batch.empty()) return;
    const Instant start = clock_.Now();
    BatchReport report{.writes = batch.size(), .oldest_wait = start - batch.front().since};
    for (const Pending& pending : batch) report.bytes += pending.bytes;
    if (on_batch_) report.regions = CountRegions(batch);
    if (Status status = WriteAll(batch); !status.ok()) {
      if (status.code() != Code::kResourceExhausted) return Fail(status);
      return WaitForSpace(std::move(batch), status);
    }
    // Includes the write itself, which goes to the page cache.
    if (Status status = wal_.Sync(); !status.ok()) return Fail(status);
    report.sync_time = clock_.Now() - start;
    Finish(batch, report.bytes);
    if (on_batch_) on_batch_(report);
    PrefillAndCollect();
    bool more = false;
    {
      MutexLock lock(mutex_);
      more = !pending_.empty() && !closed_;
      scheduled_ = more;
    }
    if (more) Schedule();
  }

  static std::size_t CountRegions(const std::vector<Pending>& batch) {
    std::vector<RegionId> regions;
    regions.reserve(batch.size());
    for (const Pending& pending : batch) regions.push_back(pending.write.region);
    std::sort(regions.begin(), regions.end());
    return static_cast<std::size_t>(
        std::distance(regions.begin(), std::unique(regions.begin(), regions.end())));
  }

  std::vector<Pending> Take() {
    std::vector<Pending> batch;
    MutexLock lock(mutex_);
    std::size_t bytes = 0;
    while (!pending_.empty() && !closed_) {
      bytes += pending_.front().bytes;
      if (bytes > options_.max_batch_bytes && !batch.empty()) break;
      if (!batch.empty() && RUTILE_BUGGIFY("buggify wal: a batch of one write")) break;
      batch.push_back(std::move(pending_.front()));
      pending_.pop_front();
    }
    if (batch.empty()) {
      scheduled_ = false;
    } else {
      writing_since_ = batch.front().since;
    }
    return batch;
  }

  Status WriteAll(std::vector<Pending>& batch) {
    std::vector<RegionWrite> writes;
    writes.reserve(batch.size());
    for (Pending& pending : batch) writes.push_back(std::move(pending.write));
    Status status = wal_.Write(writes);
    for (std::size_t i = 0; i < batch.size(); ++i) batch[i].write = std::move(writes[i]);
    return status;
  }

  // The writes are durable.
  void Finish(std::vector<Pending>& batch, std::size_t bytes) {
    {
      MutexLock lock(mutex_);
      pending_bytes_ -= std::min(bytes, pending_bytes_);
      writing_since_.reset();
    }
    for (Pending& pending : batch) {
      if (pending.done) pending.done();
    }
  }

  void WaitForSpace(std::vector<Pending> batch, const Status& status) {
    std::vector<Pending> compactions;
    {
      MutexLock lock(mutex_);
      if (closed_) return;
      space_ = status;
      writing_since_.reset();
      pending_.insert(pending_.begin(), std::make_move_iterator(batch.begin()),
                      std::make_move_iterator(batch.end()));
      std::deque<Pending> rest;
      for (Pending& pending : pending_) {
        if (OnlyCompacts(pending.write)) {
          compactions.push_back(std::move(pending));
        } else {
          rest.push_back(std::move(pending));
        }
      }
      pending_ = std::move(rest);
    }
    RUTILE_SOMETIMES(!compactions.empty(), "wal: compactions pass by writes that wait for space");
    if (Status made = MakeSpace(compactions); !made.ok()) return Fail(made);
    executor_.PostAfter(kSpaceRetry, [self = shared_from_this()] { self->Run(); });
  }

  // Writes the compactions that wait, and lets the log give back what they free.
  Status MakeSpace(std::vector<Pending>& compactions) {
    if (!compactions.empty()) {
      std::size_t bytes = 0;
      for (const Pending& pending : compactions) bytes += pending.bytes;
      Status status = WriteAll(compactions);
      if (status.ok()) {
        RUTILE_RETURN_IF_ERROR(wal_.Sync());
        Finish(compactions, bytes);
      } else if (status.code() == Code::kResourceExhausted) {
        MutexLock lock(mutex_);
        pending_.insert(pending_.end(), std::make_move_iterator(compactions.begin()),
                        std::make_move_iterator(compactions.end()));
      } else {
        return status;
      }
    }
    const Status status = wal_.Collect();
    return status.code() == Code::kResourceExhausted ? Status() : status;
  }

  // False when the log has failed.
  bool Prefill() {
    const Status status = wal_.Prefill();
    const bool lacks_space = status.code() == Code::kResourceExhausted;
    if (!status.ok() && !lacks_space) {
      Fail(status);
      return false;
    }
    {
      MutexLock lock(mutex_);
      space_ = status;
    }
    // While growth is refused there may be no batch after which to find out that there is space.
    if (lacks_space && !std::exchange(prefill_armed_, true)) {
      executor_.PostAfter(kSpaceRetry, [self = shared_from_this()] { self->RetryPrefill(); });
    }
    return true;
  }

  void RetryPrefill() {
    prefill_armed_ = false;
    {
      MutexLock lock(mutex_);
      if (closed_) return;
    }
    Prefill();
  }

  void PrefillAndCollect() {
    if (!Prefill() || std::exchange(collect_armed_, true)) return;
    executor_.PostAfter(options_.collect_every, [self = shared_from_this()] { self->Collect(); });
  }

  void Collect() {
    {
      MutexLock lock(mutex_);
      if (closed_) return;
    }
    // Armed again by the next batch: a log that is not written to has nothing to collect.
    collect_armed_ = false;
    const Status status = wal_.Collect();
    if (!status.ok() && status.code() != Code::kResourceExhausted) return Fail(status);
    if (!wal_.NeedsCollect()) return;
    collect_armed_ = true;
    executor_.Post([self = shared_from_this()] { self->Collect(); });
  }

  // Nothing is written or completed any more. Submitted writes are dropped without a word: their
  // owners are about to be stopped by the node.
  void Fail(const Status& status) {
    Close();
    if (on_failure_) std::exchange(on_failure_, nullptr)(status);
  }

  Wal& wal_;
  Executor& executor_;
  const Clock& clock_;
  const Options options_;

  // Only on the log executor.
  OnFailure on_failure_;
  OnBatch on_batch_;
  bool collect_armed_ = false;
  bool prefill_armed_ = false;

  mutable Mutex mutex_;
  std::deque<Pending> pending_ GUARDED_BY(mutex_);
  std::size_t pending_bytes_ GUARDED_BY(mutex_) = 0;
  // The oldest of the batch that is being written.
  std::optional<Instant> writing_since_ GUARDED_BY(mutex_);
  bool scheduled_ GUARDED_BY(mutex_) = false;  // A Run is posted or running.
  bool closed_ GUARDED_BY(mutex_) = false;
  Status space_ GUARDED_BY(mutex_);
};

LogWriter::LogWriter(Wal& wal, Executor& log_executor, const Clock& clock, const Options& options,
                     OnFailure on_failure, OnBatch on_batch)
    : queue_(std::make_shared<Queue>(wal, log_executor, clock, options, std::move(on_failure),
                                     std::move(on_batch))) {}

LogWriter::~LogWriter() { queue_->Close(); }

void LogWriter::Submit(RegionWrite write, Task done) {
  queue_->Submit(std::move(write), std::move(done));
}

std::size_t LogWriter::pending_bytes() const { return queue_->pending_bytes(); }

Duration LogWriter::LongestWait() const { return queue_->LongestWait(); }

Status LogWriter::space() const { return queue_->space(); }

}  // namespace rutile::wal
