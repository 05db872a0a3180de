// Pessimistic clients over stores of a simulated world: each reads a counter for update, adds one
// and commits, while stores die and leaders move. No addition is lost.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/random.h"
#include "store/testing/txn_stores.h"

namespace rutile::store {
namespace {

using mvcc::Timestamp;
using txn::KeyError;

class PessimisticCounters : public testing::TxnStores {
 protected:
  static constexpr std::size_t kClients = 6;

  struct Client {
    std::size_t store = 0;  // Which one it asks.
    Timestamp start = {};
    Timestamp for_update = {};
    bool with_conflict = false;
    std::array<std::string, 2> counters = {};  // In the order in which it locks them.
    std::array<std::uint64_t, 2> counts = {};
    std::array<Timestamp, 2> locked_at = {};
    std::size_t locked = 0;  // How many of them.
    std::uint64_t generation = 0;
  };

  // Each step asks one thing of one store; after a while the client gives up, as if the answer were
  // lost.
  template <class T, class Request, class Then>
  void Ask(Client& client, void (TxnKv::*call)(const RequestHeader&, Request, TxnDone<T>),
           Request request, Then then) {
    const std::uint64_t generation = ++client.generation;
    world_.After(Milliseconds(600), [this, &client, generation] {
      if (client.generation == generation) Again(client);
    });
    TxnKv* const kv = kv_[client.store].get();
    if (kv == nullptr) return;
    (kv->*call)(Header(), std::move(request), [this, &client, generation, then](TxnReply<T> reply) {
      if (client.generation != generation) return;
      if (T* answer = std::get_if<T>(&reply)) return then(std::move(*answer));
      Again(client);
    });
  }

  // Begins a new transaction, by way of some store.
  void Again(Client& client) {
    ++client.generation;
    client.store = random_.OneIn(3) ? random_.Below(kStores) : LeaderOf(0).value_or(0);
    if (stopping_) return;
    world_.After(Milliseconds(1 + static_cast<std::int64_t>(random_.Below(10))), [this, &client] {
      client.start = client.for_update = Now();
      client.with_conflict = random_.OneIn(2);
      client.counters = {Key("counter-0"), Key("counter-1")};
      if (random_.OneIn(2)) std::swap(client.counters[0], client.counters[1]);
      client.locked = 0;
      LockNext(client);
    });
  }

  void LockNext(Client& client) {
    if (client.locked == client.counters.size()) return Prewrite(client);
    LockRequest request{.lock = {.keys = {{.key = client.counters[client.locked]}},
                                 .primary = client.counters[0],
                                 .start = client.start,
                                 .for_update = client.for_update,
                                 .ttl_ms = 400,
                                 .return_values = true,
                                 .allow_lock_with_conflict = client.with_conflict},
                        .wait_ms = 200};
    Ask(client, &TxnKv::PessimisticLock, std::move(request),
        [this, &client](const txn::PessimisticLockOutcome& result) { OnLock(client, result); });
  }

  void OnLock(Client& client, const txn::PessimisticLockOutcome& result) {
    if (!result.outcome.errors.empty()) return OnLockError(client, result.outcome.errors.front());
    const txn::LockedKey& key = result.keys.front();
    const Timestamp at = std::max(client.for_update, key.locked_with_conflict_at);
    client.for_update = at;
    client.counts[client.locked] = key.value ? std::stoull(*key.value) : 0;
    client.locked_at[client.locked] = at;
    ++client.locked;
    LockNext(client);
  }

  void OnLockError(Client& client, const KeyError& error) {
    if (const auto* locked = std::get_if<mvcc::KeyIsLocked>(&error)) {
      ++waited_in_vain_;
      return Settle(client, *locked);
    }
    if (std::holds_alternative<txn::Deadlock>(error)) {
      ++deadlocks_;
      txn::PessimisticRollbackRequest request{
          .keys = {client.counters[0]}, .start = client.start, .for_update = client.for_update};
      return Ask(client, &TxnKv::PessimisticRollback, std::move(request),
                 [this, &client](const txn::Outcome&) { Again(client); });
    }
    const auto* conflict = std::get_if<txn::WriteConflict>(&error);
    if (conflict == nullptr || conflict->reason != txn::WriteConflict::Reason::kPessimisticRetry) {
      return Again(client);
    }
    client.for_update = Now();
    LockNext(client);
  }

