#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/mutex.h"
#include "engine/kv_engine.h"
#include "engine/record_filter.h"
#include "mvcc/types.h"
#include "store/region.h"

namespace rutile::store {

// Leaves garbage out of what the engine rewrites, on each replica by itself: old versions cost no
// log and no pass over a region then, where compactions come by anyway.
//
// What a region's safe point makes garbage is so on every replica, so it may be missing on one and
// not on another without anybody seeing a difference: readers below the safe point are refused, and
// for all others it is hidden. From this follows what does not go this way:
//   - a deletion that is the newest version, since what it hides may lie where this walk does not
//     come by: the region's leader removes it with all that it hides (RegionCollection);
//   - what has a value in another family: the two could not go together.
//
// A safe point counts when it is durable, or a crash would leave a region that lacks what its safe
// point does not excuse; and when all open snapshots show it, since whoever reads from an older one
// has looked at the older one.
//
// Any thread.
class GarbageFilter final : public engine::RecordFilter,
                            public std::enable_shared_from_this<GarbageFilter> {
 public:
  // The engine, whose filter this is, outlives it and its walks. Owned by a shared_ptr.
  explicit GarbageFilter(const engine::KvEngine& engine) : engine_(engine) {}

  // The region is here, and its marks, which never go back, are in the engine as of now.
  void Learn(const Region& region);
  // The region's records are removed from here.
  void Forget(RegionId region);

  std::unique_ptr<Walk> Begin(engine::Family family, std::uint64_t seen) override;

  // How many records were left out since the process began.
  std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  class RegionWalk;
  struct Raised {
    std::uint64_t sequence = 0;
    mvcc::Timestamp safe_point = {};
  };
  struct Known {
    engine::Bounds within = {};
    std::vector<Raised> raised = {};  // In order; the first is the one that counts, or will.
  };
  // A region whose safe point counts.
  struct Range {
    engine::Bounds within = {};
    mvcc::Timestamp safe_point = {};
  };

  const engine::KvEngine& engine_;

  mutable Mutex mutex_;
  std::map<RegionId, Known> regions_ GUARDED_BY(mutex_);

  std::atomic<std::uint64_t> dropped_ = 0;
};

}  // namespace rutile::store
