#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/task.h"
#include "base/time.h"
#include "env/env.h"
#include "env/sim/sim_clock.h"
#include "env/sim/world.h"

namespace rutile::sim {

// A logical thread of a machine: a queue on the world's one thread. One task is one event, so tasks
// of different executors interleave at every border of a task; while a task takes up time
// (World::Take) the executor is busy and others go on.
class SimExecutor final : public Executor {
 public:
  struct Options {
    // From when a task could run until it does, drawn anew for each: scheduling of threads.
    Duration min_dispatch = {};
    Duration max_dispatch = Microseconds(20);
  };

  // `clock` measures the delays of timers.
  SimExecutor(World& world, const SimClock& clock, std::string name);
  SimExecutor(World& world, const SimClock& clock, std::string name, const Options& options);
  // Shuts down.
  ~SimExecutor() override;
  SimExecutor(const SimExecutor&) = delete;
  SimExecutor& operator=(const SimExecutor&) = delete;

  void Post(Task task) override;
  void PostAfter(Duration delay, Task task) override;

  // As the thread would be stopped by a scheduler, a debugger or a long fault of a page: tasks and
  // timers gather, and run after Resume. The task that is running is not affected.
  void Pause();
  void Resume();
  // Every task begins this much later from now on.
  void SetSlowness(Duration per_task);
  // Destroys all tasks without running them, and later ones as they are posted. Idempotent.
  void Shutdown();

  const std::string& name() const;
  std::size_t queued() const;

 private:
  struct State;
  // Events of the world share it: the executor may be gone when they come.
  std::shared_ptr<State> state_;
};

}  // namespace rutile::sim
