#include "base/quota.h"

#include <gtest/gtest.h>

#include <thread>

namespace rutile {
namespace {

TEST(MemoryQuota, GrantsUpToTheLimit) {
  MemoryQuota quota(100);
  EXPECT_TRUE(quota.TryAcquire(60));
  EXPECT_FALSE(quota.TryAcquire(41));
  EXPECT_TRUE(quota.TryAcquire(40));
  EXPECT_FALSE(quota.TryAcquire(1));
  quota.Release(100);
  EXPECT_EQ(quota.used_bytes(), 0u);
}

TEST(MemoryQuota, EmptyOneGrantsOneLargeRequest) {
  MemoryQuota quota(100);
  EXPECT_TRUE(quota.TryAcquire(1000));
  EXPECT_FALSE(quota.TryAcquire(1));
  quota.Release(1000);
  EXPECT_TRUE(quota.TryAcquire(1));
  EXPECT_FALSE(quota.TryAcquire(1000));
  quota.Release(1);
}

TEST(MemoryQuota, HugeRequestsDoNotOverflow) {
  MemoryQuota quota(100);
  ASSERT_TRUE(quota.TryAcquire(50));
  EXPECT_FALSE(quota.TryAcquire(~std::size_t{0}));
  quota.Release(50);
}

TEST(MemoryQuota, LoweredLimitHoldsBackUntilEnoughIsReleased) {
  MemoryQuota quota(100);
  ASSERT_TRUE(quota.TryAcquire(80));
  quota.set_limit_bytes(50);
  EXPECT_FALSE(quota.TryAcquire(1));
  quota.Release(40);
  EXPECT_TRUE(quota.TryAcquire(10));
  quota.Release(50);
}

TEST(MemoryQuota, ThreadsNeverExceedTheLimit) {
  MemoryQuota quota(10);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5000; ++i) {
        const auto charge = QuotaCharge::Try(quota, 4);
        EXPECT_LE(quota.used_bytes(), 10u);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(quota.used_bytes(), 0u);
}

TEST(QuotaCharge, ReleasesOnce) {
  MemoryQuota quota(100);
  {
    std::optional<QuotaCharge> a = QuotaCharge::Try(quota, 70);
    ASSERT_TRUE(a);
    EXPECT_FALSE(QuotaCharge::Try(quota, 31));
    QuotaCharge b = std::move(*a);
    a.reset();
    EXPECT_EQ(quota.used_bytes(), 70u);
    b = QuotaCharge::Force(quota, 50);
    EXPECT_EQ(quota.used_bytes(), 50u);
    b.Reset();
    EXPECT_EQ(quota.used_bytes(), 0u);
    b = QuotaCharge::Force(quota, 1);
  }
  EXPECT_EQ(quota.used_bytes(), 0u);
}

TEST(MemoryQuotaDeathTest, WrongAccountsStopTheProcess) {
  EXPECT_DEATH(MemoryQuota(10).Release(1), "more was released");
  EXPECT_DEATH(MemoryQuota(10).Acquire(1), "never released");
}

}  // namespace
}  // namespace rutile
