#include "client/two_phase_commit.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/probe.h"
#include "client/lock_resolver.h"
#include "proto/kvrpcpb.pb.h"

namespace rutile::client {
namespace {

using Kind = BufferedWrite::Kind;
using Keys = std::vector<std::string>;

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

// What a key's error says of the whole transaction. Not for locks.
TxnError ToTxnError(const kvrpcpb::KeyError& error) {
  if (error.has_conflict()) {
    const kvrpcpb::WriteConflict& conflict = error.conflict();
    if (conflict.reason() == kvrpcpb::WriteConflict::SelfRolledBack) {
      return {.code = TxnCode::kRolledBack,
              .message = "somebody who met its locks has ended the transaction",
              .key = conflict.key()};
    }
    return {.code = TxnCode::kWriteConflict,
            .message = "another transaction has committed after this one's start",
            .key = conflict.key(),
            .conflict_start = Timestamp(conflict.conflict_ts()),
            .conflict_commit = Timestamp(conflict.conflict_commit_ts())};
  }
  if (error.has_already_exist()) {
    return {.code = TxnCode::kAlreadyExists,
            .message = "the key exists",
            .key = error.already_exist().key()};
  }
  if (error.has_txn_lock_not_found() || error.has_txn_not_found()) {
    return {.code = TxnCode::kRolledBack,
            .message = "somebody who met its locks has ended the transaction",
            .key = error.txn_lock_not_found().key()};
  }
  if (!error.retryable().empty()) {
    return {.code = TxnCode::kWriteConflict, .message = error.retryable()};
  }
  if (!error.abort().empty()) return {.code = TxnCode::kRefused, .message = error.abort()};
  return {.code = TxnCode::kInternal, .message = error.ShortDebugString()};
}

// One commit. On the executor, but for its beginning.
class Commit : public std::enable_shared_from_this<Commit> {
 public:
  Commit(std::shared_ptr<TxnCore> core, Timestamp start, Instant began,
         std::map<std::string, BufferedWrite> writes, TxnDone<Timestamp> done)
      : core_(std::move(core)),
        start_(start),
        began_(began),
        writes_(std::move(writes)),
        deadline_(core_->NewDeadline()),
        done_(std::move(done)) {
    primary_ = writes_.begin()->first;
    std::size_t bytes = 0;
    for (const auto& [key, write] : writes_) {
      if (write.leaves_lock()) locked_.push_back(key);
      bytes += BytesOf(key);
    }
    if (!locked_.empty()) primary_ = locked_.front();
    const TxnClientOptions& options = core_->txn_options();
    const auto mib = static_cast<Duration::rep>(bytes >> 20);
    ttl_ = std::min(options.lock_ttl + mib * options.lock_ttl_per_mib, options.lock_ttl_max);
  }

  void Start() {
    core_->executor().Post([self = shared_from_this()] {
      Keys keys;
      for (const auto& [key, write] : self->writes_) keys.push_back(key);
      self->unlocked_ = keys.size();
      self->KeepAlive();
      self->Prewrite(std::move(keys));
    });
  }

 private:
  std::size_t BytesOf(const std::string& key) const {
    return key.size() + writes_.at(key).value.size();
  }
  // What keeps the locks alive for `ttl_` from now: their time counts from the start.
  std::uint64_t TtlMillis() const {
    return static_cast<std::uint64_t>(ToMilliseconds(core_->Now() - began_ + ttl_));
  }

  // --- The first phase.

  void Prewrite(Keys keys) {
    core_->SendAll<kvrpcpb::PrewriteResponse, kvrpcpb::PrewriteRequest>(
        {.method = "KvPrewrite",
         .deadline = deadline_,
         .bytes = [self =
                       shared_from_this()](const std::string& key) { return self->BytesOf(key); }},
        std::move(keys),
        [self = shared_from_this()](const Keys& some, kvrpcpb::PrewriteRequest* request) {
          self->FillPrewrite(some, request);
        },
        [self = shared_from_this()](const Result<kvrpcpb::PrewriteResponse>& reply,
                                    const Keys& some) {
          if (!self->done_) return;  // Another region's answer was the end.
          if (!reply.ok()) return self->Fail(ErrorOf(reply.status()));
          self->OnPrewritten(reply.value(), some);
        });
  }

  void FillPrewrite(const Keys& keys, kvrpcpb::PrewriteRequest* request) const {
    request->set_primary_lock(primary_);
    request->set_start_version(start_.value());
    request->set_lock_ttl(TtlMillis());
    request->set_txn_size(writes_.size());
    if (core_->txn_options().readers_pass) request->set_min_commit_ts(start_.Next().value());
    request->clear_mutations();
    for (const std::string& key : keys) {
      const BufferedWrite& write = writes_.at(key);
      kvrpcpb::Mutation* mutation = request->add_mutations();
      mutation->set_op(OpOf(write.kind));
      mutation->set_key(key);
      mutation->set_value(write.value);
    }
  }

  void OnPrewritten(const kvrpcpb::PrewriteResponse& response, const Keys& keys) {
    std::vector<MetLock> locks;
    for (const kvrpcpb::KeyError& error : response.errors()) {
      if (!error.has_locked()) return Fail(ToTxnError(error));
      locks.push_back(ToMetLock(error.locked()));
    }
    if (!locks.empty()) return OnLocked(locks, keys);
    if (std::ranges::find(keys, primary_) != keys.end()) is_primary_locked_ = true;
    unlocked_ -= keys.size();
    if (unlocked_ > 0) return;
    if (locked_.empty()) return Decide(start_);
    decision_deadline_ = core_->NewDeadline();
    TakeCommitTimestamp();
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
                   if (!self->done_) return;
                   if (!result.ok()) return self->Fail(ErrorOf(result.status()));
                   if (!result.value().is_blocked()) return self->Prewrite(keys);
                   self->AwaitLock(keys, key);
                 });
  }

