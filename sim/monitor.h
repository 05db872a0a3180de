#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "env/sim/world.h"
#include "sim/cluster.h"
#include "store/region.h"

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
  // Looks at what one node holds of one group, if it is up.
  void LookAtState(std::size_t node, RegionId group);
  // Whether all nodes are up and all members of every group, by the newest descriptor that anybody
  // has, have applied the same, and nobody else has anything of the group. Those in `lost` need not
  // be up, but one that is may lead: the others agree when they have what it has.
  bool HasConverged(const std::set<std::size_t>& lost = {});
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
  void Compare(std::size_t node, RegionId group, const engine::Snapshot& snapshot,
               bool always = false);
  bool MembersAgree(RegionId group, const std::set<std::size_t>& lost);
  // The newest descriptor of a group that a node holds which is up.
  std::optional<store::Region> NewestDescriptor(RegionId group);
  void OnStatus(std::size_t node, std::uint64_t boot, const store::ReplicaStatus& status);
  void Problem(const std::string& what);

  World& world_;
  Cluster& cluster_;
  const Duration every_;
  std::map<std::pair<RegionId, Term>, PeerId> leaders_;
  std::map<std::pair<RegionId, Index>, Applied> states_;
  std::map<std::pair<RegionId, std::size_t>, LogId> applied_;  // By group and node: the last seen.
  std::uint64_t looks_ = 0;
  std::map<std::size_t, std::uint64_t> answered_;  // By node, the newest look that was.
  std::map<std::pair<RegionId, PeerId>, std::pair<std::uint64_t, Index>> committed_;
  std::map<RegionId, std::uint64_t> strides_;  // Every how many indexes the state is compared.
  std::string why_not_;                        // Of the last HasConverged().
  std::vector<std::string> problems_;
};

}  // namespace rutile::sim
