#pragma once

#include <cstddef>
#include <cstdint>

namespace rutile::store {

// What a client says of a request, for when there are too many of them. What has been admitted is
// served in its turn, whatever it was.
enum class Priority : std::uint8_t {
  kNormal,
  kLow,   // Not admitted any more when half of the room is taken.
  kHigh,  // Finds a little room still where others do not.
};

// How much may be taken when one of this priority comes, where `limit` is everybody's.
constexpr std::size_t LimitFor(Priority priority, std::size_t limit) {
  switch (priority) {
    case Priority::kLow: return (limit + 1) / 2;
    case Priority::kNormal: break;
    case Priority::kHigh: return limit + limit / 8;
  }
  return limit;
}

}  // namespace rutile::store
