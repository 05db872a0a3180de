#include "txn/deadlock_detector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"

namespace rutile::txn {
namespace {

using ::testing::ElementsAre;

constexpr Instant kNow{};

WaitFor Wait(std::uint64_t waiter, std::uint64_t holder, std::string key = "k") {
  return {.waiter = Timestamp(waiter), .holder = Timestamp(holder), .key = std::move(key)};
}
DeadlockDetector::Id Id(std::uint64_t number, std::uint64_t store = 1) {
  return {.store = StoreId(store), .number = number};
}

TEST(DeadlockDetector, TwoThatWaitForEachOtherAreACircle) {
  DeadlockDetector detector(10);
  EXPECT_FALSE(detector.Add(Id(1), Wait(1, 2, "b"), kNow));
  const auto deadlock = detector.Add(Id(2), Wait(2, 1, "a"), kNow);
  ASSERT_TRUE(deadlock);
  EXPECT_EQ("a", deadlock->key);
  EXPECT_EQ(Timestamp(1), deadlock->holder);
  EXPECT_EQ(Wait(1, 2, "b"), deadlock->closing);
  EXPECT_THAT(deadlock->chain, ElementsAre(Wait(1, 2, "b"), Wait(2, 1, "a")));
  // It does not wait, so others may wait for it.
  EXPECT_EQ(1u, detector.size());
  EXPECT_FALSE(detector.Add(Id(3), Wait(3, 2), kNow));
}

TEST(DeadlockDetector, TheChainLeadsFromTheHolderToTheOneThatAsked) {
  DeadlockDetector detector(10);
  EXPECT_FALSE(detector.Add(Id(1), Wait(3, 4), kNow));
  EXPECT_FALSE(detector.Add(Id(2), Wait(2, 3), kNow));
  EXPECT_FALSE(detector.Add(Id(3), Wait(2, 9), kNow));  // Leads nowhere.
  EXPECT_FALSE(detector.Add(Id(4), Wait(9, 3, "other way"), kNow));
  EXPECT_FALSE(detector.Add(Id(5), Wait(1, 2), kNow));
  const auto deadlock = detector.Add(Id(6), Wait(4, 1), kNow);
  ASSERT_TRUE(deadlock);
  ASSERT_GE(deadlock->chain.size(), 4u);
  EXPECT_EQ(Wait(1, 2), deadlock->chain.front());
  EXPECT_EQ(Wait(4, 1), deadlock->chain.back());
  EXPECT_EQ(Wait(3, 4), deadlock->closing);
  for (std::size_t i = 1; i < deadlock->chain.size(); ++i) {
    EXPECT_EQ(deadlock->chain[i - 1].holder, deadlock->chain[i].waiter);
  }
}

TEST(DeadlockDetector, WhatHasEndedIsInNoCircle) {
  DeadlockDetector detector(10);
  const auto closes = [&] {
    const bool found = detector.Add(Id(9), Wait(2, 1), kNow + Seconds(9)).has_value();
    detector.Remove(Id(9));
    return found;
  };
  const auto add = [&] { EXPECT_FALSE(detector.Add(Id(1), Wait(1, 2), kNow + Seconds(1))); };
  add();
  EXPECT_TRUE(closes());
  detector.Remove(Id(1));
  EXPECT_FALSE(closes());
  add();
  detector.RemoveTransaction(Timestamp(2));
  EXPECT_TRUE(closes());
  detector.RemoveTransaction(Timestamp(1));
  EXPECT_FALSE(closes());
  add();
  detector.RemoveStore(StoreId(2));
  EXPECT_TRUE(closes());
  detector.RemoveStore(StoreId(1));
  EXPECT_FALSE(closes());
  add();
  detector.Expire(kNow + Seconds(1));
  EXPECT_TRUE(closes());
  detector.Expire(kNow + Seconds(2));
  EXPECT_FALSE(closes());
  EXPECT_EQ(0u, detector.size());
  // One that waits for another now.
  add();
  EXPECT_FALSE(detector.Add(Id(1), Wait(1, 3), kNow));
  EXPECT_FALSE(closes());
}

TEST(DeadlockDetector, WaitsOfOneNameFromTwoStoresAreTwo) {
  DeadlockDetector detector(10);
  EXPECT_FALSE(detector.Add(Id(1, 1), Wait(1, 2), kNow));
  EXPECT_FALSE(detector.Add(Id(1, 2), Wait(3, 4), kNow));
  EXPECT_EQ(2u, detector.size());
}

TEST(DeadlockDetector, TakesInNoMoreThanItsLimit) {
  DeadlockDetector detector(1);
  EXPECT_FALSE(detector.Add(Id(1), Wait(1, 2), kNow));
  EXPECT_FALSE(detector.Add(Id(2), Wait(3, 4), kNow));
  EXPECT_EQ(1u, detector.size());
  EXPECT_TRUE(detector.Add(Id(3), Wait(2, 1), kNow));
}

// Against the closure of the relation, worked out anew each time.
TEST(DeadlockDetector, FindsACircleExactlyWhereThereIsOne) {
  SeededRandom random(7);
  DeadlockDetector detector(1000);
  std::map<std::uint64_t, WaitFor> waits;
  std::size_t circles = 0;
  for (std::uint64_t i = 0; i < 3000; ++i) {
    if (random.OneIn(2) && !waits.empty()) {
      const std::uint64_t gone = i - 1 - random.Below(std::min<std::uint64_t>(i, 12));
      detector.Remove(Id(gone));
      waits.erase(gone);
      continue;
    }
    const WaitFor wait = Wait(1 + random.Below(8), 11 + random.Below(8));
    WaitFor made = wait;
    made.holder = Timestamp(1 + (wait.holder.value() - 11 + wait.waiter.value()) % 8);
    if (made.holder == made.waiter) continue;
    std::set<Timestamp> reached = {made.holder};
    for (std::size_t before = 0; before != reached.size();) {
      before = reached.size();
      for (const auto& [number, other] : waits) {
        if (reached.contains(other.waiter)) reached.insert(other.holder);
      }
    }
    const bool is_circle = reached.contains(made.waiter);
    ASSERT_EQ(is_circle, detector.Add(Id(i), made, kNow).has_value()) << i;
    if (!is_circle) waits.emplace(i, made);
    circles += is_circle ? 1 : 0;
  }
  EXPECT_GT(circles, 100u);
}

}  // namespace
}  // namespace rutile::txn
