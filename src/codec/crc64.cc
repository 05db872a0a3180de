#include "codec/crc64.h"

#include <array>
#include <cstddef>
#include <cstring>

#include "codec/integers.h"

namespace rutile::codec {
namespace {

constexpr std::uint64_t kEcma182Reflected = 0xC96C5795D7870F42u;
constexpr std::size_t kStep = 8;  // Bytes taken at once.

using Table = std::array<std::uint64_t, 256>;

// tables[n][b] is what byte b does to the checksum n bytes later (Kounavis and Berry, "A systematic
// approach to building high performance software-based CRC generators", 2005).
constexpr std::array<Table, kStep> MakeTables() {
  std::array<Table, kStep> tables{};
  for (std::uint64_t i = 0; i < 256; ++i) {
    std::uint64_t crc = i;
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc >> 1) ^ ((crc & 1) != 0 ? kEcma182Reflected : 0);
    }
    tables[0][i] = crc;
  }
  for (std::size_t n = 1; n < kStep; ++n) {
    for (std::size_t i = 0; i < 256; ++i) {
      const std::uint64_t before = tables[n - 1][i];
      tables[n][i] = tables[0][before & 0xFF] ^ (before >> 8);
    }
  }
  return tables;
}

constexpr std::array<Table, kStep> kTables = MakeTables();

}  // namespace

std::uint64_t Crc64(std::string_view bytes, std::uint64_t crc) {
  crc = ~crc;
  for (; bytes.size() >= kStep; bytes.remove_prefix(kStep)) {
    const std::uint64_t mixed = crc ^ DecodeFixed64(bytes.data());
    crc = 0;
    for (std::size_t n = 0; n < kStep; ++n) {
      crc ^= kTables[kStep - 1 - n][(mixed >> (8 * n)) & 0xFF];
    }
  }
  for (const char byte : bytes) {
    crc = kTables[0][(crc ^ static_cast<std::uint8_t>(byte)) & 0xFF] ^ (crc >> 8);
  }
  return ~crc;
}

}  // namespace rutile::codec
