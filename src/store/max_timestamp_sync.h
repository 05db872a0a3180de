#pragma once

#include <functional>
#include <map>

#include "base/ids.h"
#include "base/mutex.h"
#include "base/status.h"
#include "base/task.h"
#include "mvcc/types.h"
#include "store/store.h"
#include "txn/concurrency_manager.h"

namespace rutile::store {

// Asks for a timestamp that is fresh: above all that anybody was given before the call. `done` runs
// once, on any thread, possibly before the call returns.
using TimestampDone = UniqueFunction<void(Result<mvcc::Timestamp>)>;
using TimestampSource = std::function<void(TimestampDone done)>;

// In which terms of which regions this store's max_ts covers the reads of former leaders. They are
// over when a later term begins here, and each was at a timestamp that was given out before: a
// fresh one, asked for after the beginning, is above them all. It is asked for as soon as the store
// is told that it leads, and again by those who need it as long as there is none.
//
// Thread-safe.
class MaxTimestampSync final : public Store::Watcher {
 public:
  // Store and manager outlive this. `source` calls nothing back after this is gone; without one, no
  // term is ever covered.
  MaxTimestampSync(Store& store, txn::ConcurrencyManager& concurrency, TimestampSource source)
      : store_(store), concurrency_(concurrency), source_(std::move(source)) {}

  // Store::Watcher.
  void OnRegionChanged(RegionId region) override;

  // Whether max_ts covers all reads of the region that were served in earlier terms. If not, sees
  // to it, and will say so once a timestamp has come. Requires a term in which this store leads.
  bool Covers(RegionId region, Term term);

 private:
  struct State {
    Term term = {};  // The latest that was asked about.
    bool is_covered = false;
    bool is_asked = false;
  };
  void OnTimestamp(RegionId region, Term term, const Result<mvcc::Timestamp>& timestamp);

  Store& store_;
  txn::ConcurrencyManager& concurrency_;
  const TimestampSource source_;

  Mutex mutex_;
  std::map<RegionId, State> regions_ GUARDED_BY(mutex_);  // That this store has led.
};

}  // namespace rutile::store
