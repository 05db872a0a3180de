#include "sim/linearizability.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"

namespace rutile::sim {
namespace {

using Kind = RegisterCall::Kind;

RegisterCall Put(const std::string& value, int from, int to) {
  return {.kind = Kind::kPut, .value = value, .invoked = Duration(from), .returned = Duration(to)};
}
RegisterCall LostPut(const std::string& value, int from) {
  return {.kind = Kind::kPut, .value = value, .invoked = Duration(from)};
}
RegisterCall Get(std::optional<std::string> seen, int from, int to) {
  return {.kind = Kind::kGet,
          .seen = std::move(seen),
          .invoked = Duration(from),
          .returned = Duration(to)};
}
RegisterCall Delete(int from, int to) {
  return {.kind = Kind::kDelete, .invoked = Duration(from), .returned = Duration(to)};
}
RegisterCall Swap(std::optional<std::string> expected, const std::string& value,
                  std::optional<std::string> seen, bool swapped, int from, int to) {
  return {.kind = Kind::kCompareAndSwap,
          .value = value,
          .expected = std::move(expected),
          .seen = std::move(seen),
          .swapped = swapped,
          .invoked = Duration(from),
          .returned = Duration(to)};
}

bool Explained(std::vector<RegisterCall> calls) {
  return !FindNonLinearizable(std::move(calls)).has_value();
}

TEST(Linearizability, OneAfterTheOther) {
  EXPECT_TRUE(Explained({Get(std::nullopt, 0, 1), Put("a", 2, 3), Get("a", 4, 5), Delete(6, 7),
                         Get(std::nullopt, 8, 9)}));
}

TEST(Linearizability, StaleReadsAreFound) {
  EXPECT_FALSE(Explained({Put("a", 0, 1), Put("b", 2, 3), Get("a", 4, 5)}));
  EXPECT_FALSE(Explained({Put("a", 0, 1), Get(std::nullopt, 2, 3)}));
}

TEST(Linearizability, OverlappingCallsMayComeInAnyOrder) {
  EXPECT_TRUE(Explained({Put("a", 0, 10), Get(std::nullopt, 1, 2), Get("a", 3, 4)}));
  EXPECT_TRUE(Explained({Put("a", 0, 10), Put("b", 0, 10), Get("a", 11, 12)}));
  EXPECT_TRUE(Explained({Put("a", 0, 10), Put("b", 0, 10), Get("b", 11, 12)}));
}

TEST(Linearizability, ReadsDoNotGoBack) {
  EXPECT_FALSE(Explained({Put("a", 0, 10), Get("a", 1, 2), Get(std::nullopt, 3, 4)}));
  EXPECT_FALSE(Explained({Put("a", 0, 10), Put("b", 0, 10), Get("a", 11, 12), Get("b", 13, 14)}));
}

TEST(Linearizability, LostWritesAreFound) {
  EXPECT_FALSE(Explained({Put("a", 0, 1), Put("b", 2, 3), Get("a", 4, 5), Get("a", 6, 7)}));
}

TEST(Linearizability, UnansweredWritesMayTakeEffectLateOrNever) {
  EXPECT_TRUE(Explained({LostPut("a", 0), Get(std::nullopt, 1, 2)}));
  EXPECT_TRUE(Explained({LostPut("a", 0), Get(std::nullopt, 1, 2), Get("a", 3, 4)}));
  EXPECT_FALSE(Explained({LostPut("a", 5), Get("a", 1, 2)}));
  EXPECT_FALSE(Explained({LostPut("a", 0), Get("a", 1, 2), Get(std::nullopt, 3, 4)}));
}

TEST(Linearizability, SwapsHappenOnce) {
  EXPECT_TRUE(Explained({Swap(std::nullopt, "a", std::nullopt, true, 0, 1),
                         Swap(std::nullopt, "b", "a", false, 2, 3), Get("a", 4, 5)}));
  EXPECT_FALSE(Explained({Swap(std::nullopt, "a", std::nullopt, true, 0, 10),
                          Swap(std::nullopt, "b", std::nullopt, true, 0, 10)}));
  // Refused although it found what it expected.
  EXPECT_FALSE(Explained({Swap(std::nullopt, "a", std::nullopt, false, 0, 1)}));
}

TEST(Linearizability, TheExplanationShowsTheCall) {
  const auto found = FindNonLinearizable({Put("first", 0, 1), Get("never", 2, 3)});
  ASSERT_TRUE(found);
  EXPECT_THAT(*found, ::testing::HasSubstr("get: never"));
  EXPECT_THAT(*found, ::testing::Not(::testing::HasSubstr("first")));
}

// Histories made by a register that is one must be explained; with one answer changed to another
// value that was never there at the time, they must not be.
TEST(Linearizability, RandomHistoriesOfARealRegister) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SeededRandom random(seed);
    std::optional<std::string> value;
    std::vector<RegisterCall> calls;
    std::vector<std::size_t> reads;
    for (int i = 0; i < 60; ++i) {
      // Each takes effect at 10 * i, and lasts up to 25 to either side.
      const int begin = 10 * i - static_cast<int>(random.Below(25));
      const int end = 10 * i + static_cast<int>(random.Below(25));
      if (random.OneIn(3)) {
        value = "v" + std::to_string(i);
        calls.push_back(Put(*value, begin, end));
        if (random.OneIn(5)) calls.back().returned.reset();
      } else if (random.OneIn(6)) {
        value.reset();
        calls.push_back(Delete(begin, end));
      } else {
        reads.push_back(calls.size());
        calls.push_back(Get(value, begin, end));
      }
    }
    ASSERT_TRUE(Explained(calls)) << seed;
    calls[reads[random.Below(reads.size())]].seen = "never written";
    ASSERT_FALSE(Explained(calls)) << seed;
  }
}

}  // namespace
}  // namespace rutile::sim
