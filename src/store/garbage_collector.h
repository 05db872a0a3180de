#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
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
// a time, by commands of the region.
//
// A region is gone through only when enough has become old in it: what was not below the safe point
// the last time, and what was written since, is all that can be garbage or hide some. Where that is
// little (Options::share), the region's safe point is raised and no more, and what compactions meet
// goes by the way (GarbageFilter).
//
// The safe point is somebody else's to choose: all transactions below it are over, on all stores.
//
// Start() once. Runs on `executor`, and like the scheduler is destroyed after that has stopped.
class GarbageCollector {
 public:
  struct Options {
    Duration interval = Seconds(1);  // Between looks at the safe point; zero: nothing is collected.
    // A region is gone through when one in so many of its records can have become old.
    std::uint64_t share = 20;
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
    std::uint64_t spared = 0;         // Not gone through: nothing, or little, had become old.
    std::uint64_t failures = 0;       // Regions given up in the middle, to be begun again.
    std::size_t waiting = 0;          // Regions led here that are not done up to the safe point.
  };

  GarbageCollector(Parts parts, Options options)
      : parts_(std::move(parts)), options_(options), batch_(options.region.remove_records) {}

  void Start();
  Totals totals() const;

 private:
  // A region that was gone through, from here.
  struct Pass {
    std::uint64_t changed = 0;  // Store::RecordsChanged() when it began, and what it removed.
    std::size_t records = 0;    // In the region afterwards,
    std::size_t above = 0;      // and of those what was at the safe point or above.
  };
  struct Done {
    mvcc::Timestamp reached = {};
    std::optional<Pass> pass = {};  // The last.
  };

  // How many records can have become old since the region was gone through; nothing: any.
  std::optional<std::uint64_t> Fresh(RegionId region, const Done& done) const;
  // Looks for regions to collect in; without one, later again.
  void Look();
  // The next of those that were found.
  void Next();
  void Collect(RegionId region);
  // `changed`: Store::RecordsChanged() when it began.
  void OnEnd(const RegionCollection::Order& order, std::uint64_t changed,
             const RegionCollection::Ending& ending);

  Parts parts_;
  const Options options_;
  // On the executor, as what follows: the safe point as of the last look, and the regions that were
  // found then and are not begun.
  mvcc::Timestamp safe_point_;
  std::deque<RegionId> found_;
  // What this store has collected in each region that is here.
  std::map<RegionId, Done> done_;
  std::set<RegionId> given_up_;  // Since the last pause.
  std::size_t batch_;            // Records that are removed at a time.

  mutable Mutex mutex_;
  Totals totals_ GUARDED_BY(mutex_);
};

}  // namespace rutile::store
