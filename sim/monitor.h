#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "env/sim/world.h"
#include "sim/cluster.h"

namespace rutile::sim {

// Looks at all nodes again and again, from outside and all-knowing, for what Raft promises:
//   - in one term of a group at most one leader;
//   - replicas that have applied the same entry hold the same state, and at one index they have
//     applied the same entry (state machine safety);
//   - applied <= committed <= last, and committed does not go back in the life of a process;
//   - no replica has found an invariant of its own broken.
class Monitor {
 public:
  // Both outlive the monitor, which must not be destroyed before the world has stopped.
  Monitor(World& world, Cluster& cluster, Duration every);

  void Start();
  // Looks once at the engines of all nodes that are up.
  void Look();
  // Whether all nodes are up and have applied the same of every group.
  bool HasConverged();
  // What each node was last seen to have applied.
  std::string Describe() const;

  const std::vector<std::string>& problems() const { return problems_; }
  // How many different states of a group were seen.
  std::uint64_t states() const { return states_.size(); }

 private:
  struct Applied {
    Term term = {};
    std::uint64_t hash = 0;
  };

  void LookAtEngine(std::size_t node);
  void OnStatus(std::size_t node, std::uint64_t boot, const store::ReplicaStatus& status);
  void Problem(const std::string& what);

  World& world_;
  Cluster& cluster_;
  const Duration every_;
  std::map<std::pair<RegionId, Term>, PeerId> leaders_;
  std::map<std::pair<RegionId, Index>, Applied> states_;
  std::map<std::pair<RegionId, std::size_t>, LogId> applied_;  // By group and node: the last seen.
  std::map<std::pair<RegionId, std::size_t>, std::pair<std::uint64_t, Index>> committed_;
  std::vector<std::string> problems_;
};

}  // namespace rutile::sim
