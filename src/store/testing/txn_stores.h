#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/random.h"
#include "codec/memcomparable.h"
#include "mvcc/keys.h"
#include "mvcc/records.h"
#include "store/testing/simulated_stores.h"
#include "store/txn_kv.h"

namespace rutile::store::testing {

// Three stores with their transactional calls, and one region, or so many as `regions_` says.
class TxnStores : public SimulatedStores {
 protected:
  static constexpr RegionId kRegion{kFirstRegion};

  void SetUp() override {
    SimulatedStores::SetUp();
    if (IsSkipped()) return;
    Begin(regions_);
    for (std::size_t i = 0; i < kStores; ++i) Serve(i);
    leader_ = AwaitLeaderOf(0);
  }
  std::string BorderOf(std::uint64_t number) const override {
    return codec::EncodeMemcomparable(KeyOf(number));
  }
  // The scheduler of a store that is gone has lost its commands with it.
  void Serve(std::size_t i) {
    Executor& oracle = processes_[i].machine->NewExecutor("oracle");
    kv_[i] = std::make_unique<TxnKv>(
        store(i), processes_[i].machine->NewExecutor("txn"), limits_,
        [this, &oracle](TimestampDone done) {
          if (!has_oracle_) return done(Status(Code::kUnavailable, "no timestamps today"));
          oracle.PostAfter(Milliseconds(1),
                           [this, done = std::move(done)]() mutable { done(Now()); });
        });
  }
  void Stop(std::size_t i) {
    Kill(i);
    kv_[i] = nullptr;
  }
  void Restart(std::size_t i) {
    Start(i);
    Serve(i);
  }

  TxnKv& kv() { return *kv_[leader_]; }
  static RequestHeader Header() { return {.region = kRegion}; }
  // Of the region that a key of KeyOf() with a suffix is in.
  static RequestHeader HeaderOf(const std::string& key) {
    return {.region = RegionOf(std::stoull(key.substr(0, 8)))};
  }
  static std::string Key(const std::string& suffix) { return KeyOf(0) + suffix; }
  // Milliseconds of the simulated clock, and a count.
  mvcc::Timestamp Now() {
    const auto millis = static_cast<std::uint64_t>(ToMilliseconds(world_.Now()));
    return mvcc::Timestamp(((millis + 1) << mvcc::kLogicalBits) + ++count_);
  }

  // Waits for the answer.
  template <class T, class Request>
  TxnReply<T> Await(void (TxnKv::*call)(const RequestHeader&, Request, TxnDone<T>), Request request,
                    const RequestHeader& header = Header()) {
    auto answer = std::make_shared<std::optional<TxnReply<T>>>();
    (kv().*call)(header, std::move(request),
                 [answer](TxnReply<T> reply) { *answer = std::move(reply); });
    EXPECT_TRUE(world_.RunUntil([&] { return answer->has_value(); }, Seconds(10)));
    return **std::move(answer);
  }
  template <class T>
  T Must(TxnReply<T> reply) {
    if (auto* outcome = std::get_if<T>(&reply)) return std::move(*outcome);
    ADD_FAILURE() << (std::holds_alternative<Status>(reply)
                          ? std::get<Status>(reply).ToString()
                          : ToString(std::get<RegionError>(reply)));
    return {};
  }
  static txn::PrewriteRequest Puts(const std::vector<std::string>& keys, const std::string& value,
                                   mvcc::Timestamp start) {
    txn::PrewriteRequest request{.primary = keys.front(), .start = start, .ttl_ms = 3000};
    for (const std::string& key : keys) request.mutations.push_back({.key = key, .value = value});
    return request;
  }
  txn::PrewriteRequest OnePhase(const std::vector<std::string>& keys, const std::string& value) {
    txn::PrewriteRequest request = Puts(keys, value, Now());
    request.try_one_phase = true;
    return request;
  }
  txn::PrewriteRequest Async(const std::vector<std::string>& keys, const std::string& value) {
    txn::PrewriteRequest request = Puts(keys, value, Now());
    request.use_async_commit = true;
    request.secondaries.assign(keys.begin() + 1, keys.end());
    return request;
  }
  void Write(const std::vector<std::string>& keys, const std::string& value) {
    const mvcc::Timestamp start = Now();
    EXPECT_THAT(Must(Await(&TxnKv::Prewrite, Puts(keys, value, start))).outcome.errors,
                ::testing::IsEmpty());
    EXPECT_THAT(Must(Await(&TxnKv::Commit,
                           txn::CommitRequest{.keys = keys, .start = start, .commit = Now()}))
                    .errors,
                ::testing::IsEmpty());
  }
  void Delete(const std::string& key) {
    const mvcc::Timestamp start = Now();
    txn::PrewriteRequest request{.primary = key, .start = start, .ttl_ms = 3000};
    request.mutations.push_back({.kind = txn::Mutation::Kind::kDelete, .key = key});
    EXPECT_THAT(Must(Await(&TxnKv::Prewrite, std::move(request))).outcome.errors,
                ::testing::IsEmpty());
    Must(Await(&TxnKv::Commit, txn::CommitRequest{.keys = {key}, .start = start, .commit = Now()}));
  }
  // What each store's engine has.
  std::vector<std::size_t> CountOf(engine::Family family) {
    std::vector<std::size_t> counts;
    for (std::size_t i = 0; i < kStores; ++i) {
      std::size_t& count = counts.emplace_back();
      const auto snapshot = processes_[i].engine->GetSnapshot();
      const auto iterator = snapshot->NewIterator(family, {});
      for (iterator->Seek(""); iterator->Valid(); iterator->Next()) ++count;
    }
    return counts;
  }
  std::string Read(const std::string& key, mvcc::Timestamp at,
                   const RequestHeader& header = Header()) {
    std::optional<TxnReply<mvcc::ReadAnswer>> answer;
    kv().Get(header, key, {.at = at}, [&](auto reply) { answer = std::move(reply); });
    world_.RunUntil([&] { return answer.has_value(); }, Seconds(10));
    if (!answer) return "no answer";
    if (auto* status = std::get_if<Status>(&*answer)) return status->ToString();
    if (auto* error = std::get_if<RegionError>(&*answer)) return ToString(*error);
    auto& read = std::get<mvcc::ReadAnswer>(*answer);
    if (auto* locked = std::get_if<mvcc::KeyIsLocked>(&read)) return "locked: " + locked->key;
    const auto& found = std::get<std::optional<mvcc::Found>>(read);
    return found ? found->value : "absent";
  }

