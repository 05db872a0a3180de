#pragma once

#include <map>
#include <optional>
#include <string>

#include "sim/timeline.h"

namespace rutile::sim {

// Looks on at the cores of one group, and tells a TimelineRecorder in words what each did.
class GroupWatch final : public raft::Observer {
 public:
  // `recorder` outlives it.
  GroupWatch(TimelineRecorder& recorder, RegionId group) : recorder_(recorder), group_(group) {}

  void OnStart(const raft::CoreView& view, const raft::HardState& hard_state) override;
  void OnInput(const raft::CoreView& view, const raft::CoreInput& input) override;
  void OnChange(const raft::CoreView&, raft::CoreChange) override {}
  void OnProgress(const raft::CoreView&, PeerId, Index, Index) override {}
  void OnFinish(const raft::CoreView& view, const raft::Effects& effects) override;
  void OnLetGo(const raft::CoreView& view) override;
  // The story ends here: an input that a core has not come to an end with becomes a step as it is.
  void OnCutShort();

 private:
  struct Replica {
    TimelineReplica now = {};
    bool is_in_input = false;
    std::string input = {};                        // In words.
    std::optional<TimelineMessage> received = {};  // If that is what the input is.
  };

  TimelineReplica Look(const raft::CoreView& view) const;
  std::string NameOf(PeerId peer) const;
  TimelineMessage Show(const raft::Message& message) const;
  std::string Show(const raft::HardState& state) const;
  std::string Show(const raft::LogWrite& write) const;
  // What an input did, in words.
  std::string Describe(const TimelineReplica& before, const TimelineReplica& after,
                       const raft::Effects& effects) const;
  std::optional<std::uint64_t> Add(PeerId peer, TimelineStep::Kind kind, const std::string& text);

  TimelineRecorder& recorder_;
  const RegionId group_;
  std::map<PeerId, Replica> replicas_;
};

}  // namespace rutile::sim
