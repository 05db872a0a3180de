#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "base/time.h"
#include "sim/cluster.h"
#include "sim/compactions.h"
#include "sim/garbage_workload.h"
#include "sim/monitor.h"
#include "sim/nemesis.h"
#include "sim/options.h"
#include "sim/transaction_records.h"
#include "sim/transaction_workload.h"
#include "sim/workload.h"

namespace rutile::sim {

class CoreOracle;
class ObserverList;
class Simulation;

// Looks on while a simulation runs: oracles, traces, coverage, pictures. It must not change what
// happens: no events, no chance of the world, no time taken. All calls come from the thread that
// runs the simulation.
class SimulationObserver {
 public:
  virtual ~SimulationObserver() = default;
  // The cluster is there, nothing has happened yet.
  virtual void OnBegin(Simulation&) {}
  // Who is to look on at the cores of `group` on `node`, if anybody. Asked once, when the first
  // core of this peer is made; what it gives lives as long as this observer.
  virtual raft::Observer* WatchCore(Simulation&, std::size_t /*node*/, RegionId /*group*/,
                                    PeerId /*peer*/) {
    return nullptr;
  }
  // After each event of the world. Called a million times in a run: be quick.
  virtual void OnEvent(Simulation&) {}
  // A fault is brought, or the last of them is over (`fault` is null).
  virtual void OnFault(Simulation&, const TimedFault*) {}
  // The run is over, all nodes are still there. What is wrong goes to simulation.Violate().
  virtual void OnEnd(Simulation&) {}
};

struct SimulationOutcome {
  std::vector<std::string> violations = {};  // Empty: all was well.
  std::uint64_t trace_hash = 0;              // Of all events.
  std::uint64_t state_hash = 0;              // Of what the disks and engines hold at the end.
  std::uint64_t events = 0;
  std::uint64_t calls = 0;       // Answered, of registers.
  std::uint64_t timestamps = 0;  // Likewise.
  TransactionWorkload::Counts transactions = {};
  std::uint64_t safe_points = 0;  // To which the safe point was raised.
  std::uint64_t states = 0;       // Different states of replicas that were compared.
  std::uint64_t boots = 0;
  std::uint64_t member_changes = 0;  // Applied, of the group of the user's data.
  std::uint64_t transfers = 0;       // Leaderships of that group that went where they were told.
  std::vector<std::uint64_t> faults = {};  // How many of each kind, in the order of kFaultKinds.
  Duration simulated = {};                 // The whole run.
  Duration service = {};   // How long it took from the end of all faults until clients were served,
  Duration settled = {};   // until calls took no longer than is normal,
  Duration recovery = {};  // and until all replicas agreed.
  std::uint64_t facts = 0;         // About cores that were compared with what they must be.
  std::uint64_t trace_events = 0;  // Of cores, replayed by the rules of Raft.
  std::uint64_t set_elements = 0;  // Acknowledged, and all there at the end.
  Duration slowest_normal = {};    // The longest call at the end, when all is normal again.
  // How often each Probe of the program was reached; none is left out.
  std::map<std::string, std::uint64_t> probes = {};
};

// One run: a world, a cluster in it, clients, faults, and who looks on.
class Simulation {
 public:
  Simulation(std::uint64_t seed, SimulationOptions options);
  ~Simulation();
  Simulation(const Simulation&) = delete;
  Simulation& operator=(const Simulation&) = delete;

  // Before Run(). Called in the order in which they were added.
  void Observe(std::unique_ptr<SimulationObserver> observer);
  // Runs to the end. A function of the seed and the options. Once.
  SimulationOutcome Run();

  // What is wrong is reported here, at any time; the first few are kept. `what` is one line.
  void Violate(const std::string& what);
  bool has_violations() const { return !violations().empty(); }
  const std::vector<std::string>& violations() const { return outcome_.violations; }

  std::uint64_t seed() const { return seed_; }
  const SimulationOptions& options() const { return options_; }
  const FaultScript& script() const { return script_; }
  World& world() { return world_; }
  Cluster& cluster() { return cluster_; }
  Nemesis& nemesis() { return nemesis_; }
  Monitor& monitor() { return monitor_; }
  RegisterWorkload& registers() { return registers_; }
  TimestampWorkload& timestamps() { return timestamps_; }
  TransactionWorkload& transactions() { return transactions_; }

 private:
  raft::Observer* WatchCore(std::size_t node, RegionId group, PeerId peer);
  bool HasFailed() const;
  void RunFaultyPhase();
  void RunRecovery();
  void AwaitNormalLatency();
  void AwaitMoves();
  void AwaitAgreement();
  bool IsCollected();
  void CheckSet();
  void CheckTransactions();
  void Finish();

  const std::uint64_t seed_;
  const SimulationOptions options_;
  const FaultScript script_;
  World world_;
  Cluster cluster_;
  Monitor monitor_;
  RegisterWorkload registers_;
  TimestampWorkload timestamps_;
  TransactionWorkload transactions_;
  TransactionRecords records_;
  GarbageWorkload garbage_;
  Compactions compactions_;
  Nemesis nemesis_;
  std::vector<std::unique_ptr<SimulationObserver>> observers_;
  const CoreOracle* oracle_ = nullptr;  // One of them.
  std::map<std::tuple<std::size_t, RegionId, PeerId>, std::unique_ptr<ObserverList>>
      core_observers_;
  SimulationOutcome outcome_;
};

// Runs one simulation to its end. A function of its arguments.
SimulationOutcome Simulate(std::uint64_t seed, const SimulationOptions& options);

}  // namespace rutile::sim
