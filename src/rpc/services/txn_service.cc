#include "rpc/services/txn_service.h"

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "rpc/services/convert.h"
#include "rpc/services/txn_errors.h"
#include "rpc/services/txn_requests.h"
#include "store/region_resolver.h"

namespace rutile::rpc {
namespace {

using mvcc::Timestamp;
using store::TxnReply;

// Where a response keeps an error that is not about the region: most have one, some one for each
// key. Those of calls that are not a transaction's have a text.
template <class Response>
concept HasErrorText = requires(Response r) { r.set_error(std::string()); };

template <class Response>
void SetError(const Status& status, Response* response) {
  if constexpr (HasErrorText<Response>) {
    response->set_error(std::string(status.message()));
  } else if constexpr (requires { response->mutable_error(); }) {
    ToProto(status, response->mutable_error());
  } else {
    ToProto(status, response->add_errors());
  }
}

// Refuses what is not served here. Returns whether it did.
template <class Request, class Response>
bool Refused(const Request& request, const Served& served, Response* response,
             TxnService::Finished& done, codec::KeyMode mode = codec::KeyMode::kTransactional) {
  const std::optional<std::string> why = Unserved(request, served, mode);
  if (!why) return false;
  SetError(Status(Code::kInvalidArgument, *why), response);
  done();
  return true;
}

// Turns a reply into a response: errors here, the value by `fill`.
template <class T, class Response, class Fill>
store::TxnDone<T> Answer(Response* response, TxnService::Finished done, Fill fill) {
  return [response, done = std::move(done), fill = std::move(fill)](TxnReply<T> reply) mutable {
    if (auto* error = std::get_if<store::RegionError>(&reply)) {
      ToProto(*error, response->mutable_region_error());
    } else if (const auto* status = std::get_if<Status>(&reply)) {
      SetError(*status, response);
    } else {
      fill(std::get<T>(std::move(reply)), response);
    }
    done();
  };
}

// What an action has come to, when its answer has no more than errors. One of many is enough where
// there is room for one.
template <class Response>
void FillErrors(const std::vector<txn::KeyError>& errors, Response* response) {
  if constexpr (requires { response->add_errors(); }) {
    for (const txn::KeyError& error : errors) ToProto(error, response->add_errors());
  } else if (!errors.empty()) {
    ToProto(errors.front(), response->mutable_error());
  }
}

// Of an outcome that has no more to tell than errors.
template <class Response>
store::TxnDone<txn::Outcome> AnswerErrors(Response* response, TxnService::Finished done) {
  return Answer<txn::Outcome>(
      response, std::move(done),
      [](const txn::Outcome& outcome, Response* out) { FillErrors(outcome.errors, out); });
}

// How a reader looks at the data; nothing when he was refused.
template <class Request, class Response>
std::optional<mvcc::View> ViewFor(const Request& request, bool needs_commits, Response* response,
                                  TxnService::Finished& done) {
  Result<mvcc::View> view = ToView(request.context(), request.version(), needs_commits);
  if (view.ok()) return std::move(view).value();
  SetError(view.status(), response);
  done();
  return std::nullopt;
}

// Commit timestamps only when they are asked for.
void FillPairs(store::TxnKv::Items items, bool with_commits,
               google::protobuf::RepeatedPtrField<kvrpcpb::KvPair>* pairs) {
  pairs->Reserve(static_cast<int>(items.size()));
  for (auto& item : items) {
    kvrpcpb::KvPair* out = pairs->Add();
    if (const auto* locked = std::get_if<mvcc::KeyIsLocked>(&item)) {
      out->set_key(locked->key);
      ToProto(*locked, out->mutable_error()->mutable_locked());
      continue;
    }
    auto& pair = std::get<mvcc::Scanner::Pair>(item);
    out->set_key(std::move(pair.key));
    out->set_value(std::move(pair.value));
    if (with_commits) out->set_commit_ts(pair.commit.value());
  }
}

kvrpcpb::Action ActionOf(txn::TransactionStatus::Action action) {
  using Action = txn::TransactionStatus::Action;
  switch (action) {
    case Action::kNone: return kvrpcpb::NoAction;
    case Action::kExpired: return kvrpcpb::TTLExpireRollback;
    case Action::kAbsent: return kvrpcpb::LockNotExistRollback;
    case Action::kMinCommitPushed: return kvrpcpb::MinCommitTSPushed;
    case Action::kPessimisticExpired: return kvrpcpb::TTLExpirePessimisticRollback;
    case Action::kAbsentLeft: return kvrpcpb::LockNotExistDoNothing;
  }
  return kvrpcpb::NoAction;
}

void FillStatus(const std::string& primary, txn::StatusOutcome result,
                kvrpcpb::CheckTxnStatusResponse* out) {
  FillErrors(result.outcome.errors, out);
  if (!result.outcome.errors.empty()) return;
  txn::TransactionStatus& status = result.status;
  out->set_action(ActionOf(status.action));
  out->set_commit_version(status.commit.value());
  if (!status.lock) return;
  out->set_lock_ttl(status.lock->ttl_ms);
  ToProto(mvcc::KeyIsLocked{.key = primary, .lock = *std::move(status.lock)},
          out->mutable_lock_info());
}

// Values and existence stand where the request's mode looks for them.
void FillLocked(const kvrpcpb::PessimisticLockRequest& request, txn::PessimisticLockOutcome outcome,
                kvrpcpb::PessimisticLockResponse* out) {
  FillErrors(outcome.outcome.errors, out);
  const bool is_forced = request.wake_up_mode() == kvrpcpb::WakeUpModeForceLock;
  for (txn::LockedKey& key : outcome.keys) {
    if (is_forced) {
      auto* result = out->add_results();
      const Timestamp conflict = key.locked_with_conflict_at;
      result->set_type(conflict.IsZero() ? kvrpcpb::LockResultNormal
                                         : kvrpcpb::LockResultLockedWithConflict);
      result->set_existence(key.exists);
      result->set_locked_with_conflict_ts(conflict.value());
      if (key.value) result->set_value(*std::move(key.value));
      continue;
    }
    if (request.return_values()) out->add_values(key.value ? *std::move(key.value) : "");
    if (request.return_values() || request.check_existence()) out->add_not_founds(!key.exists);
  }
}

}  // namespace

void TxnService::Get(const kvrpcpb::GetRequest& request, kvrpcpb::GetResponse* response,
                     Finished done) {
  if (Refused(request, served_, response, done)) return;
  std::optional<mvcc::View> view = ViewFor(request, request.need_commit_ts(), response, done);
  if (!view) return;
  txn_.Get(
      ToHeader(request.context()), request.key(), *std::move(view),
      Answer<mvcc::ReadAnswer>(response, std::move(done),
                               [with_commit = request.need_commit_ts()](mvcc::ReadAnswer read,
                                                                        kvrpcpb::GetResponse* out) {
                                 if (const auto* locked = std::get_if<mvcc::KeyIsLocked>(&read)) {
                                   return ToProto(*locked, out->mutable_error()->mutable_locked());
                                 }
                                 auto& found = std::get<std::optional<mvcc::Found>>(read);
                                 if (found) {
                                   out->set_value(std::move(found->value));
                                   if (with_commit) out->set_commit_ts(found->commit.value());
                                 } else {
                                   out->set_not_found(true);
                                 }
                               }));
}

void TxnService::BatchGet(const kvrpcpb::BatchGetRequest& request,
                          kvrpcpb::BatchGetResponse* response, Finished done) {
  if (Refused(request, served_, response, done)) return;
  std::optional<mvcc::View> view = ViewFor(request, request.need_commit_ts(), response, done);
  if (!view) return;
  txn_.BatchGet(
      ToHeader(request.context()), ToVector(request.keys()), *std::move(view),
      Answer<store::TxnKv::Items>(response, std::move(done),
                                  [with_commits = request.need_commit_ts()](
                                      store::TxnKv::Items items, kvrpcpb::BatchGetResponse* out) {
                                    FillPairs(std::move(items), with_commits, out->mutable_pairs());
                                  }));
}

void TxnService::Scan(const kvrpcpb::ScanRequest& request, kvrpcpb::ScanResponse* response,
                      Finished done) {
  if (Refused(request, served_, response, done)) return;
  std::optional<mvcc::View> view = ViewFor(request, false, response, done);
  if (!view) return;
  txn_.Scan(ToHeader(request.context()),
            {.start = request.start_key(),
             .end = request.end_key(),
             .limit = request.limit(),
             .key_only = request.key_only(),
             .reverse = request.reverse(),
             .sample_step = request.sample_step()},
            *std::move(view),
            Answer<store::TxnKv::Items>(response, std::move(done),
                                        [](store::TxnKv::Items items, kvrpcpb::ScanResponse* out) {
                                          FillPairs(std::move(items), false, out->mutable_pairs());
                                        }));
}

void TxnService::Prewrite(const kvrpcpb::PrewriteRequest& request,
                          kvrpcpb::PrewriteResponse* response, Finished done) {
  if (Refused(request, served_, response, done)) return;
  Result<txn::PrewriteRequest> prewrite = ToPrewrite(request);
  if (!prewrite.ok()) {
    ToProto(prewrite.status(), response->add_errors());
    return done();
  }
  txn_.Prewrite(ToHeader(request.context()), std::move(prewrite).value(),
                Answer<txn::PrewriteOutcome>(
                    response, std::move(done),
                    [](const txn::PrewriteOutcome& result, kvrpcpb::PrewriteResponse* out) {
                      FillErrors(result.outcome.errors, out);
                      out->set_min_commit_ts(result.min_commit.value());
                      out->set_one_pc_commit_ts(result.one_phase_commit.value());
                    }));
}

void TxnService::Flush(const kvrpcpb::FlushRequest& request, kvrpcpb::FlushResponse* response,
                       Finished done) {
  if (Refused(request, served_, response, done)) return;
  Result<txn::PrewriteRequest> flush = ToPrewrite(request);
  if (!flush.ok()) {
    ToProto(flush.status(), response->add_errors());
    return done();
  }
  txn_.Prewrite(ToHeader(request.context()), std::move(flush).value(),
                Answer<txn::PrewriteOutcome>(
                    response, std::move(done),
                    [](const txn::PrewriteOutcome& result, kvrpcpb::FlushResponse* out) {
                      FillErrors(result.outcome.errors, out);
                    }));
}

void TxnService::BufferBatchGet(const kvrpcpb::BufferBatchGetRequest& request,
                                kvrpcpb::BufferBatchGetResponse* response, Finished done) {
  if (Refused(request, served_, response, done)) return;
  using Flushed = std::vector<store::FlushedKey>;
  txn_.GetFlushed(ToHeader(request.context()), ToVector(request.keys()),
                  Timestamp(request.version()),
                  Answer<Flushed>(response, std::move(done),
                                  [](Flushed flushed, kvrpcpb::BufferBatchGetResponse* out) {
                                    for (store::FlushedKey& one : flushed) {
                                      kvrpcpb::KvPair* pair = out->add_pairs();
                                      pair->set_key(std::move(one.key));
                                      if (one.value) pair->set_value(*std::move(one.value));
                                    }
                                  }));
}

// That a transaction is rolled back is not believed: it is when its primary key says so.
void TxnService::BroadcastTxnStatus(const kvrpcpb::BroadcastTxnStatusRequest& request,
                                    kvrpcpb::BroadcastTxnStatusResponse* /*response*/,
                                    Finished done) {
  for (const kvrpcpb::TxnStatus& status : request.txn_status()) {
    const Timestamp start(status.start_ts());
    const Timestamp bound(std::max(status.min_commit_ts(), status.commit_ts()));
    if (status.is_completed()) {
      txn_.statuses().Forget(start);
    } else if (bound > start) {
      txn_.statuses().Tell(start, bound);
    }
  }
  done();
}

void TxnService::GetLockWaitInfo(const kvrpcpb::GetLockWaitInfoRequest& request,
                                 kvrpcpb::GetLockWaitInfoResponse* response, Finished done) {
  if (Refused(request, served_, response, done)) return;
  for (const auto& [wait, waited] : txn_.locks().Waits()) {
    deadlock::WaitForEntry* entry = response->add_entries();
    ToProto(wait, entry);
    entry->set_wait_time(static_cast<std::uint64_t>(ToMilliseconds(waited)));
  }
  done();
}

void TxnService::PrepareFlashbackToVersion(const kvrpcpb::PrepareFlashbackToVersionRequest& request,
                                           kvrpcpb::PrepareFlashbackToVersionResponse* response,
                                           Finished done) {
  if (Refused(request, served_, response, done)) return;
  txn_.PrepareFlashback(
      ToHeader(request.context()),
      {.lower = request.start_key(),
       .upper = request.end_key(),
       .version = Timestamp(request.version()),
       .start = Timestamp(request.start_ts())},
      Answer<store::FlashbackDone>(
          response, std::move(done),
          [](store::FlashbackDone, kvrpcpb::PrepareFlashbackToVersionResponse*) {}));
}

void TxnService::FlashbackToVersion(const kvrpcpb::FlashbackToVersionRequest& request,
                                    kvrpcpb::FlashbackToVersionResponse* response, Finished done) {
  if (Refused(request, served_, response, done)) return;
  txn_.Flashback(ToHeader(request.context()),
                 {.lower = request.start_key(),
                  .upper = request.end_key(),
                  .version = Timestamp(request.version()),
                  .start = Timestamp(request.start_ts()),
                  .commit = Timestamp(request.commit_ts())},
                 Answer<store::FlashbackDone>(
                     response, std::move(done),
                     [](store::FlashbackDone, kvrpcpb::FlashbackToVersionResponse*) {}));
}

void TxnService::UnsafeDestroyRange(const kvrpcpb::UnsafeDestroyRangeRequest& request,
                                    kvrpcpb::UnsafeDestroyRangeResponse* response, Finished done) {
  // It is for whole keyspaces and tables, of either kind: what lies between the borders goes.
  const bool is_raw = request.start_key().starts_with(static_cast<char>(codec::KeyMode::kRaw));
  const codec::KeyMode mode = is_raw && served_.api == codec::ApiVersion::kV2
                                  ? codec::KeyMode::kRaw
                                  : codec::KeyMode::kTransactional;
  if (Refused(request, served_, response, done, mode)) return;
  txn_.DestroyRange(request.start_key(), request.end_key(),
                    Answer<store::RangeRemoved>(
                        response, std::move(done),
                        [](store::RangeRemoved, kvrpcpb::UnsafeDestroyRangeResponse*) {}));
}

void TxnService::Commit(const kvrpcpb::CommitRequest& request, kvrpcpb::CommitResponse* response,
                        Finished done) {
  if (Refused(request, served_, response, done)) return;
  txn_.Commit(ToHeader(request.context()),
              {.keys = ToVector(request.keys()),
               .start = Timestamp(request.start_version()),
               .commit = Timestamp(request.commit_version())},
              Answer<txn::Outcome>(response, std::move(done),
                                   [commit = request.commit_version()](
                                       const txn::Outcome& outcome, kvrpcpb::CommitResponse* out) {
                                     FillErrors(outcome.errors, out);
                                     if (outcome.errors.empty()) out->set_commit_version(commit);
                                   }));
}

void TxnService::Cleanup(const kvrpcpb::CleanupRequest& request, kvrpcpb::CleanupResponse* response,
                         Finished done) {
  if (Refused(request, served_, response, done)) return;
  txn_.Rollback(ToHeader(request.context()),
                {.keys = {request.key()},
                 .start = Timestamp(request.start_version()),
                 .unless_alive_at = Timestamp(request.current_ts())},
                Answer<txn::Outcome>(
                    response, std::move(done),
                    [](const txn::Outcome& outcome, kvrpcpb::CleanupResponse* out) {
                      if (outcome.errors.empty()) return;
                      const txn::KeyError& error = outcome.errors.front();
                      if (const auto* committed = std::get_if<txn::AlreadyCommitted>(&error)) {
                        return out->set_commit_version(committed->commit.value());
                      }
                      ToProto(error, out->mutable_error());
                    }));
}

void TxnService::BatchRollback(const kvrpcpb::BatchRollbackRequest& request,
                               kvrpcpb::BatchRollbackResponse* response, Finished done) {
  if (Refused(request, served_, response, done)) return;
  txn_.Rollback(ToHeader(request.context()),
                {.keys = ToVector(request.keys()), .start = Timestamp(request.start_version())},
                AnswerErrors(response, std::move(done)));
}

void TxnService::ScanLock(const kvrpcpb::ScanLockRequest& request,
                          kvrpcpb::ScanLockResponse* response, Finished done) {
  if (Refused(request, served_, response, done)) return;
  using Locks = std::vector<mvcc::KeyIsLocked>;
  txn_.ScanLocks(ToHeader(request.context()),
                 {.lower = request.start_key(),
                  .upper = request.end_key(),
                  .latest = Timestamp(request.max_version()),
                  .limit = request.limit()},
                 Answer<Locks>(response, std::move(done),
                               [](const Locks& locks, kvrpcpb::ScanLockResponse* out) {
                                 for (const mvcc::KeyIsLocked& locked : locks) {
                                   ToProto(locked, out->add_locks());
                                 }
                               }));
}

void TxnService::ResolveLock(const kvrpcpb::ResolveLockRequest& request,
                             kvrpcpb::ResolveLockResponse* response, Finished done) {
  if (Refused(request, served_, response, done)) return;
  if (request.keys_size() > 0) {
    return txn_.Resolve(ToHeader(request.context()),
                        {.keys = ToVector(request.keys()),
                         .start = Timestamp(request.start_version()),
                         .commit = Timestamp(request.commit_version())},
                        AnswerErrors(response, std::move(done)));
  }
  store::RegionResolver::Run(txn_, ToHeader(request.context()), ToFates(request),
                             AnswerErrors(response, std::move(done)));
}

void TxnService::CheckTxnStatus(const kvrpcpb::CheckTxnStatusRequest& request,
                                kvrpcpb::CheckTxnStatusResponse* response, Finished done) {
  if (Refused(request, served_, response, done)) return;
  txn_.CheckStatus(ToHeader(request.context()),
                   {.primary = request.primary_key(),
                    .start = Timestamp(request.lock_ts()),
                    .caller = Timestamp(request.caller_start_ts()),
                    .now = Timestamp(request.current_ts()),
                    .rollback_if_absent = request.rollback_if_not_exist(),
                    .must_be_primary = request.verify_is_primary(),
                    .force_sync_commit = request.force_sync_commit(),
                    .resolving_pessimistic = request.resolving_pessimistic_lock()},
                   Answer<txn::StatusOutcome>(
                       response, std::move(done),
                       [primary = request.primary_key()](txn::StatusOutcome result,
                                                         kvrpcpb::CheckTxnStatusResponse* out) {
                         FillStatus(primary, std::move(result), out);
                       }));
}

void TxnService::PessimisticLock(const kvrpcpb::PessimisticLockRequest& request,
                                 kvrpcpb::PessimisticLockResponse* response, Finished done) {
  if (Refused(request, served_, response, done)) return;
  Result<store::LockRequest> lock = ToLockRequest(request);
  if (!lock.ok()) {
    ToProto(lock.status(), response->add_errors());
    return done();
  }
  // What the answer depends on; the request is gone by then.
  kvrpcpb::PessimisticLockRequest mode;
  mode.set_wake_up_mode(request.wake_up_mode());
  mode.set_return_values(request.return_values());
  mode.set_check_existence(request.check_existence());
  txn_.PessimisticLock(ToHeader(request.context()), std::move(lock).value(),
                       Answer<txn::PessimisticLockOutcome>(
                           response, std::move(done),
                           [mode = std::move(mode)](txn::PessimisticLockOutcome outcome,
                                                    kvrpcpb::PessimisticLockResponse* out) {
                             FillLocked(mode, std::move(outcome), out);
                           }));
}

void TxnService::PessimisticRollback(const kvrpcpb::PessimisticRollbackRequest& request,
                                     kvrpcpb::PessimisticRollbackResponse* response,
                                     Finished done) {
  if (Refused(request, served_, response, done)) return;
  if (request.keys_size() == 0) {
    return store::RegionResolver::RollBackPessimistic(
        txn_, ToHeader(request.context()), Timestamp(request.start_version()),
        Timestamp(request.for_update_ts()), AnswerErrors(response, std::move(done)));
  }
  txn_.PessimisticRollback(ToHeader(request.context()),
                           {.keys = ToVector(request.keys()),
                            .start = Timestamp(request.start_version()),
                            .for_update = Timestamp(request.for_update_ts())},
                           AnswerErrors(response, std::move(done)));
}

void TxnService::CheckSecondaryLocks(const kvrpcpb::CheckSecondaryLocksRequest& request,
                                     kvrpcpb::CheckSecondaryLocksResponse* response,
                                     Finished done) {
  if (Refused(request, served_, response, done)) return;
  txn_.CheckSecondaryLocks(
      ToHeader(request.context()),
      {.keys = ToVector(request.keys()), .start = Timestamp(request.start_version())},
      Answer<txn::SecondaryLocksOutcome>(
          response, std::move(done),
          [](const txn::SecondaryLocksOutcome& result, kvrpcpb::CheckSecondaryLocksResponse* out) {
            for (const mvcc::KeyIsLocked& locked : result.locks) ToProto(locked, out->add_locks());
            out->set_commit_ts(result.commit.value());
          }));
}

void TxnService::TxnHeartBeat(const kvrpcpb::TxnHeartBeatRequest& request,
                              kvrpcpb::TxnHeartBeatResponse* response, Finished done) {
  if (Refused(request, served_, response, done)) return;
  txn_.Heartbeat(ToHeader(request.context()),
                 {.primary = request.primary_lock(),
                  .start = Timestamp(request.start_version()),
                  .ttl_ms = request.advise_lock_ttl(),
                  .min_commit = Timestamp(request.min_commit_ts())},
                 Answer<txn::HeartbeatOutcome>(
                     response, std::move(done),
                     [](const txn::HeartbeatOutcome& result, kvrpcpb::TxnHeartBeatResponse* out) {
                       FillErrors(result.outcome.errors, out);
                       if (result.outcome.errors.empty()) out->set_lock_ttl(result.ttl_ms);
                     }));
}

void TxnService::DeleteRange(const kvrpcpb::DeleteRangeRequest& request,
                             kvrpcpb::DeleteRangeResponse* response, Finished done) {
  if (Refused(request, served_, response, done)) return;
  txn_.DeleteRange(
      ToHeader(request.context()), request.start_key(), request.end_key(), request.notify_only(),
      Answer<store::RangeRemoved>(response, std::move(done),
                                  [](store::RangeRemoved, kvrpcpb::DeleteRangeResponse*) {}));
}

void TxnService::MvccGetByKey(const kvrpcpb::MvccGetByKeyRequest& request,
                              kvrpcpb::MvccGetByKeyResponse* response, Finished done) {
  if (Refused(request, served_, response, done)) return;
  txn_.Inspect(ToHeader(request.context()), request.key(),
               Answer<mvcc::KeyRecords>(
                   response, std::move(done),
                   [](const mvcc::KeyRecords& records, kvrpcpb::MvccGetByKeyResponse* out) {
                     ToProto(records, out->mutable_info());
                   }));
}

void TxnService::MvccGetByStartTs(const kvrpcpb::MvccGetByStartTsRequest& request,
                                  kvrpcpb::MvccGetByStartTsResponse* response, Finished done) {
  if (Refused(request, served_, response, done)) return;
  using Found = std::optional<store::InspectedKey>;
  txn_.InspectFirst(ToHeader(request.context()), Timestamp(request.start_ts()),
                    Answer<Found>(response, std::move(done),
                                  [](const Found& found, kvrpcpb::MvccGetByStartTsResponse* out) {
                                    if (!found) return;
                                    out->set_key(found->key);
                                    ToProto(found->records, out->mutable_info());
                                  }));
}

void TxnService::Register(Methods* methods) {
  const auto add = [this, methods](const char* name, auto call) {
    methods->HandleMember(std::string("/tikvpb.Tikv/") + name, this, call);
  };
  add("KvGet", &TxnService::Get);
  add("KvBatchGet", &TxnService::BatchGet);
  add("KvScan", &TxnService::Scan);
  add("KvPrewrite", &TxnService::Prewrite);
  add("KvCommit", &TxnService::Commit);
  add("KvCleanup", &TxnService::Cleanup);
  add("KvBatchRollback", &TxnService::BatchRollback);
  add("KvScanLock", &TxnService::ScanLock);
  add("KvResolveLock", &TxnService::ResolveLock);
  add("KvCheckTxnStatus", &TxnService::CheckTxnStatus);
  add("KvPessimisticLock", &TxnService::PessimisticLock);
  add("KVPessimisticRollback", &TxnService::PessimisticRollback);
  add("KvCheckSecondaryLocks", &TxnService::CheckSecondaryLocks);
  add("KvTxnHeartBeat", &TxnService::TxnHeartBeat);
  add("KvFlush", &TxnService::Flush);
  add("KvBufferBatchGet", &TxnService::BufferBatchGet);
  add("KvPrepareFlashbackToVersion", &TxnService::PrepareFlashbackToVersion);
  add("KvFlashbackToVersion", &TxnService::FlashbackToVersion);
  add("BroadcastTxnStatus", &TxnService::BroadcastTxnStatus);
  add("GetLockWaitInfo", &TxnService::GetLockWaitInfo);
  add("UnsafeDestroyRange", &TxnService::UnsafeDestroyRange);
  add("KvDeleteRange", &TxnService::DeleteRange);
  add("MvccGetByKey", &TxnService::MvccGetByKey);
  add("MvccGetByStartTs", &TxnService::MvccGetByStartTs);
}

}  // namespace rutile::rpc
