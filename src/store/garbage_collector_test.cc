// Collection of garbage over stores of a simulated world.

#include "store/garbage_collector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "store/testing/txn_stores.h"

namespace rutile::store {
namespace {

using engine::Family;
using mvcc::Timestamp;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class GarbageCollectorTest : public testing::TxnStores {
 protected:
  void SetUp() override {
    TxnStores::SetUp();
    if (IsSkipped()) return;
    for (std::size_t i = 0; i < kStores; ++i) StartCollector(i);
  }
  void StartCollector(std::size_t i) {
    collectors_[i] = std::make_unique<GarbageCollector>(
        GarbageCollector::Parts{.store = store(i),
                                .scheduler = kv_[i]->scheduler(),
                                .executor = processes_[i].machine->NewExecutor("garbage"),
                                .logger = logger_,
                                .safe_point = [this] { return safe_point_; }},
        GarbageCollector::Options{.region = steps_});
    collectors_[i]->Start();
  }
  void StopStore(std::size_t i) {
    Stop(i);
    collectors_[i] = nullptr;
  }
  void RestartStore(std::size_t i) {
    Restart(i);
    StartCollector(i);
  }
  // All that is over now is garbage where it is hidden; waits until it is gone.
  void CollectAll() {
    safe_point_ = Now();
    world_.RunFor(Seconds(8));
  }
  std::uint64_t Removed() {
    std::uint64_t removed = 0;
    for (const auto& collector : collectors_) removed += collector->totals().records;
    return removed;
  }

  Timestamp safe_point_;
  RegionCollection::Options steps_;
  std::array<std::unique_ptr<GarbageCollector>, kStores> collectors_;
};

TEST_F(GarbageCollectorTest, AllReplicasKeepWhatIsSeen) {
  const std::string large(1000, 'x');
  for (const std::string& value : {std::string("1"), large, std::string("3")}) {
    Write({Key("a"), Key("b")}, value);
  }
  Delete(Key("b"));
  world_.RunFor(Seconds(3));
  EXPECT_THAT(CountOf(Family::kWrite), Each(7u)) << "without a safe point all is kept";
  CollectAll();
  EXPECT_THAT(CountOf(Family::kWrite), Each(1u));
  EXPECT_THAT(CountOf(Family::kDefault), Each(0u));
  EXPECT_EQ("3", Read(Key("a"), Now()));
  EXPECT_EQ("3", Read(Key("a"), safe_point_));
  EXPECT_EQ("absent", Read(Key("b"), safe_point_));
  const GarbageCollector::Totals totals = collectors_[leader_]->totals();
  EXPECT_EQ(6u, totals.records);
  EXPECT_EQ(1u, totals.regions);
  EXPECT_EQ(0u, totals.waiting);
  EXPECT_EQ(6u, Removed()) << "followers collect nothing";
}

// Whoever asks again whether a deletion was committed, that is gone by now, must not hear that it
// was rolled back.
TEST_F(GarbageCollectorTest, WhetherWhatIsCollectedWasCommittedIsNotKnown) {
  Write({Key("a")}, "1");
  const Timestamp start = Now(), never = Now();
  txn::PrewriteRequest request{.primary = Key("a"), .start = start, .ttl_ms = 3000};
  request.mutations.push_back({.kind = txn::Mutation::Kind::kDelete, .key = Key("a")});
  Must(Await(&TxnKv::Prewrite, request));
  const txn::CommitRequest commit{.keys = {Key("a")}, .start = start, .commit = Now()};
  Must(Await(&TxnKv::Commit, commit));
  EXPECT_THAT(Must(Await(&TxnKv::Commit, commit)).errors, IsEmpty());
  CollectAll();
  const auto told = [&](const auto& reply) {
    const auto* error = std::get_if<RegionError>(&reply);
    return error != nullptr && std::holds_alternative<Undetermined>(*error);
  };
  EXPECT_TRUE(told(Await(&TxnKv::Commit, commit)));
  // Above the safe point all is known.
  EXPECT_EQ(1u, Must(Await(&TxnKv::Commit,
                           txn::CommitRequest{.keys = {Key("a")}, .start = never, .commit = Now()}))
                    .errors.size());

  // A prewrite that may have been all of a commit.
  txn::PrewriteRequest in_one_phase = Puts({Key("b")}, "1", start);
  in_one_phase.try_one_phase = true;
  const auto first = Await(&TxnKv::Prewrite, in_one_phase);
  ASSERT_TRUE(std::holds_alternative<Status>(first)) << "it was certainly not carried out";
  EXPECT_EQ(Code::kNotFound, std::get<Status>(first).code());
  RequestHeader again = Header();
  again.is_retry = true;
  EXPECT_TRUE(told(Await(&TxnKv::Prewrite, in_one_phase, again)));
  EXPECT_FALSE(told(Await(&TxnKv::Prewrite, Puts({Key("b")}, "1", start), again)))
      << "nothing is committed by the prewrite of two phases";
}

class CollectorWithLittleMemory : public GarbageCollectorTest {
 protected:
  CollectorWithLittleMemory() { options_.log_memory_bytes = 16 << 10; }
};

// All deletions at once do not fit into the memory of the log.
TEST_F(CollectorWithLittleMemory, RemovesLessAtATime) {
  const std::string key = Key(std::string(500, 'k'));
  constexpr std::size_t kVersions = 60;
  for (std::size_t i = 0; i < kVersions; ++i) Write({key}, "v");
  safe_point_ = Now();
  world_.RunFor(Seconds(30));
  EXPECT_THAT(CountOf(Family::kWrite), Each(1u));
  EXPECT_EQ(kVersions - 1, Removed());
  EXPECT_GT(collectors_[leader_]->totals().failures, 0u) << "it was not refused";
}

TEST_F(GarbageCollectorTest, WhatIsAboveTheSafePointStays) {
  Write({Key("a")}, "1");
  const Timestamp first = Now();
  CollectAll();
  Write({Key("a")}, "2");
  const Timestamp second = Now();
  Write({Key("a")}, "3");
  world_.RunFor(Seconds(3));
  EXPECT_THAT(CountOf(Family::kWrite), Each(3u));
  EXPECT_EQ("2", Read(Key("a"), second));
  EXPECT_THAT(Read(Key("a"), first), HasSubstr("older than the safe point"));
}

TEST_F(GarbageCollectorTest, WhoStartedBelowTheSafePointNeitherReadsNorLocks) {
  const Timestamp old = Now();
  Write({Key("a")}, "1");
  CollectAll();
  const auto is_too_old = HasSubstr("older than the safe point");
  EXPECT_THAT(Read(Key("a"), old), is_too_old);
  EXPECT_THAT(std::get<Status>(Await(&TxnKv::Prewrite, Puts({Key("a")}, "2", old))).ToString(),
              is_too_old);
  EXPECT_THAT(std::get<Status>(
                  Await(&TxnKv::PessimisticLock, LockRequest{.lock = {.keys = {{.key = Key("a")}},
                                                                      .primary = Key("a"),
                                                                      .start = old,
                                                                      .for_update = Now()}}))
                  .ToString(),
              is_too_old);
  // It is replicated with the data: those who have never heard of it know it, too.
  safe_point_ = Timestamp();
  for (std::size_t i = 0; i < kStores; ++i) StopStore(i);
  for (std::size_t i = 0; i < kStores; ++i) RestartStore(i);
  leader_ = AwaitLeaderOf(0);
  EXPECT_THAT(Read(Key("a"), old), is_too_old);
  EXPECT_EQ("1", Read(Key("a"), Now()));
}

TEST_F(GarbageCollectorTest, ARegionIsGoneThroughWhenThatIsWorthIt) {
  const auto totals = [&] { return collectors_[leader_]->totals(); };
  std::vector<std::string> keys;
  for (int i = 0; i < 60; ++i) keys.push_back(Key("k" + std::to_string(i)));
  Write(keys, "1");
  Write({keys[0], keys[1], keys[2], keys[3]}, "2");
  CollectAll();
  EXPECT_EQ(1u, totals().regions);
  EXPECT_THAT(CountOf(Family::kWrite), Each(60u));
  // Nothing has changed.
  const Timestamp first = safe_point_;
  CollectAll();
  EXPECT_EQ(1u, totals().spared);
  EXPECT_EQ("1", Read(keys[9], first)) << "not even the safe point is raised";
  // One record has; who reads what it hides is refused, though it is there.
  const Timestamp before = Now();
  Write({keys[0]}, "3");
  CollectAll();
  EXPECT_EQ(1u, totals().regions);
  EXPECT_EQ(2u, totals().spared);
  EXPECT_THAT(CountOf(Family::kWrite), Each(61u));
  EXPECT_THAT(Read(keys[0], before), HasSubstr("older than the safe point"));
  // And two more.
  Write({keys[1]}, "3");
  Write({keys[2]}, "3");
  CollectAll();
  EXPECT_EQ(2u, totals().regions);
  EXPECT_THAT(CountOf(Family::kWrite), Each(60u));
  EXPECT_EQ(0u, totals().waiting);
}

TEST_F(GarbageCollectorTest, ARegionCollectsItsOwn) {
  Write({Key("a")}, "1");
  Write({Key("a")}, "2");
  SurroundRegion();
  world_.RunFor(Seconds(1));
  const std::vector<std::size_t> before = CountOf(Family::kWrite);
  CollectAll();
  const std::vector<std::size_t> after = CountOf(Family::kWrite);
  for (std::size_t i = 0; i < kStores; ++i) EXPECT_EQ(before[i], after[i] + 1);
}

TEST_F(GarbageCollectorTest, AnotherLeaderGoesOn) {
  for (int i = 0; i < 20; ++i) Write({Key("a"), Key("b")}, std::to_string(i));
  for (auto& collector : collectors_) collector = nullptr;
  for (std::size_t i = 0; i < kStores; ++i) StopStore(i);
  steps_ = {.look_records = 3, .remove_records = 2, .pause = Milliseconds(20)};
  for (std::size_t i = 0; i < kStores; ++i) RestartStore(i);
  leader_ = AwaitLeaderOf(0);
  safe_point_ = Now();
  ASSERT_TRUE(world_.RunUntil([&] { return CountOf(Family::kWrite)[leader_] < 39; }, Seconds(5)));
  StopStore(leader_);
  const std::size_t gone = leader_;
  leader_ = AwaitLeaderOf(0);
  ASSERT_NE(gone, leader_);
  world_.RunFor(Seconds(10));
  RestartStore(gone);
  world_.RunFor(Seconds(5));
  EXPECT_THAT(CountOf(Family::kWrite), Each(2u));
  EXPECT_EQ("19", Read(Key("a"), Now()));
}

TEST_F(GarbageCollectorTest, AKeyWithALockOfOldIsPassedOver) {
  Write({Key("a")}, "1");
  Write({Key("a")}, "2");
  Must(Await(&TxnKv::Prewrite, Puts({Key("a")}, "3", Now())));
  CollectAll();
  EXPECT_THAT(CountOf(Family::kWrite), Each(2u));
}

}  // namespace
}  // namespace rutile::store
