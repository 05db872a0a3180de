#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace rutile::store {

// A raw value as the engine holds it: a user's value and when it ends.
//
//   value bytes | expiry, u64 little-endian seconds since 1970 (only if flag 1) | flags, u8
//
// See docs/formats/raw-value.md.
struct RawValue {
  std::string_view value = {};
  std::uint64_t expires_at = 0;  // Seconds since 1970; 0: never.

  bool IsLive(std::uint64_t now_seconds) const {
    return expires_at == 0 || now_seconds < expires_at;
  }
};

std::string EncodeRawValue(std::string_view value, std::uint64_t expires_at);
// The view points into `bytes`.
Result<RawValue> DecodeRawValue(std::string_view bytes);

}  // namespace rutile::store
