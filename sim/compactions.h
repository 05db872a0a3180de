#pragma once

#include <cstdint>

#include "base/random.h"
#include "base/time.h"
#include "engine/kv_engine.h"
#include "env/sim/world.h"
#include "sim/cluster.h"

namespace rutile::sim {

// Rewrites what engines have on disk now and then, as RocksDB does by itself: some of the records
// of transactions, on one node. So what compactions may leave out goes on one node and not yet on
// another, bit by bit, and comes back when the disk had not taken it.
class Compactions {
 public:
  struct Options {
    Duration interval = {};  // Between two of them, on any node; zero: there are none.
  };

  // World and cluster outlive it, and it outlives the world's events.
  Compactions(World& world, Cluster& cluster, const Options& options, std::uint64_t seed);

  void Start();

 private:
  void Next();
  void Compact(std::size_t node);
  // Anywhere among the records, in the middle of a key's too.
  engine::Bounds AnyPart(const engine::Snapshot& snapshot);

  World& world_;
  Cluster& cluster_;
  const Options options_;
  SeededRandom random_;  // Its own: the run is the same without it.
};

}  // namespace rutile::sim
