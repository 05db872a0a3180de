#include "base/probe.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "base/buggify.h"

namespace rutile {
namespace {

std::uint64_t HitsOf(const std::string& name) {
  for (const Probe* probe : Probe::All()) {
    if (probe->name() == name) return probe->hits();
  }
  ADD_FAILURE() << "no probe of this name: " << name;
  return 0;
}

void Visit(int number) {
  RUTILE_SOMETIMES(number < 0, "test: a negative number");
  RUTILE_SOMETIMES(number == 7, "test: seven");
}

// Not called: the program knows of its probe all the same.
void NotVisited() { RUTILE_SOMETIMES(true, "test: never"); }

bool Odd() { return RUTILE_BUGGIFY("test: odd"); }
bool Even() { return RUTILE_BUGGIFY("test: even"); }

// What the two places did, each a thousand times, in turn.
std::vector<bool> Choices(std::uint64_t seed, std::uint64_t percent) {
  const Buggify buggify(seed, percent);
  std::vector<bool> choices;
  for (int i = 0; i < 1000; ++i) {
    choices.push_back(Odd());
    choices.push_back(Even());
  }
  return choices;
}

TEST(Probe, CountsWhatHolds) {
  const std::uint64_t negative = HitsOf("test: a negative number");
  for (int number = 0; number < 10; ++number) Visit(number);
  EXPECT_EQ(HitsOf("test: a negative number"), negative);
  EXPECT_EQ(HitsOf("test: seven"), 1u);
  Visit(-1);
  EXPECT_EQ(HitsOf("test: a negative number"), negative + 1);
}

TEST(Probe, ThoseNeverReachedAreKnown) {
  EXPECT_EQ(HitsOf("test: never"), 0u);
  NotVisited();
  EXPECT_EQ(HitsOf("test: never"), 1u);
}

TEST(Probe, SayWhereTheyAre) {
  std::set<std::string> names;
  for (const Probe* probe : Probe::All()) {
    EXPECT_TRUE(names.insert(probe->name()).second) << probe->name();
    EXPECT_TRUE(std::string(probe->file()).ends_with("probe_test.cc")) << probe->file();
    EXPECT_GT(probe->line(), 0);
  }
  EXPECT_EQ(names.size(), 5u);
}

TEST(Buggify, DoesNothingUnlessThereIsOne) {
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(Odd());
}

TEST(Buggify, IsAFunctionOfTheSeed) {
  std::set<std::vector<bool>> different;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    EXPECT_EQ(Choices(seed, 50), Choices(seed, 50));
    different.insert(Choices(seed, 50));
  }
  // A quarter has neither place.
  EXPECT_GT(different.size(), 25u);
  EXPECT_FALSE(Odd()) << "the last one is gone";
}

TEST(Buggify, SomePlacesActInSomeRuns) {
  const std::vector<bool> never(2000, false);
  int silent = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    if (Choices(seed, 50) == never) ++silent;
  }
  EXPECT_GT(silent, 20);
  EXPECT_LT(silent, 100);
  EXPECT_EQ(Choices(1, 0), never);
  EXPECT_NE(Choices(1, 100), never);
}

TEST(Buggify, ActingIsCounted) {
  const std::uint64_t before = HitsOf("test: odd") + HitsOf("test: even");
  std::uint64_t acted = 0;
  for (const bool choice : Choices(3, 100)) acted += choice ? 1 : 0;
  EXPECT_GT(acted, 0u);
  EXPECT_EQ(HitsOf("test: odd") + HitsOf("test: even"), before + acted);
}

}  // namespace
}  // namespace rutile
