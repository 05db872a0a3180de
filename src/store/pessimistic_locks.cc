#include "store/pessimistic_locks.h"

#include <algorithm>
#include <utility>

#include "base/buggify.h"
#include "base/probe.h"
#include "codec/crc64.h"
#include "mvcc/keys.h"
#include "mvcc/records.h"

namespace rutile::store {
namespace {

constexpr Duration kBusyBackoff = Milliseconds(100);

// What a request would wait for: nothing if it fails for another reason too.
const txn::KeyIsLocked* LockInTheWay(const txn::Outcome& outcome) {
  const auto is_locked = [](const txn::KeyError& error) {
    return std::holds_alternative<txn::KeyIsLocked>(error);
  };
  if (outcome.errors.empty() || !std::ranges::all_of(outcome.errors, is_locked)) return nullptr;
  return &std::get<txn::KeyIsLocked>(outcome.errors.front());
}

}  // namespace

PessimisticLocks::PessimisticLocks(Store& store, TxnScheduler& scheduler,
                                   txn::ConcurrencyManager& concurrency, Executor& executor,
                                   Options options)
    : store_(store),
      scheduler_(scheduler),
      concurrency_(concurrency),
      executor_(executor),
      options_(options),
      reporter_(store.id(), options.max_waiters,
                static_cast<std::uint64_t>(ToMilliseconds(store.clock().Now().time_since_epoch()))
                    << 20),
      judge_(options.judge) {}

void PessimisticLocks::Lock(const RequestHeader& header, LockRequest request, Done done) {
  WaitId id;
  {
    MutexLock lock(mutex_);
    id = WaitId(++last_id_);
  }
  Run(std::make_shared<Pending>(Pending{.id = id,
                                        .header = header,
                                        .request = std::move(request),
                                        .done = std::move(done),
                                        .since = store_.clock().Now()}),
      "");
}

void PessimisticLocks::Run(const PendingPtr& pending, std::string woken_for) {
  RequestHeader header = pending->header;
  const std::optional<Duration> time_left = TimeLeft(*pending);
  if (!time_left) {
    std::exchange(pending->done, {})(RegionError(TimeIsUp()));
    return WakeSoon(std::move(woken_for));
  }
  header.time_limit = *time_left;
  if (RUTILE_BUGGIFY("buggify store: locks in memory are lost")) {
    scheduler_.memory_locks().Drop(header.region);
    OnLocksRemoved(header.region);
  }
  const auto attempt = std::make_shared<Attempt>();
  // Before the snapshot: what changes after it is noticed when the request is to wait.
  const Office office = OfficeIn(pending->header.region);
  scheduler_.Run(
      header, txn::KeysOf(pending->request.lock),
      [this, pending, attempt, office](mvcc::Reader& reader) -> Result<TxnScheduler::Plan> {
        // What is told of the keys was read at that timestamp. Whoever writes one of them waits for
        // its latch.
        concurrency_.RaiseMaxTs(pending->request.lock.for_update);
        RUTILE_ASSIGN_OR_RETURN(attempt->result,
                                txn::PessimisticLock(reader, pending->request.lock));
        TxnScheduler::Plan plan;
        plan.changes = std::exchange(attempt->result.outcome.changes, {});
        plan.may_stay_in_memory = true;
        attempt->notices = Concerning(plan.changes);
        Park(pending, office, attempt.get());
        return plan;
      },
      [this, pending, attempt, woken_for = std::move(woken_for)](TxnScheduler::Ending ending) {
        if (!attempt->is_waiting) End(pending, *attempt, std::move(ending));
        WakeSoon(woken_for);
      },
      [this, attempt] { Tell(attempt->notices); });
}

void PessimisticLocks::WakeSoon(std::string key) {
  if (key.empty()) return;
  executor_.PostAfter(options_.wake_delay, [this, key = std::move(key)] { WakeNext(key); });
}

void PessimisticLocks::End(const PendingPtr& pending, Attempt& attempt,
                           TxnScheduler::Ending ending) {
  Done done = std::move(pending->done);
  if (auto* error = std::get_if<RegionError>(&ending)) return done(std::move(*error));
  if (auto* status = std::get_if<Status>(&ending)) return done(std::move(*status));
  if (attempt.is_refused) {
    return done(RegionError(ServerIsBusy{
        .reason = "too many requests wait for locks: " + std::to_string(options_.max_waiters),
        .backoff = kBusyBackoff}));
  }
  done(std::move(attempt.result));
}

void PessimisticLocks::Park(const PendingPtr& pending, const Office& office, Attempt* attempt) {
  const txn::KeyIsLocked* locked = LockInTheWay(attempt->result.outcome);
  if (locked == nullptr || pending->request.wait_ms < 0) return;
  bool needs_timer = false;
  std::vector<Circle> circles;
  {
    MutexLock lock(mutex_);
    if (pending->is_late) return;
    attempt->is_refused = waits_.size() >= options_.max_waiters;
    if (attempt->is_refused) return;
    attempt->is_waiting = true;
    pending->office = office;
    needs_timer = !std::exchange(pending->has_timer, true);
    parked_.emplace(pending->id, pending);
    NoteWaits(waits_.Add(pending->id, {.key = locked->key, .start = pending->request.lock.start},
                         locked->lock.start),
              &circles);
  }
  Settle(std::move(circles));
  if (needs_timer) {
    const Duration limit = TimeLeft(*pending).value_or(Duration(1));
    const Duration wait = WaitOf(pending->request);
    executor_.PostAfter(limit == Duration::zero() ? wait : std::min(wait, limit),
                        [this, pending] { OnTimeout(pending); });
  }
  // What has changed since was told while it did not wait yet.
  if (OfficeIn(pending->header.region) != office) Wake(pending->id);
}

void PessimisticLocks::OnTimeout(const PendingPtr& pending) {
  {
    MutexLock lock(mutex_);
    pending->is_late = true;
  }
  Wake(pending->id);
}

void PessimisticLocks::Wake(WaitId id) {
  PendingPtr woken;
  {
    MutexLock lock(mutex_);
    woken = Take(id);
  }
  if (woken != nullptr) Settle({});
  Resume(std::move(woken), "");
}

void PessimisticLocks::WakeNext(const std::string& key) {
  PendingPtr woken;
  {
    MutexLock lock(mutex_);
    woken = TakeNext(key);
  }
  if (woken != nullptr) Settle({});
  Resume(std::move(woken), key);
}

PessimisticLocks::PendingPtr PessimisticLocks::Take(WaitId id) {
  if (!waits_.Remove(id)) return nullptr;
  reporter_.Forget(id);
  return std::move(parked_.extract(id).mapped());
}

PessimisticLocks::PendingPtr PessimisticLocks::TakeNext(const std::string& key) {
  const std::optional<WaitId> next = waits_.TakeNext(key);
  if (!next) return nullptr;
  reporter_.Forget(*next);
  return std::move(parked_.extract(*next).mapped());
}

void PessimisticLocks::Resume(PendingPtr pending, std::string woken_for) {
  if (pending == nullptr) return;
  executor_.Post([this, pending = std::move(pending), woken_for = std::move(woken_for)] {
    Run(pending, woken_for);
  });
}

std::vector<PessimisticLocks::Notice> PessimisticLocks::Concerning(
    const engine::WriteBatch& changes) const {
  std::vector<Notice> notices;
  MutexLock lock(mutex_);
  if (waits_.size() == 0) return notices;
  for (const auto& change : changes.changes()) {
    if (change.family != engine::Family::kLock) continue;
    Result<std::string> key = mvcc::UserKeyOf(change.key);
    if (!key.ok() || !waits_.HasWaiters(key.value())) continue;
    Notice notice{.key = std::move(key).value()};
    if (change.kind == engine::WriteBatch::Kind::kPut) {
      const Result<mvcc::Lock> record = mvcc::DecodeLock(change.value);
      if (record.ok()) notice.holder = record.value().start;
    }
    notices.push_back(std::move(notice));
  }
  return notices;
}

void PessimisticLocks::Tell(const std::vector<Notice>& notices) {
  for (const Notice& notice : notices) {
    PendingPtr woken;
    std::vector<Circle> circles;
    {
      MutexLock lock(mutex_);
      NoteWaits(waits_.SetHolder(notice.key, notice.holder), &circles);
      woken = TakeNext(notice.key);
    }
    Settle(std::move(circles));
    RUTILE_SOMETIMES(woken != nullptr, "store: a lock that somebody waits for is given up");
    Resume(std::move(woken), notice.key);
  }
}

void PessimisticLocks::OnLocksRemoved(RegionId region) {
  // Who has looked before that and does not wait yet notices when it is about to.
  ++removals_;
  OnRegionChanged(region);
}

void PessimisticLocks::OnRegionChanged(RegionId region) {
  const Office office = OfficeIn(region);
  scheduler_.memory_locks().DropBefore(region, office.term);
  if (!office.is_leader) scheduler_.memory_locks().Drop(region);
  std::vector<PendingPtr> moved;
  {
    MutexLock lock(mutex_);
    for (const auto& [id, pending] : parked_) {
      if (pending->header.region == region && pending->office != office) moved.push_back(pending);
    }
    for (const PendingPtr& pending : moved) Take(pending->id);
  }
  RUTILE_SOMETIMES(!moved.empty(), "store: a region changes while somebody waits for a lock");
  const bool is_news = region == options_.judges || !moved.empty();
  for (PendingPtr& pending : moved) Resume(std::move(pending), "");
  if (is_news) Settle({});
}

// --- Deadlocks.

void PessimisticLocks::NoteWaits(const std::vector<WaitId>& ids, std::vector<Circle>* circles) {
  for (const WaitId id : ids) {
    std::optional<txn::Deadlock> deadlock = NoteWait(id);
    if (deadlock) circles->push_back({.pending = Take(id), .deadlock = *std::move(deadlock)});
  }
}

std::optional<txn::Deadlock> PessimisticLocks::NoteWait(WaitId id) {
  const LockWaits::Wait& wait = *waits_.Find(id);
  const txn::Timestamp holder = waits_.HolderOf(wait.key);
  // Nobody has the key, or another request of the transaction has got it: no wait for long.
  if (holder.IsZero() || holder == wait.start) {
    reporter_.Forget(id);
    return std::nullopt;
  }
  return reporter_.Note(id, WaitForOf(id, wait), store_.clock().Now());
}

txn::WaitFor PessimisticLocks::WaitForOf(WaitId id, const LockWaits::Wait& wait) const {
  return {.waiter = wait.start,
          .holder = waits_.HolderOf(wait.key),
          .key = wait.key,
          .key_hash = codec::Crc64(wait.key),
          .tag = parked_.at(id)->request.tag};
}

void PessimisticLocks::Settle(std::vector<Circle> circles) {
  for (Circle& circle : circles) {
    RUTILE_SOMETIMES(true, "store: who would wait for itself is told so");
    executor_.Post([pending = std::move(circle.pending), deadlock = std::move(circle.deadlock)] {
      txn::PessimisticLockOutcome result;
      result.outcome.errors.emplace_back(deadlock);
      pending->done(std::move(result));
    });
  }
  {
    MutexLock lock(mutex_);
    const bool is_idle = waits_.size() == 0 && !reporter_.has_news();
    if (is_idle || std::exchange(reports_soon_, true)) return;
  }
  executor_.Post([this] {
    {
      MutexLock lock(mutex_);
      reports_soon_ = false;
    }
    Report(false);
  });
}

void PessimisticLocks::Report(bool all) {
  bool starts = false;
  {
    MutexLock lock(mutex_);
    starts = waits_.size() > 0 && !std::exchange(reports_again_, true);
  }
  if (starts) executor_.PostAfter(options_.report_every, [this] { ReportAgain(); });
  const std::optional<GateState> gate = store_.Gate(options_.judges);
  if (!gate) return;
  const auto is_judge = [&](const Peer& peer) { return peer.id == gate->leader; };
  const auto judge = std::ranges::find_if(gate->region->peers, is_judge);
  if (judge == gate->region->peers.end()) return;
  std::vector<DeadlockReport> reports;
  {
    MutexLock lock(mutex_);
    reports = reporter_.Take(judge->store, gate->term, all);
  }
  for (const DeadlockReport& report : reports) {
    if (judge->store == store_.id()) {
      OnVerdicts(judge_.OnReport(store_.id(), report, gate->term, store_.clock().Now()));
    } else {
      store_.SendDatagram(judge->store, {.channel = kDeadlockChannel, .payload = Encode(report)});
    }
  }
}

void PessimisticLocks::ReportAgain() {
  {
    MutexLock lock(mutex_);
    reports_again_ = false;
  }
  Report(true);
}

void PessimisticLocks::OnDatagram(StoreId from, const Datagram& datagram) {
  if (datagram.channel != kDeadlockChannel) return;
  Result<DeadlockMessage> message = DecodeDeadlockMessage(datagram.payload);
  if (!message.ok()) return;
  if (auto* verdict = std::get_if<DeadlockVerdict>(&message.value())) {
    return OnVerdicts({std::move(*verdict)});
  }
  const std::optional<GateState> gate = store_.Gate(options_.judges);
  if (!gate || !gate->is_leader) return;  // The reporter hears of another soon.
  const auto& report = std::get<DeadlockReport>(message.value());
  for (const DeadlockVerdict& verdict :
       judge_.OnReport(from, report, gate->term, store_.clock().Now())) {
    store_.SendDatagram(from, {.channel = kDeadlockChannel, .payload = Encode(verdict)});
  }
}

void PessimisticLocks::OnVerdicts(std::vector<DeadlockVerdict> verdicts) {
  std::vector<Circle> circles;
  {
    MutexLock lock(mutex_);
    for (DeadlockVerdict& verdict : verdicts) {
      // It may wait for somebody else by now.
      const LockWaits::Wait* wait = waits_.Find(verdict.id);
      const txn::Deadlock& told = verdict.deadlock;
      if (wait == nullptr || wait->key != told.key || waits_.HolderOf(told.key) != told.holder) {
        continue;
      }
      circles.push_back({.pending = Take(verdict.id), .deadlock = std::move(verdict.deadlock)});
    }
  }
  if (!circles.empty()) Settle(std::move(circles));
}

PessimisticLocks::Office PessimisticLocks::OfficeIn(RegionId region) const {
  const std::optional<GateState> gate = store_.Gate(region);
  if (!gate) return {};
  return {.term = gate->term,
          .is_leader = gate->is_leader,
          .epoch = gate->region->epoch,
          .removals = removals_};
}

Duration PessimisticLocks::WaitOf(const LockRequest& request) const {
  if (request.wait_ms == 0) return std::min(options_.default_wait, options_.max_wait);
  return std::min(Milliseconds(request.wait_ms), options_.max_wait);
}

std::optional<Duration> PessimisticLocks::TimeLeft(const Pending& pending) const {
  const Duration limit = pending.header.time_limit;
  if (limit == Duration::zero()) return limit;
  const Duration left = pending.since + limit - store_.clock().Now();
  if (left <= Duration::zero()) return std::nullopt;
  return left;
}

std::vector<PessimisticLocks::WaitInfo> PessimisticLocks::Waits() const {
  const Instant now = store_.clock().Now();
  std::vector<WaitInfo> waits;
  MutexLock lock(mutex_);
  waits.reserve(parked_.size());
  for (const auto& [id, pending] : parked_) {
    const LockWaits::Wait& wait = *waits_.Find(id);
    waits.push_back({.wait = WaitForOf(id, wait), .waited = now - pending->since});
  }
  return waits;
}

std::size_t PessimisticLocks::waiting() const {
  MutexLock lock(mutex_);
  return waits_.size();
}

}  // namespace rutile::store
