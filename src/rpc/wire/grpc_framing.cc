#include "rpc/wire/grpc_framing.h"

#include <google/protobuf/message_lite.h>

#include <algorithm>
#include <climits>
#include <cstdint>

namespace rutile::rpc {

namespace {

int HexDigit(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  return -1;
}

}  // namespace

MessagePrefix DecodePrefix(std::string_view bytes) {
  std::size_t size = 0;
  for (std::size_t i = 1; i < kPrefixBytes; ++i) {
    size = size << 8 | static_cast<unsigned char>(bytes[i]);
  }
  return {.compressed = bytes[0] != 0, .size = size};
}

std::array<char, kPrefixBytes> EncodePrefix(std::size_t size) {
  return {0, static_cast<char>(size >> 24), static_cast<char>(size >> 16),
          static_cast<char>(size >> 8), static_cast<char>(size)};
}

Status AppendFramed(const Message& message, std::string* out) {
  const std::size_t size = message.ByteSizeLong();
  if (size > INT_MAX) {
    return Status(Code::kInternal, message.GetTypeName() + " is too large to be sent");
  }
  const std::size_t begin = out->size();
  out->resize(begin + kPrefixBytes + size);
  const auto prefix = EncodePrefix(size);
  std::copy(prefix.begin(), prefix.end(), out->begin() + static_cast<std::ptrdiff_t>(begin));
  message.SerializeWithCachedSizesToArray(
      reinterpret_cast<std::uint8_t*>(out->data() + begin + kPrefixBytes));
  return Status();
}

void AppendFramed(std::string_view message, std::string* out) {
  const auto prefix = EncodePrefix(message.size());
  out->append(prefix.data(), prefix.size());
  out->append(message);
}

int ToGrpcCode(Code code) {
  switch (code) {
    case Code::kOk: return 0;
    case Code::kInvalidArgument: return 3;
    case Code::kDeadlineExceeded: return 4;
    case Code::kNotFound: return 5;
    case Code::kAlreadyExists: return 6;
    case Code::kResourceExhausted: return 8;
    case Code::kFailedPrecondition: return 9;
    case Code::kUnimplemented: return 12;
    case Code::kIoError:
    case Code::kInternal: return 13;
    case Code::kUnavailable: return 14;
    case Code::kCorruption: return 15;
  }
  return 2;
}

Status FromGrpcCode(int code, std::string_view message, std::string_view context) {
  const auto make = [&](Code ours) {
    return Status(ours, std::string(message)).WithContext(context);
  };
  switch (code) {
    case 0: return Status();
    case 3:
    case 11: return make(Code::kInvalidArgument);  // 11: out of range.
    case 4: return make(Code::kDeadlineExceeded);
    case 5: return make(Code::kNotFound);
    case 6: return make(Code::kAlreadyExists);
    case 7:
    case 9:
    case 16: return make(Code::kFailedPrecondition);  // 7, 16: who asks may not.
    case 8: return make(Code::kResourceExhausted);
    case 12: return make(Code::kUnimplemented);
    case 1:
    case 10:
    case 14: return make(Code::kUnavailable);  // 1: cancelled; 10: aborted.
    case 15: return make(Code::kCorruption);
    default: return make(Code::kInternal);
  }
}

std::string PercentEncode(std::string_view text) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    if (c >= ' ' && c <= '~' && c != '%') {
      encoded += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      encoded += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  return encoded;
}

std::string PercentDecode(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      const int high = HexDigit(text[i + 1]);
      const int low = HexDigit(text[i + 2]);
      if (high >= 0 && low >= 0) {
        decoded += static_cast<char>(high << 4 | low);
        i += 2;
        continue;
      }
    }
    decoded += text[i];
  }
  return decoded;
}

std::string EncodeTimeout(Duration timeout) {
  static constexpr std::int64_t kMost = 99'999'999;
  const std::int64_t millis = std::max<std::int64_t>(ToMilliseconds(timeout), 1);
  if (millis <= kMost) return std::to_string(millis) + "m";
  return std::to_string(std::min(millis / 1000, kMost)) + "S";
}

}  // namespace rutile::rpc
