#include "store/member_change.h"

#include <algorithm>
#include <set>

#include "base/check.h"
#include "raft/quorum.h"
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

// How far a peer's log has come, by its own word of late; zero for one that is silent.
Index Reached(PeerId peer, const LeaderView& view) {
  const auto status = std::find_if(view.peers.begin(), view.peers.end(),
                                   [&](const raft::PeerStatus& one) { return one.id == peer; });
  return status != view.peers.end() && status->lately_active ? status->match : Index();
}

Status CheckPromotion(const Peer& peer, const MemberStep& step, const LeaderView& view) {
  if (peer.role != PeerRole::kLearner) return Refused(step, "it is a voter");
  const Index reached = Reached(peer.id, view);
  const Index wanted = std::max(view.configuration_since, view.catch_up_mark);
  if (reached >= wanted) return {};
  const std::string where =
      reached.IsZero() ? "it does not answer" : "its log ends at " + ToString(reached);
  return Status(Code::kUnavailable, ToString(step) + ": it has not caught up yet: " + where +
                                        ", and must come to " + ToString(wanted));
}

// Whether what is to be the only majority, once the change is made, is one that the group can work
// with now. Changes that leave the voters as they are cost nobody a majority.
Status CheckMajority(const raft::Configuration& before, raft::Configuration after,
                     const LeaderView& view) {
  if (after.IsJoint()) {
    RUTILE_ASSIGN_OR_RETURN(after, raft::LeaveJoint(after));
  }
  if (after.voters == before.voters) return {};
  const std::uint64_t reached = raft::QuorumReached(after, [&](PeerId voter) {
    return voter == view.self ? ~std::uint64_t{0} : Reached(voter, view).value();
  });
  if (Index(reached) >= view.catch_up_mark) return {};
  std::string late;
  for (const PeerId voter : after.voters) {
    if (voter == view.self || Reached(voter, view) >= view.catch_up_mark) continue;
    late += (late.empty() ? "" : ", ") + ToString(voter);
  }
  return Status(Code::kUnavailable,
                "too few of the voters that the change leaves answer and keep up, so that nothing "
                "could be written: it waits for peers " +
                    late);
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

LeaderView ViewOf(const raft::Raft& leader) {
  return {.self = leader.id(),
          .peers = leader.Peers(),
          .configuration_since = leader.configuration_since(),
          .catch_up_mark = leader.catch_up_mark()};
}

Result<raft::ConfigurationChange> PlanChange(const Region& region,
                                             const std::vector<MemberStep>& steps,
                                             const LeaderView& view) {
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
      RUTILE_RETURN_IF_ERROR(CheckPromotion(*peer, step, view));
    } else if (step.kind == Kind::kDemote && peer->role == PeerRole::kLearner) {
      return Refused(step, "it is a learner");
    }
  }
  if (!added.empty()) change.context = EncodeNewPeers(added);
  const raft::Configuration before = ConfigurationOf(region);
  RUTILE_ASSIGN_OR_RETURN(const raft::Configuration after, raft::Apply(before, change));
  RUTILE_RETURN_IF_ERROR(CheckMajority(before, after, view));
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
