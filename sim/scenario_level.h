#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "sim/scenario_words.h"
#include "sim/timeline.h"

namespace rutile::sim {

// What a statement does when its turn comes. An error ends the scenario.
using ScenarioAction = std::function<Status()>;
// Empty when it holds, else what is there instead.
using ScenarioCondition = std::function<std::string()>;
// What can be asked of a node: a number, or a text.
using ScenarioValue = std::variant<std::uint64_t, std::string>;
using ScenarioField = std::function<ScenarioValue()>;

// One verb of a level. `compile` reads what follows it, before anything is run.
struct ScenarioVerb {
  using Compile = std::function<Result<ScenarioAction>(ScenarioWords&)>;
  std::string usage;  // "elect NODE [in term NUMBER]"
  std::string what;
  Compile compile;
};

// An action from a function that returns a Status, or nothing.
template <class F>
Result<ScenarioAction> ScenarioDo(F f) {
  if constexpr (std::is_void_v<std::invoke_result_t<F&>>) {
    return ScenarioAction([f = std::move(f)] {
      f();
      return Status();
    });
  } else {
    return ScenarioAction(std::move(f));
  }
}

// Where a scenario is played: the cores of a Raft group in the hands of the script, or a whole
// cluster in a simulated world. This class has what both share: the table of verbs, `expect`,
// and comparisons of what can be asked of nodes.
class ScenarioLevel {
 public:
  ScenarioLevel();
  virtual ~ScenarioLevel() = default;
  ScenarioLevel(const ScenarioLevel&) = delete;
  ScenarioLevel& operator=(const ScenarioLevel&) = delete;

  const std::map<std::string, ScenarioVerb>& verbs() const { return verbs_; }
  // All conditions that `expect` and `run until` know, a line each.
  virtual std::vector<std::string> conditions() const = 0;
  const std::vector<std::string>& nodes() const { return nodes_; }

  // Reads one statement. Nothing happens yet.
  Result<ScenarioAction> Compile(const ScenarioLine& line);
  // What an oracle has found since the scenario began; empty while all is well. Asked after each
  // statement.
  virtual std::string Violation() = 0;
  // All faults end. Everybody must come to hold the same, within a limit.
  virtual Status Converge() = 0;
  // What happened since the last call, a line each.
  virtual std::string TakeStory() = 0;

  // --- For pictures.
  // Has all that happens from now on written down. After the whole scenario was read, before
  // anything is played; the recorder outlives the level.
  virtual void Watch(TimelineRecorder& recorder) = 0;
  // Since the cluster began.
  virtual Duration Now() = 0;
  // What the script has done to nodes (from 0) and what still lasts.
  virtual std::vector<std::pair<std::size_t, std::string>> Conditions() { return {}; }

 protected:
  // `usage` is what follows the verb.
  void AddVerb(const std::string& name, const std::string& usage, const std::string& what,
               ScenarioVerb::Compile compile);
  // Called before each statement that is not about how the cluster begins.
  virtual Status Open() = 0;
  // A condition that begins with something else than NODE.FIELD.
  virtual Result<ScenarioCondition> CompileCondition(ScenarioWords& words) = 0;
  // `argument` is what stands in parentheses: A.match(B).
  virtual Result<ScenarioField> CompileField(std::size_t node, const std::string& field,
                                             const std::string& argument,
                                             const ScenarioWords& words) = 0;
  Result<ScenarioCondition> CompileAnyCondition(ScenarioWords& words);
  // The names of the nodes, from the verb `cluster`.
  Status NameNodes(ScenarioWords& words);
  const std::string& NameOf(std::size_t node) const { return nodes_[node - 1]; }
  static Status Failure(const std::string& what) { return {Code::kFailedPrecondition, what}; }

 private:
  Result<ScenarioField> CompileOperand(ScenarioWords& words, std::string* name);
  Result<ScenarioCondition> CompileComparison(ScenarioWords& words);

  std::map<std::string, ScenarioVerb> verbs_;
  std::vector<std::string> nodes_;
};

}  // namespace rutile::sim
