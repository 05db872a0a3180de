#include "codec/memcomparable.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace rutile::codec {
namespace {

using namespace std::string_literals;

std::string Encode(std::string_view bytes) { return EncodeMemcomparable(bytes); }

TEST(Memcomparable, GoldenBytes) {
  EXPECT_EQ(Encode(""), "\0\0\0\0\0\0\0\0\xF7"s);
  EXPECT_EQ(Encode("\x01\x02\x03"), "\x01\x02\x03\0\0\0\0\0\xFA"s);
  EXPECT_EQ(Encode("abc\0"s), "abc\0\0\0\0\0\xFB"s);
  EXPECT_EQ(Encode("12345678"), "12345678\xFF\0\0\0\0\0\0\0\0\xF7"s);
  EXPECT_EQ(Encode("123456789"), "12345678\xFF\x39\0\0\0\0\0\0\0\xF8"s);
}

// All strings of up to `length` bytes over an alphabet that has the extremes.
std::vector<std::string> AllStrings(std::size_t length) {
  std::vector<std::string> all = {""};
  for (std::size_t begin = 0; begin < all.size(); ++begin) {
    if (all[begin].size() == length) break;
    for (const char c : {'\0', '\x01', '\xFF'}) all.push_back(all[begin] + c);
  }
  return all;
}

TEST(Memcomparable, SortsAsThePartsDo) {
  // Behind a common prefix, so that the strings end before, at and after the end of a group.
  for (const std::size_t prefix : {0u, 6u, 7u, 8u, 14u}) {
    std::vector<std::string> strings = AllStrings(3);
    for (std::string& s : strings) s.insert(0, prefix, 'p');
    for (const std::string& a : strings) {
      for (const std::string& b : strings) {
        if (a == b) continue;
        // Whatever stands behind, the strings decide.
        ASSERT_EQ(a < b, Encode(a) + "\xFF" < Encode(b) + '\0');
        ASSERT_EQ(a < b, Encode(a) + '\0' < Encode(b) + "\xFF");
      }
    }
  }
}

TEST(Memcomparable, ComesBack) {
  SeededRandom random(1);
  for (std::size_t size = 0; size < 100; ++size) {
    std::string bytes(size, '\0');
    for (char& c : bytes) c = random.OneIn(3) ? '\0' : static_cast<char>(random.Next());
    const std::string encoded = Encode(bytes) + "rest";
    EXPECT_EQ(encoded.size(), (size / 8 + 1) * 9 + 4);
    std::string_view input = encoded;
    EXPECT_EQ(TakeMemcomparable(&input), bytes);
    EXPECT_EQ(input, "rest");
  }
}

TEST(Memcomparable, BadInputIsRefusedAndStaysAsItWas) {
  const std::vector<std::string> bad = {
      "",
      "12345678",      // No marker.
      "12345678\xFF",  // Promises another group.
      "12345678\xFF"
      "1234567",                // Which is cut off.
      "1234567\x01\xFE",        // Padding that is not zero.
      "\0\0\0\0\0\0\0\0\xF6"s,  // More padding than a group has.
      "\0\0\0\0\0\0\0\0\0"s,
  };
  for (const std::string& encoded : bad) {
    std::string_view input = encoded;
    EXPECT_EQ(TakeMemcomparable(&input), std::nullopt);
    EXPECT_EQ(input, encoded);
  }
}

}  // namespace
}  // namespace rutile::codec
