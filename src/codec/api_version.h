#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace rutile::codec {

// Whose keys a cluster holds. Chosen when it begins and never changed, so that no key can be taken
// for another's; docs/decisions/0006-one-api-version-a-cluster.md.
enum class ApiVersion : std::uint8_t {
  kV1 = 1,  // Any bytes. Raw keys stand in the engine as they are, transactional ones encoded.
  kV2 = 2,  // A mode, three bytes of a keyspace's id, then any bytes. All are encoded.
};

// The first byte of a key of V2. It says of a key which calls may see it.
enum class KeyMode : char { kRaw = 'r', kTransactional = 'x' };

// What every key of V2 has: a mode and a keyspace's id, which goes from 0 to this.
inline constexpr std::size_t kKeyspacePrefixBytes = 4;
inline constexpr std::uint32_t kMaxKeyspaceId = 0xFF'FFFF;

std::string_view ToString(ApiVersion version);  // "v1", "v2".
// kInvalidArgument for anything else; the message says what there is.
Result<ApiVersion> ParseApiVersion(std::string_view text);

// What the keys of a keyspace begin with, and the first key behind all of them. Require an id up to
// kMaxKeyspaceId.
std::string KeyspacePrefix(KeyMode mode, std::uint32_t keyspace);
std::string KeyspaceEnd(KeyMode mode, std::uint32_t keyspace);
// All keys of a mode: [begin, end).
std::string ModeBegin(KeyMode mode);
std::string ModeEnd(KeyMode mode);

// Whether a call of `mode` may be about `key`, respectively about the keys of [lower, upper).
// kInvalidArgument says why not, for a person. A range has both borders, for without one it would
// reach into the other mode; that it is reversed is none of their business.
Status CheckKeyMode(KeyMode mode, std::string_view key);
Status CheckRangeMode(KeyMode mode, std::string_view lower, std::string_view upper);

}  // namespace rutile::codec
