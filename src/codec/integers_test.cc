#include "codec/integers.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace rutile::codec {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

TEST(Integers, GoldenBytes) {
  std::string out;
  PutFixed8(&out, 0x01);
  PutFixed32(&out, 0x02030405);
  PutFixed64(&out, 0x060708090A0B0C0D);
  PutBigEndian64(&out, 0x0E0F101112131415);
  PutVarint(&out, 300);
  PutBytes(&out, "ab");
  EXPECT_EQ(out,
            "\x01"
            "\x05\x04\x03\x02"
            "\x0D\x0C\x0B\x0A\x09\x08\x07\x06"
            "\x0E\x0F\x10\x11\x12\x13\x14\x15"
            "\xAC\x02"
            "\x02"
            "ab");
  Reader reader(out);
  EXPECT_EQ(reader.Fixed8(), 0x01);
  EXPECT_EQ(reader.Fixed32(), 0x02030405u);
  EXPECT_EQ(reader.Fixed64(), 0x060708090A0B0C0Du);
  EXPECT_EQ(reader.BigEndian64(), 0x0E0F101112131415u);
  EXPECT_EQ(reader.Varint(), 300u);
  EXPECT_EQ(reader.Bytes(), "ab");
  EXPECT_TRUE(reader.Done());
}

TEST(Integers, VarintsAtTheEdges) {
  const std::vector<std::pair<std::uint64_t, std::size_t>> sizes = {
      {0, 1},          {127, 1},         {128, 2},    {16'383, 2},
      {16'384, 3},     {1u << 21, 4},    {~0u, 5},    {(1ull << 35) - 1, 5},
      {1ull << 35, 6}, {1ull << 63, 10}, {~0ull, 10},
  };
  for (const auto& [value, size] : sizes) {
    std::string out;
    PutVarint(&out, value);
    EXPECT_EQ(out.size(), size) << value;
    Reader reader(out);
    EXPECT_EQ(reader.Varint(), value);
    EXPECT_TRUE(reader.Done());
  }
}

TEST(Integers, OverlongVarintsAreRefused) {
  for (const std::string& bytes : {std::string(10, '\xFF'), std::string(9, '\xFF') + "\x02"s,
                                   std::string(11, '\x80') + "\x00"s}) {
    Reader reader(bytes);
    EXPECT_EQ(reader.Varint(), 0u);
    EXPECT_FALSE(reader.ok());
  }
}

TEST(Integers, BigEndianSortsAsTheNumber) {
  SeededRandom random(1);
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t a = random.Next() >> random.Below(64);
    const std::uint64_t b = random.Next() >> random.Below(64);
    std::string x, y;
    PutBigEndian64(&x, a);
    PutBigEndian64(&y, b);
    ASSERT_EQ(a < b, x < y);
  }
}

// Every prefix of a message must be refused, and none may be read beyond its end.
TEST(Reader, EveryTruncationIsNoticed) {
  std::string whole;
  PutVarint(&whole, 1u << 20);
  PutBytes(&whole, "some bytes");
  PutFixed64(&whole, 7);
  PutFixed32(&whole, 8);
  PutFixed8(&whole, 9);
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    // A buffer of its own, so that the address sanitizer sees a read beyond it.
    const std::string part(whole.data(), size);
    Reader reader(part);
    reader.Varint();
    reader.Bytes();
    reader.Fixed64();
    reader.Fixed32();
    reader.Fixed8();
    EXPECT_EQ(reader.Done(), size == whole.size()) << size;
  }
}

TEST(Reader, LengthsBeyondTheEndAreRefused) {
  std::string bytes;
  PutVarint(&bytes, ~0ull);
  bytes += "abc";
  Reader reader(bytes);
  EXPECT_EQ(reader.Bytes(), "");
  EXPECT_FALSE(reader.ok());
}

TEST(Reader, StaysFailed) {
  Reader reader("\x01\x02"sv);
  EXPECT_EQ(reader.Fixed32(), 0u);
  EXPECT_EQ(reader.Fixed8(), 0);
  EXPECT_FALSE(reader.ok());
  EXPECT_FALSE(reader.Done());
}

TEST(Reader, LeftoversAreNotDone) {
  Reader reader("\x01\x02"sv);
  EXPECT_EQ(reader.Fixed8(), 1);
  EXPECT_TRUE(reader.ok());
  EXPECT_FALSE(reader.Done());
  EXPECT_EQ(reader.rest(), "\x02");
}

}  // namespace
}  // namespace rutile::codec
