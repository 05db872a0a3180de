#include "store/max_timestamp_sync.h"

#include <optional>

namespace rutile::store {

void MaxTimestampSync::OnRegionChanged(RegionId region) {
  if (region < kFirstUserRegion) return;  // Nobody reads at timestamps there.
  const std::optional<GateState> gate = store_.Gate(region);
  if (gate && gate->is_leader) Covers(region, gate->term);
}

bool MaxTimestampSync::Covers(RegionId region, Term term) {
  if (!source_) return false;
  {
    MutexLock lock(mutex_);
    State& state = regions_[region];
    if (state.term > term) return false;
    if (state.term < term) state = {.term = term};
    if (state.is_covered || state.is_asked) return state.is_covered;
    state.is_asked = true;
  }
  source_([this, region, term](const Result<mvcc::Timestamp>& timestamp) {
    OnTimestamp(region, term, timestamp);
  });
  MutexLock lock(mutex_);
  const State& state = regions_[region];
  return state.term == term && state.is_covered;
}

void MaxTimestampSync::OnTimestamp(RegionId region, Term term,
                                   const Result<mvcc::Timestamp>& timestamp) {
  if (timestamp.ok()) concurrency_.RaiseMaxTs(timestamp.value());
  MutexLock lock(mutex_);
  State& state = regions_[region];
  if (state.term != term) return;
  // Without one the next who asks tries again.
  state.is_asked = false;
  state.is_covered = timestamp.ok();
}

}  // namespace rutile::store
