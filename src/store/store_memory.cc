// How a store gets memory back from the logs of its replicas, when they hold too much together.
//
// In steps, each only if the one before was not enough: what is older than other cached entries of
// the store, whatever region they are of, and then the rest; first what nobody is known to need,
// and then what followers need that are close behind, for whom it is read back from disk. What
// remains after that waits for a disk, for apply or for a majority. They let go of it by
// themselves, so nothing is done but to look again.

#include <algorithm>
#include <array>
#include <atomic>
#include <limits>
#include <memory>

#include "store/store.h"

namespace rutile::store {
namespace {

// While all that could be evicted is, and it is not enough.
constexpr Duration kLookAgain = Milliseconds(50);

struct Step {
  bool all_ages = false;
  bool for_followers = false;
};
constexpr std::array<Step, 4> kSteps = {
    {{false, false}, {true, false}, {false, true}, {true, true}}};

}  // namespace

void Store::RelieveLogMemory() { EvictLogs(0); }

void Store::EvictLogs(std::size_t step) {
  if (!log_memory_.needs_relief()) return log_memory_.EndRelief();
  if (step == kSteps.size()) {
    parts_.executors.regions[0]->PostAfter(kLookAgain, [this] { EvictLogs(0); });
    return;
  }
  const Replica::Eviction eviction{.age = kSteps[step].all_ages
                                              ? std::numeric_limits<std::uint64_t>::max()
                                              : log_memory_.old_age(),
                                   .for_followers = kSteps[step].for_followers};
  {
    MutexLock lock(mutex_);
    for (const auto& [id, replica] : replicas_) {
      if (replica->log_hint().cached_bytes > 0) replica->EvictLog(eviction);
    }
  }
  // Behind all of these, on every executor.
  const auto left = std::make_shared<std::atomic<std::size_t>>(parts_.executors.regions.size());
  for (Executor* executor : parts_.executors.regions) {
    executor->Post([this, step, left] {
      if (left->fetch_sub(1) == 1) EvictLogs(step + 1);
    });
  }
}

LogTotals Store::log_totals() const {
  LogTotals totals;
  MutexLock lock(mutex_);
  for (const auto& [id, replica] : replicas_) {
    const Replica::LogHint hint = replica->log_hint();
    totals.cached_bytes += hint.cached_bytes;
    totals.most_ahead = std::max(totals.most_ahead, hint.ahead_entries);
    if (hint.poisoned) ++totals.poisoned;
    if (hint.impaired) ++totals.impaired;
  }
  return totals;
}

}  // namespace rutile::store
