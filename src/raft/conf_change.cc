#include "raft/conf_change.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"

namespace rutile::raft {
namespace {

using Ids = PeerIds;

bool Has(const Ids& ids, PeerId id) { return std::binary_search(ids.begin(), ids.end(), id); }

void Add(Ids& ids, PeerId id) {
  const auto at = std::lower_bound(ids.begin(), ids.end(), id);
  if (at == ids.end() || *at != id) ids.insert(at, id);
}

void Remove(Ids& ids, PeerId id) {
  const auto at = std::lower_bound(ids.begin(), ids.end(), id);
  if (at != ids.end() && *at == id) ids.erase(at);
}

Status Refused(std::string_view why) { return Status(Code::kFailedPrecondition, why); }

// In a joint configuration only the incoming side changes; who votes on the outgoing side stays a
// member, whatever is said of it.
void Take(Configuration& to, const ChangeStep& step) {
  const PeerId id = step.peer;
  if (id.IsZero()) return;
  switch (step.kind) {
    case ChangeStep::Kind::kAddVoter:
      Remove(to.learners, id);
      Remove(to.learners_next, id);
      return Add(to.voters, id);
    case ChangeStep::Kind::kAddLearner:
      Remove(to.voters, id);
      return Add(Has(to.outgoing, id) ? to.learners_next : to.learners, id);
    case ChangeStep::Kind::kRemove:
      Remove(to.voters, id);
      Remove(to.learners, id);
      return Remove(to.learners_next, id);
    case ChangeStep::Kind::kUpdate: return;
    case ChangeStep::Kind::kAddWitness: Add(to.witnesses, id); return Add(to.voters, id);
  }
  RUTILE_UNREACHABLE();
}

// Who has data and who has not is for life: a stripped log must never be taken for a whole one.
Status CheckKind(const Configuration& from, const ChangeStep& step) {
  const bool is_witness = from.IsWitness(step.peer);
  switch (step.kind) {
    case ChangeStep::Kind::kAddVoter:
    case ChangeStep::Kind::kAddLearner:
      if (!is_witness) return {};
      return Refused("peer " + ToString(step.peer) +
                     " is a witness and has no data: add another id, and remove this one");
    case ChangeStep::Kind::kAddWitness:
      if (is_witness || !from.IsMember(step.peer)) return {};
      return Refused("peer " + ToString(step.peer) +
                     " is a member with data: a witness takes an id of its own");
    case ChangeStep::Kind::kRemove:
    case ChangeStep::Kind::kUpdate: return {};
  }
  RUTILE_UNREACHABLE();
}

// `to` begins as what the steps are applied to; `from` is in force.
Result<Configuration> TakeAll(const Configuration& from, Configuration to,
                              const std::vector<ChangeStep>& steps) {
  for (std::size_t i = 0; i < steps.size(); ++i) {
    RUTILE_RETURN_IF_ERROR(CheckKind(from, steps[i]));
    const bool witness = steps[i].kind == ChangeStep::Kind::kAddWitness;
    for (std::size_t j = 0; j < i; ++j) {
      const bool adds = steps[j].kind == ChangeStep::Kind::kAddVoter ||
                        steps[j].kind == ChangeStep::Kind::kAddLearner;
      const bool added_witness = steps[j].kind == ChangeStep::Kind::kAddWitness;
      const bool adds_here = steps[i].kind == ChangeStep::Kind::kAddVoter ||
                             steps[i].kind == ChangeStep::Kind::kAddLearner;
      if (steps[j].peer != steps[i].peer || steps[i].peer.IsZero()) continue;
      if ((witness && adds) || (added_witness && adds_here)) {
        return Refused("peer " + ToString(steps[i].peer) + " is to be two kinds of member");
      }
    }
    Take(to, steps[i]);
  }
  erase_if(to.witnesses, [&to](PeerId id) { return !to.IsVoter(id); });
  if (to.voters.empty()) return Refused("no voter would be left");
  for (const Ids* voters : {&to.voters, &to.outgoing}) {
    const auto witnesses = std::count_if(voters->begin(), voters->end(),
                                         [&to](PeerId id) { return to.IsWitness(id); });
    if (static_cast<std::size_t>(witnesses) <= voters->size() / 2) continue;
    return Refused("a quorum could consist of witnesses, of whom nobody has the data");
  }
  RUTILE_CHECK(to.IsValid(), ToString(to));
  return to;
}

}  // namespace

Result<Configuration> ChangeAtOnce(const Configuration& from,
                                   const std::vector<ChangeStep>& steps) {
  if (from.IsJoint()) return Refused("a joint configuration must be left first");
  RUTILE_ASSIGN_OR_RETURN(Configuration to, TakeAll(from, from, steps));
  // Majorities of sets that differ in one member overlap (Raft 4.1); those of others need not.
  Ids changed;
  std::set_symmetric_difference(from.voters.begin(), from.voters.end(), to.voters.begin(),
                                to.voters.end(), std::back_inserter(changed));
  if (changed.size() > 1) {
    return Refused("more than one voter changes, which takes a joint configuration");
  }
  return to;
}

Result<Configuration> EnterJoint(const Configuration& from, const std::vector<ChangeStep>& steps,
                                 bool auto_leave) {
  if (from.IsJoint()) return Refused("the configuration is joint already");
  if (from.voters.empty()) return Refused("there are no voters to decide with");
  Configuration joint = from;
  joint.outgoing = joint.voters;
  joint.auto_leave = auto_leave;
  return TakeAll(from, std::move(joint), steps);
}

Result<Configuration> LeaveJoint(const Configuration& from) {
  if (!from.IsJoint()) return Refused("the configuration is not joint");
  Configuration to{.voters = from.voters, .learners = from.learners};
  for (PeerId id : from.learners_next) Add(to.learners, id);
  for (PeerId id : from.witnesses) {
    if (to.IsVoter(id)) Add(to.witnesses, id);
  }
  RUTILE_CHECK(to.IsValid(), ToString(from));
  return to;
}

Result<Configuration> Apply(const Configuration& from, const ConfigurationChange& change) {
  if (change.steps.empty()) return LeaveJoint(from);
  switch (change.transition) {
    case Transition::kAuto:
      if (change.steps.size() == 1) return ChangeAtOnce(from, change.steps);
      return EnterJoint(from, change.steps, true);
    case Transition::kImplicit: return EnterJoint(from, change.steps, true);
    case Transition::kExplicit: return EnterJoint(from, change.steps, false);
  }
  RUTILE_UNREACHABLE();
}

std::string ToString(const ChangeStep& step) {
  switch (step.kind) {
    case ChangeStep::Kind::kAddVoter: return "voter " + ToString(step.peer);
    case ChangeStep::Kind::kAddLearner: return "learner " + ToString(step.peer);
    case ChangeStep::Kind::kRemove: return "remove " + ToString(step.peer);
    case ChangeStep::Kind::kUpdate: return "update " + ToString(step.peer);
    case ChangeStep::Kind::kAddWitness: return "witness " + ToString(step.peer);
  }
  RUTILE_UNREACHABLE();
}

}  // namespace rutile::raft
