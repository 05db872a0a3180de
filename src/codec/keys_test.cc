#include "codec/keys.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace rutile::codec {
namespace {

using namespace std::string_literals;

// What lies on disks. A change here is a change of format: docs/formats/keys.md.
TEST(Keys, GoldenBytes) {
  EXPECT_EQ(DataKey("abc"), "zabc");
  EXPECT_EQ(DataKey(""), "z");
  EXPECT_EQ(DataEndKey("abc"), "zabc");
  EXPECT_EQ(DataEndKey(""), "{");
  EXPECT_EQ(RegionKey(RegionId(0x0102)), "R\0\0\0\0\0\0\x01\x02"s + "d");
  EXPECT_EQ(AppliedKey(RegionId(0x0102)), "R\0\0\0\0\0\0\x01\x02"s + "a");
  EXPECT_EQ(RegionKeysBegin(), "R");
  EXPECT_EQ(RegionKeysEnd(), "S");
  EXPECT_EQ(PlacementKey("tso"), "Ptso");
  EXPECT_EQ(PlacementKeysBegin(), "P");
  EXPECT_EQ(PlacementKeysEnd(), "Q");
  EXPECT_EQ(NodeIdentityKey(), "Si");
}

TEST(Keys, UserKeysKeepTheirOrder) {
  SeededRandom random(1);
  const auto draw = [&] {
    std::string key(random.Below(4), '\0');
    for (char& c : key) c = "\0\x01\x7F\xFF"[random.Below(4)];
    return key;
  };
  for (int i = 0; i < 2000; ++i) {
    const std::string a = draw(), b = draw();
    ASSERT_EQ(a < b, DataKey(a) < DataKey(b));
    ASSERT_EQ(UserKey(DataKey(a)), a);
    ASSERT_LT(DataKey(a), DataEndKey(""));
  }
}

TEST(Keys, RegionsLieInTheirRangeInOrder) {
  std::string before = RegionKeysBegin();
  for (const std::uint64_t id : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{255},
                                 std::uint64_t{256}, ~std::uint64_t{0}}) {
    const std::string applied = AppliedKey(RegionId(id));
    const std::string descriptor = RegionKey(RegionId(id));
    EXPECT_LT(before, applied);
    EXPECT_LT(applied, descriptor);
    before = descriptor;
  }
  EXPECT_LT(before, RegionKeysEnd());
}

TEST(Keys, OnlyDescriptorsNameTheirRegion) {
  EXPECT_EQ(RegionOfDescriptorKey(RegionKey(RegionId(77))), RegionId(77));
  EXPECT_TRUE(RegionOfDescriptorKey(AppliedKey(RegionId(77))).IsZero());
  EXPECT_TRUE(RegionOfDescriptorKey(RegionKey(RegionId(77)) + "x").IsZero());
  EXPECT_TRUE(RegionOfDescriptorKey(RegionKey(RegionId(77)).substr(0, 9)).IsZero());
  EXPECT_TRUE(RegionOfDescriptorKey("").IsZero());
}

TEST(KeysDeathTest, UserKeyRequiresADataKey) {
  EXPECT_DEATH(UserKey("abc"), "check failed");
  EXPECT_DEATH(UserKey(""), "check failed");
}

}  // namespace
}  // namespace rutile::codec
