#include "store/txn_kv.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <type_traits>

#include "base/mutex.h"
#include "base/probe.h"
#include "codec/keys.h"
#include "codec/memcomparable.h"
#include "mvcc/backward_scanner.h"
#include "store/safe_point.h"

namespace rutile::store {
namespace {

using Locks = txn::ConcurrencyManager::Locks;

txn::Outcome& OutcomeOf(txn::Outcome& outcome) { return outcome; }
template <class T>
txn::Outcome& OutcomeOf(T& result) {
  return result.outcome;
}

// All that an action reads or changes.
template <class Request>
std::vector<std::string> KeysOf(const Request& request) {
  if constexpr (requires { request.mutations; }) {
    return txn::KeysOf(request);
  } else if constexpr (requires { request.keys; }) {
    return request.keys;
  } else {
    return {request.primary};
  }
}

// Why a scan down from `upper` does not begin in the region: the keys right below it are another's.
// An empty one is the region's end.
std::optional<RegionError> UpperOutside(const Region& region, const std::string& upper) {
  if (upper.empty()) return std::nullopt;
  const std::string border = codec::EncodeMemcomparable(upper);
  if (border > region.start_key && (region.end_key.empty() || border <= region.end_key)) {
    return std::nullopt;
  }
  return NotIn(region, upper);
}

// What readers must know of the keys until the locks or records of the request are applied.
Locks LocksOf(const txn::PrewriteRequest& request) {
  Locks locks;
  for (const txn::Mutation& mutation : request.mutations) {
    mvcc::Lock lock = {.primary = request.primary,
                       .start = request.start,
                       .ttl_ms = request.ttl_ms,
                       .transaction_keys = request.transaction_keys,
                       .min_commit = std::max(request.start.Next(), request.min_commit),
                       .is_async_commit = request.use_async_commit && !request.try_one_phase};
    if (lock.is_async_commit && mutation.key == request.primary) {
      lock.secondaries = request.secondaries;
    }
    switch (mutation.kind) {
      case txn::Mutation::Kind::kPut:
      case txn::Mutation::Kind::kInsert: break;
      case txn::Mutation::Kind::kDelete: lock.kind = mvcc::Lock::Kind::kDelete; break;
      case txn::Mutation::Kind::kLock:
      case txn::Mutation::Kind::kCheckNotExists: continue;  // Readers see nothing of these.
    }
    locks.emplace(mutation.key, std::move(lock));
  }
  return locks;
}

bool LooksForValues(const txn::PrewriteRequest& request) {
  return std::ranges::any_of(request.mutations, [](const txn::Mutation& mutation) {
    return mutation.kind == txn::Mutation::Kind::kInsert ||
           mutation.kind == txn::Mutation::Kind::kCheckNotExists;
  });
}

std::unique_ptr<mvcc::Scanner> NewScanner(const ReadView& data, const TxnScan& scan,
                                          const mvcc::View& view) {
  mvcc::Scanner::Options options = {.lower = scan.reverse ? scan.end : scan.start,
                                    .upper = scan.reverse ? scan.start : scan.end,
                                    .view = view,
                                    .key_only = scan.key_only,
                                    .sample_step = scan.sample_step,
                                    .within = BoundsOf(data.region)};
  if (scan.reverse) {
    return std::make_unique<mvcc::BackwardScanner>(data.snapshot, std::move(options));
  }
  return std::make_unique<mvcc::ForwardScanner>(data.snapshot, std::move(options));
}

std::optional<mvcc::KeyIsLocked> FindLock(const Locks& locks, const std::string& key) {
  const auto found = locks.find(key);
  if (found == locks.end()) return std::nullopt;
  return mvcc::KeyIsLocked{.key = key, .lock = found->second};
}

const std::string& KeyOf(const mvcc::Scanner::Item& item) {
  const auto* pair = std::get_if<mvcc::Scanner::Pair>(&item);
  return pair != nullptr ? pair->key : std::get<mvcc::KeyIsLocked>(item).key;
}

// The locks in memory that are the region's, among what the engine has in a scan: each takes the
// place of what its key has there.
TxnKv::Items WithLocks(const Region& region, const TxnScan& scan, TxnKv::Items items,
                       const Locks& locks) {
  TxnKv::Items in_memory, all;
  for (const auto& [key, lock] : locks) {
    if (KeyOutside(region, key)) continue;
    in_memory.emplace_back(mvcc::KeyIsLocked{.key = key, .lock = lock});
  }
  if (scan.reverse) std::reverse(in_memory.begin(), in_memory.end());
  // Of two with the same key the first one is taken.
  std::set_union(std::make_move_iterator(in_memory.begin()),
                 std::make_move_iterator(in_memory.end()), std::make_move_iterator(items.begin()),
                 std::make_move_iterator(items.end()), std::back_inserter(all),
                 [&](const auto& a, const auto& b) {
                   return scan.reverse ? KeyOf(b) < KeyOf(a) : KeyOf(a) < KeyOf(b);
                 });
  if (all.size() > scan.limit) all.erase(all.begin() + scan.limit, all.end());
  return all;
}

Result<TxnKv::Items> ScanItems(const ReadView& data, const TxnScan& scan, const mvcc::View& view,
                               const Locks& locks) {
  TxnKv::Items items;
  const std::unique_ptr<mvcc::Scanner> scanner = NewScanner(data, scan, view);
  while (items.size() < scan.limit) {
    RUTILE_ASSIGN_OR_RETURN(std::optional<mvcc::Scanner::Item> next, scanner->Next());
    if (!next) break;
    items.push_back(*std::move(next));
  }
  if (locks.empty()) return items;
  return WithLocks(data.region, scan, std::move(items), locks);
}

// Adds those in memory that are the region's to the locks of the engine.
std::vector<mvcc::KeyIsLocked> Merge(const Region& region, std::vector<mvcc::KeyIsLocked> locks,
                                     const Locks& in_memory, std::size_t limit) {
  std::map<std::string, mvcc::Lock> all;
  for (auto& [key, lock] : locks) all.emplace(std::move(key), std::move(lock));
  for (const auto& [key, lock] : in_memory) {
    if (!KeyOutside(region, key)) all.emplace(key, lock);
  }
  locks.clear();
  for (const auto& [key, lock] : all) {
    if (locks.size() == limit) break;
    locks.push_back({.key = key, .lock = lock});
  }
  return locks;
}

// Whether a command may remove it; as the store has it.
std::optional<RegionError> RangeOutside(const Region& region, const KeyBorders& range) {
  if (region.Contains(range.lower) &&
      (region.end_key.empty() || (!range.upper.empty() && range.upper <= region.end_key))) {
    return std::nullopt;
  }
  return NotIn(region, range.lower);
}

// What the leader's store has locked in memory, where this is another.
Status AddLocksOfLeader(const ReadView& data, const mvcc::View& view, Locks& locks) {
  if (data.answer.empty()) return {};
  RUTILE_ASSIGN_OR_RETURN(const Locks at_leader, DecodeLocks(data.answer));
  RUTILE_SOMETIMES(!at_leader.empty(), "store: a follower's read meets a lock in leader's memory");
  for (const auto& [key, lock] : at_leader) {
    if (mvcc::Blocks(lock, view)) locks.insert_or_assign(key, lock);
  }
  return {};
}

// What a reader asks the leader; nothing where it has to be asked itself. `range()` is what is
// read, of users' keys.
template <class F>
std::string QuestionOf(const RequestHeader& header, const mvcc::View& view, F range) {
  if (!header.from_follower) return {};
  KeyBorders keys = range();
  return Encode(
      ReadQuestion{.at = view.at, .lower = std::move(keys.lower), .upper = std::move(keys.upper)});
}

KeyBorders RangeOf(const std::vector<std::string>& keys) {
  if (keys.empty()) return {};
  const auto [first, last] = std::minmax_element(keys.begin(), keys.end());
  return {.lower = *first, .upper = *last + '\0'};
}

// What the region has of it.
std::optional<KeyBorders> Overlap(const Region& region, const KeyBorders& range) {
  KeyBorders part{.lower = std::max(range.lower, region.start_key), .upper = range.upper};
  if (!region.end_key.empty()) part.upper = std::min(part.upper, region.end_key);
  if (part.lower >= part.upper) return std::nullopt;
  return part;
}

// Answers when so many parts of a removal have ended.
class RangeRemoval {
 public:
  RangeRemoval(std::size_t parts, TxnDone<RangeRemoved> done)
      : left_(parts), done_(std::move(done)) {}

