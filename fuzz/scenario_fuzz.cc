// The reader of scenarios: any text is a scenario or a complaint that names its line.

#include <string>

#include "base/check.h"
#include "fuzz/input.h"
#include "sim/scenario_text.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = rutile::sim::ParseScenario("a.scenario", rutile::fuzz::AsText(data, size));
  if (!text.ok()) {
    RUTILE_CHECK(text.status().message().starts_with("a.scenario:"),
                 std::string(text.status().message()));
    return 0;
  }
  int last = 0;
  for (const rutile::sim::ScenarioLine& line : text.value().lines) {
    RUTILE_CHECK(line.number > last && !line.words.empty());
    last = line.number;
  }
  return 0;
}
