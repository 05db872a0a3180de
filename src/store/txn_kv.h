#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/status.h"
#include "base/task.h"
#include "env/env.h"
#include "mvcc/inspect.h"
#include "mvcc/lock_scan.h"
#include "mvcc/reader.h"
#include "mvcc/scanner.h"
#include "store/max_timestamp_sync.h"
#include "store/pessimistic_locks.h"
#include "store/read_admission.h"
#include "store/region_error.h"
#include "store/region_flashback.h"
#include "store/resolved_timestamps.h"
#include "store/store.h"
#include "store/txn_scheduler.h"
#include "txn/check_secondary_locks.h"
#include "txn/check_status.h"
#include "txn/commit.h"
#include "txn/concurrency_manager.h"
#include "txn/heartbeat.h"
#include "txn/outcome.h"
#include "txn/pessimistic_lock.h"
#include "txn/pessimistic_rollback.h"
#include "txn/prewrite.h"
#include "txn/resolve.h"
#include "txn/rollback.h"

namespace rutile::store {

// What the transactional calls accept; configuration of the node.
struct TxnLimits {
  std::size_t max_key_bytes = std::size_t{8} << 10;
  std::size_t max_value_bytes = std::size_t{6} << 20;
  std::uint32_t max_scan_limit = 100'000;  // Pairs and locks of one scan.
  // Of one look into the records. A fraction of a second, and less than a message may have.
  mvcc::InspectLimits inspect = {.records = 250'000, .bytes = std::size_t{16} << 20};
  TxnScheduler::Options scheduler = {};
  PessimisticLocks::Options locks = {};
};

// The answer to a transactional call: a T, a region error, or a Status whose message is for the
// user (a bad argument, or records that contradict each other).
template <class T>
using TxnReply = std::variant<T, RegionError, Status>;
template <class T>
using TxnDone = UniqueFunction<void(TxnReply<T>)>;

// A range of keys: of users in reads, in the form of region borders in removals.
struct KeyBorders {
  std::string lower = {};
  std::string upper = {};  // Exclusive; empty: the end of all keys.
};

// Forward: [start, end) with `start` in the region; an empty `end` is no bound. Reverse: from below
// `start` down to `end`, both as the protocol has them: start is the exclusive upper bound, in the
// region or its end, and empty for that; end is the inclusive lower one.
struct TxnScan {
  std::string start = {};
  std::string end = {};
  std::uint32_t limit = 0;  // Pairs and locks.
  bool key_only = false;
  bool reverse = false;
  std::uint32_t sample_step = 0;  // As in mvcc::Scanner::Options.
};

struct RangeRemoved {};
struct FlashbackDone {};
// What a pipelined transaction has flushed to a key; nothing: that it is deleted.
struct FlushedKey {
  std::string key = {};
  std::optional<std::string> value = {};
};
struct InspectedKey {
  std::string key = {};
  mvcc::KeyRecords records = {};
};

// The transactional calls of one store: reads at a timestamp, and the actions of src/txn run by a
// TxnScheduler. Checks arguments. The changes of an answered outcome are empty: they are applied.
// What started below the safe point of its region (see safe_point.h) neither reads nor locks.
//
// The leader chooses the commit timestamp of transactions that are committed asynchronously or in
// one phase, above all that was read before. Get, BatchGet and Scan are served by followers too
// where `from_follower` allows it: they tell the leader at which timestamp they read when they ask
// it for the moment (see ReadAdmission), or nothing at all where the read may be stale and the
// timestamp is resolved (see ResolvedTimestamps). Of what former leaders have let be read it knows
// by a fresh timestamp in each term (see MaxTimestampSync); until then transactions are prewritten
// for two phases. All else is read at leaders only.
//
// Safe from any thread; `done` runs exactly once, possibly before the call returns.
class TxnKv {
 public:
  using Items = std::vector<mvcc::Scanner::Item>;

