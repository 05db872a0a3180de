#include "rpc/services/txn_errors.h"

#include <string>
#include <variant>

#include "base/check.h"
#include "proto/deadlock.pb.h"
#include "proto/kvrpcpb.pb.h"

namespace rutile::rpc {
namespace {

kvrpcpb::Op OpOf(mvcc::Lock::Kind kind) {
  switch (kind) {
    case mvcc::Lock::Kind::kPut: return kvrpcpb::Put;
    case mvcc::Lock::Kind::kDelete: return kvrpcpb::Del;
    case mvcc::Lock::Kind::kLock: return kvrpcpb::Lock;
    case mvcc::Lock::Kind::kPessimistic: return kvrpcpb::PessimisticLock;
  }
  RUTILE_UNREACHABLE();
}

kvrpcpb::Op OpOf(mvcc::Write::Kind kind) {
  switch (kind) {
    case mvcc::Write::Kind::kPut: return kvrpcpb::Put;
    case mvcc::Write::Kind::kDelete: return kvrpcpb::Del;
    case mvcc::Write::Kind::kLock: return kvrpcpb::Lock;
    case mvcc::Write::Kind::kRollback: return kvrpcpb::Rollback;
  }
  RUTILE_UNREACHABLE();
}

void FillLock(const mvcc::Lock& lock, kvrpcpb::MvccLock* out) {
  out->set_type(OpOf(lock.kind));
  out->set_start_ts(lock.start.value());
  out->set_primary(lock.primary);
  out->set_short_value(lock.short_value.value_or(""));
  out->set_ttl(lock.ttl_ms);
  out->set_for_update_ts(lock.for_update.value());
  out->set_txn_size(lock.transaction_keys);
  out->set_use_async_commit(lock.is_async_commit);
  *out->mutable_secondaries() = {lock.secondaries.begin(), lock.secondaries.end()};
}

kvrpcpb::WriteConflict::Reason ReasonOf(txn::WriteConflict::Reason reason) {
  using Reason = txn::WriteConflict::Reason;
  switch (reason) {
    case Reason::kOptimistic: return kvrpcpb::WriteConflict::Optimistic;
    case Reason::kRolledBack: return kvrpcpb::WriteConflict::SelfRolledBack;
    case Reason::kPessimisticRetry: return kvrpcpb::WriteConflict::PessimisticRetry;
    case Reason::kDeferredConstraint: return kvrpcpb::WriteConflict::LazyUniquenessCheck;
  }
  RUTILE_UNREACHABLE();
}

struct KeyErrorWriter {
  kvrpcpb::KeyError* out;

