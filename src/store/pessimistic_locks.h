#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "base/task.h"
#include "base/time.h"
#include "engine/kv_engine.h"
#include "env/env.h"
#include "store/deadlock_judge.h"
#include "store/deadlock_report.h"
#include "store/lock_waits.h"
#include "store/region_error.h"
#include "store/store.h"
#include "store/txn_scheduler.h"
#include "txn/concurrency_manager.h"
#include "txn/pessimistic_lock.h"

namespace rutile::store {

// A request for pessimistic locks.
struct LockRequest {
  txn::PessimisticLockRequest lock = {};
  // How long to wait for keys that others have. Below zero: not at all; zero: the default.
  std::int64_t wait_ms = 0;
  std::string tag = {};  // For the chain of a deadlock: txn::WaitFor.
};

// Carries out requests for pessimistic locks: who comes to a key that somebody else has waits until
// that is given up by way of this store, and then looks again. So what a waiter is answered is what
// it would have been without waiting, had it come then: the lock, a conflict with what was
// committed meanwhile, or that the key is locked still, when its time is up.
//
// Of those who wait for one key one at a time looks (see LockWaits): it has the key then, or its
// client begins its statement anew and comes back for it. The next one looks when the key is given
// up again, or when nobody has it after a while. When this store loses its office, or the region
// changes, all of the region look, and are told what anybody would be told.
//
// Who would wait for itself by way of others is told so (txn::Deadlock): at once where all of them
// wait on this store, else by the store that leads the placement group, to which all stores tell
// their waits.
//
// A request whose header limits its time is refused when that is up, whatever it waits for.
//
// Nothing is missed: who is to wait is queued while it has its keys' latches, in which whoever
// gives a key up comes later.
//
// Safe from any thread.
class PessimisticLocks final : public Store::Watcher {
 public:
  struct Options {
    std::size_t max_waiters = 10'000;  // Then the store is busy.
    Duration default_wait = Seconds(1);
    Duration max_wait = Seconds(1);
    // For how long the client of a waiter that was woken and did not take the key has it to itself.
    Duration wake_delay = Milliseconds(20);
    // The group whose leader looks for deadlocks between stores, and how often he is told of all
    // waits, also of those that he has heard of.
    RegionId judges = kPlacementRegion;
    Duration report_every = Seconds(1);
    DeadlockJudge::Options judge = {};
  };
  using Reply = std::variant<txn::PessimisticLockOutcome, RegionError, Status>;
  using Done = UniqueFunction<void(Reply)>;

  // Terms as for TxnScheduler, which outlives this, as does the concurrency manager.
  PessimisticLocks(Store& store, TxnScheduler& scheduler, txn::ConcurrencyManager& concurrency,
                   Executor& executor, Options options);

  // `done` runs once. Requires keys that the store accepts.
  void Lock(const RequestHeader& header, LockRequest request, Done done);

  // A change of a lock that somebody waits for.
  struct Notice {
    std::string key = {};
    txn::Timestamp holder = {};  // Zero: the lock is gone.
  };
  // Those in what a command is about to write. To be asked while it has its keys' latches, and told
  // when the changes are applied and it has them still.
  std::vector<Notice> Concerning(const engine::WriteBatch& changes) const;
  void Tell(const std::vector<Notice>& notices);
  // Locks of the region went without anybody having had their keys' latches: all of the region who
  // wait look again. To be told when they are gone.
  void OnLocksRemoved(RegionId region);

  std::size_t waiting() const;
  // Who waits here, for whom and since when, in the order of arrival. For people.
  struct WaitInfo {
    txn::WaitFor wait = {};
    Duration waited = {};
  };
  std::vector<WaitInfo> Waits() const;

  // Store::Watcher.
  void OnRegionChanged(RegionId region) override;
  void OnDatagram(StoreId from, const Datagram& datagram) override;

 private:
  // What a wait rests on: while it is so, every change of a lock comes by here.
  struct Office {
    Term term = {};
    bool is_leader = false;
    std::optional<RegionEpoch> epoch = {};
    std::uint64_t removals = 0;

    friend bool operator==(const Office&, const Office&) = default;
  };
  // A request that is not answered. Its other fields are whoever's carries it on: one at a time.
  struct Pending {
    const WaitId id;
    const RequestHeader header;
    const LockRequest request;
    Done done;
    bool has_timer = false;  // Under the mutex, as the next.
    bool is_late = false;    // It looks once more and does not wait.
    Office office = {};      // As of when it last looked.
    Instant since = {};      // Of its arrival.
  };
  using PendingPtr = std::shared_ptr<Pending>;
  // One look at the keys.
  struct Attempt {
    txn::PessimisticLockOutcome result = {};
    std::vector<Notice> notices = {};
    bool is_waiting = false;
    bool is_refused = false;  // Too many wait.
  };

  // Takes the request to the scheduler. `woken_for` is the key that it waited for, if it did.
  void Run(const PendingPtr& pending, std::string woken_for);
  void End(const PendingPtr& pending, Attempt& attempt, TxnScheduler::Ending ending);
  // Whether the request is to wait, and then lets it.
  void Park(const PendingPtr& pending, const Office& office, Attempt* attempt);
  void OnTimeout(const PendingPtr& pending);
  // If it waits it looks again.
  void Wake(WaitId id);
  void WakeNext(const std::string& key);
  // Others wait for the key that somebody was woken for. By then it should have found him.
  void WakeSoon(std::string key);
  // Those that no longer wait: null for one that did not.
  PendingPtr Take(WaitId id) REQUIRES(mutex_);
  PendingPtr TakeNext(const std::string& key) REQUIRES(mutex_);
  // Has it look again, on the executor.
  void Resume(PendingPtr pending, std::string woken_for);
  // --- Deadlocks.

  // A request that would never have its key.
  struct Circle {
    PendingPtr pending = {};
    txn::Deadlock deadlock = {};
  };
  // Tells the reporter for whom requests wait now. One that closes a circle waits no more.
  void NoteWaits(const std::vector<WaitId>& ids, std::vector<Circle>* circles) REQUIRES(mutex_);
  std::optional<txn::Deadlock> NoteWait(WaitId id) REQUIRES(mutex_);
  txn::WaitFor WaitForOf(WaitId id, const LockWaits::Wait& wait) const REQUIRES(mutex_);
  // Answers those in circles, and has the judge told of the others.
  void Settle(std::vector<Circle> circles);
  void OnVerdicts(std::vector<DeadlockVerdict> verdicts);
  // Tells the judge what is new, or everything.
  void Report(bool all);
  void ReportAgain();

  Office OfficeIn(RegionId region) const;
  Duration WaitOf(const LockRequest& request) const;
  // What is left of its time; zero: it has no limit. Nothing: it is up.
  std::optional<Duration> TimeLeft(const Pending& pending) const;

  Store& store_;
  TxnScheduler& scheduler_;
  txn::ConcurrencyManager& concurrency_;
  Executor& executor_;
  const Options options_;
  std::atomic<std::uint64_t> removals_ = 0;  // Calls of OnLocksRemoved.

  mutable Mutex mutex_;
  LockWaits waits_ GUARDED_BY(mutex_);
  std::map<WaitId, PendingPtr> parked_ GUARDED_BY(mutex_);  // Those in waits_.
  std::uint64_t last_id_ GUARDED_BY(mutex_) = 0;
  WaitReporter reporter_ GUARDED_BY(mutex_);
  bool reports_soon_ GUARDED_BY(mutex_) = false;
  bool reports_again_ GUARDED_BY(mutex_) = false;  // While somebody waits.
  DeadlockJudge judge_;
};

}  // namespace rutile::store
