#include "store/resolved_timestamps.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/probe.h"
#include "mvcc/lock_scan.h"
#include "store/read_admission.h"
#include "store/txn_scheduler.h"

namespace rutile::store {
namespace {

using mvcc::Lock;
using mvcc::Timestamp;
using Locks = txn::ConcurrencyManager::Locks;

// Below the first timestamp at which the lock's transaction may be committed, as far as readers
// can tell.
Timestamp BoundOf(const Lock& lock, const txn::StatusCache& statuses) {
  switch (lock.kind) {
    case Lock::Kind::kPut:
    case Lock::Kind::kDelete: break;
    // Not prewritten: it will take its timestamp, or be given one, later than this. Or nothing is
    // written.
    case Lock::Kind::kPessimistic:
    case Lock::Kind::kLock: return mvcc::kMaxTimestamp;
  }
  Timestamp min_commit = lock.min_commit;
  if (lock.generation != 0) min_commit = std::max(min_commit, statuses.MinCommit(lock.start));
  return min_commit > lock.start ? Timestamp(min_commit.value() - 1) : lock.start;
}

Result<Timestamp> Bound(const ReadView& data, Timestamp at, Locks locks,
                        const txn::StatusCache& statuses) {
  if (!data.answer.empty()) {
    RUTILE_ASSIGN_OR_RETURN(Locks at_leader, DecodeLocks(data.answer));
    locks.merge(at_leader);
  }
  for (const auto& [key, lock] : locks) {
    if (!KeyOutside(data.region, key)) at = std::min(at, BoundOf(lock, statuses));
  }
  RUTILE_ASSIGN_OR_RETURN(const std::vector<mvcc::KeyIsLocked> stored,
                          mvcc::ScanLocks(data.snapshot, {.latest = at}, BoundsOf(data.region)));
  for (const mvcc::KeyIsLocked& locked : stored) {
    at = std::min(at, BoundOf(locked.lock, statuses));
  }
  return at;
}

}  // namespace

bool ResolvedTimestamps::Covers(const RequestHeader& header, Timestamp at) {
  if (!source_ || !header.epoch) return false;
  {
    MutexLock lock(state_->mutex);
    Resolved& resolved = state_->regions[header.region];
    if (resolved.version == header.epoch->version && at <= resolved.at) return true;
    if (std::exchange(resolved.is_asked, true)) return false;
  }
  source_([this, header](const Result<Timestamp>& fresh) {
    if (!fresh.ok()) return OnAnswer(*state_, header.region, std::nullopt);
    Ask(header, fresh.value());
  });
  return false;
}

void ResolvedTimestamps::Ask(const RequestHeader& header, Timestamp at) {
  RequestHeader anywhere = header;
  anywhere.from_follower = true;
  // As a reader of all keys: here, in case this store leads, and by the question on the leader.
  Locks locks = concurrency_.AdmitScan({.at = at}, "", "", SIZE_MAX);
  store_.Read(
      anywhere,
      [state = state_, at, region = header.region, locks = std::move(locks)](
          const ReadView* data, const RegionError*) mutable {
        std::optional<Resolved> found;
        if (data != nullptr) {
          const Result<Timestamp> bound = Bound(*data, at, std::move(locks), state->statuses);
          if (bound.ok()) {
            found = Resolved{.version = data->region.epoch.version, .at = bound.value()};
          }
        }
        OnAnswer(*state, region, found);
      },
      Encode(ReadQuestion{.at = at}));
}

void ResolvedTimestamps::OnAnswer(State& state, RegionId region,
                                  const std::optional<Resolved>& found) {
  MutexLock lock(state.mutex);
  Resolved& resolved = state.regions[region];
  resolved.is_asked = false;
  if (!found) return;
  RUTILE_SOMETIMES(true, "store: a timestamp is resolved for stale reads");
  // What was known stays true.
  if (resolved.version == found->version) {
    resolved.at = std::max(resolved.at, found->at);
  } else {
    resolved.version = found->version;
    resolved.at = found->at;
  }
}

}  // namespace rutile::store
