#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/time.h"
#include "sim/cluster.h"
#include "sim/nemesis.h"
#include "sim/workload.h"

namespace rutile::sim {

// Everything that one run depends on besides its seed.
struct SimulationOptions {
  Cluster::Options cluster = {};
  Nemesis::Options nemesis = {};
  RegisterWorkload::Options registers = {};
  TimestampWorkload::Options timestamps = {};
  Duration faulty_time = Seconds(20);  // Phase one: faults. Only safety is asked for.
  // Phase two: all faults are over. Within this time every node must be back, all replicas must
  // agree, and clients must be served.
  Duration recovery_limit = Seconds(600);  // A window of one message and slow disks take long.
};

// A run's options drawn from its seed ("swarm testing": each run has some of the faults, limits and
// speeds, and runs differ in which). `log` gets the log lines of all nodes.
SimulationOptions DrawOptions(std::uint64_t seed,
                              std::function<void(const std::string&)> log = nullptr);
// One line.
std::string Describe(const SimulationOptions& options);

struct SimulationOutcome {
  std::vector<std::string> violations = {};  // Empty: all was well.
  std::uint64_t trace_hash = 0;
  std::uint64_t events = 0;
  std::uint64_t calls = 0;       // Answered, of registers.
  std::uint64_t timestamps = 0;  // Likewise.
  std::uint64_t states = 0;      // Different states of replicas that were compared.
  std::uint64_t boots = 0;
  Duration recovery = {};  // How long phase two took.
};

// Runs one simulation to its end. A function of its arguments.
SimulationOutcome Simulate(std::uint64_t seed, const SimulationOptions& options);

}  // namespace rutile::sim
