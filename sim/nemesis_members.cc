// Replicas that come and go, as an operator might have them.

#include <algorithm>
#include <utility>

#include "sim/nemesis.h"

namespace rutile::sim {
namespace {

using Kind = store::MemberStep::Kind;
using Steps = std::vector<store::MemberStep>;

constexpr Duration kLookAgain = Milliseconds(100);
constexpr std::size_t kMaxVoters = 5;

std::vector<store::Peer> PeersOf(const store::Region& region, bool learners) {
  std::vector<store::Peer> peers;
  for (const store::Peer& peer : region.peers) {
    if ((peer.role == store::PeerRole::kLearner) == learners) peers.push_back(peer);
  }
  return peers;
}

}  // namespace

std::optional<store::GateState> Nemesis::LeaderOfData() {
  std::optional<store::GateState> found;
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    if (!cluster_.is_up(i)) continue;
    const auto gate = cluster_.node(i)->store().Gate(store::kFirstUserRegion);
    if (gate && gate->is_leader && (!found || found->term < gate->term)) found = gate;
  }
  return found;
}

// Whether, after these steps, the data can still do without all fragile nodes at once.
bool Nemesis::MayVote(const store::Region& region, const Steps& steps) const {
  std::vector<store::Peer> voters;
  for (const store::Peer& peer : region.peers) {
    const auto step = std::find_if(steps.begin(), steps.end(),
                                   [&](const auto& one) { return one.peer.id == peer.id; });
    const bool votes =
        step == steps.end() ? peer.role == store::PeerRole::kVoter : step->kind == Kind::kPromote;
    if (votes) voters.push_back(peer);
  }
  const auto fragile = std::count_if(voters.begin(), voters.end(), [&](const store::Peer& peer) {
    return fragile_.contains(peer.store.value() - 1);
  });
  return !voters.empty() && voters.size() <= kMaxVoters &&
         static_cast<std::size_t>(fragile) * 2 < voters.size();
}

Steps Nemesis::DrawSteps(const store::Region& region, const TimedFault& fault) {
  const auto number = static_cast<std::size_t>(std::max<std::int64_t>(fault.first, 0));
  const std::vector<store::Peer> voters = PeersOf(region, /*learners=*/false);
  const std::vector<store::Peer> learners = PeersOf(region, /*learners=*/true);
  const auto one = [&](const std::vector<store::Peer>& peers) {
    return store::Peer{.id = peers[number / 10 % peers.size()].id};
  };
  const StoreId to =
      StoreId(static_cast<std::uint64_t>(std::max<std::int64_t>(fault.second, 0)) + 1);
  const bool room = region.PeerOn(to) == nullptr;
  const store::MemberStep learner{Kind::kAddLearner, {.id = PeerId(next_peer_), .store = to}};
  switch (number % 10) {
    case 0:
      if (room) return {learner};
      return {{Kind::kRemove, {.id = region.PeerOn(to)->id}}};
    case 1:
      if (learners.empty()) return {};
      return {{Kind::kPromote, one(learners)}};
    case 2: return {{Kind::kDemote, one(voters)}};
    case 3: return {{Kind::kRemove, one(learners.empty() ? voters : learners)}};
    case 4:
      if (learners.empty()) return {};
      return {{Kind::kPromote, one(learners)}, {Kind::kRemove, one(voters)}};
    case 5:
      if (learners.empty()) return {};
      return {{Kind::kPromote, one(learners)}, {Kind::kDemote, one(voters)}};
    case 6:
      if (!room) return {};
      return {learner, {Kind::kDemote, one(voters)}};
    default: return {};  // See ChangeMembers().
  }
}

void Nemesis::Propose(const store::GateState& gate, Steps steps) {
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    if (!cluster_.is_up(i)) continue;
    store::Store& store = cluster_.node(i)->store();
    const auto own = store.Gate(store::kFirstUserRegion);
    if (!own || own->self != gate.self) continue;
    const store::RequestHeader header{.region = store::kFirstUserRegion,
                                      .epoch = gate.region->epoch};
    return store.ChangeMembers(header, std::move(steps), [](const store::ChangeOutcome&) {});
  }
}

void Nemesis::ChangeMembers(const TimedFault& fault) {
  const auto gate = LeaderOfData();
  if (!gate) return;
  const store::Region& region = *gate->region;
  // Every third one is a move from one node to another, as a whole.
  if (fault.first % 10 >= 7) {
    const StoreId to =
        StoreId(static_cast<std::uint64_t>(std::max<std::int64_t>(fault.second, 0)) + 1);
    if (region.PeerOn(to) != nullptr) return;
    const PeerId peer(next_peer_++);
    Propose(*gate, {{Kind::kAddLearner, {.id = peer, .store = to}}});
    return MoveReplica(fault, peer, world_.Now() + std::max(fault.span, Seconds(5)));
  }
  Steps steps = DrawSteps(region, fault);
  if (steps.empty() || !MayVote(region, steps)) return;
  ++next_peer_;
  Propose(*gate, std::move(steps));
}

void Nemesis::MoveReplica(const TimedFault& fault, PeerId to, Duration until) {
  if (world_.Now() > until) return;
  Later(kLookAgain, [this, fault, to, until] {
    const auto gate = LeaderOfData();
    const store::Peer* peer = gate ? gate->region->FindPeer(to) : nullptr;
    if (peer != nullptr && peer->role != store::PeerRole::kLearner) return;
    if (peer != nullptr && !gate->region->joint) {
      const std::vector<store::Peer> voters = PeersOf(*gate->region, /*learners=*/false);
      const auto number = static_cast<std::size_t>(std::max<std::int64_t>(fault.first, 0));
      Steps steps = {{Kind::kPromote, {.id = to}},
                     {Kind::kRemove, {.id = voters[number / 10 % voters.size()].id}}};
      if (MayVote(*gate->region, steps)) Propose(*gate, std::move(steps));
    }
    MoveReplica(fault, to, until);
  });
}

}  // namespace rutile::sim