  void operator()(const mvcc::KeyIsLocked& e) const { ToProto(e, out->mutable_locked()); }
  void operator()(const txn::WriteConflict& e) const {
    auto* conflict = out->mutable_conflict();
    conflict->set_start_ts(e.start.value());
    conflict->set_conflict_ts(e.other_start.value());
    conflict->set_conflict_commit_ts(e.other_commit.value());
    conflict->set_key(e.key);
    conflict->set_reason(ReasonOf(e.reason));
  }
  void operator()(const txn::AlreadyExists& e) const {
    out->mutable_already_exist()->set_key(e.key);
  }
  void operator()(const txn::CommitTooEarly& e) const {
    auto* expired = out->mutable_commit_ts_expired();
    expired->set_start_ts(e.start.value());
    expired->set_attempted_commit_ts(e.commit.value());
    expired->set_key(e.key);
    expired->set_min_commit_ts(e.min_commit.value());
  }
  void operator()(const txn::LockNotFound& e) const {
    out->mutable_txn_lock_not_found()->set_key(e.key);
    // Clients that do not know the field above begin the transaction anew by this one.
    out->set_retryable("a lock of transaction " + ToString(e.start) +
                       " is gone: the transaction was rolled back");
  }
  void operator()(const txn::AlreadyCommitted& e) const {
    out->set_abort("the transaction cannot be rolled back: it is committed at " +
                   ToString(e.commit));
  }
  void operator()(const txn::TransactionNotFound& e) const {
    auto* absent = out->mutable_txn_not_found();
    absent->set_start_ts(e.start.value());
    absent->set_primary_key(e.primary);
  }
  void operator()(const txn::PrimaryMismatch& e) const {
    ToProto(mvcc::KeyIsLocked{.key = e.key, .lock = e.lock},
            out->mutable_primary_mismatch()->mutable_lock_info());
  }
  void operator()(const txn::PessimisticLockNotFound& e) const {
    auto* conflict = out->mutable_conflict();
    conflict->set_start_ts(e.start.value());
    conflict->set_key(e.key);
    conflict->set_reason(kvrpcpb::WriteConflict::NotLockedKeyConflict);
  }
  void operator()(const txn::AssertionFailed& e) const {
    auto* failed = out->mutable_assertion_failed();
    failed->set_start_ts(e.start.value());
    failed->set_key(e.key);
    failed->set_assertion(e.assertion == txn::Assertion::kExists ? kvrpcpb::Exist
                                                                 : kvrpcpb::NotExist);
    failed->set_existing_start_ts(e.existing_start.value());
    failed->set_existing_commit_ts(e.existing_commit.value());
  }
  void operator()(const txn::Deadlock& e) const {
    auto* deadlock = out->mutable_deadlock();
    deadlock->set_lock_ts(e.holder.value());
    deadlock->set_lock_key(e.key);
    deadlock->set_deadlock_key_hash(e.closing.key_hash);
    deadlock->set_deadlock_key(e.closing.key);
    for (const txn::WaitFor& wait : e.chain) ToProto(wait, deadlock->add_wait_chain());
  }
};

}  // namespace

void ToProto(const mvcc::KeyIsLocked& locked, kvrpcpb::LockInfo* out) {
  const mvcc::Lock& lock = locked.lock;
  out->set_primary_lock(lock.primary);
  out->set_lock_version(lock.start.value());
  out->set_key(locked.key);
  out->set_lock_ttl(lock.ttl_ms);
  out->set_txn_size(lock.transaction_keys);
  out->set_lock_type(OpOf(lock.kind));
  out->set_min_commit_ts(lock.min_commit.value());
  out->set_use_async_commit(lock.is_async_commit);
  *out->mutable_secondaries() = {lock.secondaries.begin(), lock.secondaries.end()};
  out->set_lock_for_update_ts(lock.for_update.value());
}

void ToProto(const mvcc::KeyRecords& records, kvrpcpb::MvccInfo* out) {
  if (records.lock) FillLock(*records.lock, out->mutable_lock());
  for (const mvcc::Version& version : records.writes) {
    kvrpcpb::MvccWrite* write = out->add_writes();
    write->set_type(OpOf(version.write.kind));
    write->set_start_ts(version.write.start.value());
    write->set_commit_ts(version.commit.value());
    write->set_short_value(version.write.short_value.value_or(""));
    write->set_has_overlapped_rollback(version.write.has_overlapped_rollback);
  }
  for (const mvcc::StoredValue& stored : records.values) {
    kvrpcpb::MvccValue* value = out->add_values();
    value->set_start_ts(stored.start.value());
    value->set_value(stored.value);
  }
}

void ToProto(const txn::WaitFor& wait, deadlock::WaitForEntry* out) {
  out->set_txn(wait.waiter.value());
  out->set_wait_for_txn(wait.holder.value());
  out->set_key_hash(wait.key_hash);
  out->set_key(wait.key);
  out->set_resource_group_tag(wait.tag);
}

void ToProto(const txn::KeyError& error, kvrpcpb::KeyError* out) {
  std::visit(KeyErrorWriter{out}, error);
}

void ToProto(const Status& status, kvrpcpb::KeyError* out) {
  // What the transaction looked for is not kept any more: another one can be begun.
  if (status.code() == Code::kNotFound) return out->set_retryable(std::string(status.message()));
  out->set_abort(std::string(status.message()));
}

}  // namespace rutile::rpc