  // Terms as for TxnScheduler, and for MaxTimestampSync.
  TxnKv(Store& store, Executor& executor, TxnLimits limits, TimestampSource timestamps = {})
      : store_(store),
        executor_(executor),
        limits_(limits),
        sync_(std::make_shared<MaxTimestampSync>(store, concurrency_, timestamps)),
        resolved_(store, concurrency_, std::move(timestamps)),
        scheduler_(store, executor, limits.scheduler),
        admission_(std::make_shared<TxnReadAdmission>(concurrency_)),
        locks_(std::make_shared<PessimisticLocks>(store, scheduler_, concurrency_, executor,
                                                  limits.locks)) {
    store.Watch(locks_);
    store.Watch(sync_);
    store.AdmitReadsBy(admission_);
  }

  void Get(const RequestHeader& header, std::string key, mvcc::View view,
           TxnDone<mvcc::ReadAnswer> done);
  // Only the keys that are present or locked, in the order asked for.
  void BatchGet(const RequestHeader& header, std::vector<std::string> keys, mvcc::View view,
                TxnDone<Items> done);
  // Clipped to the region. A reversed range holds nothing.
  void Scan(const RequestHeader& header, TxnScan scan, mvcc::View view, TxnDone<Items> done);
  // Likewise; no lower bound: from the region's start. A limit of zero stands for the highest there
  // is. Up to `latest` this counts as a read: what is committed there later has its locks here.
  void ScanLocks(const RequestHeader& header, mvcc::LockScan scan,
                 TxnDone<std::vector<mvcc::KeyIsLocked>> done);

  void Prewrite(const RequestHeader& header, txn::PrewriteRequest request,
                TxnDone<txn::PrewriteOutcome> done);
  // Of a pipelined transaction, for itself: what it has prewritten to those of the keys that it
  // has, in the order asked for. Others' locks and what is committed do not show.
  void GetFlushed(const RequestHeader& header, std::vector<std::string> keys, mvcc::Timestamp start,
                  TxnDone<std::vector<FlushedKey>> done);
  // Waits for keys that others have, as long as the request says.
  void PessimisticLock(const RequestHeader& header, LockRequest request,
                       TxnDone<txn::PessimisticLockOutcome> done);
  void PessimisticRollback(const RequestHeader& header, txn::PessimisticRollbackRequest request,
                           TxnDone<txn::Outcome> done);
  void Commit(const RequestHeader& header, txn::CommitRequest request, TxnDone<txn::Outcome> done);
  void Rollback(const RequestHeader& header, txn::RollbackRequest request,
                TxnDone<txn::Outcome> done);
  void Resolve(const RequestHeader& header, txn::ResolveRequest request,
               TxnDone<txn::Outcome> done);
  void CheckStatus(const RequestHeader& header, txn::StatusRequest request,
                   TxnDone<txn::StatusOutcome> done);
  void CheckSecondaryLocks(const RequestHeader& header, txn::SecondaryLocksRequest request,
                           TxnDone<txn::SecondaryLocksOutcome> done);
  void Heartbeat(const RequestHeader& header, txn::HeartbeatRequest request,
                 TxnDone<txn::HeartbeatOutcome> done);
  // Of pipelined transactions: so that they keep no timestamp from being resolved for long.
  txn::StatusCache& statuses() { return resolved_.statuses(); }
  // All records of a key, for whoever looks for what went wrong: no read in the sense of others, it
  // does not wait for locks and has no timestamp. On the leader, as all reads. At most
  // `inspect` of the limits.
  void Inspect(const RequestHeader& header, std::string key, TxnDone<mvcc::KeyRecords> done);
  // The first key of the region with a record of the transaction, and all its records; nothing
  // where there is none. Walks over the region's locks and writes on the caller's thread.
  void InspectFirst(const RequestHeader& header, mvcc::Timestamp start,
                    TxnDone<std::optional<InspectedKey>> done);
  // Removes all records of the keys in [start, end), which lies in the region: locks, writes and
  // values, whoever's they are, at once on each replica. An empty `end` is the end of all keys.
  // With `notify_only` the range is checked and nothing else: that announces a removal from all
  // regions (DestroyRange), for which nothing is prepared here.
  //
  // For data that nobody uses any more: it takes no latches and does not look at transactions.
  // What of one is proposed before it goes, what comes after it stays, so a transaction that is
  // under way may be left with half of its records; a lock in memory goes with its prewrite. Who
  // waits for a lock in the region looks again.
  //
  // Raw keys share the family of values. One whose bytes lie between the borders in
  // memory-comparable form goes with the range: who uses both kinds keeps their ranges apart.
  void DeleteRange(const RequestHeader& header, std::string_view start, std::string_view end,
                   bool notify_only, TxnDone<RangeRemoved> done);
  // Likewise for a range over any number of regions, with both borders: removes what lies in the
  // regions that this store leads. Who asks all stores reaches all regions. Where the answer is an
  // error some of the range may be removed; a region that nobody leads at the moment is one, too.
  void DestroyRange(std::string_view start, std::string_view end, TxnDone<RangeRemoved> done);

