#include "env/sim/sim_clock.h"

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
    : world_(world),
      since_(world.Now()),
      shown_(options.start),
      drift_ppm_(options.drift_ppm),
      wall_offset_ms_(options.wall_offset_ms) {
  RUTILE_CHECK(drift_ppm_ > -kMillion);
}

Instant SimClock::Now() const {
  return shown_ + Scale(world_.Now() - since_, kMillion + drift_ppm_, kMillion);
}

std::uint64_t SimClock::WallMillis() const {
  const std::int64_t millis =
      static_cast<std::int64_t>(kWallStartMillis) + ToMilliseconds(world_.Now()) + wall_offset_ms_;
  return millis > 0 ? static_cast<std::uint64_t>(millis) : 0;
}

void SimClock::SetDrift(std::int64_t drift_ppm) {
  RUTILE_CHECK(drift_ppm > -kMillion);
  shown_ = Now();
  since_ = world_.Now();
  drift_ppm_ = drift_ppm;
}

Duration SimClock::InWorld(Duration span) const {
  return Scale(span, kMillion, kMillion + drift_ppm_);
}

}  // namespace rutile::sim
