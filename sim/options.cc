#include "sim/options.h"

#include <algorithm>
#include <utility>

namespace rutile::sim {
namespace {

// One of a few values.
template <class T>
T OneOf(Random& random, std::initializer_list<T> values) {
  return values.begin()[random.Below(values.size())];
}

Machine::Options DrawMachine(Random& random) {
  Machine::Options machine;
  machine.clock.drift_ppm = static_cast<std::int64_t>(random.Below(20'001)) - 10'000;
  machine.clock.wall_offset_ms = static_cast<std::int64_t>(random.Below(2001)) - 1000;
  machine.disk.sector_bytes = OneOf<std::size_t>(random, {512, 4096});
  machine.disk.sync = {Microseconds(50),
                       OneOf(random, {Microseconds(200), Milliseconds(5), Milliseconds(50)})};
  machine.disk.write = {Duration(0), Microseconds(50)};
  machine.disk.read = {Duration(0), Microseconds(50)};
  machine.executors.max_dispatch = OneOf(random, {Microseconds(5), Microseconds(200)});
  return machine;
}

LinkOptions DrawNetwork(Random& random) {
  LinkOptions network;
  network.max_delay =
      OneOf(random, {Microseconds(200), Milliseconds(2), Milliseconds(2), Milliseconds(30)});
  if (random.OneIn(2)) {
    network.loss_per_million = static_cast<std::uint32_t>(random.Below(100'000));
    network.duplicate_per_million = static_cast<std::uint32_t>(random.Below(100'000));
    network.in_order = random.OneIn(2);
  }
  return network;
}

// Small limits lead to code that is rarely reached otherwise.
void DrawLimits(Random& random, Cluster::Options* options) {
  options->wal.segment_bytes = OneOf<std::uint64_t>(random, {8192, 32'768, 1 << 20});
  options->wal.max_segments = OneOf(random, {3, 6});
  options->wal.spare_segments = OneOf(random, {0, 2});
  store::ReplicaOptions& replica = options->replica;
  replica.kept_log_entries = OneOf<std::uint64_t>(random, {5, 100, 10'000});
  replica.cached_log_bytes = OneOf<std::size_t>(random, {1024, 1 << 20});
  replica.max_append_bytes = OneOf<std::size_t>(random, {512, 1 << 16});
  replica.max_inflight_messages = OneOf<std::size_t>(random, {1, 4, 256});
  // Where an entry takes a round trip a leader must not gather what nobody waits for any more.
  replica.max_waiting_writes = 100;
  replica.max_apply_batch_bytes = OneOf<std::size_t>(random, {1, 4096, 4 << 20});
  // Smaller parts would make a snapshot take longer than a run: each waits for its answer.
  replica.snapshot_part_bytes = OneOf<std::size_t>(random, {2048, 8192});
  replica.snapshot_window = OneOf<std::uint64_t>(random, {1, 8});
  replica.log_collect_every = OneOf(random, {Milliseconds(100), Seconds(1)});
  replica.apply_before_durable = !random.OneIn(4);
  replica.lease_reads = !random.OneIn(4);
  if (!random.OneIn(5)) return;
  // As small as can be: an entry a message, a page and a batch, a cache that holds one or two, and
  // a log that is collected all the time.
  replica.kept_log_entries = OneOf<std::uint64_t>(random, {0, 1, 2});
  replica.cached_log_bytes = OneOf<std::size_t>(random, {0, 100});
  replica.max_append_bytes = 1;
  replica.max_inflight_messages = OneOf<std::size_t>(random, {1, 2});
  replica.max_apply_batch_bytes = 1;
  replica.snapshot_part_bytes = 2048;
  replica.log_collect_every = OneOf(random, {Milliseconds(1), Milliseconds(20)});
}

void DrawFaultKinds(Random& random, std::size_t nodes, SimulationOptions* options) {
  FaultDraw& draw = options->faults;
  // Between one fault in ten and nearly all; each as often as it happens to be.
  const std::uint64_t percent = OneOf<std::uint64_t>(random, {10, 30, 50, 90});
  for (const FaultKind& kind : kFaultKinds) {
    if (kind.fault == Fault::kMembers) continue;  // See DrawMoves().
    if (random.Below(100) >= percent) continue;
    draw.faults.push_back({kind.fault, static_cast<std::uint32_t>(1 + random.Below(8))});
  }
  draw.mean_pause = OneOf(random, {Milliseconds(200), Milliseconds(500), Seconds(1), Seconds(3)});
  draw.max_span = OneOf(random, {Milliseconds(500), Seconds(3), Seconds(6), Seconds(15)});
  draw.max_drift_ppm = OneOf(random, {10'000, 10'000, 50'000, 100'000});
  store::ReplicaOptions& replica = options->cluster.replica;
  // What is needed for lease < vote_refusal on clocks that differ so much.
  if (draw.max_drift_ppm == 100'000) replica.lease = Milliseconds(650);
  draw.freeze_monotonic = !replica.lease_reads;
  // A minority, whose disks may be damaged for good and some of whom may never come back.
  for (std::size_t i = 0; i < (nodes - 1) / 2; ++i) {
    const std::size_t node = random.Below(nodes);
    if (std::count(draw.expendable.begin(), draw.expendable.end(), node) == 0) {
      draw.expendable.push_back(node);
      if (random.OneIn(3)) options->dead.push_back(node);
    }
  }
}

// Nodes without a replica of the user's data, one at least, and what makes replicas move there and
// back. Of a generator of its own: what else the run draws does not depend on it.
void DrawMoves(std::uint64_t seed, SimulationOptions* options) {
  SeededRandom random(seed ^ 0x30E5u);
  options->cluster.replicas = options->cluster.machines.size();
  const std::size_t more = OneOf<std::size_t>(random, {1, 1, 1, 2});
  for (std::size_t i = 0; i < more; ++i) options->cluster.machines.push_back(DrawMachine(random));
  const auto seconds = static_cast<std::size_t>(ToSeconds(options->faulty_time));
  options->faults.moves = 2 + seconds / OneOf<std::size_t>(random, {1, 3, 10});
}

// Of a generator of its own, likewise.
void DrawTransactions(std::uint64_t seed, TransactionWorkload::Options* options) {
  SeededRandom random(seed ^ 0x7A45u);
  options->clients = OneOf<std::size_t>(random, {1, 2, 4});
  options->accounts = OneOf<std::size_t>(random, {2, 5});
  options->keys = OneOf<std::size_t>(random, {2, 6});
  options->max_think = OneOf(random, {Milliseconds(50), Milliseconds(400)});
  options->timeout = OneOf(random, {Milliseconds(300), Seconds(1), Seconds(2)});
  options->lock_ttl = OneOf(random, {Milliseconds(100), Milliseconds(500), Seconds(3)});
  // What makes a request for each key, though all are in one region.
  options->batch_keys = OneOf<std::size_t>(random, {1, 1, 2, 256});
  options->long_value_percent = OneOf<std::uint64_t>(random, {0, 20});
  options->death_percent = OneOf<std::uint64_t>(random, {0, 5, 25});
  options->readers_pass = random.OneIn(2);
  options->follower_reads = random.OneIn(2);
  options->pessimistic_percent = OneOf<std::uint64_t>(random, {0, 30, 50, 90});
  options->async_percent = OneOf<std::uint64_t>(random, {0, 50, 90});
  options->one_phase_percent = OneOf<std::uint64_t>(random, {0, 20, 60});
  options->async_keys = OneOf<std::size_t>(random, {2, 256, 256});
  options->commit_window = OneOf(random, {Milliseconds(1), Milliseconds(20), Seconds(2)});
}

// Where pessimistic locks stand: all in the log, as many as have room in memory, or a few there.
// Of a generator of its own, likewise.
void DrawMemoryLocks(std::uint64_t seed, txn::MemoryLocks::Options* options) {
  SeededRandom random(seed ^ 0x10C5u);
  const std::size_t usual = options->max_region_bytes;
  options->max_region_bytes = OneOf<std::size_t>(random, {0, 500, usual, usual});
}

// Of a generator of its own, likewise.
void DrawGarbage(std::uint64_t seed, SimulationOptions* all) {
  SeededRandom random(seed ^ 0x6A4Bu);
  store::RegionCollection::Options& steps = all->cluster.garbage.region;
  steps.look_records = OneOf<std::size_t>(random, {1, 4096});
  steps.remove_records = OneOf<std::size_t>(random, {1, 4096});
  GarbageWorkload::Options* const options = &all->garbage;
  options->interval = OneOf(random, {Duration(), Milliseconds(200), Seconds(1), Seconds(3)});
  options->life = OneOf(random, {Milliseconds(300), Seconds(2), Seconds(10)});
  options->batch_locks = OneOf<std::size_t>(random, {1, 2, 256});
  options->timeout = OneOf(random, {Milliseconds(300), Seconds(2)});
  all->cluster.garbage.share = OneOf<std::uint64_t>(random, {1, 4, 20});
  all->compactions.interval = OneOf(random, {Duration(), Milliseconds(30), Milliseconds(500)});
}

// In some runs memory for the log of one node holds not much more than what clients have under way
// when all is well. Of a generator of its own, likewise.
void DrawLogMemory(std::uint64_t seed, SimulationOptions* options) {
  SeededRandom random(seed ^ 0x4D1Eu);
  if (!random.OneIn(4)) return;
  const std::size_t times = OneOf<std::size_t>(random, {2, 4, 16});
  const RegisterWorkload::Options& load = options->registers;
  constexpr std::size_t kTransactionBytes = 2000;
  options->cluster.replica.log_memory_bytes =
      4000 + times * load.clients * (load.value_bytes + 150) +
      times * options->transactions.clients * kTransactionBytes;
}

}  // namespace

SimulationOptions DrawOptions(std::uint64_t seed, std::function<void(const std::string&)> log) {
  // A generator of its own: a new option does not change what the run draws.
  SeededRandom random(seed ^ 0x5EED0F0B710E5u);
  SimulationOptions options;
  const std::size_t nodes = OneOf<std::size_t>(random, {1, 3, 3, 3, 3, 3, 3, 5});
  for (std::size_t i = 0; i < nodes; ++i) options.cluster.machines.push_back(DrawMachine(random));
  options.cluster.network = DrawNetwork(random);
  DrawLimits(random, &options.cluster);
  options.cluster.log = std::move(log);
  DrawFaultKinds(random, nodes, &options);
  options.faulty_time = OneOf(random, {Seconds(20), Seconds(60), Seconds(60)});
  options.registers.clients = OneOf<std::size_t>(random, {2, 4, 8});
  options.registers.keys = OneOf<std::size_t>(random, {1, 3, 10});
  options.registers.max_think = OneOf(random, {Milliseconds(5), Milliseconds(50)});
  // Impatient clients turn to others while an old leader still answers some.
  options.registers.timeout = OneOf(random, {Milliseconds(100), Milliseconds(500), Seconds(2)});
  options.registers.read_percent = OneOf<std::uint64_t>(random, {20, 50, 90});
  options.registers.fresh_percent = OneOf<std::uint64_t>(random, {0, 10, 40});
  options.registers.value_bytes = OneOf<std::size_t>(random, {16, 16, 2000});
  options.registers.follower_reads = random.OneIn(2);
  options.buggify_percent = OneOf<std::uint64_t>(random, {0, 25, 50});
  DrawMoves(seed, &options);
  options.cluster.replica.quiet_groups = SeededRandom(seed ^ 0x5133Bu).OneIn(2);  // Likewise.
  DrawTransactions(seed, &options.transactions);
  DrawMemoryLocks(seed, &options.cluster.memory_locks);
  DrawGarbage(seed, &options);
  DrawLogMemory(seed, &options);
  SeededRandom compression(seed ^ 0x124C4u);  // Likewise.
  options.cluster.wal.compress_from_bytes = OneOf<std::size_t>(compression, {0, 1, 64, 4096});
  SeededRandom streams(seed ^ 0x57EA35u);  // Likewise.
  options.cluster.log_streams = OneOf<std::size_t>(streams, {1, 1, 2, 3});
  options.cluster.log_streams_change = streams.OneIn(2);
  // A follower that is ten thousand entries behind may be half of what is left of a quorum.
  const store::ReplicaOptions& replica = options.cluster.replica;
  const bool one_by_one = replica.max_append_bytes * replica.max_inflight_messages <= 1024;
  if (one_by_one) options.service_limit = Seconds(600);
  return options;
}

std::string Describe(const SimulationOptions& options) {
  std::string text = std::to_string(options.cluster.machines.size()) + " nodes, " +
                     std::to_string(options.cluster.replicas) + " with data, " +
                     std::to_string(options.faults.moves) + " moves, faults:";
  for (const auto& [fault, weight] : options.faults.faults)
    text += " " + std::string(ToString(fault));
  const LinkOptions& network = options.cluster.network;
  text += "; loss " + std::to_string(network.loss_per_million / 10'000) + "%, delay up to " +
          std::to_string(ToMicroseconds(network.max_delay)) + " us, " +
          (network.in_order ? "in order" : "reordered");
  text += "; segments of " + std::to_string(options.cluster.wal.segment_bytes) + " bytes in " +
          std::to_string(options.cluster.log_streams) + " streams" +
          (options.cluster.log_streams_change ? " at most" : "") + ", compressed from " +
          std::to_string(options.cluster.wal.compress_from_bytes) + ", " +
          std::to_string(options.cluster.replica.kept_log_entries) + " entries kept, " +
          std::to_string(options.cluster.replica.log_memory_bytes >> 10) + " KiB for the log, " +
          std::to_string(options.registers.clients) + " clients and " +
          std::to_string(options.transactions.clients) + " of transactions, " +
          (options.garbage.interval > Duration()
               ? "versions live " + std::to_string(ToMilliseconds(options.garbage.life)) + " ms"
               : std::string("no garbage collected")) +
          (options.compactions.interval > Duration() ? ", compactions" : "") + ", buggify " +
          std::to_string(options.buggify_percent) + "%" +
          (options.cluster.replica.quiet_groups ? ", quiet groups" : "");
  return text;
}

}  // namespace rutile::sim
