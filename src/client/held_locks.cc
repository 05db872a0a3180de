#include "client/held_locks.h"

#include <algorithm>
#include <utility>

#include "base/probe.h"
#include "client/lock_resolver.h"
#include "proto/kvrpcpb.pb.h"

namespace rutile::client {
namespace {

using Keys = std::vector<std::string>;

constexpr std::int64_t kDoNotWait = -1;

}  // namespace

// Locks some keys: asks for all of them, then again for those that were not given, until none is
// left or something is in the way for good.
class HeldLocks::Statement : public std::enable_shared_from_this<Statement> {
 public:
  Statement(std::shared_ptr<HeldLocks> held, std::set<std::string> keys, const LockOptions& options,
            TxnDone<Pairs> done)
      : held_(std::move(held)),
        core_(held_->core_),
        keys_(std::move(keys)),
        deadline_(core_->NewDeadline()),
        waits_(!options.wait || *options.wait > Duration()),
        wait_deadline_(options.wait ? std::min(deadline_, core_->Now() + *options.wait)
                                    : deadline_),
        done_(std::move(done)) {
    for (const std::string& key : keys_) {
      if (!held_->values_.contains(key)) missing_.insert(key);
    }
  }

  void Run() {
    if (missing_.empty()) return Succeed();
    held_->asked_for_.insert(missing_.begin(), missing_.end());
    if (held_->primary_.empty()) {
      held_->primary_ = *missing_.begin();
      chose_primary_ = true;
    }
    held_->life_->Start();
    if (held_->needs_timestamp_) return TakeTimestamp();
    Ask();
  }

 private:
  // A later one, for what is not locked yet.
  void TakeTimestamp() {
    core_->GetTimestamp(deadline_, [self = shared_from_this()](const Result<Timestamp>& now) {
      if (!now.ok()) return self->Fail(ErrorOf(now.status()));
      self->held_->for_update_ = now.value();
      self->held_->needs_timestamp_ = false;
      self->Ask();
    });
  }

  void Ask() {
    if (held_->is_over_) {
      return Fail({.code = TxnCode::kRefused, .message = "the transaction is over"});
    }
    Keys keys(missing_.begin(), missing_.end());
    const TxnCore::Call call = {.method = "KvPessimisticLock", .deadline = deadline_};
    // The primary key comes first, with those that go along: others would be left over if their
    // time to live ran out before there was one whose signs of life are theirs too.
    if (!held_->values_.contains(held_->primary_)) keys = core_->Group(call, keys).front();
    unanswered_ = keys.size();
    locks_.clear();
    is_too_early_ = false;
    core_->SendAll<kvrpcpb::PessimisticLockResponse, kvrpcpb::PessimisticLockRequest>(
        call, std::move(keys),
        [self = shared_from_this()](const Keys& some, kvrpcpb::PessimisticLockRequest* request) {
          self->Fill(some, request);
        },
        [self = shared_from_this()](const Result<kvrpcpb::PessimisticLockResponse>& reply,
                                    const Keys& some) {
          self->Take(reply, some);
          self->unanswered_ -= some.size();
          if (self->unanswered_ == 0) self->OnRound();
        });
  }

  void Fill(const Keys& keys, kvrpcpb::PessimisticLockRequest* request) const {
    request->set_primary_lock(held_->primary_);
    request->set_start_version(held_->start_.value());
    request->set_for_update_ts(held_->for_update_.value());
    request->set_lock_ttl(held_->life_->TtlMillis());
    request->set_is_first_lock(held_->values_.empty());
    request->set_wait_timeout(WaitMillis());
    request->set_return_values(true);
    request->set_check_existence(true);
    if (core_->txn_options().readers_pass) {
      request->set_min_commit_ts(held_->for_update_.Next().value());
    }
    request->clear_mutations();
    for (const std::string& key : keys) {
      kvrpcpb::Mutation* mutation = request->add_mutations();
      mutation->set_op(kvrpcpb::PessimisticLock);
      mutation->set_key(key);
    }
  }
  // How long the store may keep a request that has to wait: an answer must come before the attempt
  // is given up.
  std::int64_t WaitMillis() const {
    if (!waits_) return kDoNotWait;
    const Duration most = core_->txn_options().attempt_timeout / 2;
    const std::int64_t wait = ToMilliseconds(std::min(most, wait_deadline_ - core_->Now()));
    return wait > 0 ? wait : kDoNotWait;
  }

