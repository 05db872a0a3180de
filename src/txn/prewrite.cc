#include "txn/prewrite.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

#include "mvcc/keys.h"
#include "mvcc/records.h"
#include "txn/commit_record.h"
#include "txn/pessimistic_check.h"

namespace rutile::txn {
namespace {

using engine::Family;
using mvcc::Lock;
using mvcc::Write;

Status CheckRequest(const PrewriteRequest& request, Timestamp safe_point) {
  if (request.start.IsZero()) return Status(Code::kInvalidArgument, "prewrite at timestamp zero");
  if (request.primary.empty()) return Status(Code::kInvalidArgument, "prewrite without a primary");
  const bool is_plain =
      request.for_update.IsZero() && !request.use_async_commit && !request.try_one_phase;
  if (request.generation != 0 && !is_plain) {
    return Status(Code::kInvalidArgument,
                  "a flush of a transaction that is pessimistic or does not commit in two phases");
  }
  // What it would conflict with, or its own rollback, may have been removed.
  RUTILE_RETURN_IF_ERROR(mvcc::CheckNotCollected(request.start, safe_point));
  return CheckKeys(KeysOf(request), "prewrite");
}

// How the keys get to their commit.
struct Plan {
  enum class Kind : std::uint8_t { kTwoPhases, kAsync, kOnePhase };
  Kind kind = Kind::kTwoPhases;
  Timestamp min_commit = {};  // Of a lock; in one phase, the commit.
};

// What others may have been told of the pessimistic locks that are replaced, and what was committed
// before they were taken: the transaction does not commit below.
Result<Timestamp> ToldOfLocks(mvcc::Reader& reader, const PrewriteRequest& request) {
  Timestamp told;
  if (request.for_update.IsZero()) return told;
  for (const Mutation& mutation : request.mutations) {
    RUTILE_ASSIGN_OR_RETURN(const std::optional<Lock> lock, reader.LoadLock(mutation.key));
    if (lock && lock->start == request.start && lock->kind == Lock::Kind::kPessimistic) {
      told = std::max({told, lock->min_commit, lock->for_update.Next()});
    }
  }
  return told;
}

// `told`: see above.
Plan PlanOf(const PrewriteRequest& request, std::optional<Timestamp> max_ts, Timestamp told) {
  const Plan two_phases = {.min_commit = request.min_commit};
  if (!request.try_one_phase && !request.use_async_commit) return two_phases;
  // Of the maximum there is no next; and a reader at it sees whatever is newest.
  const Timestamp known = std::max(request.start, request.for_update);
  if (!max_ts || std::max(*max_ts, known) >= mvcc::kMaxTimestamp.Prev()) return two_phases;
  const Timestamp least = std::max({known.Next(), request.min_commit, told, max_ts->Next()});
  if (!request.max_commit.IsZero() && least > request.max_commit) return two_phases;
  return {.kind = request.try_one_phase ? Plan::Kind::kOnePhase : Plan::Kind::kAsync,
          .min_commit = least};
}

// What the keys come to.
struct Progress {
  Outcome outcome = {};
  std::optional<AssertionFailed> failed_assertion = {};  // The first one.
  bool met_own_lock = false;
  bool has_two_phase_lock = false;  // Of this transaction, old or new; also the next.
  Timestamp min_commit = {};        // The highest of the asynchronous locks.
  Timestamp committed = {};         // Not zero: it is committed already, the request comes twice.

