// Plays every file of tests/scenarios, and holds each to the form that its readers rely on.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "sim/scenario_run.h"

namespace rutile::sim {
namespace {

std::string ReadFile(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

std::vector<std::filesystem::path> AllFiles() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry :
       std::filesystem::directory_iterator(RUTILE_SOURCE_DIR "/tests/scenarios")) {
    if (entry.path().extension() == ".scenario") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string NameOf(const ::testing::TestParamInfo<std::filesystem::path>& info) {
  std::string name = info.param.stem().string();
  std::replace_if(
      name.begin(), name.end(), [](char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

class ScenarioFiles : public ::testing::TestWithParam<std::filesystem::path> {};

TEST_P(ScenarioFiles, EndsWell) {
  const std::string text = ReadFile(GetParam());
  const ScenarioOutcome outcome = RunScenario(GetParam().filename().string(), text);
  EXPECT_TRUE(outcome.status.ok()) << outcome.story << outcome.status.ToString();
}

// The same text gives the same story, so that what failed can be looked at.
TEST_P(ScenarioFiles, IsTheSameEveryTime) {
  const std::string text = ReadFile(GetParam());
  EXPECT_EQ(RunScenario("a", text).story, RunScenario("a", text).story);
}

// docs/scenarios.md says for each entry of the museum which file replays it.
TEST_P(ScenarioFiles, StandsInTheDocumentation) {
  static const std::string kPage = ReadFile(RUTILE_SOURCE_DIR "/docs/scenarios.md");
  const std::string name = GetParam().filename().string();
  const Result<ScenarioText> scenario = ParseScenario(name, ReadFile(GetParam()));
  ASSERT_TRUE(scenario.ok());
  const std::size_t at = kPage.find("| [" + GetParam().stem().string() + "](../tests/scenarios/");
  ASSERT_NE(at, std::string::npos) << name << " is not in the table";
  const std::size_t begin = kPage.rfind('\n', at) + 1;
  const std::string row = kPage.substr(begin, kPage.find('\n', at) - begin);
  for (const char* header : {"museum", "oracle", "level"}) {
    EXPECT_NE(row.find("| " + scenario.value().Header(header) + " |"), std::string::npos)
        << row << " does not say " << header << ": " << scenario.value().Header(header);
  }
}

TEST(ScenarioLanguage, EveryVerbStandsInTheDocumentation) {
  const std::string page = ReadFile(RUTILE_SOURCE_DIR "/docs/scenarios.md");
  for (const char* name : {"core", "cluster"}) {
    ScenarioText scenario;
    scenario.headers["level"] = name;
    const auto level = NewScenarioLevel(scenario);
    ASSERT_TRUE(level.ok());
    for (const auto& [unused, verb] : level.value()->verbs()) {
      EXPECT_NE(page.find("    " + verb.usage + "\n"), std::string::npos) << verb.usage;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, ScenarioFiles, ::testing::ValuesIn(AllFiles()), NameOf);

}  // namespace
}  // namespace rutile::sim
