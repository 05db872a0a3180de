// Verbs of `level: core` about who is a member.

#include <array>
#include <utility>

#include "sim/scenario_core.h"

namespace rutile::sim {

using raft::ChangeStep;
using raft::ConfigurationChange;
using raft::Transition;

Result<ConfigurationChange> CoreLevel::ReadChange(ScenarioWords& words) {
  static constexpr std::array<std::pair<std::string_view, ChangeStep::Kind>, 4> kSteps = {
      {{"voter", ChangeStep::Kind::kAddVoter},
       {"learner", ChangeStep::Kind::kAddLearner},
       {"remove", ChangeStep::Kind::kRemove},
       {"update", ChangeStep::Kind::kUpdate}}};
  ConfigurationChange change;
  if (words.Take("leave")) return change;
  for (bool found = true; found;) {
    found = false;
    for (const auto& [name, kind] : kSteps) {
      if (!words.Take(name)) continue;
      found = true;
      RUTILE_ASSIGN_OR_RETURN(const std::size_t peer, words.Node());
      change.steps.push_back({.kind = kind, .peer = PeerId(peer)});
    }
  }
  if (change.steps.empty()) return words.Expected("voter, learner, remove, update or leave");
  if (!words.Take("joint")) return change;
  change.transition = Transition::kImplicit;
  if (!words.Take("until")) return change;
  RUTILE_RETURN_IF_ERROR(words.Need("left"));
  change.transition = Transition::kExplicit;
  return change;
}

void CoreLevel::AddMemberVerbs() {
  AddVerb("change",
          "NODE STEP... [joint [until left]] [refused \"WHY\"] | NODE leave [refused \"WHY\"]",
          "the leader changes who is a member, or refuses, saying so. A STEP is `voter NODE`, "
          "`learner NODE` (added, promoted or demoted), `remove NODE` or `update NODE`. One step "
          "is made at once; several, or with `joint`, by way of a joint configuration, which a "
          "leader leaves by itself, or, `until left`, when it is told to leave",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
            RUTILE_ASSIGN_OR_RETURN(const ConfigurationChange change, ReadChange(words));
            if (!words.Take("refused")) {
              return ScenarioDo([=, this] { return Change(node, change); });
            }
            RUTILE_ASSIGN_OR_RETURN(const std::string why, words.Text());
            return ScenarioDo([=, this] { return RefuseChange(node, change, why); });
          });
  AddVerb("wipe", "NODE",
          "the process dies and its disk is emptied: when it starts again, it knows nothing",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
            return ScenarioDo([=, this] { return Wipe(node); });
          });
}

}  // namespace rutile::sim
