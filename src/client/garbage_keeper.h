#pragma once

#include <functional>
#include <memory>

#include "base/random.h"
#include "base/status.h"
#include "base/time.h"
#include "client/connections.h"
#include "client/garbage_rounds.h"
#include "env/env.h"

namespace rutile::client {

// Makes round after round on behalf of one node: the first when an interval has gone by, each
// further one an interval after the end of the one before; none at a time when the node is not the
// one to make them. Safe from any thread.
class GarbageKeeper {
 public:
  // Both run on the executor and must not block.
  struct Node {
    std::function<bool()> makes_rounds = {};  // Whether it is this node that makes them now.
    std::function<void(const Result<GarbageRound>&)> on_round = {};
  };

  // Requires an interval above zero. `clock`, `random`, `executor` and what `node` refers to
  // outlive this and all that is under way, which ends soon after Stop(), or when the executor is
  // shut down. `random` is used on `executor` only.
  GarbageKeeper(GarbageOptions options, Duration interval, Node node, Connect connect,
                const Clock& clock, Random& random, Executor& executor);
  // Stops.
  ~GarbageKeeper();
  GarbageKeeper(const GarbageKeeper&) = delete;
  GarbageKeeper& operator=(const GarbageKeeper&) = delete;

  // Once.
  void Start();
  // No further round begins; one that is under way fails at its next step. Any number of times.
  void Stop();

 private:
  class Turns;
  const std::shared_ptr<Turns> turns_;  // Shared with the rounds.
};

}  // namespace rutile::client
