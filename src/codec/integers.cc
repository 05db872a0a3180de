#include "codec/integers.h"

#include <bit>
#include <cstring>

namespace rutile::codec {
namespace {

static_assert(std::endian::native == std::endian::little, "a big-endian port must swap bytes here");

template <class T>
void PutNative(std::string* out, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out->append(bytes, sizeof(T));
}

template <class T>
T DecodeNative(const char* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

}  // namespace

void PutFixed8(std::string* out, std::uint8_t value) { out->push_back(static_cast<char>(value)); }
void PutFixed32(std::string* out, std::uint32_t value) { PutNative(out, value); }
void PutFixed64(std::string* out, std::uint64_t value) { PutNative(out, value); }
void PutBigEndian64(std::string* out, std::uint64_t value) {
  PutNative(out, __builtin_bswap64(value));
}

void PutVarint(std::string* out, std::uint64_t value) {
  char bytes[kMaxVarintBytes];
  std::size_t size = 0;
  for (; value >= 0x80; value >>= 7) bytes[size++] = static_cast<char>(value | 0x80);
  bytes[size++] = static_cast<char>(value);
  out->append(bytes, size);
}

void PutBytes(std::string* out, std::string_view bytes) {
  PutVarint(out, bytes.size());
  out->append(bytes);
}

void EncodeFixed32(char* to, std::uint32_t value) { std::memcpy(to, &value, sizeof value); }
void EncodeFixed64(char* to, std::uint64_t value) { std::memcpy(to, &value, sizeof value); }
std::uint32_t DecodeFixed32(const char* bytes) { return DecodeNative<std::uint32_t>(bytes); }
std::uint64_t DecodeFixed64(const char* bytes) { return DecodeNative<std::uint64_t>(bytes); }
std::uint64_t DecodeBigEndian64(const char* bytes) {
  return __builtin_bswap64(DecodeNative<std::uint64_t>(bytes));
}

bool Reader::Need(std::size_t n) {
  if (ok_ && rest_.size() >= n) return true;
  ok_ = false;
  rest_ = {};
  return false;
}

std::uint8_t Reader::Fixed8() {
  if (!Need(1)) return 0;
  const auto value = static_cast<std::uint8_t>(rest_.front());
  rest_.remove_prefix(1);
  return value;
}

std::uint32_t Reader::Fixed32() {
  if (!Need(4)) return 0;
  const std::uint32_t value = DecodeFixed32(rest_.data());
  rest_.remove_prefix(4);
  return value;
}

std::uint64_t Reader::Fixed64() {
  if (!Need(8)) return 0;
  const std::uint64_t value = DecodeFixed64(rest_.data());
  rest_.remove_prefix(8);
  return value;
}

std::uint64_t Reader::BigEndian64() {
  if (!Need(8)) return 0;
  const std::uint64_t value = DecodeBigEndian64(rest_.data());
  rest_.remove_prefix(8);
  return value;
}

std::uint64_t Reader::Varint() {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (!Need(1)) return 0;
    const auto byte = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    // The tenth byte holds one bit; more would be lost.
    if (shift == 63 && byte > 1) break;
    value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  ok_ = false;
  rest_ = {};
  return 0;
}

std::string_view Reader::Bytes() { return Raw(Varint()); }

std::string_view Reader::Raw(std::size_t n) {
  if (!Need(n)) return {};
  const std::string_view bytes = rest_.substr(0, n);
  rest_.remove_prefix(n);
  return bytes;
}

}  // namespace rutile::codec
