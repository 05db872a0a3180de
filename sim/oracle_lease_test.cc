#include "sim/oracle_lease.h"

#include <gtest/gtest.h>

namespace rutile::sim {
namespace {

TEST(OverlappingLease, NobodyHoldsOneOfAnOlderTerm) {
  EXPECT_EQ(OverlappingLease(Term(5), {}), std::nullopt);
  EXPECT_EQ(OverlappingLease(Term(5), {{.node = 1, .term = Term(5)}}), std::nullopt) << "its own";
  EXPECT_EQ(OverlappingLease(Term(5), {{.node = 2, .term = Term(6)}}), std::nullopt)
      << "of a later leader, who knows of the entry; that the older one commits no more is another "
         "law";
}

TEST(OverlappingLease, AnOlderLeaderWouldAnswerWithoutTheEntry) {
  EXPECT_EQ(OverlappingLease(Term(5), {{.node = 2, .term = Term(5)}, {.node = 0, .term = Term(4)}}),
            "Q1: node 1 holds a lease of term 4 while a leader of term 5 has committed");
}

}  // namespace
}  // namespace rutile::sim
