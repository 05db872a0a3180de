#include "sim/operator.h"

#include <algorithm>
#include <utility>
#include <variant>

namespace rutile::sim {
namespace {

using StepKind = store::MemberStep::Kind;

constexpr Duration kLookAgain = Milliseconds(100);
constexpr Duration kPatience = Seconds(3);
constexpr std::size_t kMaxVoters = 5;

std::size_t NodeOf(StoreId store) { return static_cast<std::size_t>(store.value()) - 1; }

}  // namespace

void Operator::Later(Duration delay, Task task) {
  world_.After(delay, [this, round = round_, task = std::move(task)]() mutable {
    if (round == round_) task();
  });
}

std::optional<store::GateState> Operator::Leader() const {
  std::optional<store::GateState> found;
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    if (!cluster_.is_up(i)) continue;
    const auto gate = cluster_.node(i)->store().Gate(store::kFirstUserRegion);
    if (gate && gate->is_leader && (!found || found->term < gate->term)) found = gate;
  }
  return found;
}

std::uint64_t Operator::changes() const {
  std::uint64_t most = 1;  // What a region begins with.
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    if (!cluster_.is_up(i)) continue;
    const auto gate = cluster_.node(i)->store().Gate(store::kFirstUserRegion);
    if (gate) most = std::max(most, gate->region->epoch.conf_version);
  }
  return most - 1;
}

// Whether, after these steps, the data can still do without all fragile nodes at once.
bool Operator::MayVote(const store::Region& region, const Steps& steps) const {
  std::size_t voters = 0, fragile = 0;
  for (const store::Peer& peer : region.peers) {
    const auto step = std::find_if(steps.begin(), steps.end(),
                                   [&](const auto& one) { return one.peer.id == peer.id; });
    const bool votes = step == steps.end() ? peer.role == store::PeerRole::kVoter
                                           : step->kind == StepKind::kPromote;
    if (!votes) continue;
    ++voters;
    if (fragile_.contains(NodeOf(peer.store))) ++fragile;
  }
  return voters > 0 && voters <= kMaxVoters && fragile * 2 < voters;
}

std::vector<std::vector<Operator::Steps>> Operator::Sensible(const store::Region& region) const {
  Steps adds, promotes, demotes, removes_learner, removes_voter;
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    if (region.PeerOn(cluster_.store(i)) != nullptr) continue;
    adds.push_back({StepKind::kAddLearner, {.id = PeerId(next_peer_), .store = cluster_.store(i)}});
  }
  for (const store::Peer& peer : region.peers) {
    const bool learner = peer.role == store::PeerRole::kLearner;
    if (learner) promotes.push_back({StepKind::kPromote, {.id = peer.id}});
    if (!learner) demotes.push_back({StepKind::kDemote, {.id = peer.id}});
    (learner ? removes_learner : removes_voter).push_back({StepKind::kRemove, {.id = peer.id}});
  }
  std::vector<std::vector<Steps>> kinds;
  const auto kind = [&](const Steps& some, const Steps& others) {
    std::vector<Steps> sensible;
    for (const store::MemberStep& one : some) {
      if (others.empty() && MayVote(region, {one})) sensible.push_back({one});
      for (const store::MemberStep& other : others) {
        if (MayVote(region, {one, other})) sensible.push_back({one, other});
      }
    }
    if (!sensible.empty()) kinds.push_back(std::move(sensible));
  };
  for (const Steps& single : {adds, promotes, demotes, removes_learner, removes_voter}) {
    kind(single, {});
  }
  // Several at once are joint configurations. Without the first half they are none.
  kind(promotes, removes_voter);
  kind(promotes, demotes);
  kind(adds, demotes);
  return kinds;
}

Operator::Steps Operator::Choose(const store::Region& region, std::uint64_t number) const {
  if (region.joint) return {};
  const std::vector<std::vector<Steps>> kinds = Sensible(region);
  if (kinds.empty()) return {};
  const std::vector<Steps>& kind = kinds[number % kinds.size()];
  return kind[number / 8 % kind.size()];
}

void Operator::ChangeMembers(std::uint64_t choice, Duration span) {
  TryChange(choice, world_.Now() + std::max(span, kPatience));
}

void Operator::TryChange(std::uint64_t choice, Duration until) {
  if (world_.Now() > until) return;
  const auto gate = Leader();
  Steps steps = gate ? Choose(*gate->region, choice) : Steps();
  if (steps.empty()) {
    return Later(kLookAgain, [this, choice, until] { TryChange(choice, until); });
  }
  // Every third one that adds a replica is a move from one node to another, as a whole.
  const bool adds = steps.size() == 1 && steps.front().kind == StepKind::kAddLearner;
  if (adds && choice % 3 == 0) Move(choice, PeerId(next_peer_), until + kPatience);
  AwaitChange(choice, until, Propose(*gate, std::move(steps)));
}

void Operator::AwaitChange(std::uint64_t choice, Duration until, const Answer& answer) {
  Later(kLookAgain, [this, choice, until, answer] {
    if (!*answer) {
      if (world_.Now() <= until) AwaitChange(choice, until, answer);
    } else if (!**answer) {
      TryChange(choice + 11, until);  // Another of another kind.
    }
  });
}

