#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/log_slice.h"
#include "base/status.h"
#include "base/task.h"
#include "base/time.h"
#include "env/env.h"

namespace rutile::wal {

// One region's part of a batch. Applied on top of what was written for the region before:
//   reset   every entry of the region is dropped; slice.prev is its new base. The state blob stays
//           until `state` replaces it: a vote outlives the log that it was given on
//   cut     entries after slice.prev are dropped (implied when slice has entries)
//   slice   the entries that follow slice.prev
//   state   replaces the region's state blob (the replica's hard state, encoded by its owner)
//   compact entries up to here may be forgotten; (index, term) is the new base. Not beyond the
//           last entry; below the base it changes nothing
//   clean   the region is gone from this node; nothing else is set
// A region that was unknown, or known as another peer's, begins at slice.prev.
struct RegionWrite {
  RegionId region = {};
  PeerId peer = {};  // Whose log it is. A different peer than before starts from nothing.
  // The writer's mark, stored with the record so that a dump tells the order of events.
  Term term = {};
  std::uint64_t epoch = 0;
  bool reset = false;
  bool cut = false;
  bool clean = false;
  LogSlice slice = {};
  std::optional<std::string> state = {};
  std::optional<LogId> compact = {};
};

// From `start` up to the next run (or the last index) entries have `term`.
struct TermRun {
  Index start = {};
  Term term = {};
};

// Entries that were durable and do not verify: the first and the last of them. What they said is
// gone, but which they were is known, and so is all else of the region.
struct LostEntries {
  LogId first = {};
  LogId last = {};
  // Where the first of them should be.
  std::string path = {};
  std::uint64_t offset = 0;
};

// What recovery found of one region.
struct RegionLog {
  PeerId peer = {};
  LogId base = {};
  LogId last = {};
  std::vector<TermRun> runs = {};  // Of (base, last].
  std::string state = {};
  // Still part of the log: whoever owns the region must cut them off or compact them away before it
  // goes on. Until then reading and collecting them fails with kCorruption.
  std::optional<LostEntries> lost = {};
};

struct Options {
  std::string directory = "wal";
  // Size of a segment file. Files are written full of zeroes once and then recycled, because
  // syncing an overwrite is about twice as fast as syncing a growing file.
  std::uint64_t segment_bytes = std::uint64_t{64} << 20;
  // Recycled files kept ready for reuse.
  int spare_segments = 2;
  // Segments beyond this many cause regions that pin the oldest one to be rewritten or named by
  // PinningRegions().
  int max_segments = 16;
  std::size_t max_record_bytes = std::size_t{64} << 20;
  // Entries of one region in one batch that are this large together are compressed. 0: none are.
  std::size_t compress_from_bytes = 4096;
};

struct Stats {
  std::uint64_t syncs = 0;
  std::uint64_t batches = 0;
  std::uint64_t records = 0;
  std::uint64_t payload_bytes = 0;  // Of entries.
  std::uint64_t written_bytes = 0;  // To files, padding included.
  std::uint64_t segments = 0;
  std::uint64_t spare_segments = 0;
};

// The log of all regions of one store: one append-only stream of checksummed batches over recycled,
// pre-written segment files. docs/formats/wal.md is the format; docs/design/wal-recovery.md the
// decision table of recovery.
//
// Plain and blocking. Write, Sync, Collect and Close belong to one executor (the log executor);
// Read is safe from any thread beside them. After a failed write or sync every further call fails
// with the same status: the caller must stop the node and must not retry (a second fsync can report
// success for pages that the first one lost).
class Wal {
 public:
  struct Opened {
    std::unique_ptr<Wal> wal;
    std::map<RegionId, RegionLog> regions;
    std::uint64_t dropped_tail_bytes = 0;  // Unacknowledged, torn by a crash.
  };

  // Recovers from `options.directory`, creating it when absent. Only a tail that was never
  // acknowledged may be dropped. Damage before it is kCorruption, which names file and offset;
  // except where all that it has taken is known entries, which are in `regions`.
  static Result<Opened> Open(FileSystem& files, const Options& options);

