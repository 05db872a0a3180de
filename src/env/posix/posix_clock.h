#pragma once

#include <cstdint>

#include "base/time.h"
#include "env/env.h"

namespace rutile::posix {

// The machine's clocks: CLOCK_MONOTONIC and CLOCK_REALTIME.
class PosixClock final : public Clock {
 public:
  Instant Now() const override;
  std::uint64_t WallMillis() const override;
};

// A seed from the kernel's random source.
std::uint64_t RandomSeed();

}  // namespace rutile::posix
