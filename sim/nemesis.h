#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/time.h"
#include "env/sim/world.h"
#include "sim/cluster.h"

namespace rutile::sim {

// What may befall a cluster.
enum class Fault : std::uint8_t {
  kKill,       // A process dies and is started again.
  kPowerCut,   // A machine loses power, often in the middle of a write.
  kDiskError,  // A write or a sync fails: the node must stop. The machine is rebooted.
  kDiskStall,  // A disk answers nothing for a while.
  kSlow,       // One thread of a process is slow.
  kPause,      // A process is stopped and goes on later.
  kIsolate,    // A node is cut off.
  kHalves,     // The nodes fall into two groups that do not hear each other.
  kOneWay,     // A node is heard and does not hear, or the other way round.
  kClock,      // A wall clock jumps, a monotonic one changes its rate.
};
inline constexpr std::array kAllFaults = {
    Fault::kKill,  Fault::kPowerCut, Fault::kDiskError, Fault::kDiskStall, Fault::kSlow,
    Fault::kPause, Fault::kIsolate,  Fault::kHalves,    Fault::kOneWay,    Fault::kClock};
std::string_view ToString(Fault fault);

// Brings faults upon a cluster, one after another and several at a time, and starts again what
// died.
class Nemesis {
 public:
  struct Options {
    std::vector<Fault> faults = {};  // Each is as likely as the others.
    Duration mean_pause = Milliseconds(800);
    Duration max_fault = Seconds(3);  // How long one lasts, or a process stays dead.
    // Monotonic clocks of two nodes differ by less than twice this; leases rely on a bound.
    std::int64_t max_drift_ppm = 10'000;
  };

  // Both outlive the nemesis, which must not be destroyed before the world has stopped.
  Nemesis(World& world, Cluster& cluster, const Options& options);

  void Start();
  // Ends all faults, for good, and starts what is down. What is broken already (power that is about
  // to fail) may still happen.
  void Stop();
  std::uint64_t count(Fault fault) const { return counts_[static_cast<std::size_t>(fault)]; }

 private:
  void Strike();
  void Bring(Fault fault, std::size_t node, Duration span);
  void CutLinks(Fault fault, std::size_t node);
  // Starts the node again when it is down.
  void Watch();
  void Later(Duration delay, Task task);
  Duration Draw(Duration max);

  World& world_;
  Cluster& cluster_;
  const Options options_;
  SeededRandom random_;
  std::array<std::uint64_t, kAllFaults.size()> counts_ = {};
  std::vector<Duration> down_until_;
  bool stopped_ = false;
};

}  // namespace rutile::sim
