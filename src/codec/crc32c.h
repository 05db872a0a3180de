#pragma once

#include <cstdint>
#include <string_view>

namespace rutile::codec {

// CRC-32C (Castagnoli), by the processor's instruction where there is one. Crc32c("123456789") is
// 0xE3069283 (RFC 3720, B.4). `crc` continues an earlier call.
std::uint32_t Crc32c(std::string_view bytes, std::uint32_t crc = 0);

// The same by table, on any processor. For comparing the two.
std::uint32_t Crc32cPortable(std::string_view bytes, std::uint32_t crc = 0);

}  // namespace rutile::codec
