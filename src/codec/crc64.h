#pragma once

#include <cstdint>
#include <string_view>

namespace rutile::codec {

// CRC-64/XZ (ECMA-182 polynomial, reflected, all ones in and out): what clients compare raw
// checksums with. Crc64("123456789") is 0x995DC9BBDF1939FA. `crc` continues an earlier call.
std::uint64_t Crc64(std::string_view bytes, std::uint64_t crc = 0);

}  // namespace rutile::codec