  void End(RegionId region, TxnReply<RangeRemoved> reply) {
    {
      MutexLock lock(mutex_);
      if (const auto* error = std::get_if<RegionError>(&reply)) {
        failed_ =
            Status(Code::kUnavailable, "region " + ToString(region) + ": " + ToString(*error));
      }
      if (--left_ > 0) return;
    }
    if (failed_.ok()) return done_(RangeRemoved{});
    done_(failed_);
  }

 private:
  Mutex mutex_;
  std::size_t left_ GUARDED_BY(mutex_);
  // Nobody writes them any more when the last part has ended.
  Status failed_;
  TxnDone<RangeRemoved> done_;
};

Command Removal(const KeyBorders& range) {
  Command command;
  for (const engine::Family family :
       {engine::Family::kLock, engine::Family::kWrite, engine::Family::kDefault}) {
    command.mutations.push_back({.kind = Mutation::Kind::kDeleteRange,
                                 .family = family,
                                 .key = range.lower,
                                 .value = range.upper});
  }
  return command;
}

// Hands on the answer, but where nobody can tell any more what became of an earlier attempt: that
// is answered so that no client takes it for a failure.
template <class T>
TxnDone<T> UnlessForgotten(const char* what, std::shared_ptr<const bool> is_forgotten,
                           TxnDone<T> done) {
  return [what, is_forgotten = std::move(is_forgotten),
          done = std::move(done)](TxnReply<T> reply) mutable {
    RUTILE_SOMETIMES(*is_forgotten, "store: what became of a transaction is not known any more");
    if (!*is_forgotten) return done(std::move(reply));
    done(RegionError(Undetermined{
        .reason = std::string(what) + " was asked for before, and what it may have written lies "
                                      "below the safe point of garbage collection"}));
  };
}

Status CheckTimestamp(const mvcc::View& view) {
  if (!view.at.IsZero()) return {};
  return Status(Code::kInvalidArgument, "a read at timestamp zero");
}

}  // namespace

Status TxnKv::CheckKey(std::string_view key) const {
  if (key.empty()) return Status(Code::kInvalidArgument, "the key is empty");
  if (key.size() <= limits_.max_key_bytes) return {};
  return Status(Code::kInvalidArgument,
                "the key has " + std::to_string(key.size()) + " bytes, the limit is " +
                    std::to_string(limits_.max_key_bytes) + " (option max-key-bytes)");
}

Status TxnKv::CheckRange(std::string_view start, std::string_view end) const {
  for (const std::string_view border : {start, end}) {
    if (!border.empty()) RUTILE_RETURN_IF_ERROR(CheckKey(border));
  }
  if (end.empty() || start < end) return {};
  return Status(Code::kInvalidArgument,
                start == end ? "the range is empty: both borders are the same"
                             : "the range is reversed: its lower border lies above its upper one");
}

Status TxnKv::CheckLimit(std::uint64_t limit) const {
  if (limit <= limits_.max_scan_limit) return {};
  return Status(Code::kInvalidArgument,
                "a scan of " + std::to_string(limit) + " keys, the limit is " +
                    std::to_string(limits_.max_scan_limit) + " (option max-scan-limit)");
}

// --- Reads.

template <class T, class F>
void TxnKv::ReadAtLeader(const RequestHeader& header, mvcc::Timestamp at, TxnDone<T> done, F read) {
  RequestHeader at_leader = header;
  at_leader.from_follower = false;
  Read<T>(at_leader, {.at = at}, {}, {}, std::move(done),
          [read = std::move(read)](const ReadView& data, const mvcc::View&, const Locks&) mutable {
            return read(data);
          });
}

template <class T, class F>
void TxnKv::Read(const RequestHeader& header, mvcc::View view, std::string question, Locks locks,
                 TxnDone<T> done, F read) {
  const std::optional<Instant> deadline = DeadlineOf(header, store_.clock());
  const bool is_resolved = header.stale && resolved_.Covers(header, view.at);
  Reader reader = [&clock = store_.clock(), deadline, view = std::move(view),
                   locks = std::move(locks), done = std::move(done),
                   read = std::move(read)](const ReadView* data, const RegionError* error) mutable {
    if (data == nullptr) return done(*error);
    if (deadline && clock.Now() >= *deadline) return done(RegionError(TimeIsUp()));
    const Result<RegionMarks> marks = MarksOf(*data);
    if (!marks.ok()) return done(marks.status());
    if (!marks.value().flashback.admits_read(view.at)) {
      return done(*RefusedBy(marks.value().flashback, data->region.id, {}));
    }
    Status status = mvcc::CheckNotCollected(view.at, marks.value().safe_point);
    if (status.ok()) status = AddLocksOfLeader(*data, view, locks);
    if (!status.ok()) return done(std::move(status));
    done(read(*data, view, locks));
  };
  if (is_resolved && store_.ReadHere(header, reader)) {
    RUTILE_SOMETIMES(true, "store: a stale read is served without asking");
    return;
  }
  store_.Read(header, std::move(reader), std::move(question));
}

void TxnKv::Get(const RequestHeader& header, std::string key, mvcc::View view,
                TxnDone<mvcc::ReadAnswer> done) {
  Status status = CheckKey(key);
  if (status.ok()) status = CheckTimestamp(view);
  if (!status.ok()) return done(std::move(status));
  using Reply = TxnReply<mvcc::ReadAnswer>;
  Locks locks = concurrency_.AdmitRead(view, {key});
  std::string question =
      QuestionOf(header, view, [&] { return KeyBorders{.lower = key, .upper = key + '\0'}; });
  Read<mvcc::ReadAnswer>(
      header, std::move(view), std::move(question), std::move(locks), std::move(done),
      [key = std::move(key)](const ReadView& data, const mvcc::View& as,
                             const Locks& met) -> Reply {
        if (auto error = KeyOutside(data.region, key)) return *std::move(error);
        if (auto locked = FindLock(met, key)) return mvcc::ReadAnswer(*std::move(locked));
        Result<mvcc::ReadAnswer> answer = mvcc::Reader(data.snapshot).Get(key, as);
        if (!answer.ok()) return answer.status();
        return std::move(answer).value();
      });
}

void TxnKv::BatchGet(const RequestHeader& header, std::vector<std::string> keys, mvcc::View view,
                     TxnDone<Items> done) {
  Status status = CheckKeys(keys);
  if (status.ok()) status = CheckTimestamp(view);
  if (!status.ok()) return done(std::move(status));
  using Reply = TxnReply<Items>;
  Locks locks = concurrency_.AdmitRead(view, keys);
  std::string question = QuestionOf(header, view, [&] { return RangeOf(keys); });
  Read<Items>(header, std::move(view), std::move(question), std::move(locks), std::move(done),
              [keys = std::move(keys)](const ReadView& data, const mvcc::View& as,
                                       const Locks& met) -> Reply {
                mvcc::Reader reader(data.snapshot);
                Items items;
                for (const std::string& key : keys) {
                  if (auto error = KeyOutside(data.region, key)) return *std::move(error);
                  if (auto locked = FindLock(met, key)) {
                    items.emplace_back(*std::move(locked));
                    continue;
                  }
                  Result<mvcc::ReadAnswer> answer = reader.Get(key, as);
                  if (!answer.ok()) return answer.status();
                  if (auto* locked = std::get_if<mvcc::KeyIsLocked>(&answer.value())) {
                    items.emplace_back(std::move(*locked));
                    continue;
                  }
                  auto& found = std::get<std::optional<mvcc::Found>>(answer.value());
                  if (!found) continue;
                  items.emplace_back(mvcc::Scanner::Pair{
                      .key = key, .value = std::move(found->value), .commit = found->commit});
                }
                return items;
              });
}

void TxnKv::Scan(const RequestHeader& header, TxnScan scan, mvcc::View view, TxnDone<Items> done) {
  Status status = CheckLimit(scan.limit);
  if (status.ok()) status = CheckTimestamp(view);
  if (!status.ok()) return done(std::move(status));
  using Reply = TxnReply<Items>;
  // A range in reverse: all of it, since the first in memory may be the last of the scan.
  Locks locks = scan.reverse ? concurrency_.AdmitScan(view, scan.end, scan.start, SIZE_MAX)
                             : concurrency_.AdmitScan(view, scan.start, scan.end, scan.limit);
  std::string question = QuestionOf(header, view, [&] {
    return KeyBorders{.lower = scan.reverse ? scan.end : scan.start,
                      .upper = scan.reverse ? scan.start : scan.end};
  });
  Read<Items>(header, std::move(view), std::move(question), std::move(locks), std::move(done),
              [scan = std::move(scan)](const ReadView& data, const mvcc::View& as,
                                       const Locks& met) -> Reply {
                auto error = scan.reverse ? UpperOutside(data.region, scan.start)
                                          : KeyOutside(data.region, scan.start);
                if (error) return *std::move(error);
                Result<Items> items = ScanItems(data, scan, as, met);
                if (!items.ok()) return items.status();
                return std::move(items).value();
              });
}

void TxnKv::ScanLocks(const RequestHeader& header, mvcc::LockScan scan,
                      TxnDone<std::vector<mvcc::KeyIsLocked>> done) {
  if (scan.limit == 0) scan.limit = limits_.max_scan_limit;
  if (Status status = CheckLimit(scan.limit); !status.ok()) return done(std::move(status));
  using Reply = TxnReply<std::vector<mvcc::KeyIsLocked>>;
  // Whoever does not find a lock here commits above `latest`. All of them: the engine may have as
  // many before the first in memory. Without a bound in time no commit is waited for.
  Locks in_memory;
  if (scan.latest != mvcc::kMaxTimestamp) {
    in_memory =
        concurrency_.AdmitScan({.at = scan.latest}, scan.lower, scan.upper, std::size_t{SIZE_MAX});
  }
  // Before the snapshot, as those above: one that is written meanwhile is in the snapshot.
  if (const std::optional<GateState> gate = store_.Gate(header.region)) {
    in_memory.merge(scheduler_.memory_locks().Scan(header.region, gate->term, scan));
  }
  ReadAtLeader<std::vector<mvcc::KeyIsLocked>>(
      header, mvcc::kMaxTimestamp, std::move(done),
      [scan = std::move(scan), in_memory = std::move(in_memory)](const ReadView& data) -> Reply {
        const Region& region = data.region;
        if (!scan.lower.empty()) {
          if (auto error = KeyOutside(region, scan.lower)) return *std::move(error);
        }
        auto found = mvcc::ScanLocks(data.snapshot, scan, BoundsOf(region));
        if (!found.ok()) return found.status();
        if (in_memory.empty()) return std::move(found).value();
        return Merge(region, std::move(found).value(), in_memory, scan.limit);
      });
}

void TxnKv::GetFlushed(const RequestHeader& header, std::vector<std::string> keys,
                       mvcc::Timestamp start, TxnDone<std::vector<FlushedKey>> done) {
  Status status = CheckKeys(keys);
  if (status.ok()) status = CheckTimestamp({.at = start});
  if (!status.ok()) return done(std::move(status));
  using Reply = TxnReply<std::vector<FlushedKey>>;
  ReadAtLeader<std::vector<FlushedKey>>(
      header, start, std::move(done),
      [keys = std::move(keys), start](const ReadView& data) -> Reply {
        mvcc::Reader reader(data.snapshot);
        std::vector<FlushedKey> found;
        for (const std::string& key : keys) {
          if (auto error = KeyOutside(data.region, key)) return *std::move(error);
          Result<std::optional<mvcc::Lock>> lock = reader.LoadLock(key);
          if (!lock.ok()) return lock.status();
          if (!lock.value() || lock.value()->start != start) continue;
          const mvcc::Lock::Kind kind = lock.value()->kind;
          if (kind != mvcc::Lock::Kind::kPut && kind != mvcc::Lock::Kind::kDelete) continue;
          Result<std::optional<std::string>> value = reader.LoadValue(key, *lock.value());
          if (!value.ok()) return value.status();
          found.push_back({.key = key, .value = std::move(value).value()});
        }
        return found;
      });
}

void TxnKv::Inspect(const RequestHeader& header, std::string key, TxnDone<mvcc::KeyRecords> done) {
  if (Status status = CheckKey(key); !status.ok()) return done(std::move(status));
  using Reply = TxnReply<mvcc::KeyRecords>;
  ReadAtLeader<mvcc::KeyRecords>(
      header, mvcc::kMaxTimestamp, std::move(done),
      [key = std::move(key), limits = limits_.inspect](const ReadView& data) -> Reply {
        if (auto error = KeyOutside(data.region, key)) return *std::move(error);
        Result<mvcc::KeyRecords> found = mvcc::RecordsOf(data.snapshot, key, limits);
        if (!found.ok()) return found.status();
        return std::move(found).value();
      });
}

void TxnKv::InspectFirst(const RequestHeader& header, mvcc::Timestamp start,
                         TxnDone<std::optional<InspectedKey>> done) {
  if (start.IsZero())
    return done(Status(Code::kInvalidArgument, "a transaction of timestamp zero"));
  using Reply = TxnReply<std::optional<InspectedKey>>;
  ReadAtLeader<std::optional<InspectedKey>>(
      header, mvcc::kMaxTimestamp, std::move(done),
      [start, limits = limits_.inspect](const ReadView& data) -> Reply {
        auto key = mvcc::FirstKeyOf(data.snapshot, start, BoundsOf(data.region), limits);
        if (!key.ok()) return key.status();
        if (!key.value()) return std::optional<InspectedKey>();
        Result<mvcc::KeyRecords> found = mvcc::RecordsOf(data.snapshot, *key.value(), limits);
        if (!found.ok()) return found.status();
        return std::optional(
            InspectedKey{.key = *std::move(key).value(), .records = std::move(found).value()});
      });
}

// --- Writes.

template <class T, class Request, class F>
void TxnKv::Act(const RequestHeader& header, Request request, F act, TxnDone<T> done) {
  std::vector<std::string> keys = KeysOf(request);
  if (Status status = CheckKeys(keys); !status.ok()) return done(std::move(status));
  struct Acting {
    T answer = {};
    std::vector<PessimisticLocks::Notice> notices = {};  // For who waits for a lock.
  };
  const auto acting = std::make_shared<Acting>();
  scheduler_.Run(
      header, std::move(keys),
      [this, acting, act = std::move(act),
       request = std::move(request)](mvcc::Reader& reader) -> Result<TxnScheduler::Plan> {
        TxnScheduler::Plan plan;
        RUTILE_ASSIGN_OR_RETURN(acting->answer, act(reader, request, &plan.locks));
        plan.changes = std::exchange(OutcomeOf(acting->answer).changes, {});
        acting->notices = locks_->Concerning(plan.changes);
        plan.may_stay_in_memory = std::is_same_v<Request, txn::PessimisticRollbackRequest>;
        return plan;
      },
      [acting, done = std::move(done)](TxnScheduler::Ending ending) mutable {
        if (auto* error = std::get_if<RegionError>(&ending)) return done(std::move(*error));
        if (auto* status = std::get_if<Status>(&ending)) return done(std::move(*status));
        done(std::move(acting->answer));
      },
      [this, acting] { locks_->Tell(acting->notices); });
}

template <class T, class Request>
void TxnKv::Act(const RequestHeader& header, Request request, Action<T, Request> act,
                TxnDone<T> done) {
  Act<T>(
      header, std::move(request),
      [act](mvcc::Reader& reader, const Request& asked, txn::KeyLocks*) {
        return act(reader, asked);
      },
      std::move(done));
}

void TxnKv::Prewrite(const RequestHeader& header, txn::PrewriteRequest request,
                     TxnDone<txn::PrewriteOutcome> done) {
  for (const txn::Mutation& mutation : request.mutations) {
    if (mutation.value.size() <= limits_.max_value_bytes) continue;
    return done(Status(Code::kInvalidArgument,
                       "the value has " + std::to_string(mutation.value.size()) +
                           " bytes, the limit is " + std::to_string(limits_.max_value_bytes) +
                           " (option max-value-bytes)"));
  }
  const bool chooses_commit = request.use_async_commit || request.try_one_phase;
  // As in Commit(): the earlier attempt may have been the whole commit.
  const bool may_be_committed = chooses_commit && header.is_retry;
  const auto is_forgotten = std::make_shared<bool>(false);
  Act<txn::PrewriteOutcome>(
      header, std::move(request),
      [this, chooses_commit, may_be_committed, is_forgotten, region = header.region](
          mvcc::Reader& reader, const txn::PrewriteRequest& asked, txn::KeyLocks* locks) {
        *is_forgotten =
            may_be_committed && !mvcc::CheckNotCollected(asked.start, reader.safe_point()).ok();
        // Whether a key exists is read at a timestamp too. Whoever writes it waits for its latch.
        if (LooksForValues(asked)) {
          concurrency_.RaiseMaxTs(std::max(asked.start, asked.for_update));
        }
        if (!chooses_commit) return txn::Prewrite(reader, asked);
        return PrewriteBelowReaders(region, reader, asked, locks);
      },
      UnlessForgotten("the prewrite", is_forgotten, std::move(done)));
}

Result<txn::PrewriteOutcome> TxnKv::PrewriteBelowReaders(RegionId region, mvcc::Reader& reader,
                                                         const txn::PrewriteRequest& request,
                                                         txn::KeyLocks* locks) {
  // If the term is not the one of the command any more, nothing will be proposed.
  const std::optional<GateState> gate = store_.Gate(region);
  const bool is_covered = gate && gate->is_leader && sync_->Covers(region, gate->term);
  RUTILE_SOMETIMES(!is_covered, "store: a new leader does not choose commit timestamps yet");
  if (!is_covered) return txn::Prewrite(reader, request);
  // In this order, and the proposal after it: see ConcurrencyManager for why no read comes between.
  txn::KeyLocks held = concurrency_.Lock(LocksOf(request));
  const mvcc::Timestamp max_ts = concurrency_.max_ts();
  RUTILE_ASSIGN_OR_RETURN(txn::PrewriteOutcome result, txn::Prewrite(reader, request, max_ts));
  const mvcc::Timestamp commit = std::max(result.min_commit, result.one_phase_commit);
  // One that commits in two phases does so at a timestamp that is given out later than any reader's
  // of before.
  if (!commit.IsZero() && !result.outcome.changes.empty()) {
    held.SetMinCommit(commit);
    *locks = std::move(held);
  }
  return result;
}

void TxnKv::PessimisticLock(const RequestHeader& header, LockRequest request,
                            TxnDone<txn::PessimisticLockOutcome> done) {
  for (const auto& key : request.lock.keys) {
    if (Status status = CheckKey(key.key); !status.ok()) return done(std::move(status));
  }
  locks_->Lock(header, std::move(request), std::move(done));
}

void TxnKv::PessimisticRollback(const RequestHeader& header,
                                txn::PessimisticRollbackRequest request,
                                TxnDone<txn::Outcome> done) {
  Act(header, std::move(request), txn::PessimisticRollback, std::move(done));
}

void TxnKv::Commit(const RequestHeader& header, txn::CommitRequest request,
                   TxnDone<txn::Outcome> done) {
  // An earlier attempt may have committed, and what it wrote may be gone: a deletion, or what
  // others have written over. Then nobody can tell any more.
  const auto is_forgotten = std::make_shared<bool>(false);
  Act<txn::Outcome>(
      header, std::move(request),
      [is_forgotten](mvcc::Reader& reader, const txn::CommitRequest& asked,
                     txn::KeyLocks*) -> Result<txn::Outcome> {
        RUTILE_ASSIGN_OR_RETURN(txn::Outcome outcome, txn::Commit(reader, asked));
        *is_forgotten = asked.commit <= reader.safe_point() &&
                        std::ranges::any_of(outcome.errors, [](const txn::KeyError& error) {
                          return std::holds_alternative<txn::LockNotFound>(error);
                        });
        return outcome;
      },
      UnlessForgotten("the commit", is_forgotten, std::move(done)));
}

void TxnKv::Rollback(const RequestHeader& header, txn::RollbackRequest request,
                     TxnDone<txn::Outcome> done) {
  Act(header, std::move(request), txn::Rollback, std::move(done));
}

void TxnKv::Resolve(const RequestHeader& header, txn::ResolveRequest request,
                    TxnDone<txn::Outcome> done) {
  Act(header, std::move(request), txn::Resolve, std::move(done));
}

void TxnKv::CheckStatus(const RequestHeader& header, txn::StatusRequest request,
                        TxnDone<txn::StatusOutcome> done) {
  Act(header, std::move(request), txn::CheckStatus, std::move(done));
}

void TxnKv::CheckSecondaryLocks(const RequestHeader& header, txn::SecondaryLocksRequest request,
                                TxnDone<txn::SecondaryLocksOutcome> done) {
  Act(header, std::move(request), txn::CheckSecondaryLocks, std::move(done));
}

void TxnKv::Heartbeat(const RequestHeader& header, txn::HeartbeatRequest request,
                      TxnDone<txn::HeartbeatOutcome> done) {
  Act(header, std::move(request), txn::Heartbeat, std::move(done));
}

void TxnKv::DeleteRange(const RequestHeader& header, std::string_view start, std::string_view end,
                        bool notify_only, TxnDone<RangeRemoved> done) {
  if (Status status = CheckRange(start, end); !status.ok()) return done(std::move(status));
  KeyBorders range{.lower = codec::EncodeMemcomparable(start),
                   .upper = end.empty() ? "" : codec::EncodeMemcomparable(end)};
  if (notify_only) {
    using Reply = TxnReply<RangeRemoved>;
    return ReadAtLeader<RangeRemoved>(header, mvcc::kMaxTimestamp, std::move(done),
                                      [range = std::move(range)](const ReadView& data) -> Reply {
                                        if (auto error = RangeOutside(data.region, range)) {
                                          return *std::move(error);
                                        }
                                        return RangeRemoved{};
                                      });
  }
  Remove(header, range, std::move(done));
}

void TxnKv::Remove(const RequestHeader& header, const KeyBorders& range,
                   TxnDone<RangeRemoved> done) {
  store_.Write(header, Removal(range),
               [this, range, locks = locks_, region = header.region,
                done = std::move(done)](WriteOutcome outcome) mutable {
                 if (auto* error = std::get_if<RegionError>(&outcome)) {
                   return done(std::move(*error));
                 }
                 scheduler_.memory_locks().DropSome(region, [&](const std::string& key) {
                   const std::string border = codec::EncodeMemcomparable(key);
                   return border >= range.lower && (range.upper.empty() || border < range.upper);
                 });
                 locks->OnLocksRemoved(region);
                 done(RangeRemoved{});
               });
}

void TxnKv::PrepareFlashback(const RequestHeader& header, RegionFlashback::Request request,
                             TxnDone<FlashbackDone> done) {
  AskFlashback(RegionFlashback::Prepare, header, std::move(request), std::move(done));
}

void TxnKv::Flashback(const RequestHeader& header, RegionFlashback::Request request,
                      TxnDone<FlashbackDone> done) {
  AskFlashback(RegionFlashback::Run, header, std::move(request), std::move(done));
}

void TxnKv::AskFlashback(FlashbackStep step, const RequestHeader& header,
                         RegionFlashback::Request request, TxnDone<FlashbackDone> done) {
  if (Status status = CheckRange(request.lower, request.upper); !status.ok()) {
    return done(std::move(status));
  }
  step({.store = store_, .scheduler = scheduler_, .locks = *locks_, .executor = executor_}, header,
       std::move(request), [done = std::move(done)](TxnScheduler::Ending ending) mutable {
         if (auto* error = std::get_if<RegionError>(&ending)) return done(std::move(*error));
         if (auto* status = std::get_if<Status>(&ending)) return done(std::move(*status));
         done(FlashbackDone{});
       });
}

void TxnKv::DestroyRange(std::string_view start, std::string_view end, TxnDone<RangeRemoved> done) {
  Status status = CheckRange(start, end);
  // Whoever means everything makes a mistake, mostly.
  if (start.empty() || end.empty()) {
    status = Status(Code::kInvalidArgument, "a range to destroy needs both of its borders");
  }
  if (!status.ok()) return done(std::move(status));
  const KeyBorders range{.lower = codec::EncodeMemcomparable(start),
                         .upper = codec::EncodeMemcomparable(end)};
  std::vector<std::pair<RequestHeader, KeyBorders>> parts;
  for (const GateState& gate : store_.Gates()) {
    const Region& region = *gate.region;
    std::optional<KeyBorders> part = Overlap(region, range);
    if (region.id == kPlacementRegion || !part) continue;
    if (!gate.is_leader && gate.leader.IsZero()) {
      return done(Status(Code::kUnavailable,
                         "region " + ToString(region.id) + " has no leader; try again"));
    }
    if (!gate.is_leader) continue;
    parts.emplace_back(RequestHeader{.region = region.id, .epoch = region.epoch}, *std::move(part));
  }
  const auto removal = std::make_shared<RangeRemoval>(parts.size() + 1, std::move(done));
  for (const auto& [header, part] : parts) {
    Remove(header, part, [removal, region = header.region](TxnReply<RangeRemoved> reply) {
      removal->End(region, std::move(reply));
    });
  }
  removal->End({}, RangeRemoved{});
}

}  // namespace rutile::store