  void AwaitLock(const Keys& keys, const std::string& key) {
    core_->Pause(
        &backoff_, deadline_,
        [self = shared_from_this(), keys] {
          if (self->done_) self->Prewrite(keys);
        },
        [self = shared_from_this(), key] {
          if (self->done_) self->Fail(HeldForTooLong(key));
        });
  }

  // Signs of life, of a commit that takes long.
  void KeepAlive() {
    core_->executor().PostAfter(ttl_ / 2, [weak = weak_from_this()] {
      const std::shared_ptr<Commit> self = weak.lock();
      if (self == nullptr || self->is_over_) return;
      if (self->is_primary_locked_) self->SendHeartbeat();
      self->KeepAlive();
    });
  }
  void SendHeartbeat() {
    RUTILE_SOMETIMES(true, "client: a sign of life of a transaction");
    kvrpcpb::TxnHeartBeatRequest request;
    request.set_primary_lock(primary_);
    request.set_start_version(start_.value());
    request.set_advise_lock_ttl(TtlMillis());
    core_->Send<kvrpcpb::TxnHeartBeatResponse>(
        {.method = "KvTxnHeartBeat", .deadline = core_->Now() + ttl_ / 2}, primary_,
        std::move(request), [](const Route&, kvrpcpb::TxnHeartBeatRequest*) {},
        // If the lock is gone, the commit will learn that for itself.
        [self = shared_from_this()](const Result<kvrpcpb::TxnHeartBeatResponse>&, const Route&) {});
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
        {.method = "KvCommit", .deadline = decision_deadline_}, primary_, std::move(request),
        [](const Route&, kvrpcpb::CommitRequest*) {},
        [self = shared_from_this(), commit](const Result<kvrpcpb::CommitResponse>& reply,
                                            const Route&) { self->OnPrimary(commit, reply); });
  }

  void OnPrimary(Timestamp commit, const Result<kvrpcpb::CommitResponse>& reply) {
    if (reply.ok() && !reply.value().has_error()) return Decide(commit);
    if (reply.ok() && reply.value().error().has_commit_ts_expired()) {
      // Never carried out at this timestamp, however often it was sent.
      RUTILE_SOMETIMES(true, "client: readers have made a commit later");
      return TakeCommitTimestamp();
    }
    // The primary key was locked: it has no lock any more because somebody has rolled it back.
    if (reply.ok() && reply.value().error().has_txn_lock_not_found()) {
      return Fail(ToTxnError(reply.value().error()));
    }
    const Code code = reply.status().code();
    if (!reply.ok() && (code == Code::kUnavailable || code == Code::kInvalidArgument)) {
      return Fail(ErrorOf(reply.status()));  // No attempt can have been carried out.
    }
    // An attempt may have been carried out, or may be yet.
    RUTILE_SOMETIMES(true, "client: whether a transaction is committed is not known");
    is_over_ = true;
    const std::string why =
        reply.ok() ? reply.value().error().ShortDebugString() : reply.status().ToString();
    Answer(TxnError{.code = TxnCode::kUndetermined, .message = why, .key = primary_});
  }

  void Decide(Timestamp commit) {
    is_over_ = true;
    Keys others;
    for (const std::string& key : locked_) {
      if (key != primary_) others.push_back(key);
    }
    const bool await = core_->txn_options().await_all_keys && !others.empty();
    if (!await) Answer(commit);
    if (others.empty()) return;
    const auto left = std::make_shared<std::size_t>(others.size());
    core_->SendAll<kvrpcpb::CommitResponse, kvrpcpb::CommitRequest>(
        {.method = "KvCommit", .deadline = core_->NewDeadline()}, std::move(others),
        [self = shared_from_this(), commit](const Keys& some, kvrpcpb::CommitRequest* request) {
          request->set_start_version(self->start_.value());
          request->set_commit_version(commit.value());
          request->set_commit_role(kvrpcpb::Secondary);
          request->set_primary_key(self->primary_);
          *request->mutable_keys() = {some.begin(), some.end()};
        },
        // Whatever comes of it: what is left of the locks is resolved by who meets them.
        [self = shared_from_this(), commit, left](const Result<kvrpcpb::CommitResponse>&,
                                                  const Keys& some) {
          *left -= some.size();
          if (*left == 0 && self->done_) self->Answer(commit);
        });
  }

  // Ends a transaction that is certainly not committed, and never will be: of every key that is
  // rolled back no prewrite succeeds any more, and without the primary key nobody commits another.
  void Fail(TxnError error) {
    is_over_ = true;
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

  void Answer(TxnResult<Timestamp> result) { std::exchange(done_, nullptr)(std::move(result)); }

  const std::shared_ptr<TxnCore> core_;
  const Timestamp start_;
  const Instant began_;
  const std::map<std::string, BufferedWrite> writes_;
  const Instant deadline_;  // Of the first phase.
  std::string primary_;     // Constant after construction, likewise those:
  Keys locked_;             // Which leave locks, sorted.
  Duration ttl_ = {};
  TxnDone<Timestamp> done_;  // Null: answered.
  std::size_t unlocked_ = 0;
  Backoff backoff_;
  Instant decision_deadline_ = {};
  bool is_primary_locked_ = false;
  bool is_over_ = false;  // Decided, or not known: no signs of life any more.
};

}  // namespace

void CommitInTwoPhases(const std::shared_ptr<TxnCore>& core, Timestamp start, Instant began,
                       std::map<std::string, BufferedWrite> writes, TxnDone<Timestamp> done) {
  std::make_shared<Commit>(core, start, began, std::move(writes), std::move(done))->Start();
}

}  // namespace rutile::client
