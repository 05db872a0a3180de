#include "store/region_resolver.h"

#include <set>
#include <utility>
#include <variant>

#include "base/probe.h"

namespace rutile::store {
namespace {

// Locks that are looked for at once, and the most keys that one command brings to their end.
constexpr std::size_t kBatchLocks = 256;

}  // namespace

void RegionResolver::Run(TxnKv& kv, const RequestHeader& header, Fates fates,
                         TxnDone<txn::Outcome> done) {
  if (fates.empty()) return done(txn::Outcome());
  const std::shared_ptr<RegionResolver> self(
      new RegionResolver(kv, header, std::move(fates), std::move(done)));
  self->Look();
}

void RegionResolver::RollBackPessimistic(TxnKv& kv, const RequestHeader& header,
                                         mvcc::Timestamp start, mvcc::Timestamp for_update,
                                         TxnDone<txn::Outcome> done) {
  const std::shared_ptr<RegionResolver> self(
      new RegionResolver(kv, header, {{start, mvcc::Timestamp()}}, std::move(done)));
  self->pessimistic_up_to_ = for_update;
  self->Look();
}

void RegionResolver::Look() {
  mvcc::LockScan scan{.lower = next_, .limit = kBatchLocks};
  for (const auto& [start, commit] : fates_) scan.starts.insert(scan.starts.end(), start);
  kv_.ScanLocks(header_, std::move(scan),
                [self = shared_from_this()](TxnReply<std::vector<mvcc::KeyIsLocked>> reply) {
                  if (auto* error = std::get_if<RegionError>(&reply)) {
                    return self->done_(std::move(*error));
                  }
                  if (auto* status = std::get_if<Status>(&reply)) {
                    return self->done_(std::move(*status));
                  }
                  self->OnLocks(std::get<std::vector<mvcc::KeyIsLocked>>(reply));
                });
}

void RegionResolver::OnLocks(const std::vector<mvcc::KeyIsLocked>& locks) {
  at_end_ = locks.size() < kBatchLocks;
  RUTILE_SOMETIMES(!at_end_, "store: more locks are resolved than are looked for at once");
  if (!at_end_) next_ = locks.back().key + '\0';
  for (const mvcc::KeyIsLocked& locked : locks) {
    const bool is_pessimistic = locked.lock.kind == mvcc::Lock::Kind::kPessimistic;
    if (pessimistic_up_to_ && !is_pessimistic) continue;
    found_[locked.lock.start].push_back(locked.key);
  }
  ResolveNext();
}

void RegionResolver::ResolveNext() {
  if (found_.empty()) {
    if (!at_end_) return Look();
    return done_(txn::Outcome());
  }
  auto one = found_.extract(found_.begin());
  auto done = [self = shared_from_this()](TxnReply<txn::Outcome> reply) {
    self->OnResolved(std::move(reply));
  };
  std::vector<std::string>& keys = one.mapped();
  if (pessimistic_up_to_) {
    return kv_.PessimisticRollback(
        header_, {.keys = std::move(keys), .start = one.key(), .for_update = *pessimistic_up_to_},
        std::move(done));
  }
  kv_.Resolve(header_,
              {.keys = std::move(keys), .start = one.key(), .commit = fates_.at(one.key())},
              std::move(done));
}

void RegionResolver::OnResolved(TxnReply<txn::Outcome> reply) {
  if (auto* error = std::get_if<RegionError>(&reply)) return done_(std::move(*error));
  if (auto* status = std::get_if<Status>(&reply)) return done_(std::move(*status));
  auto& outcome = std::get<txn::Outcome>(reply);
  if (!outcome.errors.empty()) return done_(std::move(outcome));
  ResolveNext();
}

}  // namespace rutile::store
