#include "client/txn_commit.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/probe.h"
#include "client/lock_resolver.h"
#include "client/own_fate.h"
#include "proto/kvrpcpb.pb.h"

namespace rutile::client {
namespace {

using Kind = BufferedWrite::Kind;
using Keys = std::vector<std::string>;
using Writes = std::map<std::string, BufferedWrite>;

kvrpcpb::Op OpOf(Kind kind) {
  switch (kind) {
    case Kind::kPut: return kvrpcpb::Put;
    case Kind::kInsert: return kvrpcpb::Insert;
    case Kind::kDelete: return kvrpcpb::Del;
    case Kind::kLock: return kvrpcpb::Lock;
    case Kind::kCheckNotExists: return kvrpcpb::CheckNotExists;
  }
  RUTILE_UNREACHABLE();
}

std::size_t TotalBytes(const Keys& keys) {
  std::size_t bytes = 0;
  for (const std::string& key : keys) bytes += key.size();
  return bytes;
}

// One commit. On the executor, but for its beginning.
class Commit : public std::enable_shared_from_this<Commit> {
 public:
  Commit(std::shared_ptr<TxnCore> core, Commitment commitment, TxnDone<Timestamp> done)
      : core_(std::move(core)),
        start_(commitment.start),
        writes_(std::move(commitment.writes)),
        held_(std::move(commitment.held)),
        deadline_(core_->NewDeadline()),
        done_(std::move(done)) {
    std::size_t bytes = 0;
    for (const auto& [key, write] : writes_) {
      if (write.leaves_lock()) locked_.push_back(key);
      bytes += BytesOf(key);
    }
    primary_ = locked_.empty() ? writes_.begin()->first : locked_.front();
    if (held_ != nullptr && !held_->primary().empty()) primary_ = held_->primary();
    const TxnClientOptions& options = core_->txn_options();
    const auto mib = static_cast<Duration::rep>(bytes >> 20);
    const Duration ttl =
        std::min(options.lock_ttl + mib * options.lock_ttl_per_mib, options.lock_ttl_max);
    life_ = held_ != nullptr ? held_->life()
                             : std::make_shared<SignsOfLife>(core_, start_, commitment.began, ttl);
    life_->Prolong(ttl);
    // What only looks at a key leaves no lock that would tell that it has.
    is_async_ = commitment.options.use_async_commit && !locked_.empty() &&
                locked_.size() == writes_.size() && locked_.size() <= options.async_keys &&
                TotalBytes(locked_) <= options.async_key_bytes;
    is_one_phase_ = commitment.options.try_one_phase && !locked_.empty() &&
                    writes_.size() <= options.batch_keys && bytes <= options.batch_bytes;
  }

  void Start() {
    Keys keys;
    for (const auto& [key, write] : writes_) keys.push_back(key);
    unlocked_ = keys.size();
    life_->Start();
    if (!is_async_ && !is_one_phase_) return Prewrite(std::move(keys));
    // So that it commits after all that was committed before.
    core_->GetTimestamp(deadline_, [self = shared_from_this(),
                                    keys = std::move(keys)](const Result<Timestamp>& now) mutable {
      if (!now.ok()) return self->Fail(ErrorOf(now.status()));
      self->now_ = now.value();
      self->Prewrite(std::move(keys));
    });
  }

 private:
  std::size_t BytesOf(const std::string& key) const {
    return key.size() + writes_.at(key).value.size();
  }

  // --- The first phase, which may be all.

  void Prewrite(Keys keys) {
    core_->SendAll<kvrpcpb::PrewriteResponse, kvrpcpb::PrewriteRequest>(
        {.method = "KvPrewrite",
         .deadline = deadline_,
         .is_late = is_late_,
         .bytes = [self =
                       shared_from_this()](const std::string& key) { return self->BytesOf(key); }},
        std::move(keys),
        [self = shared_from_this()](const Keys& some, kvrpcpb::PrewriteRequest* request) {
          self->FillPrewrite(some, request);
        },
        [self = shared_from_this()](const Result<kvrpcpb::PrewriteResponse>& reply,
                                    const Keys& some) {
          if (self->is_over_) return;  // Another region's answer was the end.
          if (!reply.ok()) return self->Fail(ErrorOf(reply.status()));
          self->OnPrewritten(reply.value(), some);
        });
  }

