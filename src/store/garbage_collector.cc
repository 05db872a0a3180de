#include "store/garbage_collector.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/probe.h"

namespace rutile::store {

void GarbageCollector::Start() {
  if (options_.interval > Duration()) parts_.executor.Post([this] { Next(); });
}

GarbageCollector::Totals GarbageCollector::totals() const {
  MutexLock lock(mutex_);
  return totals_;
}

void GarbageCollector::Next() {
  const mvcc::Timestamp safe_point = parts_.safe_point();
  std::optional<RegionId> next;
  std::size_t waiting = 0;
  std::map<RegionId, mvcc::Timestamp> done;
  for (const GateState& gate : parts_.store.Gates()) {
    const RegionId region = gate.region->id;
    if (region < kFirstUserRegion) continue;
    const mvcc::Timestamp reached = done_[region];
    done.emplace(region, reached);
    if (!gate.is_leader || reached >= safe_point) continue;
    ++waiting;
    if (!next && !given_up_.contains(region)) next = region;
  }
  done_ = std::move(done);  // Without the regions that have gone.
  {
    MutexLock lock(mutex_);
    totals_.safe_point = safe_point;
    totals_.waiting = waiting;
  }
  if (next) return Collect(*next, safe_point);
  given_up_.clear();
  parts_.executor.PostAfter(options_.interval, [this] { Next(); });
}

void GarbageCollector::Collect(RegionId region, mvcc::Timestamp safe_point) {
  RegionCollection::Run(parts_.store, parts_.scheduler, parts_.executor, region, safe_point,
                        options_.region,
                        [this, region, safe_point](const RegionCollection::Ending& ending) {
                          OnEnd(region, safe_point, ending);
                        });
}

void GarbageCollector::OnEnd(RegionId region, mvcc::Timestamp safe_point,
                             const RegionCollection::Ending& ending) {
  const bool finished = std::holds_alternative<TxnScheduler::Finished>(ending.how);
  RUTILE_SOMETIMES(!finished, "store: a region's collection of garbage is given up");
  {
    MutexLock lock(mutex_);
    totals_.records += ending.progress.removed;
    totals_.looked_at += ending.progress.looked_at;
    ++(finished ? totals_.regions : totals_.failures);
  }
  if (const auto* status = std::get_if<Status>(&ending.how)) {
    RUTILE_LOG(parts_.logger, kError, "garbage of a region cannot be collected",
               {"region", ToString(region)}, {"why", status->ToString()});
  }
  // Another look would find the same records: until the safe point moves there is no use in it.
  const bool is_hopeless = std::holds_alternative<Status>(ending.how);
  if (finished || is_hopeless) {
    done_[region] = safe_point;
  } else {
    given_up_.insert(region);
  }
  Next();
}

}  // namespace rutile::store
