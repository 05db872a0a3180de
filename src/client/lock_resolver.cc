#include "client/lock_resolver.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/probe.h"
#include "client/secondaries.h"
#include "proto/kvrpcpb.pb.h"

namespace rutile::client {
namespace {

bool IsExpired(Timestamp start, std::uint64_t ttl_ms, Timestamp now) {
  const std::uint64_t began = PhysicalMillis(start), is = PhysicalMillis(now);
  return is > began && is - began > ttl_ms;
}

std::string TextOf(const kvrpcpb::KeyError& error) {
  if (!error.abort().empty()) return error.abort();
  if (!error.retryable().empty()) return error.retryable();
  return error.ShortDebugString();
}

// One look at a number of locks. On the executor.
class Resolution : public std::enable_shared_from_this<Resolution> {
 public:
  using Done = std::function<void(Result<LocksResolved>)>;

  Resolution(std::shared_ptr<TxnCore> core, const std::vector<MetLock>& locks, Timestamp reader,
             Instant deadline, Done done)
      : core_(std::move(core)), reader_(reader), deadline_(deadline), done_(std::move(done)) {
    for (const MetLock& lock : locks) {
      Met& met = transactions_[{lock.start, lock.primary}];
      met.ttl_ms = std::max(met.ttl_ms, lock.ttl_ms);
      met.keys.insert(lock.key);
      met.for_update = std::max(met.for_update, lock.for_update);
      if (!lock.is_pessimistic) met.is_prewritten = true;
    }
  }

  void Start() {
    core_->GetTimestamp(deadline_, [self = shared_from_this()](const Result<Timestamp>& now) {
      if (!now.ok()) return self->done_(now.status());
      self->now_ = now.value();
      self->CheckNext();
    });
  }

 private:
  // A transaction's start and its primary key as the lock names it. While a transaction takes
  // pessimistic locks its client may choose another one, so that there may be locks with either.
  using Name = std::pair<Timestamp, std::string>;
  struct Met {
    std::uint64_t ttl_ms = 0;
    std::set<std::string> keys = {};
    Timestamp for_update = {};   // The highest of its pessimistic locks.
    bool is_prewritten = false;  // It has a lock that is not pessimistic.
  };
  Timestamp start() const { return transactions_.begin()->first.first; }

  void CheckNext() {
    if (transactions_.empty()) return done_(std::move(result_));
    Check(/*in_two_phases=*/false);
  }

  // `in_two_phases`: although the primary key has a lock of an asynchronous commit.
  void Check(bool in_two_phases) {
    const auto& [name, met] = *transactions_.begin();
    const auto& [start, primary] = name;
    kvrpcpb::CheckTxnStatusRequest request;
    request.set_primary_key(primary);
    request.set_lock_ts(start.value());
    request.set_caller_start_ts(reader_.value());
    request.set_current_ts(now_.value());
    // The prewrite of a primary that is not there yet may be on its way, for as long as a lock may.
    request.set_rollback_if_not_exist(IsExpired(start, met.ttl_ms, now_));
    request.set_verify_is_primary(true);
    request.set_force_sync_commit(in_two_phases);
    // Pessimistic locks alone are no reason to roll anything back for good: one may be left over
    // from a statement that failed, of a transaction that lives and has another primary key.
    request.set_resolving_pessimistic_lock(!met.is_prewritten);
    core_->Send<kvrpcpb::CheckTxnStatusResponse>(
        {.method = "KvCheckTxnStatus", .deadline = deadline_}, primary, std::move(request),
        [](const Route&, kvrpcpb::CheckTxnStatusRequest*) {},
        [self = shared_from_this()](const Result<kvrpcpb::CheckTxnStatusResponse>& reply,
                                    const Route&) {
          if (!reply.ok()) return self->done_(reply.status());
          self->OnStatus(reply.value());
        });
  }

  void OnStatus(const kvrpcpb::CheckTxnStatusResponse& status) {
    if (status.has_error()) {
      const kvrpcpb::KeyError& error = status.error();
      if (!error.has_txn_not_found() && !error.has_primary_mismatch()) {
        return done_(Status(Code::kInternal, "the status of transaction " + ToString(start()) +
                                                 ": " + TextOf(error)));
      }
      RUTILE_SOMETIMES(error.has_txn_not_found(), "client: a lock whose primary is not there yet");
      result_.blocking.insert(start());
      return Next();
    }
    if (status.lock_info().use_async_commit() && status.action() == kvrpcpb::NoAction &&
        IsExpired(start(), status.lock_info().lock_ttl(), now_)) {
      return CheckSecondaries(status.lock_info());
    }
    if (status.lock_ttl() > 0) {
      const bool is_pushed = status.action() == kvrpcpb::MinCommitTSPushed;
      RUTILE_SOMETIMES(is_pushed, "client: a reader passes a lock");
      (is_pushed ? result_.passed : result_.blocking).insert(start());
      return Next();
    }
    RUTILE_SOMETIMES(status.action() == kvrpcpb::TTLExpireRollback,
                     "client: a silent transaction is rolled back");
    RUTILE_SOMETIMES(status.action() == kvrpcpb::LockNotExistRollback,
                     "client: a transaction is rolled back before its primary is locked");
    RUTILE_SOMETIMES(status.commit_version() > 0,
                     "client: a lock of a committed transaction is resolved");
    if (!transactions_.begin()->second.is_prewritten) return UnlockPessimistic();
    Resolve(start(), Timestamp(status.commit_version()));
  }

