// How far old versions may be removed: what a round asks, in which order, and what holds it back.
#include "client/garbage_rounds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "client/garbage_keeper.h"
#include "client/testing/with_fake_stores.h"
#include "proto/errorpb.pb.h"
#include "proto/kvrpcpb.pb.h"
#include "proto/pdpb.pb.h"

namespace rutile::client {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

constexpr std::uint64_t kNowMs = 10'000'000;
constexpr std::uint64_t kLifeMs = 600'000;
constexpr std::uint64_t At(std::uint64_t ms) { return ms << kTimestampCountBits; }

class GarbageRoundsTest : public WithFakeStores {
 protected:
  void SetUp() override {
    stores_.clock_ms = kNowMs;
    Make({});
  }
  void Make(GarbageOptions options) {
    options.client.endpoints = {"s1"};
    options.client.timeout = Seconds(5);
    rounds_ =
        std::make_unique<GarbageRounds>(options, stores_.Connector(), clock_, random_, executor_);
  }
  // A round, to its end; nothing if it failed, with `error_`.
  std::optional<GarbageRound> Run() {
    std::optional<Result<GarbageRound>> came;
    rounds_->Run([&](Result<GarbageRound> round) { came = std::move(round); });
    EXPECT_TRUE(world_.RunUntil([&] { return came.has_value(); }, Seconds(600)));
    error_ = came->ok() ? "" : came->status().ToString();
    return came->ok() ? std::optional(came->value()) : std::nullopt;
  }
  GarbageRound Must() {
    std::optional<GarbageRound> round = Run();
    EXPECT_TRUE(round) << error_;
    return round.value_or(GarbageRound());
  }
  void Lock(const std::string& key, std::uint64_t start_ms) {
    stores_.locks[key] = LockOf(key, At(start_ms), 3000);
  }

