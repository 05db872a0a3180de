#include "codec/api_version.h"

#include <gtest/gtest.h>

#include <string>

#include "codec/memcomparable.h"

namespace rutile::codec {
namespace {

using namespace std::string_literals;

constexpr KeyMode kRaw = KeyMode::kRaw;
constexpr KeyMode kTxn = KeyMode::kTransactional;

TEST(ApiVersion, PrefixesAreTheModeAndTheIdInBigEndianOrder) {
  EXPECT_EQ(KeyspacePrefix(kRaw, 0), "r\0\0\0"s);
  EXPECT_EQ(KeyspacePrefix(kTxn, 0x010203), "x\x01\x02\x03"s);
  EXPECT_EQ(KeyspaceEnd(kTxn, 0x0102FF), "x\x01\x03\x00"s);
  EXPECT_EQ(KeyspaceEnd(kRaw, kMaxKeyspaceId), "s\0\0\0"s);
}

TEST(ApiVersion, AKeyIsServedWithItsOwnModeOnly) {
  EXPECT_TRUE(CheckKeyMode(kRaw, "r\0\0\0a"s).ok());
  EXPECT_TRUE(CheckKeyMode(kTxn, "x\0\0\1"s).ok());
  EXPECT_FALSE(CheckKeyMode(kRaw, "x\0\0\0a"s).ok());
  EXPECT_FALSE(CheckKeyMode(kTxn, "r\0\0\0a"s).ok());
  EXPECT_FALSE(CheckKeyMode(kTxn, "user").ok());
  EXPECT_FALSE(CheckKeyMode(kRaw, "").ok());
}

TEST(ApiVersion, AKeyWithoutAWholeKeyspaceIdIsNone) {
  EXPECT_FALSE(CheckKeyMode(kRaw, "r\0\0"s).ok());
  EXPECT_FALSE(CheckKeyMode(kTxn, "x").ok());
}

TEST(ApiVersion, ARangeLiesInItsModeWithBothBorders) {
  EXPECT_TRUE(CheckRangeMode(kRaw, "r\0\0\0a"s, "r\0\0\0b"s).ok());
  EXPECT_TRUE(CheckRangeMode(kTxn, ModeBegin(kTxn), ModeEnd(kTxn)).ok());
  EXPECT_FALSE(CheckRangeMode(kTxn, "", "x\0\0\0b"s).ok());
  EXPECT_FALSE(CheckRangeMode(kTxn, "x\0\0\0a"s, "").ok());
  EXPECT_FALSE(CheckRangeMode(kRaw, "r\0\0\0a"s, "x\0\0\0a"s).ok());
  EXPECT_FALSE(CheckRangeMode(kRaw, "a", "r\0\0\0a"s).ok());
  EXPECT_FALSE(CheckRangeMode(kRaw, "r\0\0\0a"s, "sz").ok());
}

TEST(ApiVersion, TheLastKeyspaceEndsWhereClientsSayThatItDoes) {
  for (const KeyMode mode : {kRaw, kTxn}) {
    EXPECT_TRUE(CheckRangeMode(mode, KeyspacePrefix(mode, kMaxKeyspaceId),
                               KeyspaceEnd(mode, kMaxKeyspaceId))
                    .ok());
  }
}

TEST(ApiVersion, ARefusalNamesTheErrorTheKeyAndWhatIsExpected) {
  const std::string key(CheckKeyMode(kTxn, "r\0\0\1k"s).message());
  EXPECT_NE(key.find("InvalidKeyMode"), std::string::npos) << key;
  EXPECT_NE(key.find("0x720000016b"), std::string::npos) << key;
  EXPECT_NE(key.find("begin with 'x'"), std::string::npos) << key;
  const std::string range(CheckRangeMode(kRaw, "", "").message());
  EXPECT_NE(range.find("InvalidKeyRangeMode"), std::string::npos) << range;
}

TEST(ApiVersion, EncodedKeysOfAKeyspaceLieBetweenItsEncodedBorders) {
  const std::string begin = EncodeMemcomparable(KeyspacePrefix(kRaw, 7));
  const std::string end = EncodeMemcomparable(KeyspaceEnd(kRaw, 7));
  for (const std::string& suffix : {""s, "\0"s, "a"s, std::string(20, '\xff')}) {
    const std::string key = EncodeMemcomparable(KeyspacePrefix(kRaw, 7) + suffix);
    EXPECT_GE(key, begin);
    EXPECT_LT(key, end);
  }
  EXPECT_LT(EncodeMemcomparable(KeyspacePrefix(kRaw, 6) + "\xff\xff"), begin);
}

TEST(ApiVersion, NamesAreReadAsTheyAreWritten) {
  for (const ApiVersion version : {ApiVersion::kV1, ApiVersion::kV2}) {
    EXPECT_EQ(ParseApiVersion(ToString(version)).value(), version);
  }
  EXPECT_FALSE(ParseApiVersion("v1ttl").ok());
  EXPECT_FALSE(ParseApiVersion("").ok());
}

}  // namespace
}  // namespace rutile::codec
