#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/time.h"
#include "rpc/seam/stream.h"

// How gRPC lies in HTTP/2: github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md and doc/statuscodes.md.
namespace rutile::rpc {

inline constexpr std::size_t kPrefixBytes = 5;

// What a prefix says.
struct MessagePrefix {
  bool compressed = false;
  std::size_t size = 0;
};
// Requires `bytes` to hold a prefix.
MessagePrefix DecodePrefix(std::string_view bytes);
// The prefix of an uncompressed message.
std::array<char, kPrefixBytes> EncodePrefix(std::size_t size);
// Appends `message` with its prefix. kInternal when it is too large to be encoded at all.
Status AppendFramed(const Message& message, std::string* out);
void AppendFramed(std::string_view message, std::string* out);

int ToGrpcCode(Code code);
// OK for 0; else with `context`, which names the call, in front of the message.
Status FromGrpcCode(int code, std::string_view message, std::string_view context);

// Of the header grpc-message.
std::string PercentEncode(std::string_view text);
std::string PercentDecode(std::string_view text);
// Of the header grpc-timeout, which has at most eight digits.
std::string EncodeTimeout(Duration timeout);

}  // namespace rutile::rpc
