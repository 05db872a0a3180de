#include "wal/recovery_table.h"

#include <set>

namespace rutile::wal {
namespace {

std::vector<Facts> AllFacts() {
  std::vector<Facts> all;
  for (int bits = 0; bits < 16; ++bits) {
    for (const Found found :
         {Found::kNothing, Found::kBroken, Found::kHoled, Found::kWhole, Found::kMisplaced}) {
      all.push_back({.sealed = (bits & 1) != 0,
                     .at_end = (bits & 2) != 0,
                     .found = found,
                     .valid_behind = (bits & 4) != 0,
                     .synced = (bits & 8) != 0});
    }
  }
  return all;
}

TEST(RecoveryTable, EveryCombinationHasExactlyOneDecision) {
  std::set<std::string_view> used;
  int possible = 0;
  for (const Facts& facts : AllFacts()) {
    if (!Possible(facts)) continue;
    ++possible;
    int matches = 0;
    for (const Row& row : RecoveryTable()) {
      if (!row.Matches(facts)) continue;
      ++matches;
      used.insert(row.name);
      EXPECT_EQ(row.name, Decide(facts).name);
    }
    EXPECT_EQ(matches, 1) << facts.sealed << facts.at_end << static_cast<int>(facts.found)
                          << facts.valid_behind << facts.synced;
  }
  EXPECT_EQ(possible, 60);
  EXPECT_EQ(used.size(), RecoveryTable().size()) << "a row that nothing matches";
}

// The table again, as the sentences that it has to obey.
TEST(RecoveryTable, Laws) {
  for (const Facts& facts : AllFacts()) {
    if (!Possible(facts)) continue;
    const Decision decision = Decide(facts).decision;
    if (facts.at_end) {
      EXPECT_EQ(decision, Decision::kEnd);
      continue;
    }
    if (facts.sealed) {
      EXPECT_NE(decision, Decision::kDropTail) << "what was synced is never dropped";
      EXPECT_EQ(decision == Decision::kKeep, facts.found == Found::kWhole);
    }
    if (facts.synced && facts.found != Found::kWhole) {
      EXPECT_EQ(decision, facts.found == Found::kHoled ? Decision::kRepair : Decision::kCorrupt)
          << "what was synced is never dropped";
    }
    if (decision == Decision::kRepair) {
      EXPECT_EQ(facts.found, Found::kHoled) << "nobody knows what to repair";
      EXPECT_TRUE(facts.sealed || facts.synced) << "nobody has to have it";
    }
    if (decision == Decision::kEnd) {
      EXPECT_TRUE(facts.found == Found::kNothing && !facts.valid_behind) << "ends in silence";
    }
    if (facts.found == Found::kMisplaced) {
      EXPECT_EQ(decision, Decision::kCorrupt);
    }
  }
}

}  // namespace
}  // namespace rutile::wal