  // See RegionFlashback.
  void PrepareFlashback(const RequestHeader& header, RegionFlashback::Request request,
                        TxnDone<FlashbackDone> done);
  void Flashback(const RequestHeader& header, RegionFlashback::Request request,
                 TxnDone<FlashbackDone> done);

  const TxnScheduler& scheduler() const { return scheduler_; }
  TxnScheduler& scheduler() { return scheduler_; }
  const txn::ConcurrencyManager& concurrency() const { return concurrency_; }
  const PessimisticLocks& locks() const { return *locks_; }

 private:
  Status CheckKey(std::string_view key) const;
  template <class Keys>
  Status CheckKeys(const Keys& keys) const {
    for (const auto& key : keys) RUTILE_RETURN_IF_ERROR(CheckKey(key));
    return {};
  }
  Status CheckRange(std::string_view start, std::string_view end) const;
  Status CheckLimit(std::uint64_t limit) const;
  using FlashbackStep = void (*)(RegionFlashback::Parts, const RequestHeader&,
                                 RegionFlashback::Request, RegionFlashback::Done);
  void AskFlashback(FlashbackStep step, const RequestHeader& header,
                    RegionFlashback::Request request, TxnDone<FlashbackDone> done);
  // Removes what the region has in `range`, which is in it.
  void Remove(const RequestHeader& header, const KeyBorders& range, TxnDone<RangeRemoved> done);
  // Runs `read` on data that have all that is seen at the view's timestamp, with the view and the
  // locks in memory that it must heed, and hands on what it returns. `locks` are those of this
  // store; where it does not lead, the leader answers `question` with its own.
  template <class T, class F>
  void Read(const RequestHeader& header, mvcc::View view, std::string question,
            txn::ConcurrencyManager::Locks locks, TxnDone<T> done, F read);
  // Likewise, on the leader and heeding no locks.
  template <class T, class F>
  void ReadAtLeader(const RequestHeader& header, mvcc::Timestamp at, TxnDone<T> done, F read);
  // Runs `act`, whose T is or has an Outcome, on the keys of the request, and hands on what it
  // gave. It may lock keys in memory until its changes are applied.
  template <class T, class Request>
  using Action = Result<T> (*)(mvcc::Reader& reader, const Request& request);
  template <class T, class Request, class F>
  void Act(const RequestHeader& header, Request request, F act, TxnDone<T> done);
  template <class T, class Request>
  void Act(const RequestHeader& header, Request request, Action<T, Request> act, TxnDone<T> done);
  // Of a transaction whose commit timestamp this store chooses.
  Result<txn::PrewriteOutcome> PrewriteBelowReaders(RegionId region, mvcc::Reader& reader,
                                                    const txn::PrewriteRequest& request,
                                                    txn::KeyLocks* locks);

  Store& store_;
  Executor& executor_;
  const TxnLimits limits_;
  txn::ConcurrencyManager concurrency_;
  const std::shared_ptr<MaxTimestampSync> sync_;  // The store knows it, as the last two, weakly.
  ResolvedTimestamps resolved_;
  TxnScheduler scheduler_;
  const std::shared_ptr<TxnReadAdmission> admission_;
  const std::shared_ptr<PessimisticLocks> locks_;
};

}  // namespace rutile::store
