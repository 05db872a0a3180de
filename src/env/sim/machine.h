#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/random.h"
#include "env/env.h"
#include "env/sim/sim_clock.h"
#include "env/sim/sim_executor.h"
#include "env/sim/sim_files.h"
#include "env/sim/sim_network.h"
#include "env/sim/world.h"

namespace rutile::sim {

// One machine of a world: clocks and a disk that last, and what one process after another has of
// its own: a transport, executors, a source of chance.
//
// The order in which a process dies: Kill() or CutPower(), then whoever put the process together
// destroys it (its files fail, its executors and its transport do nothing any more), then Boot()
// for the next one. Call them from outside of the process's own tasks.
class Machine {
 public:
  struct Options {
    SimClock::Options clock = {};
    SimFileSystem::Options disk = {};
    SimExecutor::Options executors = {};
  };

  Machine(World& world, SimNetwork& network, StoreId store, const Options& options);
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  // Begins a process. Requires that none runs, and that what used the last one's executors is gone.
  void Boot();
  // Ends it, as SIGKILL does.
  void Kill();
  // Ends it by a power cut; the disk loses what was not synced.
  void CutPower(Loss loss = Loss::kAny);
  bool is_running() const { return is_running_; }
  // How often a process was begun.
  std::uint64_t boots() const { return boots_; }

  StoreId store() const { return store_; }
  SimClock& clock() { return clock_; }
  SimFileSystem& disk() { return disk_; }

  // Of the process. Executors live until the next Boot().
  Transport& transport();
  Random& random();
  SimExecutor& NewExecutor(std::string name);
  // All of the process's executors, in the order in which they were made.
  const std::vector<std::unique_ptr<SimExecutor>>& executors() const { return executors_; }
  // As a stopped process (SIGSTOP), or a machine that is too busy.
  void Pause();
  void Resume();

 private:
  class Gate;

  void StopProcess();

  World& world_;
  SimNetwork& network_;
  const StoreId store_;
  const Options options_;
  SimClock clock_;
  SimFileSystem disk_;

  bool is_running_ = false;
  std::uint64_t boots_ = 0;
  std::unique_ptr<SeededRandom> random_;
  std::unique_ptr<Gate> gate_;
  std::vector<std::unique_ptr<SimExecutor>> executors_;
};

}  // namespace rutile::sim
