#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "sim/run_file.h"

namespace rutile::sim {

struct MinimizeOptions {
  // Whether a run still fails in the way that is being looked for.
  std::function<bool(const RunFile&)> fails;
  // Is told what was found, in one line, as it is found.
  std::function<void(const std::string&)> progress = {};
  std::uint64_t max_runs = 2000;
};

struct Minimized {
  RunFile run;
  std::uint64_t runs = 0;  // That were tried.
};

// The shortest run that still fails: faults are taken out in halves, quarters and so on down to
// single ones ("ddmin" of Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing
// Input", 2002), those that are left are made shorter, then options are set to what is simplest, as
// long as something can be left out. Requires that `run` fails.
Minimized Minimize(RunFile run, const MinimizeOptions& options);

}  // namespace rutile::sim
