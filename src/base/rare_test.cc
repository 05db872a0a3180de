#include "base/rare.h"

#include <string>
#include <utility>

namespace rutile {
namespace {

TEST(Rare, IsEmptyOrHasAValue) {
  Rare<std::string> rare;
  EXPECT_FALSE(rare.has_value());
  EXPECT_EQ(sizeof(rare), sizeof(void*));
  rare = std::string("value");
  ASSERT_TRUE(rare.has_value());
  EXPECT_EQ(*rare, "value");
  rare.reset();
  EXPECT_FALSE(rare);
}

TEST(Rare, ACopyIsItsOwn) {
  Rare<std::string> rare = std::string("value");
  Rare<std::string> copy = rare;
  EXPECT_EQ(copy, rare);
  *copy += "s";
  EXPECT_EQ(*rare, "value");
  EXPECT_FALSE(copy == rare);
  copy = rare;
  EXPECT_EQ(copy, rare);
  copy = Rare<std::string>();
  EXPECT_FALSE(copy == rare);
}

TEST(Rare, MovingLeavesNothing) {
  Rare<std::string> rare = std::string("value");
  const Rare<std::string> moved = std::move(rare);
  EXPECT_EQ(*moved, "value");
  EXPECT_FALSE(rare);  // NOLINT(bugprone-use-after-move)
}

}  // namespace
}  // namespace rutile
