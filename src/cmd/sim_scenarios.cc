#include "cmd/sim_scenarios.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <functional>

#include "base/status.h"
#include "cmd/commands.h"
#include "cmd/read_file.h"
#include "cmd/sim_run.h"
#include "sim/page.h"
#include "sim/scenario_run.h"
#include "sim/timeline_svg.h"

namespace rutile::cmd {
namespace {

namespace fs = std::filesystem;

// The files that a path names: itself, or what a directory holds.
Result<std::vector<fs::path>> FilesAt(const std::string& path) {
  std::error_code error;
  if (!fs::exists(path, error)) {
    return Status(Code::kInvalidArgument, path + ": expected a file or a directory, found nothing");
  }
  if (!fs::is_directory(path, error)) return std::vector<fs::path>{path};
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(path, error)) {
    if (entry.path().extension() == ".scenario") files.push_back(entry.path());
  }
  if (error) return Status(Code::kInvalidArgument, path + ": " + error.message());
  if (files.empty()) {
    return Status(Code::kInvalidArgument, path + ": expected files named *.scenario, found none");
  }
  std::sort(files.begin(), files.end());
  return files;
}

// Gives the text of each file to `use`, whose result is the exit code of the file; the worst
// counts.
int ForEach(const std::vector<std::string>& paths,
            const std::function<int(const fs::path&, const std::string&)>& use) {
  int code = kExitOk;
  for (const std::string& path : paths) {
    const Result<std::vector<fs::path>> files = FilesAt(path);
    if (!files.ok()) return Fail(files.status());
    for (const fs::path& file : files.value()) {
      const Result<std::string> text = ReadFile(file);
      if (!text.ok()) return Fail(text.status());
      code = std::max(code, use(file, text.value()));
    }
  }
  return code;
}

bool IsOneFile(const std::vector<std::string>& paths) {
  std::error_code error;
  return paths.size() == 1 && !fs::is_directory(paths.front(), error);
}

std::string PageOf(const fs::path& file, const std::string& text,
                   const sim::ScenarioOutcome& outcome) {
  const Result<sim::ScenarioText> scenario = sim::ParseScenario(file.string(), text);
  sim::PageWords words{.title = file.stem().string(),
                       .repeat = "rutile sim --scenario " + file.string()};
  if (scenario.ok()) {
    words.window = scenario.value().Header("what");
    words.has_clock = scenario.value().Header("level") == "cluster";
  }
  if (!outcome.status.ok()) words.violations.emplace_back(outcome.status.message());
  return sim::RenderPage(*outcome.timeline, words);
}

// The files of `outputs` that show what happened.
Status Draw(const fs::path& file, const std::string& text, const sim::ScenarioOutcome& outcome,
            const ScenarioOutputs& outputs) {
  if (!outcome.timeline) return {};  // The file could not be understood: nothing was played.
  if (!outputs.html.empty()) {
    RUTILE_RETURN_IF_ERROR(WriteText(outputs.html, PageOf(file, text, outcome)));
  }
  if (outputs.svg.empty()) return {};
  return WriteText(outputs.svg, sim::RenderTimelineSvg(*outcome.timeline, file.stem().string()));
}

}  // namespace

int PlayScenarios(const std::vector<std::string>& paths, const ScenarioOutputs& outputs) {
  const bool draws = !outputs.html.empty() || !outputs.svg.empty();
  if (draws && !IsOneFile(paths)) {
    return Fail({Code::kInvalidArgument, "--html and --svg: expected one scenario to draw"});
  }
  int played = 0;
  int failed = 0;
  const int code = ForEach(paths, [&](const fs::path& file, const std::string& text) {
    const sim::ScenarioOutcome outcome = sim::RunScenario(file.string(), text, draws);
    ++played;
    if (outputs.story) std::fputs(outcome.story.c_str(), stdout);
    const Status drawn = Draw(file, text, outcome, outputs);
    if (!drawn.ok()) return Fail(drawn);
    if (outcome.status.ok()) {
      std::printf("ok    %s\n", file.stem().c_str());
      return kExitOk;
    }
    ++failed;
    std::printf("FAIL  %s\n", file.stem().c_str());
    std::fprintf(stderr, "error: %s\n", std::string(outcome.status.message()).c_str());
    return outcome.status.code() == Code::kInvalidArgument ? kExitUsage : kExitFailed;
  });
  if (played > 1) std::printf("%d scenarios, %d failed\n", played, failed);
  return code;
}

int ListScenarios(const std::vector<std::string>& paths) {
  return ForEach(paths, [](const fs::path& file, const std::string& text) {
    const Result<sim::ScenarioText> scenario = sim::ParseScenario(file.string(), text);
    if (!scenario.ok()) return Fail(scenario.status());
    std::printf("%-8s %-8s %s\n         %s\n", scenario.value().Header("museum").c_str(),
                scenario.value().Header("level").c_str(), file.stem().c_str(),
                scenario.value().Header("bug").c_str());
    return kExitOk;
  });
}

int DescribeScenarios() {
  std::fputs(sim::DescribeScenarioLanguage().c_str(), stdout);
  return kExitOk;
}

}  // namespace rutile::cmd
