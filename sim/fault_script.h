#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/status.h"
#include "base/time.h"

namespace rutile::sim {

// What may befall a cluster. docs/simulation.md says of each what it is.
enum class Fault : std::uint8_t {
  // Of the network.
  kLoss,
  kDelay,
  kDuplicate,
  kEcho,
  kReorder,
  kIsolate,
  kHalves,
  kOneWay,
  kBridge,
  kRing,
  kFlap,
  kClog,
  kStale,
  // Of processes and machines.
  kKill,
  kRestart,
  kEstrange,
  kPause,
  kSlow,
  kStop,
  kCrashLoop,
  kBlackout,
  kTransfer,
  kMembers,
  // Of clocks.
  kWallJump,
  kDrift,
  kFreeze,
  kLeap,
  // Of disks.
  kPowerCut,
  kWriteError,
  kSyncError,
  kReadError,
  kBitRot,
  kDiskFull,
  kDiskSlow,
  kDiskStall,
  kDiskLost,
};

struct FaultKind {
  Fault fault;
  std::string_view name;
  std::string_view catalogue;  // Its numbers in the fault model of docs/simulation.md.
  // What its numbers mean; empty: it has fewer.
  std::string_view first = {};
  std::string_view second = {};
  bool is_lasting = false;  // Nothing heals it: only nodes that may stay dead are hit.
};

inline constexpr std::array<FaultKind, 36> kFaultKinds = {{
    {Fault::kLoss, "loss", "F1", "per-million"},
    {Fault::kDelay, "delay", "F2", "per-million", "tail-us"},
    {Fault::kDuplicate, "duplicate", "F3", "per-million"},
    {Fault::kEcho, "echo", "F3 F14", "late-ms"},
    {Fault::kReorder, "reorder", "F4", "spread-us"},
    {Fault::kIsolate, "isolate", "F5"},
    {Fault::kHalves, "halves", "F5", "mask"},
    {Fault::kOneWay, "one-way", "F6", "deaf"},
    {Fault::kBridge, "bridge", "F7", "mask"},
    {Fault::kRing, "ring", "F7"},
    {Fault::kFlap, "flap", "F8", "period-us"},
    {Fault::kClog, "clog", "F9", "mask"},
    {Fault::kStale, "stale", "F14"},
    {Fault::kKill, "kill", "F15"},
    {Fault::kRestart, "restart", "F15", "mask", "down-ms"},
    {Fault::kEstrange, "estrange", "F7 F15", "after-ms", "down-ms"},
    {Fault::kPause, "pause", "F16"},
    {Fault::kSlow, "slow", "F21", "executor", "task-us"},
    {Fault::kStop, "stop", "F21", "executor"},
    {Fault::kCrashLoop, "crash-loop", "F18", "depth", "changes"},
    {Fault::kBlackout, "blackout", "F19", "changes"},
    {Fault::kTransfer, "transfer", "none", "to", "deaf-us"},
    {Fault::kMembers, "members", "none", "choice"},
    {Fault::kWallJump, "wall-jump", "F23", "ms"},
    {Fault::kDrift, "drift", "F24 F26", "ppm"},
    {Fault::kFreeze, "freeze", "F25", "monotonic"},
    {Fault::kLeap, "leap", "F27", "ms"},
    {Fault::kPowerCut, "power-cut", "F28 F29 F30 F42", "changes"},
    {Fault::kWriteError, "write-error", "F39", "count"},
    {Fault::kSyncError, "sync-error", "F31"},
    {Fault::kReadError, "read-error", "F33"},
    {Fault::kBitRot, "bit-rot", "F34", "file", "bit", true},
    {Fault::kDiskFull, "disk-full", "F38", "room"},
    {Fault::kDiskSlow, "disk-slow", "F40", "factor", "operation"},
    {Fault::kDiskStall, "disk-stall", "F41"},
    {Fault::kDiskLost, "disk-lost", "F43", "", "", true},
}};

const FaultKind& KindOf(Fault fault);
inline std::string_view ToString(Fault fault) { return KindOf(fault).name; }
const FaultKind* FindFault(std::string_view name);

// One fault at its time. Each stands for itself: any others may be taken out of a script.
struct TimedFault {
  // The node that leads the user's data when the fault comes, instead of one known before.
  static constexpr std::size_t kLeader = SIZE_MAX;

  Duration at = {};  // Since the world began; whole microseconds.
  Fault fault = Fault::kKill;
  std::size_t node = 0;
  Duration span = {};  // How long it lasts, or the process stays dead; whole microseconds.
  std::int64_t first = 0;
  std::int64_t second = 0;

  friend bool operator==(const TimedFault&, const TimedFault&) = default;
};

// All that befalls a cluster in one run, by time.
using FaultScript = std::vector<TimedFault>;

struct FaultDraw {
  // Each with how much likelier it is than one of weight 1.
  struct Weighted {
    Fault fault = {};
    std::uint32_t weight = 1;
  };
  std::vector<Weighted> faults = {};
  Duration mean_pause = Milliseconds(800);  // Between two.
  Duration max_span = Seconds(3);
  // Monotonic clocks of two nodes differ by less than twice this; leases rely on a bound.
  std::int64_t max_drift_ppm = 10'000;
  bool freeze_monotonic = false;  // Clocks that stand still, which no lease survives.
  // The nodes that lasting damage may hit: a minority.
  std::vector<std::size_t> expendable = {};
  // How often, besides, the leader of the user's data is told to change its members, or to hand its
  // leadership over; at least once each unless this is zero.
  std::size_t moves = 0;
  // How many faults of disks, besides, that pass: for runs of which each must have some.
  std::size_t disk_faults = 0;
};

// Faults for the first `time` of a cluster of `nodes`.
FaultScript DrawFaults(Random& random, const FaultDraw& draw, std::size_t nodes, Duration time);

// Adds `draw.moves` to a script, from a generator of their own.
void AddMoves(Random& random, const FaultDraw& draw, std::size_t nodes, Duration time,
              FaultScript* script);
// Likewise, `draw.disk_faults`.
void AddDiskFaults(Random& random, const FaultDraw& draw, std::size_t nodes, Duration time,
                   FaultScript* script);

// As in "1.250000 kill n2 for 0.300000" or "3.000000 slow leader for 1.000000 executor=2
// task-us=500"; times in seconds. What ParseFault takes.
std::string ToString(const TimedFault& fault);
// Of a cluster of `nodes`. kInvalidArgument says what was expected.
Result<TimedFault> ParseFault(std::string_view line, std::size_t nodes);

}  // namespace rutile::sim
