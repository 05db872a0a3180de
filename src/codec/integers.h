#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace rutile::codec {

// Appending integers and byte strings to a buffer, and taking them back. Fixed-width integers are
// little-endian unless the name says big-endian (which sorts as the number does); varints are
// groups of seven bits, lowest first, as protobuf has them.

constexpr std::size_t kMaxVarintBytes = 10;

void PutFixed8(std::string* out, std::uint8_t value);
void PutFixed32(std::string* out, std::uint32_t value);
void PutFixed64(std::string* out, std::uint64_t value);
void PutBigEndian64(std::string* out, std::uint64_t value);
void PutVarint(std::string* out, std::uint64_t value);
// Length as a varint, then the bytes.
void PutBytes(std::string* out, std::string_view bytes);

// Into the bytes at `to`.
void EncodeFixed32(char* to, std::uint32_t value);
void EncodeFixed64(char* to, std::uint64_t value);
std::uint32_t DecodeFixed32(const char* bytes);
std::uint64_t DecodeFixed64(const char* bytes);
std::uint64_t DecodeBigEndian64(const char* bytes);

// Takes values from the front of a buffer. After the first value that is not there in full every
// further one is zero or empty and ok() is false, so that a decoder checks once, at the end.
class Reader {
 public:
  // `input` must outlive the reader and the views that it returns.
  explicit Reader(std::string_view input) : rest_(input) {}

  std::uint8_t Fixed8();
  std::uint32_t Fixed32();
  std::uint64_t Fixed64();
  std::uint64_t BigEndian64();
  std::uint64_t Varint();
  std::string_view Bytes();             // With its length in front.
  std::string_view Raw(std::size_t n);  // Without.

  bool ok() const { return ok_; }
  // All was well and nothing is left: what a decoder of a whole message asks for.
  bool Done() const { return ok_ && rest_.empty(); }
  std::string_view rest() const { return rest_; }

 private:
  bool Need(std::size_t n);

  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace rutile::codec
