#include "txn/status_cache.h"

#include <gtest/gtest.h>

namespace rutile::txn {
namespace {

using mvcc::Timestamp;

TEST(StatusCache, KnowsTheHighestThatWasTold) {
  StatusCache cache;
  EXPECT_EQ(Timestamp(), cache.MinCommit(Timestamp(10)));
  cache.Tell(Timestamp(10), Timestamp(50));
  cache.Tell(Timestamp(10), Timestamp(40));
  cache.Tell(Timestamp(20), Timestamp(30));
  EXPECT_EQ(Timestamp(50), cache.MinCommit(Timestamp(10)));
  EXPECT_EQ(Timestamp(30), cache.MinCommit(Timestamp(20)));
}

TEST(StatusCache, ForgetsWhoHasEnded) {
  StatusCache cache;
  cache.Tell(Timestamp(10), Timestamp(50));
  cache.Forget(Timestamp(10));
  cache.Forget(Timestamp(10));
  EXPECT_EQ(Timestamp(), cache.MinCommit(Timestamp(10)));
}

TEST(StatusCache, ForgetsWhoWasNotHeardOfForTheLongestTime) {
  StatusCache cache(2);
  cache.Tell(Timestamp(10), Timestamp(50));
  cache.Tell(Timestamp(20), Timestamp(50));
  cache.Tell(Timestamp(10), Timestamp(50));
  cache.Tell(Timestamp(30), Timestamp(50));
  EXPECT_EQ(Timestamp(50), cache.MinCommit(Timestamp(10)));
  EXPECT_EQ(Timestamp(), cache.MinCommit(Timestamp(20)));
  EXPECT_EQ(Timestamp(50), cache.MinCommit(Timestamp(30)));
}

}  // namespace
}  // namespace rutile::txn
