#pragma once

#include <chrono>
#include <cstdint>

namespace rutile {

// A span of time, in nanoseconds.
using Duration = std::chrono::nanoseconds;

// The tag of the monotonic clock. It has no now(): only env's Clock tells the time, so that nothing
// can read a clock behind the simulator's back.
struct MonotonicClock {
  using rep = Duration::rep;
  using period = Duration::period;
  using duration = Duration;
  static constexpr bool is_steady = true;
};

// A point on the monotonic clock of this process. Meaningful only as a difference to another
// Instant of the same process; never sent, never stored.
using Instant = std::chrono::time_point<MonotonicClock, Duration>;

constexpr Duration Milliseconds(std::int64_t count) { return std::chrono::milliseconds(count); }
constexpr Duration Microseconds(std::int64_t count) { return std::chrono::microseconds(count); }
constexpr Duration Seconds(std::int64_t count) { return std::chrono::seconds(count); }
constexpr std::int64_t ToMilliseconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}
constexpr std::int64_t ToMicroseconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
}
constexpr double ToSeconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace rutile
