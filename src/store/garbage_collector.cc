#include "store/garbage_collector.h"

#include <algorithm>
#include <string>
#include <utility>
#include <variant>

#include "base/probe.h"

namespace rutile::store {

void GarbageCollector::Start() {
  if (options_.interval > Duration()) parts_.executor.Post([this] { Look(); });
}

GarbageCollector::Totals GarbageCollector::totals() const {
  MutexLock lock(mutex_);
  return totals_;
}

std::optional<std::uint64_t> GarbageCollector::Fresh(RegionId region, const Done& done) const {
  const std::optional<std::uint64_t> changed = parts_.store.RecordsChanged(region);
  // (A replica that was made anew counts from the beginning.)
  if (!done.pass || !changed || *changed < done.pass->changed) return std::nullopt;
  return *changed - done.pass->changed + done.pass->above;
}

void GarbageCollector::Look() {
  safe_point_ = parts_.safe_point();
  std::size_t waiting = 0;
  std::uint64_t unchanged = 0;
  std::map<RegionId, Done> done;
  for (const GateState& gate : parts_.store.Gates()) {
    const RegionId region = gate.region->id;
    if (region < kFirstUserRegion) continue;
    const auto known = done_.find(region);
    Done& of_region = done[region];
    if (known != done_.end()) of_region = known->second;
    if (!gate.is_leader || of_region.reached >= safe_point_) continue;
    if (Fresh(region, of_region) == 0) {
      of_region.reached = safe_point_;
      ++unchanged;
      continue;
    }
    ++waiting;
    if (!given_up_.contains(region)) found_.push_back(region);
  }
  done_ = std::move(done);  // Without the regions that have gone.
  {
    MutexLock lock(mutex_);
    totals_.safe_point = safe_point_;
    totals_.waiting = waiting;
    totals_.spared += unchanged;
  }
  if (!found_.empty()) return Next();
  given_up_.clear();
  parts_.executor.PostAfter(options_.interval, [this] { Look(); });
}

void GarbageCollector::Next() {
  if (found_.empty()) return Look();
  const RegionId region = found_.front();
  found_.pop_front();
  Collect(region);
}

void GarbageCollector::Collect(RegionId region) {
  RegionCollection::Options options = options_.region;
  options.remove_records = std::min(options.remove_records, batch_);
  const Done& done = done_[region];
  const std::optional<std::uint64_t> fresh = Fresh(region, done);
  const RegionCollection::Order order{
      .region = region,
      .safe_point = safe_point_,
      .only_raises = fresh && *fresh * options_.share < done.pass->records};
  RUTILE_SOMETIMES(order.only_raises, "store: a region is not gone through for little garbage");
  const std::uint64_t changed = parts_.store.RecordsChanged(region).value_or(0);
  RegionCollection::Run(parts_.store, parts_.scheduler, parts_.executor, order, options,
                        [this, order, changed](const RegionCollection::Ending& ending) {
                          OnEnd(order, changed, ending);
                        });
}

void GarbageCollector::OnEnd(const RegionCollection::Order& order, std::uint64_t changed,
                             const RegionCollection::Ending& ending) {
  const RegionId region = order.region;
  const bool finished = std::holds_alternative<TxnScheduler::Finished>(ending.how);
  RUTILE_SOMETIMES(!finished, "store: a region's collection of garbage is given up");
  const auto* broken = std::get_if<Status>(&ending.how);
  // Of what is broken another look would find the same: until the safe point moves it is no use.
  const bool is_over = finished || broken != nullptr;
  {
    MutexLock lock(mutex_);
    totals_.records += ending.progress.removed;
    totals_.looked_at += ending.progress.looked_at;
    ++(!finished ? totals_.failures : order.only_raises ? totals_.spared : totals_.regions);
    if (is_over) --totals_.waiting;
  }
  if (broken != nullptr) {
    RUTILE_LOG(parts_.logger, kError, "garbage of a region cannot be collected",
               {"region", ToString(region)}, {"why", broken->ToString()});
  }
  if (is_over) {
    Done& done = done_[region];
    done.reached = order.safe_point;
    if (!finished) done.pass.reset();
    if (finished && !order.only_raises) {
      done.pass = {.changed = changed + ending.progress.removed,
                   .records = ending.progress.looked_at - ending.progress.removed,
                   .above = ending.progress.above};
    }
    batch_ = options_.region.remove_records;
  } else {
    given_up_.insert(region);
    // Whoever is short of memory may take less at a time.
    const auto* error = std::get_if<RegionError>(&ending.how);
    const bool is_short = error != nullptr && (std::holds_alternative<ServerIsBusy>(*error) ||
                                               std::holds_alternative<RaftEntryTooLarge>(*error));
    if (is_short) batch_ = std::max<std::size_t>(batch_ / 2, 1);
  }
  Next();
}

}  // namespace rutile::store
