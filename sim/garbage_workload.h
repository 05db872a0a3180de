#pragma once

#include <cstdint>
#include <memory>

#include "base/random.h"
#include "base/time.h"
#include "client/garbage_keeper.h"
#include "env/sim/world.h"
#include "sim/client_network.h"
#include "sim/cluster.h"

namespace rutile::sim {

// Who raises the safe point while a run goes on: the client that makes rounds for a server, on a
// machine of its own.
class GarbageWorkload {
 public:
  struct Options {
    Duration interval = {};         // Between rounds; zero: there are none.
    Duration life = Seconds(2);     // How long versions can be read after they were overwritten.
    std::size_t batch_locks = 256;  // That are looked for at once.
    Duration max_one_way = Milliseconds(1);
    Duration timeout = Seconds(2);  // Of one attempt; a step of a round may have five.
  };

  // Both outlive the workload, which must not be destroyed before the world has stopped.
  GarbageWorkload(World& world, Cluster& cluster, const Options& options);

  void Start();
  // The safe point stays where it is, but for a round that is just about to raise it.
  void Stop();
  // Rounds that raised the safe point.
  std::uint64_t raised() const { return raised_; }

 private:
  SeededRandom random_;
  ClientNetwork network_;
  std::uint64_t raised_ = 0;
  std::unique_ptr<client::GarbageKeeper> keeper_;  // Null without rounds.
};

}  // namespace rutile::sim
