#include "env/sim/sim_clock.h"

#include <algorithm>

#include "base/check.h"

namespace rutile::sim {
namespace {

constexpr std::int64_t kMillion = 1'000'000;

// span * numerator / denominator without overflow; floating point would differ between machines.
Duration Scale(Duration span, std::int64_t numerator, std::int64_t denominator) {
  const std::int64_t whole = span.count() / denominator;
  const std::int64_t part = span.count() % denominator;
  return Duration(whole * numerator + part * numerator / denominator);
}

}  // namespace

SimClock::SimClock(World& world, const Options& options)
    : world_(world), wall_offset_ms_(options.wall_offset_ms) {
  RUTILE_CHECK(options.drift_ppm > -kMillion);
  stretches_.push_back(
      {.from = world.Now(), .shown = Instant(options.start), .drift_ppm = options.drift_ppm});
}

Instant SimClock::ShownAt(Duration moment) const {
  auto stretch = stretches_.rbegin();
  while (moment < stretch->from && stretch + 1 != stretches_.rend()) ++stretch;
  return stretch->shown + Scale(moment - stretch->from, kMillion + stretch->drift_ppm, kMillion);
}

Instant SimClock::Now() const {
  latest_read_ = std::max(latest_read_, world_.Now());
  return ShownAt(world_.Now());
}

std::uint64_t SimClock::WallMillis() const {
  if (frozen_wall_) return *frozen_wall_;
  const std::int64_t millis =
      static_cast<std::int64_t>(kWallStartMillis) + ToMilliseconds(world_.Now()) + wall_offset_ms_;
  return millis > 0 ? static_cast<std::uint64_t>(millis) : 0;
}

void SimClock::SetDrift(std::int64_t drift_ppm) {
  RUTILE_CHECK(drift_ppm > -kMillion);
  const Duration from = std::max({world_.Now(), latest_read_, stretches_.back().from});
  stretches_.push_back({.from = from, .shown = ShownAt(from), .drift_ppm = drift_ppm});
}

Duration SimClock::InWorld(Duration span) const {
  return Scale(span, kMillion, kMillion + stretches_.back().drift_ppm);
}

}  // namespace rutile::sim
