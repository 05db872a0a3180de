#include "placement/timestamp_oracle.h"

#include <algorithm>

#include "base/random.h"

namespace rutile::placement {
namespace {

TEST(TimestampOracle, GrantsNothingBeforeABoundIsReplicated) {
  TimestampOracle oracle;
  oracle.Begin(Term(1), 0);
  EXPECT_FALSE(oracle.Grant(Term(1), 1, 1000));
  const auto bound = oracle.BoundWanted(1000);
  ASSERT_TRUE(bound);
  EXPECT_FALSE(oracle.BoundWanted(1000)) << "asked twice";
  EXPECT_FALSE(oracle.Grant(Term(1), 1, 1000));
  oracle.OnBound(Term(1), *bound);
  EXPECT_EQ(oracle.Grant(Term(1), 1, 1000), (Timestamp{1000, 1}));
}

TEST(TimestampOracle, ABatchEndsAtTheOneReturned) {
  TimestampOracle oracle;
  oracle.Begin(Term(1), 0);
  oracle.OnBound(Term(1), 5000);
  EXPECT_EQ(oracle.Grant(Term(1), 10, 1000), (Timestamp{1000, 10}));
  EXPECT_EQ(oracle.Grant(Term(1), 5, 1000), (Timestamp{1000, 15}));
}

TEST(TimestampOracle, MovesOnWhenTheClockGoesBack) {
  TimestampOracle oracle;
  oracle.Begin(Term(1), 0);
  oracle.OnBound(Term(1), 5000);
  EXPECT_EQ(oracle.Grant(Term(1), 1, 2000), (Timestamp{2000, 1}));
  EXPECT_EQ(oracle.Grant(Term(1), 1, 1000), (Timestamp{2000, 2}));
}

TEST(TimestampOracle, AFullCounterBorrowsAMillisecond) {
  TimestampOracle oracle;
  oracle.Begin(Term(1), 0);
  oracle.OnBound(Term(1), 5000);
  EXPECT_EQ(oracle.Grant(Term(1), Timestamp::kMaxLogical, 1000),
            (Timestamp{1000, Timestamp::kMaxLogical}));
  EXPECT_EQ(oracle.Grant(Term(1), 1, 1000), (Timestamp{1001, 1}));
}

TEST(TimestampOracle, ANewLeaderBeginsAboveEverythingGrantedBefore) {
  TimestampOracle old_leader;
  old_leader.Begin(Term(1), 0);
  old_leader.OnBound(Term(1), 4000);
  const auto last = old_leader.Grant(Term(1), Timestamp::kMaxLogical, 3999);
  ASSERT_TRUE(last);
  EXPECT_FALSE(old_leader.Grant(Term(1), 1, 4000)) << "the bound itself is the next leader's";

  TimestampOracle new_leader;  // Its clock is two seconds behind.
  new_leader.Begin(Term(2), 4000);
  const auto bound = new_leader.BoundWanted(2000);
  ASSERT_TRUE(bound);
  new_leader.OnBound(Term(2), *bound);
  const auto first = new_leader.Grant(Term(2), 1, 2000);
  ASSERT_TRUE(first);
  EXPECT_GT(*first, *last);
}

TEST(TimestampOracle, AnOldTermGrantsNothing) {
  TimestampOracle oracle;
  oracle.Begin(Term(2), 0);
  oracle.OnBound(Term(1), 9000);
  EXPECT_FALSE(oracle.Grant(Term(2), 1, 1000)) << "the bound of another term does not count";
  oracle.OnBound(Term(2), 9000);
  EXPECT_FALSE(oracle.Grant(Term(1), 1, 1000));
}

// Leaders with clocks that jump, each with its own oracle, sharing only the replicated bound.
TEST(TimestampOracle, NeverRepeatsOverLeadersAndClocks) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SeededRandom random(seed);
    std::uint64_t replicated = 0;
    std::uint64_t term = 0;
    std::map<int, TimestampOracle> nodes;
    int leader = 0;
    Timestamp highest;
    int granted = 0;
    for (int step = 0; step < 400; ++step) {
      if (step == 0 || random.OneIn(20)) {
        leader = static_cast<int>(random.Below(3));
        nodes[leader].Begin(Term(++term), replicated);
      }
      TimestampOracle& oracle = nodes[leader];
      const std::uint64_t wall =
          10'000 + static_cast<std::uint64_t>(step) * 100 + random.Below(8000);
      if (const auto bound = oracle.BoundWanted(wall)) {
        if (random.OneIn(4)) {
          oracle.OnBoundFailed(Term(term));
        } else {
          replicated = std::max(replicated, *bound);
          oracle.OnBound(Term(term), *bound);
        }
      }
      const auto count = static_cast<std::uint32_t>(1 + random.Below(1000));
      const auto next = oracle.Grant(Term(term), count, wall);
      if (!next) continue;
      ++granted;
      const Timestamp first{next->physical_ms, next->logical - count + 1};
      ASSERT_GT(first, highest) << "seed " << seed << " step " << step;
      highest = *next;
    }
    ASSERT_GT(granted, 100) << "seed " << seed;
  }
}

}  // namespace
}  // namespace rutile::placement