  void Take(const Result<kvrpcpb::PessimisticLockResponse>& reply, const Keys& keys) {
    if (!reply.ok()) return KeepError(ErrorOf(reply.status()));
    const kvrpcpb::PessimisticLockResponse& response = reply.value();
    for (const kvrpcpb::KeyError& error : response.errors()) {
      if (error.has_locked()) {
        locks_.push_back(ToMetLock(error.locked()));
      } else if (error.conflict().reason() == kvrpcpb::WriteConflict::PessimisticRetry) {
        is_too_early_ = true;
      } else {
        KeepError(ErrorOf(error));
      }
    }
    if (response.errors_size() > 0) return;
    if (response.values_size() != static_cast<int>(keys.size()) ||
        response.not_founds_size() != response.values_size()) {
      return KeepError({.message = "a lock without the value of its key"});
    }
    for (int i = 0; i < response.values_size(); ++i) {
      const std::string& key = keys[static_cast<std::size_t>(i)];
      missing_.erase(key);
      taken_.insert(key);
      held_->values_[key] =
          response.not_founds(i) ? std::nullopt : std::optional(response.values(i));
      if (key == held_->primary_) held_->life_->OnLocked(key);
    }
  }
  // The first, but a circle of waits is told whatever else there is.
  void KeepError(TxnError error) {
    if (!error_ || error.code == TxnCode::kDeadlock) error_ = std::move(error);
  }

  // All regions have answered.
  void OnRound() {
    if (error_) return Fail(*std::move(error_));
    if (missing_.empty()) return Succeed();
    if (!locks_.empty()) return OnLocked();
    if (is_too_early_) {
      RUTILE_SOMETIMES(true, "client: a key was committed to before it is locked");
      return TakeTimestamp();
    }
    Ask();  // The primary key was only the first.
  }

  void OnLocked() {
    ResolveLocks(core_, locks_, /*reader=*/{}, deadline_,
                 [self = shared_from_this()](const Result<LocksResolved>& result) {
                   if (!result.ok()) return self->Fail(ErrorOf(result.status()));
                   if (!result.value().is_blocked()) return self->AskAgain();
                   RUTILE_SOMETIMES(self->waits_, "client: a lock is waited for");
                   RUTILE_SOMETIMES(!self->waits_, "client: a lock is not waited for");
                   const std::string key = self->locks_.front().key;
                   const auto give_up = [self, key] { self->Fail(HeldForTooLong(key)); };
                   if (!self->waits_) return give_up();
                   // The store has let it wait already, if it could.
                   self->core_->Pause(
                       &self->backoff_, self->wait_deadline_, [self] { self->AskAgain(); },
                       give_up);
                 });
  }
  void AskAgain() {
    if (is_too_early_) return TakeTimestamp();
    Ask();
  }

  void Succeed() {
    Pairs found;
    for (const std::string& key : keys_) {
      const std::optional<std::string>& value = held_->values_.at(key);
      if (value) found.emplace(key, *value);
    }
    done_(std::move(found));
  }
  // The statement leaves nothing locked.
  void Fail(TxnError error) {
    RUTILE_SOMETIMES(error.code == TxnCode::kDeadlock, "client: a deadlock is told");
    for (const std::string& key : taken_) held_->values_.erase(key);
    taken_.insert(missing_.begin(), missing_.end());
    held_->GiveUp(taken_);
    if (chose_primary_) held_->primary_.clear();
    done_(std::move(error));
  }

  const std::shared_ptr<HeldLocks> held_;
  const std::shared_ptr<TxnCore> core_;
  const std::set<std::string> keys_;
  const Instant deadline_;
  const bool waits_;
  const Instant wait_deadline_;
  const TxnDone<Pairs> done_;
  std::set<std::string> missing_;  // Of the keys: not locked yet.
  std::set<std::string> taken_;    // Locked by this statement.
  bool chose_primary_ = false;
  Backoff backoff_;
  // Of the round:
  std::size_t unanswered_ = 0;
  std::vector<MetLock> locks_;
  bool is_too_early_ = false;  // Somebody has committed above `for_update`.
  std::optional<TxnError> error_;
};

HeldLocks::HeldLocks(std::shared_ptr<TxnCore> core, Timestamp start, Instant began)
    : core_(std::move(core)),
      start_(start),
      life_(std::make_shared<SignsOfLife>(core_, start, began, core_->txn_options().lock_ttl)),
      for_update_(start) {}

void HeldLocks::Lock(std::set<std::string> keys, const LockOptions& options, TxnDone<Pairs> done) {
  std::make_shared<Statement>(shared_from_this(), std::move(keys), options, std::move(done))->Run();
}

void HeldLocks::GiveUp(const std::set<std::string>& keys) {
  needs_timestamp_ = true;
  if (keys.empty()) return;
  core_->SendAll<kvrpcpb::PessimisticRollbackResponse, kvrpcpb::PessimisticRollbackRequest>(
      {.method = "KVPessimisticRollback", .deadline = core_->NewDeadline()},
      {keys.begin(), keys.end()},
      [start = start_, for_update = for_update_](const Keys& some,
                                                 kvrpcpb::PessimisticRollbackRequest* request) {
        request->set_start_version(start.value());
        request->set_for_update_ts(for_update.value());
        *request->mutable_keys() = {some.begin(), some.end()};
      },
      // Whatever comes of it: what is left of the locks is taken away by who meets them.
      [](const Result<kvrpcpb::PessimisticRollbackResponse>&, const Keys&) {});
}

void HeldLocks::RollBack() {
  if (std::exchange(is_over_, true)) return;
  life_->Stop();
  values_.clear();
  GiveUp(asked_for_);
}

}  // namespace rutile::client