  std::unique_ptr<GarbageRounds> rounds_;
  std::string error_;
};

TEST_F(GarbageRoundsTest, LocksOfAllRegionsAreLookedForBeforeTheSafePointIsRaised) {
  const GarbageRound round = Must();
  EXPECT_THAT(stores_.calls, ElementsAre("ts", "UpdateServiceGCSafePoint", "GetGCSafePoint",
                                         "KvScanLock ", "KvScanLock m", "UpdateGCSafePoint"));
  // The one timestamp that was given out, less the life.
  const std::uint64_t target = At(kNowMs - kLifeMs) + 1;
  EXPECT_EQ(target, stores_.safe_point);
  EXPECT_EQ(Timestamp(target), round.safe_point);
  EXPECT_TRUE(round.is_raised);
  EXPECT_EQ("", round.held_by);
  EXPECT_EQ(0u, round.locks_resolved);
  EXPECT_EQ(2u, round.regions);
  const auto wish = Last<pdpb::UpdateServiceGCSafePointRequest>("UpdateServiceGCSafePoint");
  EXPECT_EQ("gc_worker", wish.service_id());
  EXPECT_EQ(std::numeric_limits<std::int64_t>::max(), wish.ttl());
  EXPECT_EQ(target, wish.safe_point());
  EXPECT_EQ(target, Last<kvrpcpb::ScanLockRequest>("KvScanLock").max_version());
}

TEST_F(GarbageRoundsTest, NothingIsYoungerThanTheClock) {
  stores_.clock_ms = kLifeMs - 1;
  const GarbageRound round = Must();
  EXPECT_FALSE(round.is_raised);
  EXPECT_EQ(Timestamp(), round.safe_point);
  EXPECT_EQ(0u, stores_.safe_point);
}

TEST_F(GarbageRoundsTest, AServiceKeepsWhatItNeeds) {
  stores_.services["backup"] = At(5000);
  const GarbageRound round = Must();
  EXPECT_EQ(At(5000), stores_.safe_point);
  EXPECT_TRUE(round.is_raised);
  EXPECT_EQ("service backup", round.held_by);
  EXPECT_EQ(At(5000), Last<kvrpcpb::ScanLockRequest>("KvScanLock").max_version());
}

TEST_F(GarbageRoundsTest, WithNothingToGainNoRegionIsAsked) {
  stores_.services["backup"] = At(5000);
  stores_.safe_point = At(5000);
  Lock("a", 1);
  const GarbageRound round = Must();
  EXPECT_FALSE(round.is_raised);
  EXPECT_EQ(Timestamp(At(5000)), round.safe_point);
  EXPECT_EQ("service backup", round.held_by);
  EXPECT_EQ(0u, round.regions);
  EXPECT_THAT(stores_.calls, ElementsAre("ts", "UpdateServiceGCSafePoint", "GetGCSafePoint"));
}

TEST_F(GarbageRoundsTest, LocksOfTheSilentAreResolved) {
  Lock("a", 10);
  Lock("b", 20);
  Lock("z", 20);
  Lock("y", kNowMs - kLifeMs + 1);  // Of later ones: none of its business.
  stores_.answers["KvCheckTxnStatus"] = {CommittedAt(0), CommittedAt(At(21)), CommittedAt(At(21))};
  const GarbageRound round = Must();
  EXPECT_EQ(3u, round.locks_resolved);
  EXPECT_TRUE(round.is_raised);
  EXPECT_EQ(At(kNowMs - kLifeMs) + 1, stores_.safe_point);
  EXPECT_EQ(1u, stores_.locks.size());
  EXPECT_EQ("UpdateGCSafePoint", stores_.calls.back());
  EXPECT_THAT(stores_.calls, Contains("KvResolveLock a"));
  EXPECT_THAT(stores_.calls, Contains("KvResolveLock z"));
  EXPECT_EQ(At(21), Last<kvrpcpb::ResolveLockRequest>("KvResolveLock").commit_version());
  // It reads nothing, so that no transaction is made to commit later.
  EXPECT_EQ(0u, Last<kvrpcpb::CheckTxnStatusRequest>("KvCheckTxnStatus").caller_start_ts());
}

// Raw keys, which have none, are left out: what reaches into them is refused.
TEST_F(GarbageRoundsTest, WhereThereAreKeyspacesTheLocksOfAllOfThemAreLookedFor) {
  GarbageOptions options;
  options.client.api = codec::ApiVersion::kV2;
  Make(options);
  const std::string key = codec::KeyspacePrefix(codec::KeyMode::kTransactional, 5) + "a";
  Lock(key, 10);
  stores_.answers["KvCheckTxnStatus"] = {CommittedAt(0)};
  const GarbageRound round = Must();
  EXPECT_EQ(1u, round.locks_resolved);
  EXPECT_EQ(1u, round.regions);
  const auto scan = Last<kvrpcpb::ScanLockRequest>("KvScanLock");
  EXPECT_EQ("x", scan.start_key());
  EXPECT_EQ("y", scan.end_key());
  EXPECT_EQ(kvrpcpb::V2, scan.context().api_version());
  EXPECT_EQ(kvrpcpb::V2,
            Last<kvrpcpb::ResolveLockRequest>("KvResolveLock").context().api_version());
}

TEST_F(GarbageRoundsTest, PessimisticLocksOfTheSilentAreTakenAway) {
  Lock("a", 10);
  stores_.locks["a"].set_lock_type(kvrpcpb::PessimisticLock);
  stores_.locks["a"].set_lock_for_update_ts(At(11));
  EXPECT_EQ(1u, Must().locks_resolved);
  EXPECT_THAT(stores_.calls, Contains("KVPessimisticRollback a"));
  EXPECT_EQ(At(11),
            Last<kvrpcpb::PessimisticRollbackRequest>("KVPessimisticRollback").for_update_ts());
  EXPECT_THAT(stores_.locks, IsEmpty());
}

// The same transaction has both, one left over from when it had another primary key. What is known
// of the other key says nothing of it.
TEST_F(GarbageRoundsTest, LocksWithDifferentPrimariesAreJudgedOneByOne) {
  Lock("a", 10);
  stores_.locks["a"].set_lock_type(kvrpcpb::PessimisticLock);
  Lock("b", 10);
  stores_.locks["b"].set_primary_lock("q");
  stores_.answers["KvCheckTxnStatus"] = {CommittedAt(0), Lives()};
  const GarbageRound round = Must();
  EXPECT_THAT(stores_.calls, Contains("KvCheckTxnStatus p"));
  EXPECT_THAT(stores_.calls, Contains("KvCheckTxnStatus q"));
  EXPECT_EQ(At(10) - 1, stores_.safe_point);
  EXPECT_TRUE(stores_.locks.contains("b"));
  EXPECT_FALSE(stores_.locks.contains("a"));
  EXPECT_THAT(round.held_by, HasSubstr("transaction " + std::to_string(At(10))));
}

TEST_F(GarbageRoundsTest, ASilentAsynchronousCommitIsBroughtToItsEnd) {
  Lock("a", 10);
  kvrpcpb::CheckTxnStatusResponse status;
  status.set_lock_ttl(100);
  *status.mutable_lock_info() = LockOf("p", At(10), 100);
  status.mutable_lock_info()->set_use_async_commit(true);
  status.mutable_lock_info()->set_min_commit_ts(At(12));
  status.mutable_lock_info()->add_secondaries("a");
  kvrpcpb::CheckSecondaryLocksResponse secondaries;
  *secondaries.add_locks() = LockOf("a", At(10), 100);
  secondaries.mutable_locks(0)->set_use_async_commit(true);
  secondaries.mutable_locks(0)->set_min_commit_ts(At(13));
  stores_.answers["KvCheckTxnStatus"] = {status.SerializeAsString()};
  stores_.answers["KvCheckSecondaryLocks"] = {secondaries.SerializeAsString()};
  EXPECT_EQ(1u, Must().locks_resolved);
  EXPECT_EQ(At(13), Last<kvrpcpb::ResolveLockRequest>("KvResolveLock").commit_version());
  EXPECT_EQ(At(kNowMs - kLifeMs) + 1, stores_.safe_point);
}

TEST_F(GarbageRoundsTest, ATransactionThatLivesIsNotHarmed) {
  Lock("a", 30);
  Lock("b", 20);
  Lock("z", 10);
  stores_.answers["KvCheckTxnStatus"] = {CommittedAt(0), Lives(), CommittedAt(0)};
  const GarbageRound round = Must();
  EXPECT_TRUE(round.is_raised);
  EXPECT_EQ(Timestamp(At(30) - 1), round.safe_point);
  EXPECT_EQ(At(30) - 1, stores_.safe_point);
  EXPECT_EQ("transaction " + std::to_string(At(30)) + ", which has a lock on key a", round.held_by);
  EXPECT_EQ(2u, round.locks_resolved);
  EXPECT_TRUE(stores_.locks.contains("a"));
  // Only what concerns the lower safe point is looked for from then on.
  EXPECT_EQ(At(30) - 1, Last<kvrpcpb::ScanLockRequest>("KvScanLock").max_version());
}

TEST_F(GarbageRoundsTest, TheEarliestOfThoseThatLiveCounts) {
  Lock("a", 20);
  Lock("b", 30);
  Lock("z", 25);
  stores_.answers["KvCheckTxnStatus"] = {Lives(), Lives()};
  EXPECT_EQ(Timestamp(At(20) - 1), Must().safe_point);
  EXPECT_EQ(3u, stores_.locks.size());
}

TEST_F(GarbageRoundsTest, ALockWhosePrimaryMayBeOnItsWayLives) {
  Lock("a", 30);
  kvrpcpb::CheckTxnStatusResponse nothing;
  nothing.mutable_error()->mutable_txn_not_found()->set_start_ts(At(30));
  stores_.answers["KvCheckTxnStatus"] = {nothing.SerializeAsString()};
  EXPECT_EQ(Timestamp(At(30) - 1), Must().safe_point);
}

TEST_F(GarbageRoundsTest, OneThatLivesBelowTheSafePointEndsTheRound) {
  stores_.safe_point = At(50);
  Lock("a", 30);
  stores_.answers["KvCheckTxnStatus"] = {Lives()};
  const GarbageRound round = Must();
  EXPECT_FALSE(round.is_raised);
  EXPECT_EQ(Timestamp(At(50)), round.safe_point);
  EXPECT_THAT(round.held_by, StartsWith("transaction"));
  EXPECT_THAT(stores_.calls, Not(Contains("UpdateGCSafePoint")));
}

TEST_F(GarbageRoundsTest, ManyLocksAreTakenInPages) {
  Make({.batch_locks = 2});
  for (const char* key : {"a", "b", "c", "d"}) Lock(key, 10);
  EXPECT_EQ(4u, Must().locks_resolved);
  EXPECT_THAT(stores_.calls, Contains(std::string("KvScanLock b") + '\0'));
  EXPECT_THAT(stores_.calls, Contains(std::string("KvScanLock d") + '\0'));
  EXPECT_THAT(stores_.locks, IsEmpty());
  EXPECT_EQ("UpdateGCSafePoint", stores_.calls.back());
}

TEST_F(GarbageRoundsTest, WhatAStoreIsAboutToWriteIsWaitedFor) {
  kvrpcpb::ScanLockResponse locked;
  *locked.mutable_error()->mutable_locked() = LockOf("a", At(10), 1);
  stores_.answers["KvScanLock"] = {locked.SerializeAsString(), locked.SerializeAsString()};
  EXPECT_TRUE(Must().is_raised);
  stores_.clock_ms += 1000;
  stores_.answers["KvScanLock"] = std::deque<FakeStores::Answer>(1000, locked.SerializeAsString());
  EXPECT_FALSE(Run());
  EXPECT_THAT(error_, HasSubstr("being written"));
}

TEST_F(GarbageRoundsTest, ARegionThatWasSplitMeanwhileIsSeenInBothParts) {
  stores_.one_region = true;
  EXPECT_EQ(1u, Must().regions);
  stores_.one_region = false;
  errorpb::Error split;
  *split.mutable_epoch_not_match()->add_current_regions() = stores_.Region(1);
  *split.mutable_epoch_not_match()->add_current_regions() = stores_.Region(2);
  stores_.answers["KvScanLock"] = {split};
  stores_.clock_ms += 1000;
  Lock("z", 10);
  const GarbageRound round = Must();
  EXPECT_EQ(2u, round.regions);
  EXPECT_EQ(1u, round.locks_resolved);
}

TEST_F(GarbageRoundsTest, ARegionThatCannotBeReachedRaisesNothing) {
  // All is well with the first one, and it has a lock to resolve.
  Lock("a", 10);
  stores_.answers["KvScanLock"] = std::deque<FakeStores::Answer>(1000, Lost());
  kvrpcpb::ScanLockResponse first;
  *first.add_locks() = stores_.locks["a"];
  stores_.answers["KvScanLock"].push_front(first.SerializeAsString());
  EXPECT_FALSE(Run());
  EXPECT_THAT(error_, HasSubstr("the locks from key m on"));
  EXPECT_THAT(error_, HasSubstr("the connection broke"));
  EXPECT_EQ(0u, stores_.safe_point);
  EXPECT_THAT(stores_.calls, Not(Contains("UpdateGCSafePoint")));
}

TEST_F(GarbageRoundsTest, ALockThatCannotBeResolvedRaisesNothing) {
  Lock("a", 10);
  kvrpcpb::ResolveLockResponse refused;
  refused.mutable_error()->set_abort("no");
  stores_.answers["KvResolveLock"] = {refused.SerializeAsString()};
  EXPECT_FALSE(Run());
  EXPECT_THAT(error_, HasSubstr("the locks from the first key on"));
  EXPECT_EQ(0u, stores_.safe_point);

  // An answer that makes no sense.
  kvrpcpb::ScanLockResponse broken;
  broken.mutable_error()->set_abort("no such thing");
  stores_.answers["KvScanLock"] = {broken.SerializeAsString()};
  EXPECT_FALSE(Run());
  EXPECT_THAT(error_, HasSubstr("no such thing"));
  EXPECT_EQ(0u, stores_.safe_point);
}

TEST_F(GarbageRoundsTest, PlacementIsAskedAgainUntilTheTimeIsUp) {
  stores_.answers["UpdateServiceGCSafePoint"] = {Lost(), Lost()};
  stores_.answers["UpdateGCSafePoint"] = {Lost()};
  EXPECT_TRUE(Must().is_raised);
  const std::uint64_t raised = stores_.safe_point;
  stores_.clock_ms += 1000;
  stores_.answers["GetGCSafePoint"] = std::deque<FakeStores::Answer>(1000, Lost());
  EXPECT_FALSE(Run());
  EXPECT_THAT(error_, HasSubstr("placement did not give the safe point in time"));
  EXPECT_THAT(error_, HasSubstr("the connection broke"));
  EXPECT_EQ(raised, stores_.safe_point);
}

TEST_F(GarbageRoundsTest, WhatIsStoppedRaisesNothing) {
  bool is_closed = false;
  std::optional<Status> ended;
  rounds_->Run([&](const Result<GarbageRound>& round) { ended = round.status(); });
  rounds_->Close([&] { is_closed = true; });
  EXPECT_FALSE(is_closed);
  world_.RunFor(Seconds(10));
  EXPECT_TRUE(is_closed);
  ASSERT_TRUE(ended);
  EXPECT_EQ(Code::kUnavailable, ended->code());
  EXPECT_EQ(0u, stores_.safe_point);
}

class GarbageKeeperTest : public GarbageRoundsTest {
 protected:
  std::size_t Rounds() { return static_cast<std::size_t>(std::ranges::count(stores_.calls, "ts")); }

