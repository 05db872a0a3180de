#pragma once

#include <map>
#include <memory>
#include <optional>

#include "base/ids.h"
#include "base/mutex.h"
#include "mvcc/types.h"
#include "store/max_timestamp_sync.h"
#include "store/store.h"
#include "txn/concurrency_manager.h"
#include "txn/status_cache.h"

namespace rutile::store {

// Up to which timestamp a replica here knows all that is, and will ever be, committed in its
// region: reads at or below need not ask anybody, and are served even where nobody leads.
//
// Such a timestamp is found on demand. A fresh one is asked for and told to the leader as that of a
// read of the whole region: what it lets commit from then on without a timestamp of the oracle's
// comes above, and what commits by one takes it later, when it has been prewritten. What was
// prewritten before is among the locks, in the leader's memory or in the engine at the moment of
// the read; the least timestamp at which one of these may yet be committed is the bound. Of a
// pipelined transaction, whose locks stay for long, its client tells.
//
// Thread-safe.
class ResolvedTimestamps {
 public:
  // Store and manager outlive this. `source` as for MaxTimestampSync.
  ResolvedTimestamps(Store& store, txn::ConcurrencyManager& concurrency, TimestampSource source)
      : store_(store), concurrency_(concurrency), source_(std::move(source)) {}

  // Whether the replica here has all that is committed up to `at`, in the region as the header's
  // epoch knows it. If not, sees to it that it soon may.
  bool Covers(const RequestHeader& header, mvcc::Timestamp at);

  txn::StatusCache& statuses() { return state_->statuses; }

 private:
  struct Resolved {
    std::uint64_t version = 0;  // Of the region's borders.
    mvcc::Timestamp at = {};
    bool is_asked = false;
  };
  struct State {
    Mutex mutex;
    std::map<RegionId, Resolved> regions GUARDED_BY(mutex);
    txn::StatusCache statuses = txn::StatusCache();
  };
  void Ask(const RequestHeader& header, mvcc::Timestamp at);
  static void OnAnswer(State& state, RegionId region, const std::optional<Resolved>& found);

  Store& store_;
  txn::ConcurrencyManager& concurrency_;
  const TimestampSource source_;
  const std::shared_ptr<State> state_ = std::make_shared<State>();  // Reads may outlast this.
};

}  // namespace rutile::store
