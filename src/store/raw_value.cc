#include "store/raw_value.h"

#include "codec/integers.h"

namespace rutile::store {
namespace {

constexpr std::uint8_t kHasExpiry = 1;

}  // namespace

std::string EncodeRawValue(std::string_view value, std::uint64_t expires_at) {
  std::string out;
  out.reserve(value.size() + 9);
  out.append(value);
  if (expires_at != 0) codec::PutFixed64(&out, expires_at);
  codec::PutFixed8(&out, expires_at != 0 ? kHasExpiry : 0);
  return out;
}

Result<RawValue> DecodeRawValue(std::string_view bytes) {
  if (bytes.empty()) return Status(Code::kCorruption, "raw value: empty");
  const auto flags = static_cast<std::uint8_t>(bytes.back());
  bytes.remove_suffix(1);
  if (flags > kHasExpiry) return Status(Code::kCorruption, "raw value: unknown flags");
  if (flags == 0) return RawValue{bytes, 0};
  if (bytes.size() < 8) return Status(Code::kCorruption, "raw value: no room for its expiry");
  const std::uint64_t expires_at = codec::DecodeFixed64(bytes.data() + bytes.size() - 8);
  bytes.remove_suffix(8);
  return RawValue{bytes, expires_at};
}

}  // namespace rutile::store
