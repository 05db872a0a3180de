#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"

namespace rutile::cmd {

// The longest time that the flags of collection take: 30 days. Longer ones are mistakes of units.
inline constexpr std::int64_t kMostGcMillis = std::int64_t{30} * 24 * 3600 * 1000;

// OK when versions may be said to live for so long. `flag` is named in the message.
Status CheckGcLife(const std::string& flag, std::int64_t life_ms);

}  // namespace rutile::cmd