Operator::Answer Operator::Propose(const store::GateState& gate, Steps steps) {
  ++next_peer_;
  // The answer may come late, even when this is gone.
  auto answer = std::make_shared<std::optional<bool>>();
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    if (!cluster_.is_up(i)) continue;
    store::Store& store = cluster_.node(i)->store();
    const auto own = store.Gate(store::kFirstUserRegion);
    if (!own || own->self != gate.self) continue;
    const store::RequestHeader header{.region = store::kFirstUserRegion,
                                      .epoch = gate.region->epoch};
    store.ChangeMembers(header, std::move(steps), [answer](const store::ChangeOutcome& outcome) {
      const auto* status = std::get_if<Status>(&outcome);
      *answer = status != nullptr && status->ok();
    });
    return answer;
  }
  *answer = false;
  return answer;
}

void Operator::Move(std::uint64_t choice, PeerId to, Duration until) {
  if (world_.Now() > until) return;
  Later(kLookAgain, [this, choice, to, until] {
    const auto gate = Leader();
    const store::Peer* peer = gate ? gate->region->FindPeer(to) : nullptr;
    if (peer != nullptr && peer->role != store::PeerRole::kLearner) return;
    if (peer != nullptr && !gate->region->joint) {
      std::vector<Steps> exchanges;
      for (const store::Peer& voter : gate->region->peers) {
        if (voter.role == store::PeerRole::kLearner) continue;
        Steps steps = {{StepKind::kPromote, {.id = to}}, {StepKind::kRemove, {.id = voter.id}}};
        if (MayVote(*gate->region, steps)) exchanges.push_back(std::move(steps));
      }
      if (!exchanges.empty()) Propose(*gate, exchanges[choice / 8 % exchanges.size()]);
    }
    Move(choice, to, until);
  });
}

void Operator::Transfer(std::uint64_t wish) {
  const auto gate = Leader();
  if (!gate) return;
  std::vector<store::Peer> others;
  for (const store::Peer& peer : gate->region->peers) {
    if (peer.id != gate->self && peer.role == store::PeerRole::kVoter) others.push_back(peer);
  }
  if (others.empty()) return;
  const auto wished = std::ranges::find_if(others, [&](const store::Peer& peer) {
    return NodeOf(peer.store) == wish % cluster_.size();
  });
  const store::Peer& to = wished != others.end() ? *wished : others[wish % others.size()];
  const store::Peer* self = gate->region->FindPeer(gate->self);
  if (self == nullptr || !cluster_.is_up(NodeOf(self->store))) return;
  cluster_.node(NodeOf(self->store))->TransferLeadership(gate->region->id, to.id);
  AwaitTransfer(to.id, gate->term, world_.Now() + kPatience);
}

void Operator::AwaitTransfer(PeerId to, Term after, Duration until) {
  Later(kLookAgain / 5, [this, to, after, until] {
    const auto gate = Leader();
    if (!gate || gate->term <= after) {
      if (world_.Now() <= until) AwaitTransfer(to, after, until);
    } else if (gate->self == to) {
      ++transfers_;
    }
  });
}

void Operator::DemandBoth(const std::set<std::size_t>& gone) {
  Stop();
  gone_ = gone;
  Demand(0, changes(), transfers());
}

void Operator::Demand(std::uint64_t attempt, std::uint64_t changes, std::uint64_t transfers) {
  const bool changed = this->changes() > changes, transferred = this->transfers() > transfers;
  if (changed && transferred) return;
  const auto gate = Leader();
  if (gate && !gate->region->joint) {
    Steps steps = changed ? Steps() : Choose(*gate->region, attempt);
    if (changed) {
      DemandTransfer(*gate, attempt);
    } else if (!steps.empty()) {
      Propose(*gate, std::move(steps));
    }
  }
  Later(Milliseconds(500), [=, this] { Demand(attempt + 1, changes, transfers); });
}

void Operator::DemandTransfer(const store::GateState& gate, std::uint64_t attempt) {
  std::vector<store::Peer> voters, learners;
  std::vector<std::size_t> free;
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    const store::Peer* peer = gate.region->PeerOn(cluster_.store(i));
    if (gone_.contains(i) || (peer != nullptr && peer->id == gate.self)) continue;
    if (peer == nullptr) {
      free.push_back(i);
    } else {
      (peer->role == store::PeerRole::kLearner ? learners : voters).push_back(*peer);
    }
  }
  if (!voters.empty()) return Transfer(NodeOf(voters[attempt % voters.size()].store));
  if (!learners.empty()) {
    Propose(gate, {{StepKind::kPromote, {.id = learners[attempt % learners.size()].id}}});
  } else if (!free.empty()) {
    const StoreId store = cluster_.store(free[attempt % free.size()]);
    Propose(gate, {{StepKind::kAddLearner, {.id = PeerId(next_peer_), .store = store}}});
  }
}

}  // namespace rutile::sim
