#pragma once

#include <string>
#include <vector>

namespace rutile::cmd {

// What is told of scenarios besides how they ended.
struct ScenarioOutputs {
  bool story = false;     // All that happened, on stdout.
  std::string html = {};  // A file for a page that shows it; empty: none. For one scenario only.
  std::string svg = {};   // Likewise, for a picture.
};

// `rutile sim --scenario`: plays the files at `paths`, or all *.scenario of a directory, in the
// order of their names, and says of each how it ended. Returns the exit code: kExitUsage for what
// cannot be read or understood, kExitFailed for a scenario that failed.
int PlayScenarios(const std::vector<std::string>& paths, const ScenarioOutputs& outputs);

// `rutile sim --list`: what there is at `paths`, one scenario a line with the bug that it replays.
int ListScenarios(const std::vector<std::string>& paths);

// All verbs and conditions of the language.
int DescribeScenarios();

}  // namespace rutile::cmd
