#include "client/own_fate.h"

#include <utility>

#include "base/probe.h"
#include "client/secondaries.h"
#include "proto/kvrpcpb.pb.h"

namespace rutile::client {
namespace {

class Question : public std::enable_shared_from_this<Question> {
 public:
  using Done = std::function<void(Result<Timestamp>)>;

  Question(std::shared_ptr<TxnCore> core, Timestamp start, std::string primary, Instant deadline,
           Done done)
      : core_(std::move(core)),
        start_(start),
        primary_(std::move(primary)),
        deadline_(deadline),
        done_(std::move(done)) {}

  void AskPrimary() {
    kvrpcpb::CheckTxnStatusRequest request;
    request.set_primary_key(primary_);
    request.set_lock_ts(start_.value());
    request.set_rollback_if_not_exist(true);  // Whatever its age: nobody else asks for it.
    core_->Send<kvrpcpb::CheckTxnStatusResponse>(
        {.method = "KvCheckTxnStatus", .deadline = deadline_}, primary_, std::move(request),
        [](const Route&, kvrpcpb::CheckTxnStatusRequest*) {},
        [self = shared_from_this()](const Result<kvrpcpb::CheckTxnStatusResponse>& reply,
                                    const Route&) {
          if (!reply.ok()) return self->done_(reply.status());
          self->OnStatus(reply.value());
        });
  }

 private:
  void OnStatus(const kvrpcpb::CheckTxnStatusResponse& status) {
    if (status.has_error()) {
      return done_(Status(Code::kInternal,
                          "the transaction's own status: " + status.error().ShortDebugString()));
    }
    if (!status.has_lock_info()) return Conclude(Timestamp(status.commit_version()));
    const kvrpcpb::LockInfo& lock = status.lock_info();
    if (lock.lock_type() == kvrpcpb::PessimisticLock) return Unlock(lock);
    if (!lock.use_async_commit()) return done_(Timestamp());  // Nobody commits that but its client.
    CheckSecondaries(core_, start_, lock, deadline_,
                     [self = shared_from_this()](const Result<SecondariesFound>& found) {
                       if (!found.ok()) return self->done_(found.status());
                       if (found.value().is_in_two_phases) return self->done_(Timestamp());
                       self->Conclude(found.value().commit);
                     });
  }

  // Where nothing tells of a commit there may have been one, of which nothing is kept.
  void Conclude(Timestamp commit) {
    if (!commit.IsZero()) return done_(commit);
    core_->CheckIsKept(start_, deadline_, [self = shared_from_this()](Status status) {
      if (!status.ok()) return self->done_(std::move(status));
      self->done_(Timestamp());
    });
  }

  // The primary key is not prewritten, which an attempt that comes late may do yet: not without its
  // lock.
  void Unlock(const kvrpcpb::LockInfo& lock) {
    kvrpcpb::PessimisticRollbackRequest request;
    request.set_start_version(start_.value());
    request.set_for_update_ts(lock.lock_for_update_ts());
    request.add_keys(primary_);
    core_->Send<kvrpcpb::PessimisticRollbackResponse>(
        {.method = "KVPessimisticRollback", .deadline = deadline_}, primary_, std::move(request),
        [](const Route&, kvrpcpb::PessimisticRollbackRequest*) {},
        [self = shared_from_this()](const Result<kvrpcpb::PessimisticRollbackResponse>& reply,
                                    const Route&) {
          if (!reply.ok()) return self->done_(reply.status());
          self->AskPrimary();
        });
  }

  const std::shared_ptr<TxnCore> core_;
  const Timestamp start_;
  const std::string primary_;
  const Instant deadline_;
  const Done done_;
};

}  // namespace

void FindOwnFate(const std::shared_ptr<TxnCore>& core, Timestamp start, std::string primary,
                 Instant deadline, std::function<void(Result<Timestamp>)> done) {
  RUTILE_SOMETIMES(true, "client: a commit without a second phase is asked for by its own client");
  std::make_shared<Question>(core, start, std::move(primary), deadline, std::move(done))
      ->AskPrimary();
}

}  // namespace rutile::client
