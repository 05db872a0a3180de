#include "base/task.h"

#include <gtest/gtest.h>

namespace rutile {
namespace {

TEST(UniqueFunction, OwnsWhatCannotBeCopied) {
  auto value = std::make_unique<int>(41);
  UniqueFunction<int(int)> add = [value = std::move(value)](int more) { return *value + more; };
  UniqueFunction<int(int)> moved = std::move(add);
  EXPECT_EQ(moved(1), 42);
  EXPECT_FALSE(add);  // NOLINT: moved from, and empty
}

TEST(UniqueFunction, KeepsStateBetweenCalls) {
  UniqueFunction<int()> count = [n = 0]() mutable { return ++n; };
  EXPECT_EQ(count(), 1);
  EXPECT_EQ(count(), 2);
}

TEST(UniqueFunction, DestroysWhatItHoldsWhenCleared) {
  auto held = std::make_shared<int>(1);
  const std::weak_ptr<int> watch = held;
  Task task = [held = std::move(held)] {};
  EXPECT_FALSE(watch.expired());
  task = nullptr;
  EXPECT_TRUE(watch.expired());
}

TEST(UniqueFunction, PassesArgumentsOn) {
  UniqueFunction<std::size_t(std::unique_ptr<int>, const std::string&)> call =
      [](std::unique_ptr<int> number, const std::string& text) {
        return static_cast<std::size_t>(*number) + text.size();
      };
  EXPECT_EQ(call(std::make_unique<int>(2), "abc"), 5u);
}

TEST(UniqueFunctionDeathTest, EmptyOneCannotBeCalled) {
  Task empty;
  EXPECT_FALSE(empty);
  EXPECT_DEATH(empty(), "empty function");
}

}  // namespace
}  // namespace rutile
