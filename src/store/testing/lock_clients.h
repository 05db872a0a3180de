#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "store/testing/txn_stores.h"

namespace rutile::store::testing {

// Clients that ask for pessimistic locks, and do not wait for the answer.
class LockClients : public TxnStores {
 protected:
  // What is asked for beside the key.
  struct Asking {
    std::int64_t wait_ms = 0;
    mvcc::Timestamp for_update = {};  // Zero: now.
    bool with_conflict = false;
    std::uint64_t region = 0;
  };
  // The answer of a request; nothing before it comes.
  using Answer = std::shared_ptr<std::optional<std::string>>;

  Answer Ask(const std::string& key, mvcc::Timestamp start, Asking asking) {
    return AskOf(kv(), key, start, asking);
  }
  Answer Ask(const std::string& key, mvcc::Timestamp start) { return Ask(key, start, Asking()); }
  Answer AskOf(TxnKv& kv, const std::string& key, mvcc::Timestamp start, Asking asking) {
    LockRequest request{.lock = {.keys = {{.key = key}},
                                 .primary = key,
                                 .start = start,
                                 .for_update = asking.for_update,
                                 .ttl_ms = 10'000,
                                 .return_values = true,
                                 .allow_lock_with_conflict = asking.with_conflict},
                        .wait_ms = asking.wait_ms};
    if (asking.for_update.IsZero()) request.lock.for_update = Now();
    auto answer = std::make_shared<std::optional<std::string>>();
    kv.PessimisticLock({.region = RegionOf(asking.region)}, std::move(request),
                       [answer](PessimisticLocks::Reply reply) {
                         EXPECT_FALSE(answer->has_value()) << "answered twice";
                         *answer = Show(reply);
                       });
    return answer;
  }
  // The answer if it comes in `within`.
  std::string Await(const Answer& answer, Duration within) {
    world_.RunUntil([&] { return answer->has_value(); }, within);
    return answer->value_or("waits");
  }
  std::string Await(const Answer& answer) { return Await(answer, Seconds(10)); }
  using TxnStores::Await;

  static std::string Show(const PessimisticLocks::Reply& reply) {
    if (const auto* error = std::get_if<RegionError>(&reply)) return ToString(*error);
    if (const auto* status = std::get_if<Status>(&reply)) return status->ToString();
    const auto& result = std::get<txn::PessimisticLockOutcome>(reply);
    if (!result.outcome.errors.empty()) return Show(result.outcome.errors.front());
    const txn::LockedKey& key = result.keys.front();
    return std::string("locked, ") + key.value.value_or("absent") +
           (key.locked_with_conflict_at.IsZero() ? "" : ", with conflict");
  }
  static std::string Show(const txn::KeyError& error) {
    if (const auto* locked = std::get_if<mvcc::KeyIsLocked>(&error)) {
      return "locked by " + ToString(locked->lock.start);
    }
    if (const auto* conflict = std::get_if<txn::WriteConflict>(&error)) {
      const bool retry = conflict->reason == txn::WriteConflict::Reason::kPessimisticRetry;
      return retry ? "retry" : "conflict";
    }
    if (const auto* deadlock = std::get_if<txn::Deadlock>(&error)) {
      return "deadlock of " + std::to_string(deadlock->chain.size());
    }
    return "another error";
  }

  // Prewrites and commits a key that the transaction has locked.
  void Commit(const std::string& key, const std::string& value, mvcc::Timestamp start) {
    txn::PrewriteRequest prewrite = Puts({key}, value, start);
    prewrite.for_update = start;
    prewrite.mutations.front().check = txn::Mutation::Check::kLocked;
    EXPECT_TRUE(Must(Await(&TxnKv::Prewrite, std::move(prewrite))).outcome.errors.empty());
    txn::CommitRequest commit{.keys = {key}, .start = start, .commit = Now()};
    EXPECT_TRUE(Must(Await(&TxnKv::Commit, std::move(commit))).errors.empty());
  }
  void GiveUp(const std::string& key, mvcc::Timestamp start) {
    txn::PessimisticRollbackRequest request{.keys = {key}, .start = start, .for_update = Now()};
    Must(Await(&TxnKv::PessimisticRollback, std::move(request)));
  }
};

}  // namespace rutile::store::testing
