#pragma once

#include <cstddef>
#include <cstdint>

namespace rutile::bench {

// What operator new has given out in this process so far: it is replaced where this is linked in.
struct Allocations {
  std::uint64_t count = 0;
  std::size_t live_bytes = 0;  // As malloc has rounded them; only while that was counted.
};
Allocations CountAllocations();
// Off at first: asking malloc for each size would slow down what is measured.
void CountBytes(bool on);

}  // namespace rutile::bench
