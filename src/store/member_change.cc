#include "store/member_change.h"

#include <algorithm>
#include <set>

#include "base/check.h"
#include "store/membership.h"

namespace rutile::store {
namespace {

using Kind = MemberStep::Kind;

Status Refused(const MemberStep& step, const std::string& why) {
  return Status(Code::kFailedPrecondition, ToString(step) + ": " + why);
}

Status CheckNew(const Region& region, const MemberStep& step) {
  if (step.peer.id <= region.LastPeer()) {
    return Refused(step, "ids of peers only grow, and the region had one up to " +
                             ToString(region.LastPeer()));
  }
  if (step.peer.store.IsZero()) return Refused(step, "it is on no store");
  if (const Peer* there = region.PeerOn(step.peer.store)) {
    return Refused(step, "there is peer " + ToString(there->id) + " already");
  }
  return {};
}

Status CheckPromotion(const Peer& peer, const MemberStep& step,
                      const std::vector<raft::PeerStatus>& peers, Index configuration_since) {
  if (peer.role != PeerRole::kLearner) return Refused(step, "it is a voter");
  const auto status = std::find_if(peers.begin(), peers.end(),
                                   [&](const raft::PeerStatus& one) { return one.id == peer.id; });
  if (status == peers.end() || status->match < configuration_since) {
    return Status(Code::kUnavailable, ToString(step) + ": it has not caught up yet");
  }
  return {};
}

raft::ChangeStep CoreStep(const MemberStep& step) {
  using CoreKind = raft::ChangeStep::Kind;
  switch (step.kind) {
    case Kind::kAddLearner:
    case Kind::kDemote: return {CoreKind::kAddLearner, step.peer.id};
    case Kind::kPromote: return {CoreKind::kAddVoter, step.peer.id};
    case Kind::kRemove: return {CoreKind::kRemove, step.peer.id};
  }
  RUTILE_UNREACHABLE();
}

}  // namespace

Result<raft::ConfigurationChange> PlanChange(const Region& region,
                                             const std::vector<MemberStep>& steps,
                                             const std::vector<raft::PeerStatus>& peers,
                                             Index configuration_since) {
  if (steps.empty()) return Status(Code::kFailedPrecondition, "a change without a step");
  if (region.joint) {
    return Status(Code::kUnavailable, "the last change is not finished: " + ToString(region));
  }
  raft::ConfigurationChange change;
  std::vector<Peer> added;
  std::set<PeerId> named;
  std::set<StoreId> stores;
  for (const MemberStep& step : steps) {
    if (!named.insert(step.peer.id).second) return Refused(step, "it is named twice");
    change.steps.push_back(CoreStep(step));
    if (step.kind == Kind::kAddLearner) {
      RUTILE_RETURN_IF_ERROR(CheckNew(region, step));
      if (!stores.insert(step.peer.store).second) return Refused(step, "two peers on one store");
      added.push_back(step.peer);
      continue;
    }
    const Peer* peer = region.FindPeer(step.peer.id);
    if (peer == nullptr) return Refused(step, "it is not a member of " + ToString(region));
    if (step.kind == Kind::kPromote) {
      RUTILE_RETURN_IF_ERROR(CheckPromotion(*peer, step, peers, configuration_since));
    } else if (step.kind == Kind::kDemote && peer->role == PeerRole::kLearner) {
      return Refused(step, "it is a learner");
    }
  }
  if (!added.empty()) change.context = EncodeNewPeers(added);
  return change;
}

std::string ToString(const MemberStep& step) {
  const std::string peer = ToString(step.peer.id);
  switch (step.kind) {
    case Kind::kAddLearner: return "learner " + peer + " on store " + ToString(step.peer.store);
    case Kind::kPromote: return "promote " + peer;
    case Kind::kDemote: return "demote " + peer;
    case Kind::kRemove: return "remove " + peer;
  }
  RUTILE_UNREACHABLE();
}

}  // namespace rutile::store
