#include "sim/oracle.h"

#include <algorithm>
#include <string>
#include <vector>

#include "sim/oracle_lease.h"

namespace rutile::sim {

void ObserverList::OnStart(const raft::CoreView& view, const raft::HardState& hard_state) {
  for (raft::Observer* observer : observers_) observer->OnStart(view, hard_state);
}
void ObserverList::OnInput(const raft::CoreView& view, const raft::CoreInput& input) {
  for (raft::Observer* observer : observers_) observer->OnInput(view, input);
}
void ObserverList::OnChange(const raft::CoreView& view, raft::CoreChange change) {
  for (raft::Observer* observer : observers_) observer->OnChange(view, change);
}
void ObserverList::OnProgress(const raft::CoreView& view, PeerId peer, Index match, Index next) {
  for (raft::Observer* observer : observers_) observer->OnProgress(view, peer, match, next);
}
void ObserverList::OnFinish(const raft::CoreView& view, const raft::Effects& effects) {
  for (raft::Observer* observer : observers_) observer->OnFinish(view, effects);
}
void ObserverList::OnLetGo(const raft::CoreView& view) {
  for (raft::Observer* observer : observers_) observer->OnLetGo(view);
}

// Has the state of a node compared when its core hears that something was applied.
class CoreOracle::StateWatch final : public raft::Observer {
 public:
  StateWatch(Simulation& simulation, std::size_t node, RegionId group)
      : simulation_(simulation), node_(node), group_(group) {}

  void OnInput(const raft::CoreView&, const raft::CoreInput& input) override {
    if (input.kind == raft::CoreInput::Kind::kApplied) {
      simulation_.monitor().LookAtState(node_, group_);
    }
  }
  void OnStart(const raft::CoreView&, const raft::HardState&) override {}
  void OnChange(const raft::CoreView&, raft::CoreChange) override {}
  void OnProgress(const raft::CoreView&, PeerId, Index, Index) override {}
  void OnFinish(const raft::CoreView&, const raft::Effects&) override {}
  void OnLetGo(const raft::CoreView&) override {}

 private:
  Simulation& simulation_;
  const std::size_t node_;
  const RegionId group_;
};

// Looks at all leases of a group when one of its cores commits as leader, and when one that leads
// an older term works.
class CoreOracle::LeaseWatch final : public raft::Observer {
 public:
  LeaseWatch(Simulation& simulation, RegionId group) : simulation_(simulation), group_(group) {}

  void OnChange(const raft::CoreView& view, raft::CoreChange change) override {
    if (change != raft::CoreChange::kCommitted) return;
    newest_ = std::max(newest_, view.term);
    Look();
  }
  void OnInput(const raft::CoreView& view, const raft::CoreInput&) override {
    // A lease may also be taken, or prolonged, after another has committed.
    if (view.role == raft::Role::kLeader && view.term < newest_) Look();
  }
  void OnStart(const raft::CoreView&, const raft::HardState&) override {}
  void OnProgress(const raft::CoreView&, PeerId, Index, Index) override {}
  void OnFinish(const raft::CoreView&, const raft::Effects&) override {}
  void OnLetGo(const raft::CoreView&) override {}

 private:
  void Look() {
    std::vector<LeaseHolder> holders;
    Cluster& cluster = simulation_.cluster();
    for (std::size_t i = 0; i < cluster.size(); ++i) {
      if (!cluster.is_up(i)) continue;
      const auto gate = cluster.node(i)->store().Gate(group_);
      if (!gate || !gate->lease_until) continue;
      if (cluster.machine(i).clock().Now() >= *gate->lease_until) continue;
      holders.push_back({.node = i, .term = gate->term});
    }
    if (const auto broken = OverlappingLease(newest_, holders)) {
      simulation_.Violate("at " + std::to_string(ToSeconds(simulation_.world().Now())) +
                          " s: group " + ToString(group_) + ": " + *broken);
    }
  }

  Simulation& simulation_;
  const RegionId group_;
  Term newest_ = {};  // In which anybody has committed.
};

CoreOracle::CoreOracle() = default;
CoreOracle::~CoreOracle() = default;

void CoreOracle::Begin(Simulation& simulation, RegionId id, Group& group) {
  const auto report = [&simulation](const std::string& problem) {
    simulation.Violate("at " + std::to_string(ToSeconds(simulation.world().Now())) +
                       " s: " + problem);
  };
  group.oracle = std::make_unique<GroupOracle>("group " + ToString(id), report);
  group.leases = std::make_unique<LeaseWatch>(simulation, id);
  group.recorder = std::make_unique<TraceRecorder>(
      id, [this, report, id, write = simulation.options().trace](const TraceEvent& event) {
        if (write) write(event);
        if (const auto wrong = checker_.Take(event)) {
          report("no run of Raft: group " + ToString(id) + " " + *wrong);
        }
      });
}

raft::Observer* CoreOracle::WatchCore(Simulation& simulation, std::size_t node, RegionId group,
                                      PeerId) {
  std::unique_ptr<ObserverList>& list = lists_[{node, group}];
  if (list != nullptr) return list.get();
  Group& watched = groups_[group];
  if (watched.oracle == nullptr) Begin(simulation, group, watched);
  watches_.push_back(std::make_unique<StateWatch>(simulation, node, group));
  list = std::make_unique<ObserverList>(std::vector<raft::Observer*>{
      watched.oracle.get(), watched.recorder.get(), watched.leases.get(), watches_.back().get()});
  return list.get();
}

std::uint64_t CoreOracle::compared() const {
  std::uint64_t sum = 0;
  for (const auto& [id, group] : groups_) sum += group.oracle->compared();
  return sum;
}

}  // namespace rutile::sim
