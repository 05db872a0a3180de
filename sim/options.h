#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "sim/cluster.h"
#include "sim/compactions.h"
#include "sim/fault_script.h"
#include "sim/garbage_workload.h"
#include "sim/transaction_workload.h"
#include "sim/workload.h"

namespace rutile::sim {

class SimulationObserver;
struct TraceEvent;

// Everything that one run depends on besides its seed.
struct SimulationOptions {
  Cluster::Options cluster = {};
  RegisterWorkload::Options registers = {};
  TimestampWorkload::Options timestamps = {};
  TransactionWorkload::Options transactions = {};
  GarbageWorkload::Options garbage = {};
  Compactions::Options compactions = {};
  FaultDraw faults = {};                   // From which the seed's script is drawn,
  std::optional<FaultScript> script = {};  // unless this one is played instead.
  Duration faulty_time = Seconds(20);      // Phase one: faults. Only safety is asked for.
  // How many of the places marked RUTILE_BUGGIFY act in it.
  std::uint64_t buggify_percent = 0;
  // Phase two: all faults are over, but these nodes, less than half, are dead. Within the first
  // limit clients must be served again; within the second all replicas must agree; and within the
  // third no call must take longer than is normal.
  std::vector<std::size_t> dead = {};
  Duration service_limit = Seconds(120);
  // Thirty thousand entries that a new replica lacks take a quarter of an hour where each goes in a
  // message of its own, nothing is under way but one, and disks are slow.
  Duration agreement_limit = Seconds(1800);
  Duration settle_limit = Seconds(60);
  Duration moves_limit = Seconds(1200);  // Until members have changed, and the leader.
  // Gets every event of every core; see TraceEvent.
  std::function<void(const TraceEvent&)> trace = {};
  // Each makes an observer of the run; for those that every run of this process is to have.
  std::vector<std::function<std::unique_ptr<SimulationObserver>()>> observers = {};
};

// A run's options drawn from its seed ("swarm testing": each run has some of the faults, limits and
// speeds, and runs differ in which). `log` gets the log lines of all nodes.
SimulationOptions DrawOptions(std::uint64_t seed,
                              std::function<void(const std::string&)> log = nullptr);
// One line.
std::string Describe(const SimulationOptions& options);

// An option that may be given by name, as a whole number, in place of what the seed drew.
struct NamedOption {
  std::string_view name;
  std::string_view what;
  std::int64_t simple;  // What makes a run easiest to understand.
  std::int64_t (*get)(const SimulationOptions&);
  void (*set)(SimulationOptions*, std::int64_t);
};
const std::vector<NamedOption>& NamedOptions();
// kInvalidArgument: no such option, or no such value.
Status SetOption(std::string_view name, std::int64_t value, SimulationOptions* options);

}  // namespace rutile::sim