  bool makes_rounds_ = true;
  std::size_t raised_ = 0;
  std::size_t failed_ = 0;
  GarbageKeeper keeper_{
      {.client = {.endpoints = {"s1"}, .timeout = Seconds(5)}},
      Seconds(60),
      {.makes_rounds = [this] { return makes_rounds_; },
       .on_round =
           [this](const Result<GarbageRound>& round) { ++(round.ok() ? raised_ : failed_); }},
      stores_.Connector(),
      clock_,
      random_,
      executor_};
};

TEST_F(GarbageKeeperTest, MakesARoundInEachIntervalWhileItIsTheOneToDoSo) {
  keeper_.Start();
  world_.RunFor(Seconds(59));
  EXPECT_EQ(0u, Rounds());
  world_.RunFor(Seconds(2));
  EXPECT_EQ(1u, Rounds());
  makes_rounds_ = false;
  world_.RunFor(Seconds(180));
  EXPECT_EQ(1u, Rounds());
  makes_rounds_ = true;
  world_.RunFor(Seconds(60));
  EXPECT_EQ(2u, Rounds());
  EXPECT_EQ(2u, raised_);
}

TEST_F(GarbageKeeperTest, GoesOnAfterAFailure) {
  stores_.answers["GetGCSafePoint"] = std::deque<FakeStores::Answer>(1000, Lost());
  keeper_.Start();
  world_.RunFor(Seconds(70));
  EXPECT_EQ(1u, failed_);
  stores_.answers.clear();
  world_.RunFor(Seconds(60));
  EXPECT_EQ(1u, raised_);
}

TEST_F(GarbageKeeperTest, StopsBetweenRoundsAndWithinOne) {
  keeper_.Start();
  world_.RunFor(Seconds(61));
  keeper_.Stop();
  world_.RunFor(Seconds(600));
  EXPECT_EQ(1u, Rounds());

  stores_.answers["GetGCSafePoint"] = std::deque<FakeStores::Answer>(1000, Lost());
  stores_.calls.clear();
  GarbageKeeper other({.client = {.endpoints = {"s1"}}}, Seconds(60),
                      {.makes_rounds = [] { return true; },
                       .on_round = [this](const Result<GarbageRound>&) { ++failed_; }},
                      stores_.Connector(), clock_, random_, executor_);
  other.Start();
  world_.RunFor(Seconds(61));
  EXPECT_EQ(1u, Rounds());
  other.Stop();
  stores_.answers.clear();
  world_.RunFor(Seconds(600));
  EXPECT_EQ(1u, Rounds());
  EXPECT_EQ(0u, failed_);
}

}  // namespace
}  // namespace rutile::client
