#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "env/sim/world.h"
#include "sim/cluster.h"
#include "sim/linearizability.h"
#include "sim/monitor.h"
#include "sim/scenario_level.h"

namespace rutile::sim {

// `level: cluster`. Whole nodes, with their log engine, key-value engine and executors, in a
// simulated world: the level for what happens between log, state machine, disk and restart. Time
// passes by itself while a statement waits for what it is about; the seed is part of the scenario.
//
// Looked at all the time: what Monitor finds, nodes that stop although their disk did not fail, and
// at the end whether all answers of each key can be put in one order.
class ClusterLevel final : public ScenarioLevel {
 public:
  ClusterLevel();
  ~ClusterLevel() override;

  std::vector<std::string> conditions() const override;
  std::string Violation() override;
  Status Converge() override;
  std::string TakeStory() override;
  void Watch(TimelineRecorder& recorder) override { recorder_ = &recorder; }
  Duration Now() override { return world_ == nullptr ? Duration() : world_->Now(); }

 private:
  // One call of a client to one node.
  struct Call {
    std::string key;
    RegisterCall call = {};
    std::string outcome = "waits";  // waits, ok, refused: WHY, unknown: WHY
  };
  using Part = std::pair<std::string, std::size_t>;  // "writer", node
  static constexpr RegionId kRegion = store::kFirstUserRegion;

  Status Open() override;
  Result<ScenarioCondition> CompileCondition(ScenarioWords& words) override;
  Result<ScenarioField> CompileField(std::size_t node, const std::string& field,
                                     const std::string& argument,
                                     const ScenarioWords& words) override;

  // --- The table of verbs (scenario_cluster_verbs.cc).
  void AddClusterVerbs();
  void AddClientVerbs();
  void AddNetworkVerbs();
  void AddDiskVerbs();
  void AddSpaceVerbs();
  void AddPartVerbs();
  void AddTimeVerbs();
  Status ReadOption(ScenarioWords& words);
  Result<Part> ReadPart(ScenarioWords& words) const;
  // A number, not below `least`.
  template <class T>
  static Status ReadNumber(ScenarioWords& words, std::uint64_t least, T* number);

  // --- What they do (scenario_cluster.cc). Nodes count from 1.
  Status Elect(std::size_t node);
  Result<std::size_t> Begin(std::size_t node, std::string key, RegisterCall call, bool follower);
  void Send(std::size_t call, std::size_t node, bool follower);
  void Answer(std::size_t call, const std::string& outcome, std::optional<std::string> seen);
  Status Await(std::size_t call);
  Status Put(std::size_t node, const std::string& key, const std::string& value);
  Status Crash(std::size_t node, Loss loss, bool process_only);
  Status Start(std::size_t node, bool refused);
  Status Damage(std::size_t node, const std::string& text);
  void BeginRecording();
  void SetPaused(const Part& part, bool paused);
  Status RunUntil(const ScenarioCondition& condition);
  bool Leads(std::size_t node);
  std::optional<store::ReplicaStatus> StatusOf(std::size_t node);
  std::uint64_t SegmentsOf(std::size_t node);
  Status NeedUp(std::size_t node);
  std::vector<std::size_t> AllNodes() const;

  std::uint64_t seed_ = 1;
  Cluster::Options options_;
  std::string story_;
  TimelineRecorder* recorder_ = nullptr;
  std::vector<bool> is_up_;  // As the recorder knows it.
  // Before the cluster: a node that goes may still answer.
  std::vector<std::unique_ptr<Call>> calls_;
  std::map<std::string, std::size_t> named_;  // Calls that the script speaks of.
  std::unique_ptr<World> world_;
  std::unique_ptr<Cluster> cluster_;
  std::unique_ptr<Monitor> monitor_;
};

}  // namespace rutile::sim
