#include "store/disk_guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rutile::store {
namespace {

using ::testing::HasSubstr;

Result<std::uint64_t> Free(std::uint64_t bytes) { return bytes; }

TEST(DiskGuard, RefusesBelowTheReserveAndUntilAQuarterMoreIsFree) {
  DiskGuard guard(1000);
  EXPECT_FALSE(guard.refuses_growth());
  EXPECT_FALSE(guard.Observe(Free(1000), {}));
  EXPECT_FALSE(guard.refuses_growth());
  EXPECT_TRUE(guard.Observe(Free(999), {}));
  EXPECT_TRUE(guard.refuses_growth());
  EXPECT_EQ(guard.free_bytes(), 999u);
  EXPECT_THAT(guard.reason(), HasSubstr("999 bytes are free"));
  EXPECT_FALSE(guard.Observe(Free(1249), {}));
  EXPECT_TRUE(guard.refuses_growth());
  EXPECT_TRUE(guard.Observe(Free(1250), {}));
  EXPECT_FALSE(guard.refuses_growth());
  EXPECT_EQ(guard.reason(), "");
}

TEST(DiskGuard, RefusesWhileTheLogFindsNoSpace) {
  DiskGuard guard(0);
  EXPECT_FALSE(guard.Observe(Free(0), {}));
  EXPECT_TRUE(guard.Observe(Free(5), Status(Code::kResourceExhausted, "no space for a segment")));
  EXPECT_THAT(guard.reason(), HasSubstr("no space for a segment"));
  EXPECT_TRUE(guard.Observe(Free(5), {}));
  EXPECT_FALSE(guard.refuses_growth());
}

TEST(DiskGuard, AFileSystemThatDoesNotSayIsNotFull) {
  DiskGuard guard(1000);
  EXPECT_TRUE(guard.Observe(Free(10), {}));
  EXPECT_TRUE(guard.Observe(Status(Code::kIoError, "statvfs"), {}));
  EXPECT_FALSE(guard.refuses_growth());
}

}  // namespace
}  // namespace rutile::store
