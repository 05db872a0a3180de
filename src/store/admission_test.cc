#include "store/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "base/log_slice.h"

namespace rutile::store {
namespace {

using ::testing::HasSubstr;

constexpr std::size_t kOverhead = Entry::kOverheadBytes;

TEST(Admission, EachBoundRefusesAndNamesItselfAndAllIsGivenBack) {
  LogMemory node(110 + 4 * kOverhead);
  Admission one({.writes = 3, .write_bytes = 100, .reads = 2}, &node);
  Admission two({.writes = 3, .write_bytes = 100, .reads = 2}, &node);
  std::string reason;
  {
    std::vector<Admitted> held;
    const auto admit = [&](Admission& admission, std::size_t bytes) {
      std::optional<Admitted> admitted = admission.AdmitWrite(bytes, Priority::kNormal, &reason);
      if (admitted) held.push_back(std::move(*admitted));
      return admitted.has_value();
    };
    EXPECT_TRUE(admit(one, 90));
    EXPECT_FALSE(admit(one, 11));
    EXPECT_THAT(reason, HasSubstr("bytes wait in the region"));
    EXPECT_FALSE(admit(two, 1) && admit(two, 60));
    EXPECT_THAT(reason, HasSubstr("memory on this node is full"));
    EXPECT_TRUE(admit(one, 5));
    EXPECT_TRUE(admit(one, 5));
    EXPECT_FALSE(admit(one, 0));
    EXPECT_THAT(reason, HasSubstr("too many writes"));
    // What was refused holds nothing.
    EXPECT_EQ(one.writes(), 3u);
    EXPECT_EQ(one.write_bytes(), 100u);
    EXPECT_EQ(two.writes(), 1u);
    EXPECT_EQ(node.used_bytes(), 101u + 4 * kOverhead);

    std::optional<Admitted> first = one.AdmitRead(Priority::kNormal, &reason);
    std::optional<Admitted> second = one.AdmitRead(Priority::kNormal, &reason);
    EXPECT_TRUE(first && second);
    EXPECT_FALSE(one.AdmitRead(Priority::kNormal, &reason).has_value());
    EXPECT_THAT(reason, HasSubstr("too many reads"));
    first.reset();
    EXPECT_TRUE(one.AdmitRead(Priority::kNormal, &reason).has_value());
  }
  EXPECT_EQ(one.writes() + one.write_bytes() + one.reads() + two.writes(), 0u);
  EXPECT_EQ(node.used_bytes(), 0u);
}

TEST(Admission, ALowPriorityIsRefusedFirstAndAHighOneLast) {
  LogMemory node(1 << 20);
  Admission admission({.writes = 8, .write_bytes = 1000, .reads = 8}, &node);
  std::string reason;
  std::vector<Admitted> held;
  const auto admit = [&](Priority priority, std::size_t bytes) {
    std::optional<Admitted> admitted = admission.AdmitWrite(bytes, priority, &reason);
    if (admitted) held.push_back(std::move(*admitted));
    return admitted.has_value();
  };
  const auto admit_read = [&](Priority priority) {
    std::optional<Admitted> admitted = admission.AdmitRead(priority, &reason);
    if (admitted) held.push_back(std::move(*admitted));
    return admitted.has_value();
  };
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(admit(Priority::kLow, 1));
    EXPECT_TRUE(admit_read(Priority::kLow));
  }
  EXPECT_FALSE(admit(Priority::kLow, 1));
  EXPECT_EQ(reason, "too many writes wait in the region for one of low priority (the limit is 4)");
  EXPECT_FALSE(admit_read(Priority::kLow));
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(admit(Priority::kNormal, 1));
    EXPECT_TRUE(admit_read(Priority::kNormal));
  }
  EXPECT_FALSE(admit(Priority::kNormal, 1));
  EXPECT_EQ(reason, "too many writes wait in the region (the limit is 8)");
  EXPECT_FALSE(admit_read(Priority::kNormal));
  EXPECT_TRUE(admit(Priority::kHigh, 1));
  EXPECT_FALSE(admit(Priority::kHigh, 1));
  EXPECT_TRUE(admit_read(Priority::kHigh));
  EXPECT_FALSE(admit_read(Priority::kHigh));

  held.clear();
  EXPECT_TRUE(admit(Priority::kLow, 500));
  EXPECT_FALSE(admit(Priority::kLow, 1));
  EXPECT_THAT(reason, HasSubstr("bytes wait in the region for one of low priority"));
  EXPECT_TRUE(admit(Priority::kNormal, 500));
  EXPECT_FALSE(admit(Priority::kNormal, 1));
  EXPECT_TRUE(admit(Priority::kHigh, 125));
  EXPECT_FALSE(admit(Priority::kHigh, 1));
}

TEST(Admission, WhereNothingWaitsAWriteOfAnySizeIsAdmitted) {
  LogMemory node(10);
  Admission admission({.writes = 1, .write_bytes = 10, .reads = 1}, &node);
  std::string reason;
  EXPECT_TRUE(admission.AdmitWrite(1000, Priority::kNormal, &reason).has_value());
}

}  // namespace
}  // namespace rutile::store
