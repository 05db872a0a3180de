#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "sim/page.h"
#include "sim/simulation.h"
#include "sim/timeline.h"

namespace rutile::sim {

// Which part of a run is worth a picture. Without `from`: the end of it. That is, of a run that
// fails while it goes on the time before that, of one that fails when it is judged the time before
// its end, and of one that passes the time before all faults are over.
struct PictureWindow {
  std::optional<Duration> from = {};
  Duration span = Seconds(10);
};

// Writes down what happens in a simulation, for a page.
class SimulationPicture final : public SimulationObserver {
 public:
  explicit SimulationPicture(PictureWindow window) : window_(window) {}

  void OnBegin(Simulation& simulation) override;
  raft::Observer* WatchCore(Simulation& simulation, std::size_t node, RegionId group,
                            PeerId peer) override;
  void OnEvent(Simulation& simulation) override;
  void OnFault(Simulation& simulation, const TimedFault* fault) override;

  // After the run, or in the middle of it if that is where it ends. `violations` is the whole
  // verdict, `repeat` the command that gives the run again.
  std::string Page(std::uint64_t seed, const std::vector<std::string>& violations,
                   const std::string& repeat) const;

 private:
  const PictureWindow window_;
  std::unique_ptr<TimelineRecorder> recorder_;
  std::vector<bool> is_up_;
  std::optional<Timeline> under_faults_;  // As it was when all faults were over.
  std::optional<Duration> failed_at_;     // If that was seen while the run went on.
  Duration faults_ended_ = {};
  Duration ended_ = {};
};

}  // namespace rutile::sim
