// What happens when the log path of a store holds as much memory as it may: payloads are evicted in
// order, writes are refused, followers take less; and all of it ends by itself.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <variant>

#include "codec/keys.h"
#include "store/testing/simulated_stores.h"

namespace rutile::store {
namespace {

using ::testing::HasSubstr;

constexpr std::size_t kValue = std::size_t{32} << 10;

class LogPressure : public testing::SimulatedStores {
 protected:
  // All that a region may wait for by itself is more than the store has.
  LogPressure() {
    options_.max_backlog_bytes = std::size_t{1} << 30;
    options_.max_waiting_write_bytes = std::size_t{1} << 30;
    options_.max_uncommitted_bytes = std::size_t{1} << 30;
  }

  // Stores with so much memory for their logs, and one region. Returns who leads it; its log is
  // stuck.
  std::size_t BeginWithStuckLog(std::size_t limit) {
    options_.log_memory_bytes = limit;
    Begin(1);
    const std::size_t leader = AwaitLeaderOf(0);
    processes_[leader].log->Pause();
    return leader;
  }

  // One write; nobody waits for it.
  void PutOne(std::size_t i, std::uint64_t number) {
    const std::string name = std::to_string(next_++);
    Put(i, number, name, std::string(kValue, 'v'),
        [this, number, name](const WriteOutcome& outcome) {
          if (outcome.index() == 0) {
            acknowledged_.insert(codec::DataKey(KeyOf(number) + name));
            return;
          }
          const RegionError& error = std::get<RegionError>(outcome);
          if (!std::holds_alternative<ServerIsBusy>(error)) return;
          ++busy_;
          reason_ = ToString(error);
        });
  }
  void PutMany(std::size_t i, std::uint64_t number, std::size_t bytes) {
    for (std::size_t put = 0; put < bytes; put += kValue) {
      PutOne(i, number);
      world_.RunFor(Microseconds(400));
      for (std::size_t j = 0; j < kStores; ++j) most_[j] = std::max(most_[j], Used(j));
    }
  }
  std::size_t Used(std::size_t i) { return store(i).log_memory().used_bytes(); }
  std::size_t Cached(std::size_t i, std::uint64_t number) {
    for (const ReplicaStatus& replica : Replicas(i)) {
      if (replica.region.id == RegionOf(number)) return replica.resident_bytes;
    }
    return 0;
  }
  void Lead(std::size_t i, std::uint64_t number) {
    store(AwaitLeaderOf(number)).TransferLeadership(RegionOf(number), PeerOf(number, i));
    EXPECT_TRUE(world_.RunUntil([&] { return LeaderOf(number) == i; }, Seconds(5)));
    world_.RunFor(Seconds(1));
  }
  // What was acknowledged can be read, and all replicas have the same.
  void ExpectNothingLost(std::uint64_t number) {
    const std::size_t leader = AwaitLeaderOf(number);
    std::size_t found = 0;
    bool done = false;
    store(leader).Read({.region = RegionOf(number)},
                       [&](const ReadView* view, const RegionError* error) {
                         done = true;
                         ASSERT_NE(nullptr, view) << ToString(*error);
                         for (const std::string& key : acknowledged_) {
                           const auto value = view->snapshot.Get(engine::Family::kDefault, key);
                           if (value.ok() && value.value()) ++found;
                         }
                       });
    EXPECT_TRUE(world_.RunUntil([&] { return done; }, Seconds(5)));
    EXPECT_EQ(acknowledged_.size(), found);
    for (std::size_t i = 0; i < kStores; ++i) {
      EXPECT_EQ(Replicas(leader).front().applied, Replicas(i).front().applied);
    }
  }