  void Count(const Lock& own) {
    if (!own.is_async_commit) has_two_phase_lock = true;
    if (own.is_async_commit) min_commit = std::max(min_commit, own.min_commit);
  }
};

// What the records at and above the start say to a prewrite.
struct Newer {
  std::optional<KeyError> error = {};
  Timestamp committed = {};  // Not zero: by this very transaction.
};

Result<Newer> CheckNewer(mvcc::Reader& reader, const std::string& key, Timestamp start) {
  for (Timestamp at = mvcc::kMaxTimestamp; at >= start;) {
    RUTILE_ASSIGN_OR_RETURN(const std::optional<mvcc::Version> record,
                            reader.NewestRecord(key, at));
    if (!record || record->commit < start) break;
    const bool is_rollback = record->write.kind == Write::Kind::kRollback;
    WriteConflict conflict = {.key = key,
                              .start = start,
                              .other_start = record->write.start,
                              .other_commit = record->commit};
    if (record->commit == start) {
      if (!is_rollback && !record->write.has_overlapped_rollback) break;
      conflict.reason = WriteConflict::Reason::kRolledBack;
      return Newer{.error = std::move(conflict)};
    }
    if (!is_rollback) {
      if (record->write.start == start) return Newer{.committed = record->commit};
      return Newer{.error = std::move(conflict)};
    }
    // Another's rollback wrote nothing. This one's own stands further down, at the start.
    at = record->commit.Prev();
  }
  return Newer();
}

Result<std::optional<KeyError>> CheckAbsent(mvcc::Reader& reader, const std::string& key,
                                            Timestamp start) {
  RUTILE_ASSIGN_OR_RETURN(const std::optional<mvcc::Version> version,
                          reader.NewestVersion(key, start));
  if (!version || version->write.kind == Write::Kind::kDelete) return std::optional<KeyError>();
  return std::optional<KeyError>(AlreadyExists{.key = key, .existing_commit = version->commit});
}

// Whether the records bear the mutation's assertion out, if they are to be looked at for it.
// `have_been`: they were, for another reason. Else the failure is noted.
Result<bool> BearsOutAssertion(mvcc::Reader& reader, const PrewriteRequest& request,
                               const Mutation& mutation, bool have_been, Progress* progress) {
  using Assertions = PrewriteRequest::Assertions;
  if (mutation.assertion == Assertion::kNone || request.assertions == Assertions::kOff ||
      (request.assertions == Assertions::kFast && !have_been)) {
    return true;
  }
  RUTILE_ASSIGN_OR_RETURN(const std::optional<mvcc::Version> version,
                          reader.NewestVersion(mutation.key, mvcc::kMaxTimestamp));
  const bool exists = version && version->write.kind == Write::Kind::kPut;
  if (exists == (mutation.assertion == Assertion::kExists)) return true;
  if (!progress->failed_assertion) {
    progress->failed_assertion = {.key = mutation.key,
                                  .start = request.start,
                                  .assertion = mutation.assertion,
                                  .existing_start = version ? version->write.start : Timestamp(),
                                  .existing_commit = version ? version->commit : Timestamp()};
  }
  return false;
}

bool HasValueBeside(const Lock& lock) { return lock.kind == Lock::Kind::kPut && !lock.short_value; }

// Leaves a value that is too long for a record beside it; a short one is returned.
std::optional<std::string> PlaceValue(const PrewriteRequest& request, const Mutation& mutation,
                                      Outcome* outcome) {
  if (mutation.value.size() <= mvcc::kShortValueMaxBytes) return mutation.value;
  outcome->changes.Put(Family::kDefault, mvcc::VersionKey(mutation.key, request.start),
                       mutation.value);
  return std::nullopt;
}

// `replaced` is the transaction's own lock: a pessimistic one, or that of an earlier flush. Its
// client may have prolonged it, and others have been told of its least commit timestamp.
void AddLock(const PrewriteRequest& request, const Plan& plan, const Mutation& mutation,
             const std::optional<Lock>& replaced, Progress* progress) {
  Lock lock = {.primary = request.primary,
               .start = request.start,
               .ttl_ms = request.ttl_ms,
               .transaction_keys = request.transaction_keys,
               .min_commit = plan.min_commit,
               .is_async_commit = plan.kind == Plan::Kind::kAsync,
               .for_update = request.for_update,
               .generation = request.generation};
  if (replaced) {
    lock.ttl_ms = std::max(lock.ttl_ms, replaced->ttl_ms);
    lock.min_commit = std::max(lock.min_commit, replaced->min_commit);
    lock.for_update = std::max(lock.for_update, replaced->for_update);
  }
  if (lock.is_async_commit && mutation.key == request.primary) {
    lock.secondaries = request.secondaries;
  }
  switch (mutation.kind) {
    case Mutation::Kind::kCheckNotExists: return;
    case Mutation::Kind::kDelete: lock.kind = Lock::Kind::kDelete; break;
    case Mutation::Kind::kLock: lock.kind = Lock::Kind::kLock; break;
    case Mutation::Kind::kPut:
    case Mutation::Kind::kInsert:
      lock.kind = Lock::Kind::kPut;
      lock.short_value = PlaceValue(request, mutation, &progress->outcome);
      break;
  }
  if (replaced && HasValueBeside(*replaced) && !HasValueBeside(lock)) {
    progress->outcome.changes.Delete(Family::kDefault,
                                     mvcc::VersionKey(mutation.key, request.start));
  }
  progress->Count(lock);
  progress->outcome.changes.Put(Family::kLock, mvcc::LockKey(mutation.key), mvcc::EncodeLock(lock));
}

Status AddCommit(mvcc::Reader& reader, const PrewriteRequest& request, const Plan& plan,
                 const Mutation& mutation, Outcome* outcome) {
  Write write = {.start = request.start};
  switch (mutation.kind) {
    case Mutation::Kind::kCheckNotExists: return {};
    case Mutation::Kind::kDelete: write.kind = Write::Kind::kDelete; break;
    case Mutation::Kind::kLock: write.kind = Write::Kind::kLock; break;
    case Mutation::Kind::kPut:
    case Mutation::Kind::kInsert:
      write.kind = Write::Kind::kPut;
      write.short_value = PlaceValue(request, mutation, outcome);
      break;
  }
  return AddCommitRecord(reader, mutation.key, plan.min_commit, std::move(write), outcome);
}

bool MustBeAbsent(const Mutation& mutation) {
  return mutation.kind == Mutation::Kind::kInsert ||
         mutation.kind == Mutation::Kind::kCheckNotExists;
}

// Nothing stands against the key. `replaced` as for AddLock().
Status AddChange(mvcc::Reader& reader, const PrewriteRequest& request, const Plan& plan,
                 const Mutation& mutation, const std::optional<Lock>& replaced,
                 Progress* progress) {
  if (plan.kind != Plan::Kind::kOnePhase) {
    AddLock(request, plan, mutation, replaced, progress);
    return {};
  }
  if (replaced) progress->outcome.changes.Delete(Family::kLock, mvcc::LockKey(mutation.key));
  return AddCommit(reader, request, plan, mutation, &progress->outcome);
}

Status PrewritePessimistic(mvcc::Reader& reader, const PrewriteRequest& request, const Plan& plan,
                           const Mutation& mutation, const std::optional<Lock>& lock,
                           Progress* progress) {
  RUTILE_ASSIGN_OR_RETURN(PessimisticCheck check,
                          CheckPessimistic(reader, request, mutation, lock));
  if (!check.committed.IsZero()) {
    progress->committed = check.committed;
    return {};
  }
  // Of a key that is locked it was looked at when it was.
  if (!check.error && MustBeAbsent(mutation) && mutation.check != Mutation::Check::kLocked) {
    RUTILE_ASSIGN_OR_RETURN(check.error, CheckAbsent(reader, mutation.key, request.for_update));
  }
  if (check.error) {
    progress->outcome.errors.push_back(*std::move(check.error));
    return {};
  }
  const bool looked_at = mutation.check == Mutation::Check::kConstraint ||
                         (mutation.check == Mutation::Check::kLocked && !lock);
  RUTILE_ASSIGN_OR_RETURN(const bool is_borne_out,
                          BearsOutAssertion(reader, request, mutation, looked_at, progress));
  if (!is_borne_out) return {};
  return AddChange(reader, request, plan, mutation, lock, progress);
}

// A flush of a key that an earlier one has locked. Nobody else has changed it since, and what the
// client claimed to know of it was looked at then.
Status FlushAgain(mvcc::Reader& reader, const PrewriteRequest& request, const Plan& plan,
                  const Mutation& mutation, const Lock& own, Progress* progress) {
  if (mutation.kind == Mutation::Kind::kLock) return {};  // It is locked, and keeps what it has.
  if (MustBeAbsent(mutation) && own.kind != Lock::Kind::kDelete) {
    std::optional<KeyError> error = AlreadyExists{.key = mutation.key};
    if (own.kind != Lock::Kind::kPut) {
      RUTILE_ASSIGN_OR_RETURN(error, CheckAbsent(reader, mutation.key, request.start));
    }
    if (error) {
      progress->outcome.errors.push_back(*std::move(error));
      return {};
    }
  }
  AddLock(request, plan, mutation, own, progress);
  return {};
}

// A transaction that is committed without its client may have been overtaken since: what others did
// to the key then is no reason to fail a request that comes again.
Status AddError(mvcc::Reader& reader, const PrewriteRequest& request, const std::string& key,
                KeyError error, Progress* progress) {
  if (request.use_async_commit || request.try_one_phase) {
    RUTILE_ASSIGN_OR_RETURN(const mvcc::Fate fate, reader.FateOf(key, request.start));
    if (const auto* committed = std::get_if<mvcc::Committed>(&fate)) {
      progress->committed = committed->commit;
      return {};
    }
  }
  progress->outcome.errors.push_back(std::move(error));
  return {};
}

Status PrewriteKey(mvcc::Reader& reader, const PrewriteRequest& request, const Plan& plan,
                   const Mutation& mutation, Progress* progress) {
  RUTILE_ASSIGN_OR_RETURN(std::optional<Lock> lock, reader.LoadLock(mutation.key));
  const bool is_own = lock && lock->start == request.start;
  if (is_own && lock->kind != Lock::Kind::kPessimistic) {
    if (request.generation > lock->generation) {
      return FlushAgain(reader, request, plan, mutation, *lock, progress);
    }
    progress->met_own_lock = true;
    progress->Count(*lock);
    return {};
  }
  if (!request.for_update.IsZero()) {
    return PrewritePessimistic(reader, request, plan, mutation, lock, progress);
  }
  if (is_own) {
    return Status(Code::kInvalidArgument,
                  "an optimistic prewrite where its transaction has a pessimistic lock");
  }
  if (lock) {
    return AddError(reader, request, mutation.key,
                    KeyIsLocked{.key = mutation.key, .lock = *std::move(lock)}, progress);
  }
  RUTILE_ASSIGN_OR_RETURN(Newer newer, CheckNewer(reader, mutation.key, request.start));
  if (!newer.committed.IsZero()) {
    progress->committed = newer.committed;
    return {};
  }
  if (!newer.error && MustBeAbsent(mutation)) {
    RUTILE_ASSIGN_OR_RETURN(newer.error, CheckAbsent(reader, mutation.key, request.start));
  }
  if (newer.error) {
    return AddError(reader, request, mutation.key, *std::move(newer.error), progress);
  }
  RUTILE_ASSIGN_OR_RETURN(const bool is_borne_out,
                          BearsOutAssertion(reader, request, mutation, true, progress));
  if (!is_borne_out) return {};
  return AddChange(reader, request, plan, mutation, std::nullopt, progress);
}

Result<Progress> PrewriteKeys(mvcc::Reader& reader, const PrewriteRequest& request,
                              const Plan& plan) {
  Progress progress;
  for (const Mutation& mutation : request.mutations) {
    RUTILE_RETURN_IF_ERROR(PrewriteKey(reader, request, plan, mutation, &progress));
  }
  std::vector<KeyError>& errors = progress.outcome.errors;
  const auto is_lock = [](const KeyError& error) {
    return std::holds_alternative<KeyIsLocked>(error);
  };
  if (progress.failed_assertion && std::ranges::all_of(errors, is_lock)) {
    errors.assign(1, *std::move(progress.failed_assertion));
  }
  return progress;
}

// For a client that asked for less than two phases.
void TellCommit(const PrewriteRequest& request, const Plan& plan, const Progress& progress,
                PrewriteOutcome* result) {
  if (!progress.committed.IsZero()) {
    result->outcome = {};
    (request.try_one_phase ? result->one_phase_commit : result->min_commit) = progress.committed;
    return;
  }
  if (!result->outcome.errors.empty()) return;
  if (plan.kind == Plan::Kind::kOnePhase) {
    result->one_phase_commit = plan.min_commit;
  } else if (!progress.has_two_phase_lock && !progress.min_commit.IsZero()) {
    result->min_commit = progress.min_commit;
  } else if (!progress.has_two_phase_lock && request.use_async_commit) {
    // No lock tells of keys that were only looked at. Whoever computes the commit from the locks
    // must come to the same as the client: so nothing here is above any of them.
    result->min_commit = request.start.Next();
  }
}

}  // namespace

std::vector<std::string> KeysOf(const PrewriteRequest& request) {
  std::vector<std::string> keys;
  keys.reserve(request.mutations.size());
  for (const Mutation& mutation : request.mutations) keys.push_back(mutation.key);
  return keys;
}

Result<PrewriteOutcome> Prewrite(mvcc::Reader& reader, const PrewriteRequest& request,
                                 std::optional<Timestamp> max_ts) {
  RUTILE_RETURN_IF_ERROR(CheckRequest(request, reader.safe_point()));
  RUTILE_ASSIGN_OR_RETURN(const Timestamp told, ToldOfLocks(reader, request));
  Plan plan = PlanOf(request, max_ts, told);
  RUTILE_ASSIGN_OR_RETURN(Progress progress, PrewriteKeys(reader, request, plan));
  if (plan.kind == Plan::Kind::kOnePhase && progress.met_own_lock) {
    // It has begun in two phases, and goes on so.
    plan = {.min_commit = request.min_commit};
    RUTILE_ASSIGN_OR_RETURN(progress, PrewriteKeys(reader, request, plan));
  }
  PrewriteOutcome result = {.outcome = std::move(progress.outcome)};
  if (!result.outcome.errors.empty()) result.outcome.changes.Clear();
  if (request.use_async_commit || request.try_one_phase) {
    TellCommit(request, plan, progress, &result);
  }
  return result;
}

}  // namespace rutile::txn
