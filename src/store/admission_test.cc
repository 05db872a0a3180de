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
      std::optional<Admitted> admitted = admission.AdmitWrite(bytes, &reason);
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

    std::optional<Admitted> first = one.AdmitRead(&reason);
    std::optional<Admitted> second = one.AdmitRead(&reason);
    EXPECT_TRUE(first && second);
    EXPECT_FALSE(one.AdmitRead(&reason).has_value());
    EXPECT_THAT(reason, HasSubstr("too many reads"));
    first.reset();
    EXPECT_TRUE(one.AdmitRead(&reason).has_value());
  }
  EXPECT_EQ(one.writes() + one.write_bytes() + one.reads() + two.writes(), 0u);
  EXPECT_EQ(node.used_bytes(), 0u);
}

TEST(Admission, WhereNothingWaitsAWriteOfAnySizeIsAdmitted) {
  LogMemory node(10);
  Admission admission({.writes = 1, .write_bytes = 10, .reads = 1}, &node);
  std::string reason;
  EXPECT_TRUE(admission.AdmitWrite(1000, &reason).has_value());
}

}  // namespace
}  // namespace rutile::store
