#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "raft/observer.h"
#include "sim/oracle_group.h"
#include "sim/simulation.h"
#include "sim/trace_checker.h"
#include "sim/trace_recorder.h"

namespace rutile::sim {

// Tells all of `observers` what it is told itself, in their order. They outlive it.
class ObserverList final : public raft::Observer {
 public:
  explicit ObserverList(std::vector<raft::Observer*> observers)
      : observers_(std::move(observers)) {}

  void OnStart(const raft::CoreView& view, const raft::HardState& hard_state) override;
  void OnInput(const raft::CoreView& view, const raft::CoreInput& input) override;
  void OnChange(const raft::CoreView& view, raft::CoreChange change) override;
  void OnProgress(const raft::CoreView& view, PeerId peer, Index match, Index next) override;
  void OnFinish(const raft::CoreView& view, const raft::Effects& effects) override;
  void OnLetGo(const raft::CoreView& view) override;

 private:
  const std::vector<raft::Observer*> observers_;
};

// Puts a GroupOracle on every group of a simulation, replays what its cores do by the rules of Raft
// (TraceChecker), has the states of replicas compared each time that one has applied something, and
// looks at all leases when a leader commits.
class CoreOracle final : public SimulationObserver {
 public:
  CoreOracle();
  ~CoreOracle() override;

  raft::Observer* WatchCore(Simulation& simulation, std::size_t node, RegionId group,
                            PeerId peer) override;

  // How many single facts were compared.
  std::uint64_t compared() const;
  // How many events of cores were replayed.
  std::uint64_t traced() const { return checker_.events(); }

 private:
  class StateWatch;
  class LeaseWatch;
  struct Group {
    std::unique_ptr<GroupOracle> oracle;
    std::unique_ptr<TraceRecorder> recorder;
    std::unique_ptr<raft::Observer> leases;
  };

  void Begin(Simulation& simulation, RegionId id, Group& group);

  TraceChecker checker_;
  std::map<RegionId, Group> groups_;
  std::vector<std::unique_ptr<raft::Observer>> watches_;
  std::map<std::pair<std::size_t, RegionId>, std::unique_ptr<ObserverList>> lists_;
};

}  // namespace rutile::sim