  void FillPrewrite(const Keys& keys, kvrpcpb::PrewriteRequest* request) {
    request->set_primary_lock(primary_);
    request->set_start_version(start_.value());
    request->set_lock_ttl(life_->TtlMillis());
    request->set_txn_size(writes_.size());
    if (held_ != nullptr) request->set_for_update_ts(held_->for_update().value());
    request->clear_mutations();
    request->clear_pessimistic_actions();
    for (const std::string& key : keys) {
      const BufferedWrite& write = writes_.at(key);
      kvrpcpb::Mutation* mutation = request->add_mutations();
      mutation->set_op(OpOf(write.kind));
      mutation->set_key(key);
      mutation->set_value(write.value);
      if (held_ == nullptr) continue;
      request->add_pessimistic_actions(held_->values().contains(key)
                                           ? kvrpcpb::PrewriteRequest::DO_PESSIMISTIC_CHECK
                                           : kvrpcpb::PrewriteRequest::DO_CONSTRAINT_CHECK);
    }
    SetPhases(keys, request);
  }

  void SetPhases(const Keys& keys, kvrpcpb::PrewriteRequest* request) {
    if (is_one_phase_ && keys.size() < writes_.size()) {
      RUTILE_SOMETIMES(true, "client: one request does not hold all keys of a transaction");
      is_one_phase_ = false;
    }
    request->set_try_one_pc(is_one_phase_);
    request->set_use_async_commit(is_async_);
    request->clear_secondaries();
    request->clear_max_commit_ts();
    if (!is_one_phase_ && !is_async_) {
      const bool pass = core_->txn_options().readers_pass;
      return request->set_min_commit_ts(pass ? start_.Next().value() : 0);
    }
    was_without_second_phase_ = true;
    const auto window =
        static_cast<std::uint64_t>(ToMilliseconds(core_->txn_options().commit_window));
    request->set_min_commit_ts(now_.Next().value());
    request->set_max_commit_ts(now_.value() + (window << kTimestampCountBits));
    if (!is_async_ || std::ranges::find(keys, primary_) == keys.end()) return;
    for (const std::string& key : locked_) {
      if (key != primary_) request->add_secondaries(key);
    }
  }

  void OnPrewritten(const kvrpcpb::PrewriteResponse& response, const Keys& keys) {
    std::vector<MetLock> locks;
    for (const kvrpcpb::KeyError& error : response.errors()) {
      if (!error.has_locked()) return Fail(ErrorOf(error));
      locks.push_back(ToMetLock(error.locked()));
    }
    if (!locks.empty()) return OnLocked(locks, keys);
    if (response.one_pc_commit_ts() > 0) {
      RUTILE_SOMETIMES(true, "client: a commit in one phase");
      return Decide(Timestamp(response.one_pc_commit_ts()), {});
    }
    if (response.min_commit_ts() > 0) {
      commit_ = std::max(commit_, Timestamp(response.min_commit_ts()));
    } else {
      FallBack();
    }
    if (std::ranges::find(keys, primary_) != keys.end()) life_->OnLocked(primary_);
    unlocked_ -= keys.size();
    if (unlocked_ > 0) return;
    if (locked_.empty()) return Decide(start_, {});
    if (is_async_) {
      RUTILE_SOMETIMES(true, "client: an asynchronous commit");
      return Decide(commit_, locked_);
    }
    decision_deadline_ = core_->NewDeadline();
    TakeCommitTimestamp();
  }

  // A key has a lock of two phases: the transaction has them.
  void FallBack() {
    RUTILE_SOMETIMES(is_one_phase_, "client: a commit in one phase takes two");
    RUTILE_SOMETIMES(!is_one_phase_ && is_async_,
                     "client: an asynchronous commit takes two phases");
    is_one_phase_ = is_async_ = false;
    has_two_phases_ = true;
  }

  void OnLocked(const std::vector<MetLock>& locks, const Keys& keys) {
    for (const MetLock& lock : locks) {
      if (lock.start < start_) continue;
      // Whoever began later commits later: waiting would end in a conflict, or in a circle.
      RUTILE_SOMETIMES(true, "client: a prewrite meets the lock of a later transaction");
      return Fail({.code = TxnCode::kWriteConflict,
                   .message = "a transaction that began later is about to commit",
                   .key = lock.key,
                   .conflict_start = lock.start});
    }
    ResolveLocks(core_, locks, /*reader=*/{}, deadline_,
                 [self = shared_from_this(), keys,
                  key = locks.front().key](const Result<LocksResolved>& result) {
                   if (self->is_over_) return;
                   if (!result.ok()) return self->Fail(ErrorOf(result.status()));
                   if (!result.value().is_blocked()) return self->Prewrite(keys);
                   self->AwaitLock(keys, key);
                 });
  }