  std::uint64_t next_ = 0;
  std::set<std::string> acknowledged_;
  std::size_t busy_ = 0;
  std::string reason_;
  std::size_t most_[kStores] = {};  // That each store ever held.
};

// A leader applies and acknowledges what a majority has, so a stuck disk of its own stops nobody
// until memory is full.
TEST_F(LogPressure, AStormOfWritesWhileTheLeadersLogIsStuck) {
  constexpr std::size_t kLimit = std::size_t{64} << 20;
  const std::size_t leader = BeginWithStuckLog(kLimit);
  PutMany(leader, 0, 2 * kLimit);
  EXPECT_GT(busy_, 1500u);
  EXPECT_THAT(reason_, HasSubstr("the log's memory on this node is full"));
  EXPECT_GT(acknowledged_.size(), 1500u);
  EXPECT_GT(most_[leader], kLimit - 2 * kValue);
  for (std::size_t i = 0; i < kStores; ++i) EXPECT_LE(most_[i], kLimit) << i;

  // It ends by itself.
  EXPECT_GT(store(leader).log_totals().most_ahead, 1500u);
  processes_[leader].log->Resume();
  world_.RunFor(Seconds(2));
  EXPECT_LT(Used(leader), kLimit / 4 * 3);
  busy_ = 0;
  const std::size_t before = acknowledged_.size();
  PutMany(AwaitLeaderOf(0), 0, 2 * kLimit);
  world_.RunFor(Seconds(2));
  EXPECT_EQ(0u, busy_);
  EXPECT_EQ(before + 2 * kLimit / kValue, acknowledged_.size());
  ExpectNothingLost(0);
}

// A client that waits for its answers fills the last eighth ten times as slowly, or slower.
TEST_F(LogPressure, WritesSlowDownBeforeTheyAreRefused) {
  constexpr std::size_t kLimit = std::size_t{4} << 20;
  const std::size_t leader = BeginWithStuckLog(kLimit);
  const auto put_and_wait = [&] {
    const Duration begin = world_.Now();
    const std::size_t before = acknowledged_.size() + busy_;
    PutOne(leader, 0);
    EXPECT_TRUE(world_.RunUntil([&] { return acknowledged_.size() + busy_ > before; }, Seconds(5)));
    return world_.Now() - begin;
  };
  while (Used(leader) < kLimit / 8 * 6) EXPECT_LT(put_and_wait(), Milliseconds(5));
  EXPECT_EQ(0u, store(leader).log_memory().pauses());
  while (Used(leader) < kLimit / 16 * 15) put_and_wait();
  EXPECT_EQ(0u, busy_);
  EXPECT_GT(put_and_wait(), Milliseconds(45));
  EXPECT_GT(store(leader).log_memory().pauses(), 0u);

  processes_[leader].log->Resume();
  world_.RunFor(Seconds(2));
  EXPECT_LT(put_and_wait(), Milliseconds(5));
  EXPECT_EQ(0u, busy_);
  ExpectNothingLost(0);
}

// Its apply is stuck: what it has written and cannot apply would fill its memory.
TEST_F(LogPressure, AFollowerTakesNoMoreThanItWorksOff) {
  constexpr std::size_t kLimit = std::size_t{4} << 20;
  options_.log_memory_bytes = kLimit;
  options_.max_inflight_bytes = std::size_t{256} << 10;
  options_.tick = Milliseconds(200);  // It does not wait for one.
  Begin(2);
  Lead(0, 0);
  Lead(0, 1);
  processes_[1].apply->Pause();
  for (int i = 0; i < 8; ++i) {
    PutMany(0, 0, kLimit / 4);
    PutMany(0, 1, kLimit / 4);
  }
  world_.RunFor(Seconds(2));
  EXPECT_TRUE(store(1).log_memory().scarce());
  EXPECT_FALSE(store(2).log_memory().scarce());
  EXPECT_GT(most_[1], kLimit / 2);
  EXPECT_LE(most_[1], kLimit + 2 * options_.max_inflight_bytes);
  EXPECT_EQ(0u, store(1).log_totals().most_ahead);
  // The group has a majority without it.
  EXPECT_EQ(4 * kLimit / kValue, acknowledged_.size());

  processes_[1].apply->Resume();
  world_.RunFor(Seconds(5));
  EXPECT_FALSE(store(1).log_memory().scarce());
  ExpectNothingLost(0);
}

TEST_F(LogPressure, TheOldestPayloadsOfAllRegionsAreEvictedFirst) {
  constexpr std::size_t kLimit = std::size_t{4} << 20;
  options_.log_memory_bytes = kLimit;
  Begin(3);
  for (std::uint64_t n = 0; n < 3; ++n) Lead(0, n);
  PutMany(0, 0, kLimit / 4);
  PutMany(0, 1, kLimit / 4);
  world_.RunFor(Milliseconds(500));
  EXPECT_EQ(0u, store(0).log_memory().evicted_bytes());
  const std::size_t before = Cached(0, 1);
  EXPECT_GT(Cached(0, 0), kLimit / 4);
  EXPECT_GT(before, kLimit / 4);
  PutMany(0, 2, kLimit / 3);
  world_.RunFor(Milliseconds(500));
  EXPECT_GT(store(0).log_memory().evicted_bytes(), kLimit / 5);
  EXPECT_LT(Cached(0, 0), kLimit / 32);
  EXPECT_GT(Cached(0, 1), before / 4 * 3);
  EXPECT_GT(Cached(0, 2), kLimit / 4);
  EXPECT_EQ(0u, busy_);
}

// The follower of an old region is close behind; what it needs is evicted after what is younger.
TEST_F(LogPressure, WhatFollowersNeedIsEvictedLast) {
  constexpr std::size_t kLimit = std::size_t{4} << 20;
  options_.log_memory_bytes = kLimit;
  Begin(2);
  for (std::uint64_t n = 0; n < 2; ++n) Lead(0, n);
  network_.Hold(StoreId(3), StoreId(1));
  PutMany(0, 0, kLimit / 4);
  world_.RunFor(Milliseconds(100));
  const std::size_t before = Cached(0, 0);
  EXPECT_GT(before, kLimit / 4);
  network_.Release(StoreId(3), StoreId(1));
  world_.RunFor(Milliseconds(100));
  network_.Hold(StoreId(3), StoreId(1));
  PutMany(0, 0, kLimit / 4);
  const std::size_t needed = Cached(0, 0) - before;
  PutMany(0, 1, kLimit / 3);
  world_.RunFor(Milliseconds(100));
  EXPECT_GT(store(0).log_memory().evicted_bytes(), 0u);
  EXPECT_GE(Cached(0, 0), needed);
  EXPECT_LT(Cached(0, 0), before + needed);

  // There is an end to that: with nothing else to evict it goes too, and is read from disk.
  PutMany(0, 0, kLimit);
  network_.Release(StoreId(3), StoreId(1));
  world_.RunFor(Seconds(2));
  ExpectNothingLost(0);
}

// Larger than all that is free, and than what is evicted for others.
TEST_F(LogPressure, RoomIsMadeForAWriteThatWasRefused) {
  options_.log_memory_bytes = 3 * kValue;
  Begin(1);
  const std::size_t leader = AwaitLeaderOf(0);
  PutMany(leader, 0, kValue);
  world_.RunFor(Seconds(1));
  EXPECT_EQ(1u, acknowledged_.size());
  const auto put_large = [&] {
    Put(leader, 0, "large", std::string(2 * kValue + kValue / 2, 'v'),
        [this](const WriteOutcome& outcome) { busy_ += outcome.index() == 0 ? 0u : 1u; });
    world_.RunFor(Milliseconds(500));
  };
  put_large();
  EXPECT_EQ(1u, busy_);
  put_large();
  EXPECT_EQ(1u, busy_);
  EXPECT_LE(Used(leader), 3 * kValue);
}

}  // namespace
}  // namespace rutile::store
