#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/small_vector.h"
#include "env/env.h"
#include "wal/recovery.h"
#include "wal/region_index.h"
#include "wal/segment_files.h"
#include "wal/wal.h"

namespace rutile::wal {

// An item and the entries that go with it (null without any; owned by the caller of Append).
struct PlannedItem {
  Item item = {};
  const Entries* entries = nullptr;
};

class WalImpl final : public Wal {
 public:
  WalImpl(FileSystem& files, const Options& options, Recovered recovered);
  // Makes the directory agree with what was recovered and opens a segment for writing. Nothing may
  // be written behind a dropped tail, lest what was dropped come back: unless the newest segment is
  // untouched, a fresh one is begun.
  Status Start(const std::vector<std::string>& leftovers, const std::vector<std::string>& spares);
  std::map<RegionId, RegionLog> DescribeRegions() const;

  Status Write(const std::vector<RegionWrite>& batch) override;
  Status Sync() override;
  Result<LogSlice> Read(RegionId region, Index prev, Index to, std::size_t max_bytes) override;
  Status Collect() override;
  bool NeedsCollect() const override { return needs_collect_; }
  Status Prefill() override;
  std::map<RegionId, Index> PinningRegions() const override;
  std::uint64_t SegmentsSince(RegionId region) const override;
  Stats stats() const override;

 private:
  // The entries of one piece, and which of them are wanted.
  struct Extent {
    Piece piece;
    std::shared_ptr<Segment> segment;
    Index first;
    Index last;
  };
  // Entries of a batch, and what they follow.
  struct Stretch {
    LogId prev;
    EntryRuns runs;
  };
  // A region as it will be after the writes of a batch planned so far.
  struct Planned {
    bool exists = false;
    bool replaced = false;  // Nothing of what the index has of it remains.
    PeerId peer = {};
    LogId base = {};
    LogId last = {};
    SmallVector<Stretch, 1> appended = {};  // Oldest first.
  };
  // Where the batch begins in batch_, and its blocks in the batch.
  struct Encoded {
    std::size_t begin = 0;
    std::size_t blocks = 0;
  };
  // A copy that Collect has to write.
  struct Move {
    RegionId region;
    std::optional<Piece> piece;  // Nothing: the state.
  };

  // write.cc
  Result<Item> Plan(const RegionWrite& write, std::map<RegionId, Planned>& planned) const
      REQUIRES(mutex_);
  std::optional<Term> TermAt(RegionId id, const Planned& region, Index index) const
      REQUIRES(mutex_);
  Status CheckAttachment(const RegionWrite& write, const Planned& region, const LogId& at) const
      REQUIRES(mutex_);
  Status Append(std::vector<PlannedItem> items, std::uint64_t reserve);
  Encoded Encode(std::vector<PlannedItem>* items);
  Status Rotate(std::uint64_t batch_bytes);
  Status Latch(Status status);

  // collect.cc
  std::optional<std::uint64_t> SegmentToEmpty() const REQUIRES(mutex_);
  Status MoveRemains();
  Status WriteMoves(const std::vector<Move>& moves);
  std::uint64_t FirstNeeded() const;
  Status RetireBelow(std::uint64_t first);

  // read.cc
  Status FindExtents(RegionId region, Index prev, Index to, std::size_t max_bytes, LogId* prev_id,
                     std::vector<Extent>* extents) const;
  Result<Entries> ReadExtent(RegionId region, const Extent& extent) const;

  // Constant after construction.
  FileSystem& files_;
  const Options options_;

  // Only on the log executor.
  SegmentFiles segment_files_;
  std::shared_ptr<Segment> active_;
  std::uint64_t end_ = 0;        // Where the next batch goes in the active segment.
  std::uint64_t synced_to_ = 0;  // Up to where the active segment is durable.
  std::uint64_t data_end_ = 0;   // Where the last batch that is not just a watermark ends.
  std::uint64_t watermark_ = 0;  // What the last batch said of synced_to_.
  std::uint64_t next_sequence_ = 1;
  std::uint64_t first_live_ = 1;
  bool untouched_ = false;  // Nothing was ever begun in the newest segment that was found.
  bool needs_collect_ = false;
  std::string batch_;  // The one that is being written. Kept, because new memory costs page faults.
  Status failure_;

  // Any thread. Changed only on the log executor.
  mutable Mutex mutex_;
  LogIndex index_ GUARDED_BY(mutex_);
  std::map<std::uint64_t, std::shared_ptr<Segment>> segments_ GUARDED_BY(mutex_);
  Stats stats_ GUARDED_BY(mutex_);
};

}  // namespace rutile::wal
