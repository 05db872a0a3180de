#include "rpc/services/txn_requests.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "proto/kvrpcpb.pb.h"
#include "rpc/services/convert.h"

namespace rutile::rpc {
namespace {

using mvcc::Timestamp;

std::optional<txn::Mutation::Kind> KindOf(kvrpcpb::Op op) {
  using Kind = txn::Mutation::Kind;
  switch (op) {
    case kvrpcpb::Put: return Kind::kPut;
    case kvrpcpb::Insert: return Kind::kInsert;
    case kvrpcpb::Del: return Kind::kDelete;
    case kvrpcpb::Lock: return Kind::kLock;
    case kvrpcpb::CheckNotExists: return Kind::kCheckNotExists;
    default: return std::nullopt;  // Of another call, or of another time.
  }
}

// What keeps others from each key: clients say it key by key, or not at all.
Status SetChecks(const kvrpcpb::PrewriteRequest& request, txn::PrewriteRequest* out) {
  using Check = txn::Mutation::Check;
  const int count = request.mutations_size(), actions = request.pessimistic_actions_size();
  if (actions != 0 && actions != count) {
    return Status(Code::kInvalidArgument, std::to_string(actions) + " pessimistic actions for " +
                                              std::to_string(count) +
                                              " mutations; give one for each, or none");
  }
  for (int i = 0; i < actions; ++i) {
    Check& check = out->mutations[static_cast<std::size_t>(i)].check;
    switch (request.pessimistic_actions(i)) {
      case kvrpcpb::PrewriteRequest::DO_PESSIMISTIC_CHECK: check = Check::kLocked; break;
      case kvrpcpb::PrewriteRequest::DO_CONSTRAINT_CHECK: check = Check::kConstraint; break;
      default: break;
    }
  }
  for (const auto& constraint : request.for_update_ts_constraints()) {
    if (constraint.index() >= out->mutations.size()) {
      return Status(Code::kInvalidArgument, "a constraint on mutation " +
                                                std::to_string(constraint.index()) + " of " +
                                                std::to_string(count));
    }
    out->mutations[constraint.index()].locked_for_update =
        Timestamp(constraint.expected_for_update_ts());
  }
  return {};
}

txn::Assertion AssertionOf(kvrpcpb::Assertion assertion) {
  switch (assertion) {
    case kvrpcpb::Exist: return txn::Assertion::kExists;
    case kvrpcpb::NotExist: return txn::Assertion::kAbsent;
    default: return txn::Assertion::kNone;
  }
}

txn::PrewriteRequest::Assertions LevelOf(kvrpcpb::AssertionLevel level) {
  using Assertions = txn::PrewriteRequest::Assertions;
  switch (level) {
    case kvrpcpb::Fast: return Assertions::kFast;
    case kvrpcpb::Strict: return Assertions::kStrict;
    default: return Assertions::kOff;
  }
}

Result<std::vector<txn::Mutation>> ToMutations(
    const google::protobuf::RepeatedPtrField<kvrpcpb::Mutation>& mutations) {
  std::vector<txn::Mutation> out;
  out.reserve(static_cast<std::size_t>(mutations.size()));
  for (const kvrpcpb::Mutation& mutation : mutations) {
    const std::optional<txn::Mutation::Kind> kind = KindOf(mutation.op());
    if (!kind) {
      return Status(Code::kInvalidArgument,
                    "a prewrite with operation " + std::to_string(mutation.op()) +
                        "; there are Put, Insert, Del, Lock and CheckNotExists");
    }
    out.push_back({.kind = *kind,
                   .key = mutation.key(),
                   .value = mutation.value(),
                   .assertion = AssertionOf(mutation.assertion())});
  }
  return out;
}

}  // namespace

Result<mvcc::View> ToView(const kvrpcpb::Context& context, std::uint64_t version,
                          bool needs_commits) {
  mvcc::View view{.at = Timestamp(version)};
  for (const std::uint64_t start : context.resolved_locks()) {
    view.bypassed.insert(Timestamp(start));
  }
  for (const std::uint64_t start : context.committed_locks()) {
    if (!needs_commits) view.committed.insert(Timestamp(start));
  }
  switch (context.isolation_level()) {
    case kvrpcpb::SI: return view;
    case kvrpcpb::RC: view.ignores_locks = true; return view;
    default: break;
  }
  return Status(Code::kInvalidArgument, "reads at isolation level " +
                                            std::to_string(context.isolation_level()) +
                                            " are not served; there are SI and RC");
}

Result<txn::PrewriteRequest> ToPrewrite(const kvrpcpb::PrewriteRequest& request) {
  txn::PrewriteRequest out{.primary = request.primary_lock(),
                           .start = Timestamp(request.start_version()),
                           .ttl_ms = request.lock_ttl(),
                           .transaction_keys = request.txn_size(),
                           .min_commit = Timestamp(request.min_commit_ts()),
                           .use_async_commit = request.use_async_commit(),
                           .secondaries = ToVector(request.secondaries()),
                           .try_one_phase = request.try_one_pc(),
                           .max_commit = Timestamp(request.max_commit_ts()),
                           .for_update = Timestamp(request.for_update_ts()),
                           .assertions = LevelOf(request.assertion_level())};
  RUTILE_ASSIGN_OR_RETURN(out.mutations, ToMutations(request.mutations()));
  RUTILE_RETURN_IF_ERROR(SetChecks(request, &out));
  return out;
}

Result<txn::PrewriteRequest> ToPrewrite(const kvrpcpb::FlushRequest& request) {
  if (request.generation() == 0) {
    return Status(Code::kInvalidArgument, "a flush of generation zero; the first is one");
  }
  const Timestamp start(request.start_ts());
  txn::PrewriteRequest out{
      .primary = request.primary_key(),
      .start = start,
      .ttl_ms = request.lock_ttl(),
      // Nobody knows yet. Who meets a lock is to expect many, and to end them region by region.
      .transaction_keys = UINT64_MAX,
      // With none, readers would not be let past.
      .min_commit = std::max(Timestamp(request.min_commit_ts()), start.Next()),
      .assertions = LevelOf(request.assertion_level()),
      .generation = request.generation()};
  RUTILE_ASSIGN_OR_RETURN(out.mutations, ToMutations(request.mutations()));
  return out;
}

Result<store::LockRequest> ToLockRequest(const kvrpcpb::PessimisticLockRequest& request) {
  store::LockRequest out{
      .lock = {.primary = request.primary_lock(),
               .start = Timestamp(request.start_version()),
               .for_update = Timestamp(request.for_update_ts()),
               .ttl_ms = request.lock_ttl(),
               .min_commit = Timestamp(request.min_commit_ts()),
               .return_values = request.return_values(),
               .check_existence = request.check_existence(),
               .lock_only_if_exists = request.lock_only_if_exists(),
               .allow_lock_with_conflict = request.wake_up_mode() == kvrpcpb::WakeUpModeForceLock},
      .wait_ms = request.wait_timeout(),
      .tag = request.context().resource_group_tag()};
  for (const kvrpcpb::Mutation& mutation : request.mutations()) {
    if (mutation.op() != kvrpcpb::PessimisticLock) {
      return Status(Code::kInvalidArgument, "a pessimistic lock with operation " +
                                                std::to_string(mutation.op()) +
                                                "; there is PessimisticLock");
    }
    out.lock.keys.push_back(
        {.key = mutation.key(), .must_not_exist = mutation.assertion() == kvrpcpb::NotExist});
  }
  return out;
}

store::Fates ToFates(const kvrpcpb::ResolveLockRequest& request) {
  store::Fates fates;
  if (request.start_version() != 0) {
    fates.emplace(request.start_version(), request.commit_version());
  }
  for (const kvrpcpb::TxnInfo& one : request.txn_infos()) fates.emplace(one.txn(), one.status());
  return fates;
}

}  // namespace rutile::rpc
