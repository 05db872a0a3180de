#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "raft/observer.h"
#include "sim/trace_event.h"

namespace rutile::sim {

// Tells what the cores of one group do in the alphabet of traces. Messages that this alphabet has
// no word for (pre-votes, reads, orders to campaign) are left out.
//
// A leader's count of itself and a candidate's vote for itself are messages to itself, as in the
// specification. Ready says that a write has become durable, and prop.durable what is on disk now.
class TraceRecorder final : public raft::Observer {
 public:
  using Sink = std::function<void(const TraceEvent& event)>;
  TraceRecorder(RegionId group, Sink sink) : group_(group), sink_(std::move(sink)) {}

  void OnStart(const raft::CoreView& view, const raft::HardState& hard_state) override;
  void OnInput(const raft::CoreView& view, const raft::CoreInput& input) override;
  void OnChange(const raft::CoreView& view, raft::CoreChange change) override;
  void OnProgress(const raft::CoreView&, PeerId, Index, Index) override {}
  void OnFinish(const raft::CoreView& view, const raft::Effects& effects) override;
  void OnLetGo(const raft::CoreView&) override {}

 private:
  struct Replica {
    std::deque<std::pair<raft::WriteNumber, raft::HardState>> flights = {};
    raft::HardState durable = {};
    bool ready = false;  // A write became durable in this input, and it was not told yet.
    std::shared_ptr<const TraceConf> conf = {};
    // As the last event told.
    Term term = {};
    PeerId vote = {};
    TraceRole role = {};
  };

  // `next`: the event before which this is told.
  void NoteConf(const raft::CoreView& view, TraceName next);
  TraceEvent Make(const raft::CoreView& view, TraceName name);
  void Emit(const TraceEvent& event) { sink_(event); }
  void EmitReady(const raft::CoreView& view);
  void EmitToSelf(const raft::CoreView& view, TraceMessageType type, Index index);

  const RegionId group_;
  const Sink sink_;
  std::map<PeerId, Replica> replicas_;
};

}  // namespace rutile::sim
