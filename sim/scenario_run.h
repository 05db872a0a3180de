#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "sim/scenario_level.h"
#include "sim/scenario_text.h"

namespace rutile::sim {

struct ScenarioOutcome {
  // "file:line: what is not as it must be", or what in the file cannot be understood.
  Status status = {};
  // All that happened: each statement, and under it, indented, what it set in motion.
  std::string story = {};
  // The same for pictures, if it was asked for.
  std::optional<Timeline> timeline = {};
};

// The level that a scenario names. What is wrong with its name is an error.
Result<std::unique_ptr<ScenarioLevel>> NewScenarioLevel(const ScenarioText& scenario);

// Reads and plays one scenario. A function of its arguments. Nothing is played unless the whole
// file can be understood.
ScenarioOutcome RunScenario(std::string_view file, std::string_view text,
                            bool with_timeline = false);

// All verbs and conditions of all levels, for people.
std::string DescribeScenarioLanguage();

}  // namespace rutile::sim
