#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "cmd/sim_jobs.h"
#include "sim/run_file.h"
#include "sim/simulation.h"
#include "sim/simulation_picture.h"

namespace rutile::cmd {

using SimSettings = std::vector<std::pair<std::string, std::int64_t>>;

// Many seeds, and how.
struct ManySeeds {
  std::vector<std::uint64_t> given = {};  // These first, each once,
  std::uint64_t first = 1;                // then those from here on,
  std::uint64_t count = 0;                // so many (0: none, or with a time any number),
  std::optional<Duration> time = {};      // of those that begin within this time.
  SimSettings settings = {};
  std::size_t jobs = 1;
  bool print_probes = false;       // How often each was reached, at the end.
  std::uint64_t twice_every = 50;  // Seeds that are its multiples are run twice and compared.
};

// What a run leaves behind beside its report.
struct RunOutputs {
  std::string history = {};        // A file (.edn or .json) for the clients' history; empty: none.
  std::string html = {};           // A file for a page that shows the run; empty: none.
  sim::PictureWindow window = {};  // Of the page.
  std::string repeat = {};         // The command that gives the run again, for the page.
};

// One simulation: what came of it. A file that cannot be written is a violation.
SimReport RunSimulation(const sim::RunFile& run, const sim::SimulationOptions& options,
                        const RunOutputs& outputs = {});
// kIoError says which file it is.
Status WriteText(const std::string& path, const std::string& text);
// The command line that repeats a run of a seed.
std::string RepeatLine(std::uint64_t seed, const SimSettings& settings);
void PrintReport(const SimReport& report, const std::string& repeat);

// Each returns the exit code.
int RunManySeeds(const ManySeeds& many);
// Shortens a run that fails and writes it to `out`. Each try has a process of its own.
int MinimizeRun(const sim::RunFile& run, const std::string& out);
// How many simulated seconds a second there are of the standard load: three nodes, 200 operations a
// second, no faults.
int MeasureSpeed();
// A few seeds, with words for who has never seen it.
int GuidedRun();

}  // namespace rutile::cmd
