#include "sim/simulation.h"

#include <algorithm>
#include <utility>

#include "sim/monitor.h"

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
  replica.snapshot_part_bytes = OneOf<std::size_t>(random, {64, 4096});
  replica.snapshot_window = OneOf<std::uint64_t>(random, {1, 8});
  replica.log_collect_every = OneOf(random, {Milliseconds(100), Seconds(1)});
  replica.apply_before_durable = !random.OneIn(4);
  replica.lease_reads = !random.OneIn(4);
}

}  // namespace

SimulationOptions DrawOptions(std::uint64_t seed, std::function<void(const std::string&)> log) {
  // A generator of its own: a new option does not change what the run draws.
  SeededRandom random(seed ^ 0x5EED0F0B710E5u);
  SimulationOptions options;
  const std::size_t nodes = OneOf<std::size_t>(random, {1, 3, 3, 3, 3, 5});
  for (std::size_t i = 0; i < nodes; ++i) options.cluster.machines.push_back(DrawMachine(random));
  options.cluster.network = DrawNetwork(random);
  DrawLimits(random, &options.cluster);
  options.cluster.log = std::move(log);
  for (const Fault fault : kAllFaults) {
    if (random.OneIn(2)) options.nemesis.faults.push_back(fault);
  }
  options.nemesis.mean_pause = OneOf(random, {Milliseconds(300), Seconds(1), Seconds(3)});
  options.nemesis.max_fault = OneOf(random, {Milliseconds(500), Seconds(3), Seconds(6)});
  options.registers.clients = OneOf<std::size_t>(random, {2, 4, 8});
  options.registers.keys = OneOf<std::size_t>(random, {1, 3, 10});
  options.registers.max_think = OneOf(random, {Milliseconds(5), Milliseconds(50)});
  // Impatient clients turn to others while an old leader still answers some.
  options.registers.timeout = OneOf(random, {Milliseconds(100), Milliseconds(500), Seconds(2)});
  options.registers.read_percent = OneOf<std::uint64_t>(random, {20, 50, 90});
  options.registers.value_bytes = OneOf<std::size_t>(random, {16, 16, 2000});
  options.registers.follower_reads = !options.cluster.replica.lease_reads;
  return options;
}

std::string Describe(const SimulationOptions& options) {
  std::string text = std::to_string(options.cluster.machines.size()) + " nodes, faults:";
  for (const Fault fault : options.nemesis.faults) text += " " + std::string(ToString(fault));
  const LinkOptions& network = options.cluster.network;
  text += "; loss " + std::to_string(network.loss_per_million / 10'000) + "%, delay up to " +
          std::to_string(ToMicroseconds(network.max_delay)) + " us, " +
          (network.in_order ? "in order" : "reordered");
  text += "; segments of " + std::to_string(options.cluster.wal.segment_bytes) + " bytes, " +
          std::to_string(options.cluster.replica.kept_log_entries) + " entries kept, " +
          std::to_string(options.registers.clients) + " clients";
  return text;
}

SimulationOutcome Simulate(std::uint64_t seed, const SimulationOptions& options) {
  World world(seed);
  Cluster cluster(world, options.cluster);
  Monitor monitor(world, cluster, Milliseconds(37));
  RegisterWorkload registers(world, cluster, options.registers);
  TimestampWorkload timestamps(world, cluster, options.timestamps);
  Nemesis nemesis(world, cluster, options.nemesis);
  SimulationOutcome outcome;
  std::vector<std::string>& violations = outcome.violations;

  for (std::size_t i = 0; i < cluster.size(); ++i) cluster.Start(i);
  monitor.Start();
  registers.Start();
  timestamps.Start();
  nemesis.Start();
  world.RunFor(options.faulty_time);

  nemesis.Stop();
  const Duration healed = world.Now();
  const std::uint64_t calls = registers.completed();
  const std::uint64_t stamps = timestamps.completed();
  const auto is_served = [&] {
    return registers.completed() >= calls + 20 && timestamps.completed() >= stamps + 5;
  };
  if (!world.RunUntil(is_served, options.recovery_limit)) {
    violations.push_back("clients are not served although all faults are over");
  }
  registers.Stop();
  timestamps.Stop();
  const Duration limit = world.Now() + options.recovery_limit;
  while (!registers.is_idle() || !monitor.HasConverged()) {
    if (world.Now() > limit) {
      violations.push_back("replicas do not agree although all faults are over: " +
                           monitor.Describe());
      break;
    }
    world.RunFor(Milliseconds(50));
  }
  outcome.recovery = world.Now() - healed;

  const auto add = [&](const std::vector<std::string>& found) {
    violations.insert(violations.end(), found.begin(), found.end());
  };
  add(cluster.violations());
  add(monitor.problems());
  add(registers.Check());
  add(timestamps.Check());
  outcome.trace_hash = world.trace_hash();
  outcome.events = world.events();
  outcome.calls = registers.completed();
  outcome.timestamps = timestamps.completed();
  outcome.states = monitor.states();
  for (std::size_t i = 0; i < cluster.size(); ++i) outcome.boots += cluster.machine(i).boots();
  return outcome;
}

}  // namespace rutile::sim
