#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace rutile::sim {

// One word of a scenario: what stands between blanks, or between quotation marks.
struct ScenarioWord {
  std::string text;
  bool quoted = false;
};

// One statement: a verb and what belongs to it.
struct ScenarioLine {
  int number = 0;  // From 1, in its file.
  std::vector<ScenarioWord> words;
};

// A scenario as it stands in its file: headers (`name: text`, continued by indented lines), then
// one statement a line. `#` begins a comment. Said in full in docs/scenarios.md.
struct ScenarioText {
  std::string file;
  std::map<std::string, std::string> headers;
  std::vector<ScenarioLine> lines;

  // The text of a header, empty when it is not there.
  std::string Header(const std::string& name) const;
};

// Reads a scenario. What is wrong is said as "file:line: what was found, what was expected".
// `file` is for messages only. Verbs are not looked at here: which there are depends on the level.
Result<ScenarioText> ParseScenario(std::string_view file, std::string_view text);

}  // namespace rutile::sim