  void AwaitLock(const Keys& keys, const std::string& key) {
    core_->Pause(
        &backoff_, deadline_,
        [self = shared_from_this(), keys] {
          if (!self->is_over_) self->Prewrite(keys);
        },
        [self = shared_from_this(), key] {
          if (!self->is_over_) self->Fail(HeldForTooLong(key));
        });
  }

  // --- The decision.

  void TakeCommitTimestamp() {
    core_->GetTimestamp(decision_deadline_,
                        [self = shared_from_this()](const Result<Timestamp>& commit) {
                          if (!commit.ok()) return self->Fail(ErrorOf(commit.status()));
                          self->CommitPrimary(commit.value());
                        });
  }

  void CommitPrimary(Timestamp commit) {
    kvrpcpb::CommitRequest request;
    request.set_start_version(start_.value());
    request.set_commit_version(commit.value());
    request.set_commit_role(kvrpcpb::Primary);
    request.set_primary_key(primary_);
    request.add_keys(primary_);
    core_->Send<kvrpcpb::CommitResponse>(
        {.method = "KvCommit", .deadline = decision_deadline_, .is_late = is_commit_late_},
        primary_, std::move(request), [](const Route&, kvrpcpb::CommitRequest*) {},
        [self = shared_from_this(), commit](const Result<kvrpcpb::CommitResponse>& reply,
                                            const Route&) { self->OnPrimary(commit, reply); });
  }

  void OnPrimary(Timestamp commit, const Result<kvrpcpb::CommitResponse>& reply) {
    if (reply.ok() && !reply.value().has_error()) {
      Keys others = locked_;
      std::erase(others, primary_);
      return Decide(commit, std::move(others));
    }
    if (reply.ok() && reply.value().error().has_commit_ts_expired()) {
      // Never carried out at this timestamp, however often it was sent.
      RUTILE_SOMETIMES(true, "client: readers have made a commit later");
      return TakeCommitTimestamp();
    }
    if (reply.ok() && reply.value().error().has_txn_lock_not_found()) {
      return OnLockGone(ErrorOf(reply.value().error()));
    }
    const Code code = reply.status().code();
    if (!reply.ok() && (code == Code::kUnavailable || code == Code::kInvalidArgument)) {
      return Fail(ErrorOf(reply.status()));  // No attempt can have been carried out.
    }
    // An attempt may have been carried out, or may be yet.
    GiveUp(reply.ok() ? reply.value().error().ShortDebugString() : reply.status().ToString());
  }

  // The primary key was locked: it has no lock any more because somebody has rolled it back. Or an
  // attempt that was not answered has committed it, and that was overwritten since and collected.
  void OnLockGone(const TxnError& error) {
    if (!*is_commit_late_) return Fail(error);
    core_->CheckIsKept(start_, decision_deadline_,
                       [self = shared_from_this(), error](const Status& status) {
                         if (status.ok()) return self->Fail(error);
                         self->GiveUp(status.ToString());
                       });
  }

  // Nobody can say what became of it, so all is left as it is.
  void GiveUp(std::string why) {
    RUTILE_SOMETIMES(true, "client: whether a transaction is committed is not known");
    End();
    Answer(TxnError{.code = TxnCode::kUndetermined, .message = std::move(why), .key = primary_});
  }

  // It is committed; `keys` may still have their locks.
  void Decide(Timestamp commit, Keys keys) {
    End();
    const bool await = core_->txn_options().await_all_keys && !keys.empty();
    if (!await) Answer(commit);
    if (keys.empty()) return;
    const auto left = std::make_shared<std::size_t>(keys.size());
    core_->SendAll<kvrpcpb::CommitResponse, kvrpcpb::CommitRequest>(
        {.method = "KvCommit", .deadline = core_->NewDeadline()}, std::move(keys),
        [self = shared_from_this(), commit](const Keys& some, kvrpcpb::CommitRequest* request) {
          request->set_start_version(self->start_.value());
          request->set_commit_version(commit.value());
          request->set_commit_role(kvrpcpb::Secondary);
          request->set_primary_key(self->primary_);
          request->set_use_async_commit(self->is_async_);
          *request->mutable_keys() = {some.begin(), some.end()};
        },
        // Whatever comes of it: what is left of the locks is resolved by who meets them.
        [self = shared_from_this(), commit, left](const Result<kvrpcpb::CommitResponse>&,
                                                  const Keys& some) {
          *left -= some.size();
          if (*left == 0 && self->done_) self->Answer(commit);
        });
  }

