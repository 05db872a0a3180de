#include "client/signs_of_life.h"

#include <utility>

#include "base/probe.h"
#include "proto/kvrpcpb.pb.h"

namespace rutile::client {

std::uint64_t SignsOfLife::TtlMillis() const {
  return static_cast<std::uint64_t>(ToMilliseconds(core_->Now() - began_ + ttl_));
}

void SignsOfLife::Start() {
  if (!std::exchange(is_started_, true)) Wait();
}

void SignsOfLife::Wait() {
  core_->executor().PostAfter(ttl_ / 2, [weak = weak_from_this()] {
    const std::shared_ptr<SignsOfLife> self = weak.lock();
    if (self == nullptr || self->is_stopped_) return;
    if (self->core_->Now() - self->began_ > self->core_->txn_options().max_life) return;
    if (!self->primary_.empty()) self->Send();
    self->Wait();
  });
}

void SignsOfLife::Send() {
  RUTILE_SOMETIMES(true, "client: a sign of life of a transaction");
  kvrpcpb::TxnHeartBeatRequest request;
  request.set_primary_lock(primary_);
  request.set_start_version(start_.value());
  request.set_advise_lock_ttl(TtlMillis());
  core_->Send<kvrpcpb::TxnHeartBeatResponse>(
      {.method = "KvTxnHeartBeat", .deadline = core_->Now() + ttl_ / 2}, primary_,
      std::move(request), [](const Route&, kvrpcpb::TxnHeartBeatRequest*) {},
      // If the lock is gone, the commit will learn that for itself.
      [](const Result<kvrpcpb::TxnHeartBeatResponse>&, const Route&) {});
}

}  // namespace rutile::client
