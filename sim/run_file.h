#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "sim/options.h"

namespace rutile::sim {

// What one run is made of, as a text that a person may read, shorten and play again:
//
//   # Anything after a '#' is for people.
//   seed 17
//   set clients=2
//   1.250000 kill n2 for 0.300000
//
// One `seed`, then any `set` lines, which replace what the seed drew, then the faults; their order
// does not matter.
struct RunFile {
  std::uint64_t seed = 0;
  std::vector<std::pair<std::string, std::int64_t>> settings = {};
  FaultScript script = {};
};

std::string ToString(const RunFile& run);
// kInvalidArgument: "<name>:<line>: expected ..., found ...".
Result<RunFile> ParseRunFile(std::string_view text, const std::string& name);

// A seed, as in "17" or "0x1F". kInvalidArgument.
Result<std::uint64_t> ParseSeed(std::string_view text);
// A setting, as in "clients=2"; its name and value are not checked.
Result<std::pair<std::string, std::int64_t>> ParseSetting(std::string_view text);
// What the seed draws, with the settings in place of some of it.
Result<SimulationOptions> DrawOptionsWith(
    std::uint64_t seed, const std::vector<std::pair<std::string, std::int64_t>>& settings);
// The script that a run with these options plays.
FaultScript ScriptOf(std::uint64_t seed, const SimulationOptions& options);

}  // namespace rutile::sim