  // Something keeps it from being committed, unless an attempt that was not answered has done that,
  // or may do it yet.
  void Fail(TxnError error) {
    End();
    const bool may_commit = was_without_second_phase_ && !has_two_phases_ && *is_late_;
    if (!may_commit) return RollBack(std::move(error));
    FindOwnFate(core_, start_, primary_, core_->NewDeadline(),
                [self = shared_from_this(), error](const Result<Timestamp>& commit) {
                  if (!commit.ok()) return self->GiveUp(commit.status().ToString());
                  if (commit.value().IsZero()) return self->RollBack(error);
                  RUTILE_SOMETIMES(true, "client: a transaction that seemed to fail is committed");
                  self->Decide(commit.value(), self->locked_);
                });
  }

  // Ends a transaction that is certainly not committed, and never will be: of every key that is
  // rolled back no prewrite succeeds any more, and without the primary key nobody commits another.
  void RollBack(TxnError error) {
    Answer(std::move(error));
    if (locked_.empty()) return;
    core_->SendAll<kvrpcpb::BatchRollbackResponse, kvrpcpb::BatchRollbackRequest>(
        {.method = "KvBatchRollback", .deadline = core_->NewDeadline()}, locked_,
        [self = shared_from_this()](const Keys& some, kvrpcpb::BatchRollbackRequest* request) {
          request->set_start_version(self->start_.value());
          *request->mutable_keys() = {some.begin(), some.end()};
        },
        [](const Result<kvrpcpb::BatchRollbackResponse>&, const Keys&) {});
  }

  // No further step of it is taken.
  void End() {
    is_over_ = true;
    life_->Stop();
  }
  void Answer(TxnResult<Timestamp> result) { std::exchange(done_, nullptr)(std::move(result)); }

  const std::shared_ptr<TxnCore> core_;
  const Timestamp start_;
  const Writes writes_;
  const std::shared_ptr<HeldLocks> held_;  // Null: optimistic.
  const Instant deadline_;                 // Of the first phase.
  std::string primary_;                    // Constant after construction, likewise those:
  Keys locked_;                            // Which leave locks, sorted.
  std::shared_ptr<SignsOfLife> life_;
  TxnDone<Timestamp> done_;                // Null: answered.
  bool is_async_ = false;                  // As far as is known by now.
  bool is_one_phase_ = false;              // Likewise; as long as it is, it comes first.
  Timestamp now_;                          // Not before the beginning of the commit, if either.
  bool was_without_second_phase_ = false;  // Some request was.
  bool has_two_phases_ = false;            // A lock says so: only its client commits it.
  // Some prewrite was not answered.
  const std::shared_ptr<std::atomic<bool>> is_late_ = std::make_shared<std::atomic<bool>>(false);
  // Likewise of the primary key's commit.
  const std::shared_ptr<std::atomic<bool>> is_commit_late_ =
      std::make_shared<std::atomic<bool>>(false);
  Timestamp commit_;  // The highest least commit timestamp of the locks.
  std::size_t unlocked_ = 0;
  Backoff backoff_;
  Instant decision_deadline_ = {};
  bool is_over_ = false;
};

}  // namespace

TxnResult<Writes> PrepareWrites(Writes writes, const HeldLocks::Values& held) {
  for (const auto& [key, value] : held) {
    BufferedWrite& write =
        writes.try_emplace(key, BufferedWrite{.kind = Kind::kLock}).first->second;
    if (write.kind != Kind::kInsert && write.kind != Kind::kCheckNotExists) continue;
    if (value) return KeyExists(key);
    write.kind = write.kind == Kind::kInsert ? Kind::kPut : Kind::kLock;
  }
  return writes;
}

void CommitTransaction(const std::shared_ptr<TxnCore>& core, Commitment commitment,
                       TxnDone<Timestamp> done) {
  std::make_shared<Commit>(core, std::move(commitment), std::move(done))->Start();
}

}  // namespace rutile::client