  // An asynchronous commit whose client is silent: it is committed if all keys have its lock.
  void CheckSecondaries(const kvrpcpb::LockInfo& primary) {
    RUTILE_SOMETIMES(true, "client: a silent asynchronous commit is looked into");
    std::set<std::string>& met = transactions_.begin()->second.keys;
    met.insert(primary.primary_lock());
    met.insert(primary.secondaries().begin(), primary.secondaries().end());
    client::CheckSecondaries(core_, start(), primary, deadline_,
                             [self = shared_from_this()](const Result<SecondariesFound>& found) {
                               if (!found.ok()) return self->done_(found.status());
                               if (found.value().is_in_two_phases) return self->Check(true);
                               self->Resolve(self->start(), found.value().commit);
                             });
  }

  // Brings the keys to the end that the primary has: a commit, or for zero a rollback.
  void Resolve(Timestamp start, Timestamp commit) {
    const std::set<std::string>& keys = transactions_.begin()->second.keys;
    const auto left = std::make_shared<std::size_t>(keys.size());
    core_->SendAll<kvrpcpb::ResolveLockResponse, kvrpcpb::ResolveLockRequest>(
        {.method = "KvResolveLock", .deadline = deadline_}, {keys.begin(), keys.end()},
        [start, commit](const std::vector<std::string>& some,
                        kvrpcpb::ResolveLockRequest* request) {
          request->set_start_version(start.value());
          request->set_commit_version(commit.value());
          *request->mutable_keys() = {some.begin(), some.end()};
        },
        [self = shared_from_this(), left](const Result<kvrpcpb::ResolveLockResponse>& reply,
                                          const std::vector<std::string>& some) {
          Status status = reply.status();
          if (reply.ok() && reply.value().has_error()) status = Unresolved(reply.value().error());
          self->OnResolved(std::move(status), some.size(), left.get());
        });
  }

  // Takes pessimistic locks away, which leaves nothing behind: they say nothing of a commit.
  void UnlockPessimistic() {
    RUTILE_SOMETIMES(true, "client: pessimistic locks of a silent transaction are taken away");
    const Met& met = transactions_.begin()->second;
    const auto left = std::make_shared<std::size_t>(met.keys.size());
    core_->SendAll<kvrpcpb::PessimisticRollbackResponse, kvrpcpb::PessimisticRollbackRequest>(
        {.method = "KVPessimisticRollback", .deadline = deadline_},
        {met.keys.begin(), met.keys.end()},
        [start = start(), for_update = met.for_update](
            const std::vector<std::string>& some, kvrpcpb::PessimisticRollbackRequest* request) {
          request->set_start_version(start.value());
          request->set_for_update_ts(for_update.value());
          *request->mutable_keys() = {some.begin(), some.end()};
        },
        [self = shared_from_this(), left](const Result<kvrpcpb::PessimisticRollbackResponse>& reply,
                                          const std::vector<std::string>& some) {
          Status status = reply.status();
          if (reply.ok() && reply.value().errors_size() > 0) {
            status = Unresolved(reply.value().errors(0));
          }
          self->OnResolved(std::move(status), some.size(), left.get());
        });
  }

  static Status Unresolved(const kvrpcpb::KeyError& error) {
    return Status(Code::kInternal, "resolving locks: " + TextOf(error));
  }
  // `left`: of how many keys no answer has come yet.
  void OnResolved(Status status, std::size_t keys, std::size_t* left) {
    if (!status.ok() && status_.ok()) status_ = std::move(status);
    *left -= keys;
    if (*left > 0) return;
    if (!status_.ok()) return done_(status_);
    Next();
  }

  void Next() {
    transactions_.erase(transactions_.begin());
    CheckNext();
  }

  const std::shared_ptr<TxnCore> core_;
  const Timestamp reader_;
  const Instant deadline_;
  const Done done_;
  Timestamp now_ = {};
  std::map<Name, Met> transactions_;  // Those not looked at yet.
  LocksResolved result_;
  Status status_;
};

}  // namespace

MetLock ToMetLock(const kvrpcpb::LockInfo& lock) {
  return {.key = lock.key(),
          .primary = lock.primary_lock(),
          .start = Timestamp(lock.lock_version()),
          .ttl_ms = lock.lock_ttl(),
          .is_pessimistic = lock.lock_type() == kvrpcpb::PessimisticLock,
          .for_update = Timestamp(lock.lock_for_update_ts())};
}

void ResolveLocks(const std::shared_ptr<TxnCore>& core, const std::vector<MetLock>& locks,
                  Timestamp reader, Instant deadline,
                  std::function<void(Result<LocksResolved>)> done) {
  std::make_shared<Resolution>(core, locks, reader, deadline, std::move(done))->Start();
}

}  // namespace rutile::client
