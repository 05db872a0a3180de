#include "codec/api_version.h"

#include "base/check.h"

namespace rutile::codec {
namespace {

char ByteOf(KeyMode mode) { return static_cast<char>(mode); }

bool HasMode(KeyMode mode, std::string_view key) {
  return !key.empty() && key.front() == ByteOf(mode);
}

// Enough of it for a person to tell whose it is; a key may be long, and hold anything.
std::string Shown(std::string_view key) {
  constexpr char kDigits[] = "0123456789abcdef";
  constexpr std::size_t kShownBytes = 16;
  if (key.empty()) return "(empty)";
  std::string text = "0x";
  for (const char c : key.substr(0, kShownBytes)) {
    const auto byte = static_cast<unsigned char>(c);
    text += {kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return key.size() > kShownBytes ? text + "..." : text;
}

std::string Wanted(KeyMode mode) {
  const bool is_raw = mode == KeyMode::kRaw;
  return std::string(is_raw ? "raw" : "transactional") + " keys of API version V2 begin with '" +
         ByteOf(mode) + "' and three bytes of a keyspace's id";
}

std::string Prefix(std::uint32_t mode_and_keyspace) {
  std::string prefix;
  for (int shift = 24; shift >= 0; shift -= 8) {
    prefix.push_back(static_cast<char>(mode_and_keyspace >> shift));
  }
  return prefix;
}

std::uint32_t Number(KeyMode mode, std::uint32_t keyspace) {
  RUTILE_CHECK(keyspace <= kMaxKeyspaceId);
  return static_cast<std::uint32_t>(static_cast<unsigned char>(ByteOf(mode))) << 24 | keyspace;
}

}  // namespace

std::string_view ToString(ApiVersion version) { return version == ApiVersion::kV2 ? "v2" : "v1"; }

Result<ApiVersion> ParseApiVersion(std::string_view text) {
  for (const ApiVersion version : {ApiVersion::kV1, ApiVersion::kV2}) {
    if (text == ToString(version)) return version;
  }
  return Status(Code::kInvalidArgument,
                "there is no API version '" + std::string(text) + "'; v1 and v2 are served");
}

std::string KeyspacePrefix(KeyMode mode, std::uint32_t keyspace) {
  return Prefix(Number(mode, keyspace));
}

// Behind the last keyspace the mode's own byte is over: 's' and 'y', which no key begins with.
std::string KeyspaceEnd(KeyMode mode, std::uint32_t keyspace) {
  return Prefix(Number(mode, keyspace) + 1);
}

std::string ModeBegin(KeyMode mode) { return std::string(1, ByteOf(mode)); }
std::string ModeEnd(KeyMode mode) { return std::string(1, static_cast<char>(ByteOf(mode) + 1)); }

Status CheckKeyMode(KeyMode mode, std::string_view key) {
  if (HasMode(mode, key) && key.size() >= kKeyspacePrefixBytes) return {};
  return Status(Code::kInvalidArgument,
                "InvalidKeyMode: key " + Shown(key) + ": " + Wanted(mode) +
                    "; use a client that was told API version V2 and the kind of keys");
}

Status CheckRangeMode(KeyMode mode, std::string_view lower, std::string_view upper) {
  const bool ends_within =
      HasMode(mode, upper) || upper == ModeEnd(mode) || upper == KeyspaceEnd(mode, kMaxKeyspaceId);
  if (HasMode(mode, lower) && ends_within) return {};
  return Status(Code::kInvalidArgument, "InvalidKeyRangeMode: keys from " + Shown(lower) +
                                            " up to " + Shown(upper) + ": " + Wanted(mode) +
                                            ", and both borders of a range have to say so");
}

}  // namespace rutile::codec
