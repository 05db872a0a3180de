#include "sim/linearizability.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"

namespace rutile::sim {
namespace {

using CallKind = RegisterCall::Kind;

RegisterCall Put(const std::string& value, int from, int to) {
  return {
      .kind = CallKind::kPut, .value = value, .invoked = Duration(from), .returned = Duration(to)};
}
RegisterCall LostPut(const std::string& value, int from) {
  return {.kind = CallKind::kPut, .value = value, .invoked = Duration(from)};
}
RegisterCall Get(std::optional<std::string> seen, int from, int to) {
  return {.kind = CallKind::kGet,
          .seen = std::move(seen),
          .invoked = Duration(from),
          .returned = Duration(to)};
}
RegisterCall Delete(int from, int to) {
  return {.kind = CallKind::kDelete, .invoked = Duration(from), .returned = Duration(to)};
}
RegisterCall Swap(std::optional<std::string> expected, const std::string& value,
                  std::optional<std::string> seen, bool swapped, int from, int to) {
  return {.kind = CallKind::kCompareAndSwap,
          .value = value,
          .expected = std::move(expected),
          .seen = std::move(seen),
          .swapped = swapped,
          .invoked = Duration(from),
          .returned = Duration(to)};
}

bool Explained(const std::vector<RegisterCall>& calls) {
  return !FindNonLinearizable(calls).has_value();
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

// What is remembered must not grow with all that was answered while one call was under way.
TEST(Linearizability, ACallThatLastsForLongCostsNoMore) {
  std::vector<RegisterCall> calls = {Get("v4999", 0, 100'000)};
  for (int i = 0; i < 5'000; ++i) calls.push_back(Put("v" + std::to_string(i), 2 * i, 2 * i + 1));
  EXPECT_FALSE(FindNonLinearizable(calls, 100'000));
  calls.push_back(Get("v4998", 50'000, 50'001));
  EXPECT_TRUE(FindNonLinearizable(calls, 100'000));
}

// A delete that was lost can stand in for one that was answered, at each of many places.
TEST(Linearizability, HundredsOfLostDeletesDoNotMultiplyTheSearch) {
  std::vector<RegisterCall> calls;
  for (int i = 0; i < 100; ++i) {
    calls.push_back({.kind = CallKind::kDelete, .invoked = Duration(0)});
    calls.push_back(Put("v" + std::to_string(i), 10 * i, 10 * i + 1));
    calls.push_back(Delete(10 * i + 2, 10 * i + 8));
    calls.push_back(Get(std::nullopt, 10 * i + 3, 10 * i + 4));
  }
  EXPECT_FALSE(FindNonLinearizable(calls, 10'000));
  calls.push_back(Get("never", 2'000, 2'001));
  const auto found = FindNonLinearizable(calls, 10'000);
  ASSERT_TRUE(found);
  EXPECT_NE(found->find("no order explains"), std::string::npos) << *found;
}

TEST(Linearizability, AnAnswerThatCannotBeFoundIsNone) {
  std::vector<RegisterCall> calls;
  for (int i = 0; i < 16; ++i) calls.push_back(Put("v" + std::to_string(i), 0, 10));
  calls.push_back(Get("never", 11, 12));
  const auto found = FindNonLinearizable(calls, 10'000);
  ASSERT_TRUE(found);
  EXPECT_NE(found->find("given up"), std::string::npos) << *found;
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

// In what order deletes without an answer are tried does not matter; there are too many orders.
TEST(Linearizability, UnansweredDeletesAreAlike) {
  std::vector<RegisterCall> calls;
  for (int i = 0; i < 40; ++i) {
    const int at = 10 * i;
    calls.push_back({.kind = CallKind::kDelete, .invoked = Duration(at)});
    calls.push_back(Put("a" + std::to_string(i), at + 1, at + 2));
    calls.push_back(Get(std::nullopt, at + 3, at + 4));
    calls.push_back(Put("b" + std::to_string(i), at + 5, at + 6));
  }
  EXPECT_TRUE(Explained(calls));
  calls.push_back(Get("a1", 500, 501));
  EXPECT_FALSE(Explained(calls));
}

// Each of many calls without an answer was seen; what is remembered of each step must not grow with
// them.
TEST(Linearizability, ManyUnansweredCallsThatWereSeen) {
  std::vector<RegisterCall> calls;
  int now = 0;
  for (int i = 0; i < 2000; ++i) {
    calls.push_back(LostPut("v" + std::to_string(i), now));
    calls.push_back(Get("v" + std::to_string(i), now + 1, now + 2));
    now += 3;
  }
  EXPECT_FALSE(FindNonLinearizable(calls, /*memory=*/100'000).has_value());
  calls.push_back(Get("v7", now, now + 1));
  calls.push_back(Get("v8", now + 2, now + 3));
  const auto problem = FindNonLinearizable(calls, /*memory=*/100'000);
  ASSERT_TRUE(problem.has_value());
  EXPECT_NE(std::string::npos, problem->find("no order explains"));
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
  EXPECT_THAT(*found, ::testing::ContainsRegex("put first\n.*none of\n.*get: never"));
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

// All orders of all subsets that may be: slow, and right by inspection.
bool ExplainedByTrying(const std::vector<RegisterCall>& calls, std::vector<bool> taken,
                       const std::optional<std::string>& state) {
  Duration first_end = Duration::max();
  for (std::size_t i = 0; i < calls.size(); ++i) {
    if (!taken[i] && calls[i].returned) first_end = std::min(first_end, *calls[i].returned);
  }
  if (first_end == Duration::max()) return true;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const RegisterCall& call = calls[i];
    if (taken[i] || call.invoked > first_end) continue;
    const bool sees =
        call.returned && (call.kind == CallKind::kGet || call.kind == CallKind::kCompareAndSwap);
    if (sees && call.seen != state) continue;
    const bool swaps = call.kind == CallKind::kCompareAndSwap && call.expected == state;
    if (sees && call.swapped != swaps) continue;
    std::optional<std::string> next = state;
    if (call.kind == CallKind::kPut || swaps) next = call.value;
    if (call.kind == CallKind::kDelete) next.reset();
    taken[i] = true;
    if (ExplainedByTrying(calls, taken, next)) return true;
    taken[i] = false;
  }
  return false;
}

TEST(Linearizability, AgreesWithTryingEverything) {
  int explained = 0;
  constexpr int kHistories = 20'000;
  for (std::uint64_t seed = 0; seed < kHistories; ++seed) {
    SeededRandom random(seed);
    std::vector<RegisterCall> calls;
    // What a client might see: one of the values, or none.
    const auto draw = [&]() -> std::optional<std::string> {
      const std::uint64_t value = random.Below(4);
      return value == 0 ? std::nullopt : std::optional("v" + std::to_string(value));
    };
    const std::uint64_t count = 3 + random.Below(4);
    for (std::uint64_t i = 0; i < count; ++i) {
      RegisterCall call{.kind = static_cast<CallKind>(random.Below(4)),
                        .invoked = Duration(random.Below(8))};
      if (!random.OneIn(4)) call.returned = call.invoked + Duration(random.Below(6));
      if (call.kind == CallKind::kPut || call.kind == CallKind::kCompareAndSwap) {
        call.value = "v" + std::to_string(1 + i % 3);
      }
      if (call.kind == CallKind::kCompareAndSwap) call.expected = draw();
      if (call.returned && call.kind != CallKind::kPut && call.kind != CallKind::kDelete) {
        call.seen = draw();
        call.swapped = call.kind == CallKind::kCompareAndSwap && call.seen == call.expected;
      }
      calls.push_back(call);
    }
    const bool expected = ExplainedByTrying(calls, std::vector<bool>(calls.size()), std::nullopt);
    ASSERT_EQ(Explained(calls), expected) << "seed " << seed;
    explained += expected ? 1 : 0;
  }
  // Both kinds are there in numbers.
  EXPECT_GT(explained, kHistories / 10);
  EXPECT_LT(explained, kHistories * 9 / 10);
}

}  // namespace
}  // namespace rutile::sim
