#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "base/task.h"
#include "base/time.h"
#include "env/env.h"

namespace rutile::posix {

// Executors ("strands") that share a few threads: many logical threads that seldom block. A strand
// runs its tasks in order and one at a time, on whichever thread is free; what one strand posts to
// another of the same pool costs no waking of a sleeping thread as long as one is awake to take it.
//
// Not for tasks that block for long: they hold a thread that other strands wait for.
class StrandPool {
 public:
  // `name` is shown by the operating system: up to 15 characters. Requires threads > 0.
  StrandPool(const std::string& name, std::size_t threads);
  // Shuts down.
  ~StrandPool();
  StrandPool(const StrandPool&) = delete;
  StrandPool& operator=(const StrandPool&) = delete;

  // May outlive the pool, which then destroys what is posted. Destroying a strand destroys the
  // tasks that it has not run; none may be running.
  std::unique_ptr<Executor> NewStrand();

  // Waits for the tasks that are running, and destroys the rest without running them. Tasks posted
  // later are destroyed too. Not from a thread of the pool. Idempotent.
  void Shutdown();

 private:
  class Pool;
  class Strand;
  const std::shared_ptr<Pool> pool_;
};

}  // namespace rutile::posix
