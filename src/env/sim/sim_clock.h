#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/time.h"
#include "env/env.h"
#include "env/sim/world.h"

namespace rutile::sim {

// The clocks of one machine, which need not agree with those of another: the monotonic one starts
// anywhere and runs at a rate of its own, the wall clock is off and can be set.
class SimClock final : public Clock {
 public:
  struct Options {
    Duration start = Seconds(1000);  // What the monotonic clock shows when the world begins.
    // Parts per million by which this clock is fast (or slow, when negative). Above -1,000,000.
    std::int64_t drift_ppm = 0;
    std::int64_t wall_offset_ms = 0;
  };
  // The wall clock of a world begins here: 2026-01-01 00:00:00 UTC.
  static constexpr std::uint64_t kWallStartMillis = 1'767'225'600'000;

  explicit SimClock(World& world) : SimClock(world, Options()) {}
  SimClock(World& world, const Options& options);

  Instant Now() const override;
  std::uint64_t WallMillis() const override;

  // From now on, or from the latest moment at which anybody has read the clock. The monotonic clock
  // makes no jump.
  void SetDrift(std::int64_t drift_ppm);
  // Sets the wall clock forward or back.
  void JumpWall(std::int64_t by_ms) { wall_offset_ms_ += by_ms; }
  // The wall clock stands still until it is thawed, and then shows what it would have shown.
  void FreezeWall() { frozen_wall_ = WallMillis(); }
  void ThawWall() { frozen_wall_.reset(); }

  // How long a span of this clock takes in the world.
  Duration InWorld(Duration span) const;

 private:
  // From a moment of the world on the clock runs at one rate.
  struct Stretch {
    Duration from = {};
    Instant shown = {};  // By the clock, at `from`.
    std::int64_t drift_ppm = 0;
  };

  Instant ShownAt(Duration moment) const;

  World& world_;
  std::vector<Stretch> stretches_;  // In order.
  std::int64_t wall_offset_ms_;
  std::optional<std::uint64_t> frozen_wall_;
  // An event that took up time may have read the clock ahead of the world.
  mutable Duration latest_read_ = {};
};

}  // namespace rutile::sim
