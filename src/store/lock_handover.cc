#include "store/lock_handover.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/probe.h"
#include "mvcc/keys.h"
#include "mvcc/records.h"

namespace rutile::store {
namespace {

// Longer than any command has its keys while all is well.
constexpr Duration kPatience = Seconds(1);
// By then the office has been handed over, or will not be.
constexpr Duration kTransfer = Seconds(5);

}  // namespace

void HandLocksOver(Store& store, TxnScheduler& scheduler, Executor& executor, RegionId region,
                   Task then) {
  const std::optional<GateState> gate = store.Gate(region);
  if (!gate || !gate->is_leader) return then();
  const Term term = gate->term;
  std::vector<std::string> keys = scheduler.memory_locks().Close(region, term);
  executor.PostAfter(kPatience + kTransfer,
                     [&scheduler, region, term] { scheduler.memory_locks().Reopen(region, term); });
  if (keys.empty()) return then();
  RUTILE_SOMETIMES(true, "store: locks in memory are handed over");
  scheduler.Run(
      {.region = region, .term = term, .time_limit = kPatience}, std::move(keys),
      [](mvcc::Reader& reader) -> Result<TxnScheduler::Plan> {
        TxnScheduler::Plan plan;
        for (const auto& [key, lock] : reader.in_memory()) {
          plan.changes.Put(engine::Family::kLock, mvcc::LockKey(key), mvcc::EncodeLock(lock));
        }
        return plan;
      },
      [then = std::move(then)](const TxnScheduler::Ending&) mutable { then(); });
}

}  // namespace rutile::store