  void Prewrite(Client& client) {
    txn::PrewriteRequest request{.primary = client.counters[0],
                                 .start = client.start,
                                 .ttl_ms = 400,
                                 .for_update = client.for_update};
    for (std::size_t i = 0; i < client.counters.size(); ++i) {
      request.mutations.push_back({.key = client.counters[i],
                                   .value = std::to_string(client.counts[i] + 1),
                                   .check = txn::Mutation::Check::kLocked,
                                   .locked_for_update = client.locked_at[i]});
    }
    Ask(client, &TxnKv::Prewrite, std::move(request),
        [this, &client](const txn::PrewriteOutcome& result) {
          if (!result.outcome.errors.empty()) return Again(client);
          if (random_.OneIn(12)) return Again(client);  // Dies, and leaves its locks.
          const Timestamp commit = Now();
          txn::CommitRequest primary{
              .keys = {client.counters[0]}, .start = client.start, .commit = commit};
          asked_to_commit_.insert(client.start);
          Ask(client, &TxnKv::Commit, std::move(primary),
              [this, &client, commit](const txn::Outcome& committed) {
                if (!committed.errors.empty()) return Again(client);
                ++acknowledged_;
                txn::CommitRequest other{
                    .keys = {client.counters[1]}, .start = client.start, .commit = commit};
                Ask(client, &TxnKv::Commit, std::move(other),
                    [this, &client](const txn::Outcome&) { Again(client); });
              });
        });
  }

  // What stands in the way is decided at its primary, and brought to its end.
  void Settle(Client& client, const mvcc::KeyIsLocked& locked) {
    const bool is_pessimistic = locked.lock.kind == mvcc::Lock::Kind::kPessimistic;
    txn::StatusRequest request{.primary = locked.lock.primary,
                               .start = locked.lock.start,
                               .now = Now(),
                               .rollback_if_absent = true,
                               .resolving_pessimistic = is_pessimistic};
    Ask(client, &TxnKv::CheckStatus, std::move(request),
        [this, &client, locked, is_pessimistic](const txn::StatusOutcome& result) {
          const auto then = [this, &client](const txn::Outcome&) { Again(client); };
          if (!result.outcome.errors.empty() || result.status.lock) return Again(client);
          if (is_pessimistic) {
            return Ask(client, &TxnKv::PessimisticRollback,
                       txn::PessimisticRollbackRequest{.keys = {locked.key},
                                                       .start = locked.lock.start,
                                                       .for_update = locked.lock.for_update},
                       then);
          }
          Ask(client, &TxnKv::Resolve,
              txn::ResolveRequest{
                  .keys = {locked.key}, .start = locked.lock.start, .commit = result.status.commit},
              then);
        });
  }

  SeededRandom random_{1};
  std::array<Client, kClients> clients_;
  std::set<Timestamp> asked_to_commit_;
  std::uint64_t acknowledged_ = 0;
  std::uint64_t deadlocks_ = 0;
  std::uint64_t waited_in_vain_ = 0;
  bool stopping_ = false;
};

TEST_F(PessimisticCounters, LoseNothingWhileLeadersChange) {
  for (Client& client : clients_) Again(client);
  for (int i = 0; i < 30; ++i) {
    world_.RunFor(Milliseconds(100 + static_cast<std::int64_t>(random_.Below(1000))));
    Disturb(random_, 3);
  }
  stopping_ = true;
  RestartAll();
  ResolveAllLocks();
  // Both counters are written by every transaction.
  const std::string count = Read(Key("counter-0"), Now());
  EXPECT_EQ(count, Read(Key("counter-1"), Now()));
  EXPECT_GE(std::stoull(count), acknowledged_) << "a commit was lost";
  EXPECT_LE(std::stoull(count), asked_to_commit_.size()) << "one was made twice";
  EXPECT_GT(acknowledged_, 50u);
  EXPECT_GT(deadlocks_, 0u);
  EXPECT_EQ(0u, kv().locks().waiting());
}

}  // namespace
}  // namespace rutile::store
