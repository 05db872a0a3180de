#include "sim/scenario_run.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "sim/scenario_cluster.h"
#include "sim/scenario_core.h"

namespace rutile::sim {
namespace {

std::unique_ptr<ScenarioLevel> LevelNamed(std::string_view name) {
  if (name == "core") return std::make_unique<CoreLevel>();
  if (name == "cluster") return std::make_unique<ClusterLevel>();
  return nullptr;
}

struct Step {
  const ScenarioLine* line = nullptr;
  ScenarioAction action;
};

std::string Show(const ScenarioLine& line) {
  std::string text;
  for (const ScenarioWord& word : line.words) {
    if (!text.empty()) text += " ";
    text += word.quoted ? "\"" + word.text + "\"" : word.text;
  }
  return text;
}

std::string Indent(const std::string& lines) {
  std::string text;
  for (std::size_t i = 0; i < lines.size();) {
    const std::size_t end = std::min(lines.find('\n', i), lines.size());
    text += "      " + lines.substr(i, end - i) + "\n";
    i = end + 1;
  }
  return text;
}

class Play {
 public:
  Play(const ScenarioText& scenario, ScenarioLevel& level) : scenario_(scenario), level_(level) {}

  ScenarioOutcome Run(bool with_timeline) {
    outcome_.status = CompileAll();
    if (with_timeline && outcome_.status.ok()) BeginTimeline();
    for (const Step& step : steps_) {
      if (!outcome_.status.ok()) break;
      Note(*step.line);
      outcome_.story += std::to_string(step.line->number) + "  " + Show(*step.line) + "\n";
      outcome_.status = Judge(step.action(), step.line->number);
    }
    if (outcome_.status.ok() && scenario_.Header("end") != "as it is") {
      outcome_.story += "end\n";
      if (recorder_ != nullptr) recorder_->OnNote("end: all faults are over");
      outcome_.status = Judge(level_.Converge(), scenario_.lines.back().number);
    }
    if (recorder_ != nullptr) outcome_.timeline = recorder_->Take();
    return std::move(outcome_);
  }

 private:
  Status CompileAll() {
    const std::string end = scenario_.Header("end");
    if (!end.empty() && end != "as it is") {
      return {Code::kInvalidArgument,
              scenario_.file + ": expected 'end: as it is' or no such header, found '" + end + "'"};
    }
    for (const ScenarioLine& line : scenario_.lines) {
      Result<ScenarioAction> action = level_.Compile(line);
      if (!action.ok()) return At(line.number, action.status());
      steps_.push_back({.line = &line, .action = std::move(action).value()});
    }
    return {};
  }

  void BeginTimeline() {
    recorder_ = std::make_unique<TimelineRecorder>(TimelineRecorder::Options{
        .nodes = level_.nodes(), .now = [this] { return level_.Now(); }, .span = Seconds(3600)});
    level_.Watch(*recorder_);
  }

  // What is expected is nothing that happens.
  void Note(const ScenarioLine& line) {
    if (recorder_ != nullptr && line.words.front().text != "expect") recorder_->OnNote(Show(line));
  }

  // An oracle's verdict goes before what the statement itself says: it is the cause.
  Status Judge(Status status, int line) {
    outcome_.story += Indent(level_.TakeStory());
    const std::string violation = level_.Violation();
    if (!violation.empty()) status = {Code::kInternal, "broken: " + violation};
    if (status.ok()) {
      if (recorder_ != nullptr) recorder_->SetConditions(level_.Conditions());
      return status;
    }
    if (recorder_ != nullptr) recorder_->OnVerdict(std::string(status.message()));
    return At(line, status);
  }

  Status At(int line, const Status& status) const {
    return {status.code(),
            scenario_.file + ":" + std::to_string(line) + ": " + std::string(status.message())};
  }

  const ScenarioText& scenario_;
  ScenarioLevel& level_;
  std::vector<Step> steps_;
  ScenarioOutcome outcome_;
  std::unique_ptr<TimelineRecorder> recorder_;
};

}  // namespace

Result<std::unique_ptr<ScenarioLevel>> NewScenarioLevel(const ScenarioText& scenario) {
  std::unique_ptr<ScenarioLevel> level = LevelNamed(scenario.Header("level"));
  if (level == nullptr) {
    return Status(Code::kInvalidArgument,
                  scenario.file + ": expected 'level: core' or 'level: cluster', found 'level: " +
                      scenario.Header("level") + "'");
  }
  return level;
}

ScenarioOutcome RunScenario(std::string_view file, std::string_view text, bool with_timeline) {
  const Result<ScenarioText> scenario = ParseScenario(file, text);
  if (!scenario.ok()) return {.status = scenario.status()};
  const Result<std::unique_ptr<ScenarioLevel>> level = NewScenarioLevel(scenario.value());
  if (!level.ok()) return {.status = level.status()};
  return Play(scenario.value(), *level.value()).Run(with_timeline);
}

std::string DescribeScenarioLanguage() {
  std::string text;
  for (const char* name : {"core", "cluster"}) {
    const std::unique_ptr<ScenarioLevel> level = LevelNamed(name);
    text += "level: " + std::string(name) + "\n\n";
    for (const auto& [unused, verb] : level->verbs()) {
      text += "  " + verb.usage + "\n      " + verb.what + "\n";
    }
    text += "\n  conditions:\n";
    for (const std::string& condition : level->conditions()) text += "      " + condition + "\n";
    text += "\n";
  }
  return text;
}

}  // namespace rutile::sim