  virtual ~Wal() = default;

  // Appends one atomic batch: after a crash all of it is there or none. Not durable before Sync.
  // Two errors leave the log as it was and do not poison it: kInvalidArgument (a write that does
  // not follow from what was written before, or a batch that is too large) and kResourceExhausted
  // (this segment is full and there is no space for the next: try again after Collect).
  virtual Status Write(const std::vector<RegionWrite>& batch) = 0;
  // Makes all that was written durable. One fdatasync.
  virtual Status Sync() = 0;

  // The entries (prev, to], as many as fit in `max_bytes` but at least one. Returned ids are those
  // on disk; the caller compares them with what it expects. kNotFound: compacted or beyond the end.
  virtual Result<LogSlice> Read(RegionId region, Index prev, Index to, std::size_t max_bytes) = 0;

  // Gives segments that no region needs any more back for recycling; rewrites what little pins an
  // old segment. Call now and then, on the log executor.
  // kResourceExhausted: as for Write.
  virtual Status Collect() = 0;
  // Collect has left work for another call, so that no call takes long.
  virtual bool NeedsCollect() const = 0;
  // Prepares the next segment a little further, when it is time for that. Takes some milliseconds
  // at most; meant for the moment after a batch has been acknowledged. kResourceExhausted: there is
  // no space for it; writing can go on until this segment is full, so growth should be refused now.
  virtual Status Prefill() = 0;
  // Regions whose old entries keep the oldest segment alive although there are too many segments,
  // with the index up to which each should be compacted. Safe from any thread.
  virtual std::map<RegionId, Index> PinningRegions() const = 0;

  // How many segments there are from the oldest that has something of the region on: the oldest
  // cannot be given back before that has gone, or was moved. Zero: nothing is known of the region.
  // Safe from any thread.
  virtual std::uint64_t SegmentsSince(RegionId region) const = 0;

  // Safe from any thread.
  virtual Stats stats() const = 0;
};

// Collects writes of many replicas and makes them durable together: while one sync runs, the next
// batch gathers, so that one fdatasync serves all that waited. No fixed waiting.
//
// When there is no space for another segment, writes wait and are tried again until there is;
// compactions, which make space, overtake them. Any other failure is final: OnFailure runs and
// nothing is written or completed any more.
//
// The executor may run its tasks later than the writer lives. The log itself must live as long as
// the executor runs, or the writer must be destroyed on the executor.
//
// Submit is safe from any thread. Writes of one region reach the disk in the order in which they
// were submitted. `done` runs on the log executor after the sync that covers the write, in the
// order of submission; it should only post.
class LogWriter {
 public:
  struct Options {
    std::size_t max_batch_bytes = std::size_t{1} << 20;
    Duration collect_every = Seconds(5);
  };
  // What the node does when the log fails: it must stop. Runs once, on the log executor.
  using OnFailure = UniqueFunction<void(const Status&)>;
  // Told after each batch: for metrics. Durations are zero unless a clock measures them.
  struct BatchReport {
    std::size_t bytes = 0;
    std::size_t writes = 0;
    std::size_t regions = 0;  // Whose writes these are.
    Duration sync_time = {};
    Duration oldest_wait = {};
  };
  using OnBatch = UniqueFunction<void(const BatchReport&)>;

  LogWriter(Wal& wal, Executor& log_executor, const Clock& clock, const Options& options,
            OnFailure on_failure, OnBatch on_batch = nullptr);
  ~LogWriter();
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;

  void Submit(RegionWrite write, Task done);
  // Bytes submitted and not yet durable.
  std::size_t pending_bytes() const;
  // For how long the oldest write that is not durable has been waiting; zero if there is none.
  Duration LongestWait() const;
  // kResourceExhausted while there is no space for the next segment. Writes still go on as far as
  // the current one reaches; whoever can refuse growth should. OK again when there is space, which
  // is looked for even while nothing is written.
  Status space() const;

 private:
  class Queue;  // Shared with the tasks on the log executor, which may outlive the writer's owner.
  std::shared_ptr<Queue> queue_;
};

}  // namespace rutile::wal
