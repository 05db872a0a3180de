#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/task.h"
#include "base/time.h"
#include "env/env.h"

namespace rutile::posix {

// One thread that runs tasks. It takes all that have gathered at once, and a Post to a thread that
// is awake costs no system call: waking a sleeping thread is what hand-offs cost.
class ThreadExecutor final : public Executor {
 public:
  // `name` is shown by the operating system: up to 15 characters.
  explicit ThreadExecutor(const std::string& name);
  // Shuts down.
  ~ThreadExecutor() override;

  void Post(Task task) override;
  void Dispatch(Task task) override;
  void PostAfter(Duration delay, Task task) override;

  // Waits for the task that is running, here or in a caller of Dispatch, and destroys the rest
  // without running them. Tasks posted later are destroyed too. Not from the executor's own thread.
  // Idempotent.
  void Shutdown();

 private:
  class Loop;
  std::unique_ptr<Loop> loop_;
};

}  // namespace rutile::posix
