#include <gtest/gtest.h>

#include "base/random.h"
#include "codec/crc32c.h"
#include "codec/crc64.h"

namespace rutile::codec {
namespace {

std::string RandomBytes(Random& random, std::size_t size) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random.Next());
  return bytes;
}

// RFC 3720, B.4, and the check value of the catalogue of CRC algorithms.
TEST(Crc32c, KnownVectors) {
  EXPECT_EQ(Crc32c(""), 0u);
  EXPECT_EQ(Crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(Crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
  std::string rising;
  for (int i = 0; i < 32; ++i) rising.push_back(static_cast<char>(i));
  EXPECT_EQ(Crc32c(rising), 0x46DD794Eu);
  EXPECT_EQ(Crc32c(std::string(rising.rbegin(), rising.rend())), 0x113FDB5Cu);
}

TEST(Crc32c, TableAndInstructionAgree) {
  SeededRandom random(1);
  for (std::size_t size = 0; size < 300; ++size) {
    const std::string bytes = RandomBytes(random, size);
    ASSERT_EQ(Crc32c(bytes), Crc32cPortable(bytes)) << size;
  }
}

TEST(Crc32c, ContinuesAtAnyPoint) {
  SeededRandom random(2);
  const std::string bytes = RandomBytes(random, 77);
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    const std::string_view view = bytes;
    ASSERT_EQ(Crc32c(view.substr(cut), Crc32c(view.substr(0, cut))), Crc32c(bytes)) << cut;
  }
}

TEST(Crc32c, SeesEveryFlippedBit) {
  SeededRandom random(3);
  std::string bytes = RandomBytes(random, 64);
  const std::uint32_t crc = Crc32c(bytes);
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    const auto mask = static_cast<char>(1 << (bit % 8));
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ mask);
    ASSERT_NE(Crc32c(bytes), crc) << bit;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ mask);
  }
}

TEST(Crc64, KnownVectors) {
  EXPECT_EQ(Crc64(""), 0u);
  EXPECT_EQ(Crc64("123456789"), 0x995DC9BBDF1939FAu);
}

// Whole steps of several bytes give what single bytes do, wherever they begin.
TEST(Crc64, ByteByByteAndAtOnce) {
  std::string bytes;
  for (int i = 0; i < 100; ++i) bytes += static_cast<char>(i * 73 + 11);
  for (std::size_t begin = 0; begin < 9; ++begin) {
    for (std::size_t size = 0; begin + size <= bytes.size(); ++size) {
      const std::string_view part = std::string_view(bytes).substr(begin, size);
      std::uint64_t crc = 0;
      for (std::size_t i = 0; i < size; ++i) crc = Crc64(part.substr(i, 1), crc);
      ASSERT_EQ(Crc64(part), crc) << begin << " " << size;
    }
  }
}

TEST(Crc64, ContinuesAtAnyPoint) {
  const std::string_view view = "the quick brown fox";
  for (std::size_t cut = 0; cut <= view.size(); ++cut) {
    ASSERT_EQ(Crc64(view.substr(cut), Crc64(view.substr(0, cut))), Crc64(view)) << cut;
  }
}

}  // namespace
}  // namespace rutile::codec