  // What a call answers with items, as "suffix=value", "suffix locked" or why there are none.
  static std::vector<std::string> Show(const TxnReply<TxnKv::Items>& reply) {
    if (auto* status = std::get_if<Status>(&reply)) return {status->ToString()};
    if (auto* error = std::get_if<RegionError>(&reply)) return {ToString(*error)};
    std::vector<std::string> shown;
    for (const auto& item : std::get<TxnKv::Items>(reply)) {
      const auto* pair = std::get_if<mvcc::Scanner::Pair>(&item);
      shown.push_back(pair != nullptr
                          ? pair->key.substr(8) + "=" + pair->value
                          : std::get<mvcc::KeyIsLocked>(item).key.substr(8) + " locked");
    }
    return shown;
  }
  TxnReply<TxnKv::Items> Scan(TxnScan scan) {
    std::optional<TxnReply<TxnKv::Items>> answer;
    kv().Scan(Header(), std::move(scan), {.at = Now()},
              [&](TxnReply<TxnKv::Items> reply) { answer = std::move(reply); });
    EXPECT_TRUE(world_.RunUntil([&] { return answer.has_value(); }, Seconds(10)));
    return *std::move(answer);
  }
  // A pair and a lock of other regions, on both sides, where the engine of the leader has them.
  void SurroundRegion() {
    engine::WriteBatch batch;
    for (const std::string& key : {std::string("0000000!"), KeyOf(1)}) {
      batch.Put(engine::Family::kWrite, mvcc::VersionKey(key, mvcc::Timestamp(2)),
                mvcc::EncodeWrite({.start = mvcc::Timestamp(1), .short_value = "theirs"}));
      batch.Put(engine::Family::kLock, mvcc::LockKey(key + "a"),
                mvcc::EncodeLock({.primary = key, .start = mvcc::Timestamp(3)}));
    }
    ASSERT_TRUE(processes_[leader_].engine->Write(batch).ok());
  }

  // A store of three dies, one time in so many; one that is dead comes back; or the leadership of a
  // region moves.
  void Disturb(Random& random, std::uint64_t death_one_in, std::uint64_t region = 0) {
    const std::size_t i = random.Below(kStores);
    if (kv_[i] == nullptr) {
      Restart(i);
    } else if (random.OneIn(death_one_in) &&
               std::ranges::all_of(kv_, [](const auto& kv) { return kv != nullptr; })) {
      Stop(i);
    } else if (const auto leader = LeaderOf(region)) {
      store(*leader).TransferLeadership(RegionOf(region), PeerOf(region, i));
    }
  }
  void RestartAll() {
    for (std::size_t i = 0; i < kStores; ++i) {
      if (kv_[i] == nullptr) Restart(i);
    }
    world_.RunFor(Seconds(5));
  }
  // All locks of the first region are resolved, by whoever leads it now.
  void ResolveAllLocks() {
    leader_ = AwaitLeaderOf(0);
    const auto locks = std::get<std::vector<mvcc::KeyIsLocked>>(
        Await(&TxnKv::ScanLocks, mvcc::LockScan{.lower = Key("")}));
    for (const mvcc::KeyIsLocked& lock : locks) {
      const auto status = std::get<txn::StatusOutcome>(
          Await(&TxnKv::CheckStatus, txn::StatusRequest{.primary = lock.lock.primary,
                                                        .start = lock.lock.start,
                                                        .now = Now(),
                                                        .rollback_if_absent = true}));
      ASSERT_FALSE(status.status.lock);
      Must(Await(&TxnKv::Resolve, txn::ResolveRequest{.keys = {lock.key},
                                                      .start = lock.lock.start,
                                                      .commit = status.status.commit}));
    }
  }

  std::uint64_t regions_ = 1;
  bool has_oracle_ = true;
  TxnLimits limits_;
  std::array<std::unique_ptr<TxnKv>, kStores> kv_;
  std::size_t leader_ = 0;
  std::uint64_t count_ = 0;
};

}  // namespace rutile::store::testing
