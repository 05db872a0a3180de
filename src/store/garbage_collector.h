#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "base/log.h"
#include "base/mutex.h"
#include "base/time.h"
#include "env/env.h"
#include "mvcc/types.h"
#include "store/region_collection.h"
#include "store/store.h"
#include "store/txn_scheduler.h"

namespace rutile::store {

// Collects the garbage of transactions: removes, from the regions that this store leads, what no
// transaction can see that starts at or above the safe point. One region at a time, some records at
// a time, by commands of the region, so that all replicas hold the same.
//
// The safe point is somebody else's to choose: all transactions below it are over, on all stores.
//
// Start() once. Runs on `executor`, and like the scheduler is destroyed after that has stopped.
class GarbageCollector {
 public:
  struct Options {
    Duration interval = Seconds(1);  // Between looks at the safe point; zero: nothing is collected.
    RegionCollection::Options region = {};
  };
  struct Parts {
    Store& store;
    TxnScheduler& scheduler;
    Executor& executor;
    Logger& logger;
    // What this node knows of it, which may be old. Never goes back.
    std::function<mvcc::Timestamp()> safe_point = {};
  };
  // Since the process began.
  struct Totals {
    mvcc::Timestamp safe_point = {};  // In use.
    std::uint64_t records = 0;        // Removed.
    std::uint64_t looked_at = 0;      // Records.
    std::uint64_t regions = 0;        // Gone through to the end.
    std::uint64_t failures = 0;       // Regions given up in the middle, to be begun again.
    std::size_t waiting = 0;          // Regions led here that are not done up to the safe point.
  };

  GarbageCollector(Parts parts, Options options)
      : parts_(std::move(parts)), options_(options), batch_(options.region.remove_records) {}

  void Start();
  Totals totals() const;

 private:
  // Looks for regions to collect in; without one, later again.
  void Look();
  // The next of those that were found.
  void Next();
  void Collect(RegionId region);
  void OnEnd(RegionId region, const RegionCollection::Ending& ending);

  Parts parts_;
  const Options options_;
  // On the executor, as what follows: the safe point as of the last look, and the regions that were
  // found then and are not begun.
  mvcc::Timestamp safe_point_;
  std::deque<RegionId> found_;
  // Up to where this store has collected each region that is here.
  std::map<RegionId, mvcc::Timestamp> done_;
  std::set<RegionId> given_up_;  // Since the last pause.
  std::size_t batch_;            // Records that are removed at a time.

  mutable Mutex mutex_;
  Totals totals_ GUARDED_BY(mutex_);
};

}  // namespace rutile::store
