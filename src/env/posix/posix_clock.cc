#include "env/posix/posix_clock.h"

#include <sys/random.h>
#include <time.h>

#include "base/check.h"

namespace rutile::posix {
namespace {

std::int64_t Nanoseconds(clockid_t clock) {
  timespec now{};
  RUTILE_CHECK(::clock_gettime(clock, &now) == 0);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

Instant PosixClock::Now() const { return Instant(Duration(Nanoseconds(CLOCK_MONOTONIC))); }

std::uint64_t PosixClock::WallMillis() const {
  return static_cast<std::uint64_t>(Nanoseconds(CLOCK_REALTIME) / 1'000'000);
}

std::uint64_t RandomSeed() {
  std::uint64_t seed = 0;
  RUTILE_CHECK(::getrandom(&seed, sizeof(seed), 0) == sizeof(seed));
  return seed;
}

}  // namespace rutile::posix
