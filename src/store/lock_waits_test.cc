#include "store/lock_waits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rutile::store {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using txn::Timestamp;

TEST(LockWaits, TheOldestTransactionIsNextThenTheFirstToCome) {
  LockWaits waits;
  waits.Add(WaitId(1), {.key = "a", .start = Timestamp(30)}, Timestamp(9));
  waits.Add(WaitId(2), {.key = "a", .start = Timestamp(20)}, Timestamp(9));
  waits.Add(WaitId(3), {.key = "a", .start = Timestamp(20)}, Timestamp(9));
  waits.SetHolder("a", {});
  EXPECT_EQ(WaitId(2), waits.TakeNext("a"));
  EXPECT_EQ(WaitId(3), waits.TakeNext("a"));
  EXPECT_EQ(WaitId(1), waits.TakeNext("a"));
  EXPECT_EQ(std::nullopt, waits.TakeNext("a"));
  EXPECT_EQ(0u, waits.size());
}

TEST(LockWaits, NobodyIsNextWhileSomebodyHasTheKey) {
  LockWaits waits;
  waits.Add(WaitId(1), {.key = "a", .start = Timestamp(30)}, Timestamp(9));
  EXPECT_EQ(std::nullopt, waits.TakeNext("a"));
  waits.SetHolder("a", {});
  EXPECT_THAT(waits.SetHolder("a", Timestamp(8)), ElementsAre(WaitId(1)));
  EXPECT_EQ(std::nullopt, waits.TakeNext("a"));
  EXPECT_EQ(Timestamp(8), waits.HolderOf("a"));
}

// Who comes later has looked later.
TEST(LockWaits, AllWaitForTheHolderThatTheLastOneHasMet) {
  LockWaits waits;
  waits.Add(WaitId(1), {.key = "a", .start = Timestamp(30)}, Timestamp(9));
  EXPECT_THAT(waits.Add(WaitId(2), {.key = "a", .start = Timestamp(31)}, Timestamp(9)),
              ElementsAre(WaitId(2)));
  EXPECT_THAT(waits.Add(WaitId(3), {.key = "a", .start = Timestamp(32)}, Timestamp(10)),
              ElementsAre(WaitId(1), WaitId(2), WaitId(3)));
  EXPECT_THAT(waits.SetHolder("a", Timestamp(10)), IsEmpty());
}

TEST(LockWaits, WhoIsRemovedIsNotNext) {
  LockWaits waits;
  waits.Add(WaitId(1), {.key = "a", .start = Timestamp(30)}, Timestamp(9));
  waits.Add(WaitId(2), {.key = "b", .start = Timestamp(30)}, Timestamp(9));
  EXPECT_TRUE(waits.Remove(WaitId(1)));
  EXPECT_FALSE(waits.Remove(WaitId(1)));
  EXPECT_EQ(nullptr, waits.Find(WaitId(1)));
  EXPECT_FALSE(waits.HasWaiters("a"));
  EXPECT_TRUE(waits.HasWaiters("b"));
  EXPECT_THAT(waits.SetHolder("a", Timestamp(5)), IsEmpty());
  EXPECT_EQ(std::nullopt, waits.TakeNext("a"));
}

}  // namespace
}  // namespace rutile::store
