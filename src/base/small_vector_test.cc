#include "base/small_vector.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"

namespace rutile {
namespace {

using Strings = SmallVector<std::string, 2>;

// Long enough to be owned elsewhere, so that a mistake in who owns it is seen by the sanitizers.
std::string Text(std::uint64_t number) { return "a value that is long: " + std::to_string(number); }

template <std::size_t Inline>
std::vector<std::string> Copied(const SmallVector<std::string, Inline>& strings) {
  return {strings.begin(), strings.end()};
}

template <std::size_t Inline>
void CompareWithAVector() {
  SeededRandom random(7);
  SmallVector<std::string, Inline> small;
  std::vector<std::string> twin;
  for (int step = 0; step < 20'000; ++step) {
    const std::uint64_t choice = random.Below(100);
    const std::size_t place = random.Below(twin.size() + 1);
    const auto offset = static_cast<std::ptrdiff_t>(place);
    if (choice < 40) {
      small.push_back(Text(choice));
      twin.push_back(Text(choice));
    } else if (choice < 70 && !twin.empty()) {
      small.pop_back();
      twin.pop_back();
    } else if (choice < 80) {
      const std::vector<std::string> some = {Text(choice), Text(choice + 1)};
      small.insert(small.begin() + offset, some.begin(), some.end());
      twin.insert(twin.begin() + offset, some.begin(), some.end());
    } else if (choice < 90) {
      small.erase(small.begin() + offset, small.end());
      twin.erase(twin.begin() + offset, twin.end());
    } else if (choice < 94) {
      SmallVector<std::string, Inline> moved = std::move(small);
      EXPECT_TRUE(small.empty());  // NOLINT(bugprone-use-after-move)
      small = std::move(moved);
    } else if (choice < 97) {
      SmallVector<std::string, Inline> copy = small;
      EXPECT_EQ(copy, small);
      small = copy;
    } else if (choice == 97) {
      small.clear();
      twin.clear();
    } else {
      small.resize(place + 1);
      twin.resize(place + 1);
    }
    ASSERT_EQ(Copied(small), twin);
  }
}

TEST(SmallVector, HoldsWhatAVectorHoldsAfterAnyCalls) { CompareWithAVector<2>(); }
TEST(SmallVector, HoldsTheSameWithNoneInItself) { CompareWithAVector<0>(); }

TEST(SmallVector, WithNoneInItselfItIsOnePointer) {
  SmallVector<std::string, 0> none;
  EXPECT_EQ(sizeof(none), sizeof(void*));
  EXPECT_EQ(none.capacity(), 0U);
  EXPECT_EQ(none.begin(), none.end());
  const SmallVector<std::string, 0> copy = none;
  EXPECT_EQ(copy.capacity(), 0U);
}

TEST(SmallVector, OwnsNoMemoryForFewValuesAndForAsManyAsWereReserved) {
  SmallVector<int, 2> few = {1, 2};
  EXPECT_EQ(few.capacity(), 2U);
  few.reserve(7);
  EXPECT_EQ(few.capacity(), 7U);
  few.clear();
  EXPECT_EQ(few.capacity(), 7U);
}

TEST(SmallVector, TakesInAValueOfItsOwnWhileItGrows) {
  Strings strings = {Text(1), Text(2)};
  strings.push_back(strings.front());
  EXPECT_EQ(strings.back(), Text(1));
}

TEST(SmallVector, LetsGoOfWhatIsTakenOut) {
  const auto value = std::make_shared<int>(1);
  SmallVector<std::shared_ptr<int>, 2> values;
  for (int i = 0; i < 5; ++i) values.push_back(value);
  EXPECT_EQ(value.use_count(), 6);
  values.erase(values.begin());
  values.pop_back();
  EXPECT_EQ(value.use_count(), 4);
  EXPECT_EQ(erase_if(values, [](const auto&) { return true; }), 3U);
  EXPECT_EQ(value.use_count(), 1);
}

TEST(SmallVectorDeathTest, ChecksBoundsInEveryBuild) {
  SmallVector<int, 2> values = {1};
  EXPECT_DEATH(static_cast<void>(values[1]), "check failed");
  values.clear();
  EXPECT_DEATH(values.pop_back(), "check failed");
  EXPECT_DEATH(static_cast<void>(values.back()), "check failed");
}

}  // namespace
}  // namespace rutile
