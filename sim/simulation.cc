#include "sim/simulation.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/buggify.h"
#include "base/probe.h"
#include "codec/crc64.h"
#include "codec/keys.h"
#include "sim/oracle.h"
#include "sim/run_file.h"
#include "sim/snapshot_isolation.h"
#include "sim/transaction_records.h"
#include "store/raw_value.h"
#include "store/safe_point.h"

namespace rutile::sim {
namespace {

// What a call may take when nothing is wrong: a generous multiple of what disks, links and threads
// of this cluster need.
Duration NormalLatency(const SimulationOptions& options) {
  Duration sync = {}, dispatch = {};
  for (const Machine::Options& machine : options.cluster.machines) {
    sync = std::max(sync, machine.disk.sync.max + machine.disk.write.max);
    dispatch = std::max(dispatch, machine.executors.max_dispatch);
  }
  const Duration step = sync + options.cluster.network.max_delay + 4 * dispatch;
  // Each call may wait for those of all other clients, one after another.
  // A transaction has several on their way.
  const auto clients =
      static_cast<Duration::rep>(options.registers.clients + 3 * options.transactions.clients);
  Duration normal = Milliseconds(100) + 4 * clients * step;
  // Where next to nothing is kept of the log, whoever misses one message needs a snapshot, and so
  // may a majority at a time. A part of one that is lost is sent again after half a second.
  const bool snapshots = options.cluster.replica.kept_log_entries < options.registers.clients;
  if (snapshots) normal += Seconds(2);
  // A voter alone is faster than whoever is sent one message at a time, and leaves learners behind
  // for good. Who reads there waits in vain, and turns to the leader.
  const bool reads_there = options.registers.follower_reads || options.transactions.follower_reads;
  const bool behind = reads_there && options.cluster.replica.max_inflight_messages == 1;
  return behind ? normal + RegisterWorkload::kCalmTimeout : normal;
}

// Of all that the nodes hold which are up.
std::uint64_t StateHash(Cluster& cluster) {
  std::uint64_t hash = 0;
  for (std::size_t i = 0; i < cluster.size(); ++i) {
    hash = hash * 31 + i;
    if (!cluster.is_up(i)) continue;
    const auto snapshot = cluster.node(i)->engine().GetSnapshot();
    using engine::Family;
    for (const Family family : {Family::kDefault, Family::kLock, Family::kWrite, Family::kMeta}) {
      const auto iterator = snapshot->NewIterator(family, {});
      for (iterator->Seek(""); iterator->Valid(); iterator->Next()) {
        hash = codec::Crc64(iterator->key(), hash) * 31;
        hash = codec::Crc64(iterator->value(), hash) * 31;
      }
    }
  }
  return hash;
}

// Of this process: those that run simulations have one thread.
std::map<std::string, std::uint64_t> ProbeHits() {
  std::map<std::string, std::uint64_t> hits;
  for (const Probe* probe : Probe::All()) hits[probe->name()] = probe->hits();
  return hits;
}

}  // namespace

Simulation::Simulation(std::uint64_t seed, SimulationOptions options)
    : seed_(seed),
      options_(std::move(options)),
      script_(ScriptOf(seed, options_)),
      world_(seed),
      cluster_(world_, options_.cluster),
      monitor_(world_, cluster_, Milliseconds(37)),
      registers_(world_, cluster_, options_.registers),
      timestamps_(world_, cluster_, options_.timestamps),
      transactions_(world_, cluster_, options_.transactions),
      garbage_(world_, cluster_, options_.garbage),
      compactions_(world_, cluster_, options_.compactions, seed),
      nemesis_(world_, cluster_, options_.cluster.network, script_) {
  std::set<std::size_t> fragile(options_.faults.expendable.begin(),
                                options_.faults.expendable.end());
  fragile.insert(options_.dead.begin(), options_.dead.end());
  nemesis_.orders().SetFragile(fragile);
  auto oracle = std::make_unique<CoreOracle>();
  oracle_ = oracle.get();
  Observe(std::move(oracle));
  for (const auto& make : options_.observers) Observe(make());
}

Simulation::~Simulation() = default;

void Simulation::Observe(std::unique_ptr<SimulationObserver> observer) {
  observers_.push_back(std::move(observer));
}

void Simulation::Violate(const std::string& what) {
  constexpr std::size_t kKept = 50;
  if (outcome_.violations.size() < kKept) outcome_.violations.push_back(what);
}

// What is wrong already cannot become right, and waiting for a broken cluster to recover takes
// longer than all that led there.
bool Simulation::HasFailed() const {
  return has_violations() || !cluster_.violations().empty() || !monitor_.problems().empty() ||
         !transactions_.problems().empty();
}

SimulationOutcome Simulation::Run() {
  const std::map<std::string, std::uint64_t> probes = ProbeHits();
  for (const auto& observer : observers_) observer->OnBegin(*this);
  cluster_.SetCoreObserver([this](std::size_t node, RegionId group, PeerId peer) {
    return WatchCore(node, group, peer);
  });
  cluster_.SetWriteObserver([this](const auto& batch) { records_.OnWrite(batch); });
  if (!observers_.empty()) {
    world_.SetObserver([this] {
      for (const auto& observer : observers_) observer->OnEvent(*this);
    });
    nemesis_.SetObserver([this](const TimedFault* fault) {
      for (const auto& observer : observers_) observer->OnFault(*this, fault);
    });
  }
  RunFaultyPhase();
  RunRecovery();
  Finish();
  outcome_.probes = ProbeHits();
  for (const auto& [name, hits] : probes) outcome_.probes[name] -= hits;
  return outcome_;
}

raft::Observer* Simulation::WatchCore(std::size_t node, RegionId group, PeerId peer) {
  std::unique_ptr<ObserverList>& list = core_observers_[{node, group, peer}];
  if (list != nullptr) return list.get();
  std::vector<raft::Observer*> watching;
  for (const auto& observer : observers_) {
    raft::Observer* const watch = observer->WatchCore(*this, node, group, peer);
    if (watch != nullptr) watching.push_back(watch);
  }
  list = std::make_unique<ObserverList>(std::move(watching));
  return list.get();
}

void Simulation::RunFaultyPhase() {
  const Buggify buggify(seed_, options_.buggify_percent);
  for (std::size_t i = 0; i < cluster_.size(); ++i) cluster_.Start(i);
  monitor_.Start();
  registers_.Start();
  timestamps_.Start();
  transactions_.Start();
  garbage_.Start();
  compactions_.Start();
  nemesis_.Start();
  world_.RunFor(options_.faulty_time);
}

void Simulation::RunRecovery() {
  nemesis_.Stop(options_.dead);
  registers_.CalmDown();
  transactions_.CalmDown();
  // On the slowest disks a commit may take longer than versions live.
  garbage_.Stop();
  const Duration healed = world_.Now();
  const std::uint64_t calls = registers_.completed();
  const std::uint64_t stamps = timestamps_.completed();
  const std::uint64_t commits = transactions_.counts().committed;
  const auto reads_and_writes = [&] {
    return options_.registers.clients == 0 || registers_.completed() >= calls + 20;
  };
  const auto gets_timestamps = [&] {
    return options_.timestamps.clients == 0 || timestamps_.completed() >= stamps + 5;
  };
  // Few: each is several writes one after the other, which take seconds on the slowest disks.
  const auto commits_transactions = [&] {
    return options_.transactions.clients == 0 || transactions_.counts().committed >= commits + 2;
  };
  const auto is_served = [&] {
    return reads_and_writes() && gets_timestamps() && commits_transactions();
  };
  const auto is_over = [&] { return is_served() || HasFailed(); };
  if (!world_.RunUntil(is_over, options_.service_limit)) {
    const char* const what = !reads_and_writes()  ? "reads and writes are not served"
                             : !gets_timestamps() ? "no timestamps are given"
                                                  : "transactions are not committed";
    Violate(std::string(what) + " although all faults are over");
  }
  outcome_.service = world_.Now() - healed;
  AwaitNormalLatency();
  outcome_.settled = world_.Now() - healed;
  registers_.Stop();
  timestamps_.Stop();
  transactions_.Stop();
  AwaitMoves();
  AwaitAgreement();
  outcome_.recovery = world_.Now() - healed;
}

void Simulation::AwaitNormalLatency() {
  const Duration limit = world_.Now() + options_.settle_limit;
  const Duration normal = NormalLatency(options_);
  do {
    if (HasFailed()) return;
    if (world_.Now() > limit) {
      return Violate("a call still took " + std::to_string(ToMilliseconds(registers_.longest())) +
                     " ms although all faults are over; normal is at most " +
                     std::to_string(ToMilliseconds(normal)) + " ms");
    }
    registers_.ResetLongest();
    world_.RunFor(Seconds(2));
    outcome_.slowest_normal = std::max(registers_.longest(), registers_.oldest());
  } while (outcome_.slowest_normal > normal);
}

// An order that makes sense is carried out when all is well: so in every run with moves at least
// one takes effect. Clients are gone by then: they could outrun a new replica where next to nothing
// is kept of the log.
void Simulation::AwaitMoves() {
  if (options_.faults.moves == 0 || HasFailed()) return;
  Operator& orders = nemesis_.orders();
  const std::uint64_t changes = orders.changes(), transfers = orders.transfers();
  orders.DemandBoth(nemesis_.lost());
  const Duration limit = world_.Now() + options_.moves_limit;
  for (;;) {
    const bool changed = orders.changes() > changes;
    if (HasFailed() || (changed && orders.transfers() > transfers)) break;
    if (world_.Now() > limit) {
      Violate(std::string(changed ? "the leadership does not move" : "members do not change") +
              " although all faults are over");
      break;
    }
    world_.RunFor(Milliseconds(20));
  }
  orders.Stop();
  outcome_.member_changes = orders.changes();
  outcome_.transfers = orders.transfers();
}

// Whoever leads has collected all garbage up to the safe point that it knows.
bool Simulation::IsCollected() {
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    if (cluster_.is_up(i) && cluster_.node(i)->garbage().totals().waiting > 0) return false;
  }
  return true;
}

void Simulation::AwaitAgreement() {
  const Duration limit = world_.Now() + options_.agreement_limit;
  const auto are_idle = [&] { return registers_.is_idle() && transactions_.is_idle(); };
  while (!HasFailed() &&
         (!are_idle() || !IsCollected() || !monitor_.HasConverged(nemesis_.lost()))) {
    if (world_.Now() > limit) {
      const char* const what = !registers_.is_idle()      ? "calls of registers do not end"
                               : !transactions_.is_idle() ? "transactions do not end"
                               : !IsCollected()           ? "garbage stays"
                                                          : "replicas do not agree";
      return Violate(std::string(what) + " although all faults are over: " + monitor_.Describe());
    }
    world_.RunFor(Milliseconds(50));
  }
}

// Whatever was acknowledged is on every member that was not lost. Of a run that has failed, members
// may simply not have got there.
void Simulation::CheckSet() {
  outcome_.facts = oracle_->compared();
  outcome_.trace_events = oracle_->traced();
  outcome_.set_elements = registers_.acknowledged().size();
  if (HasFailed()) return;
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    if (nemesis_.lost().contains(i) || !cluster_.is_up(i)) continue;
    const auto gate = cluster_.node(i)->store().Gate(store::kFirstUserRegion);
    if (!gate || gate->region->IsWaiting()) continue;
    const auto snapshot = cluster_.node(i)->engine().GetSnapshot();
    for (const auto& [key, value] : registers_.acknowledged()) {
      const auto found = snapshot->Get(engine::Family::kDefault, codec::DataKey(key));
      if (found.ok() && found.value()) {
        const Result<store::RawValue> raw = store::DecodeRawValue(*found.value());
        if (raw.ok() && raw.value().value == value) continue;
      }
      Violate("node " + std::to_string(i + 1) + " has lost " + key + ", which was acknowledged");
      break;  // One tells as much as a thousand.
    }
  }
}

// What members have held tells what became of all transactions, and so what each of them had to
// see.
void Simulation::CheckTransactions() {
  if (HasFailed() || options_.transactions.clients == 0) return;
  std::optional<StoredTransactions> stored;  // Of one of them; all have applied the same.
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    if (nemesis_.lost().contains(i) || !cluster_.is_up(i)) continue;
    const auto gate = cluster_.node(i)->store().Gate(store::kFirstUserRegion);
    if (!gate || gate->region->IsWaiting()) continue;
    const auto snapshot = cluster_.node(i)->engine().GetSnapshot();
    if (!stored) {
      auto read = records_.Read(*snapshot);
      if (!read.ok()) return Violate("transactions: " + read.status().ToString());
      stored = std::move(read).value();
      for (const std::string& what : FindAnomalies(transactions_.history(), stored.value())) {
        Violate(what);
      }
    }
    const auto safe_point = store::SafePointOf({.snapshot = *snapshot, .region = *gate->region});
    if (!safe_point.ok()) return Violate("transactions: " + safe_point.status().ToString());
    const auto missing = FindMissing(stored.value(), *snapshot, safe_point.value().value());
    if (!missing.ok()) return Violate("transactions: " + missing.status().ToString());
    for (const std::string& what : missing.value()) Violate(what);
  }
}

void Simulation::Finish() {
  for (const auto& observer : observers_) observer->OnEnd(*this);
  const auto add = [&](const std::vector<std::string>& found) {
    for (const std::string& what : found) Violate(what);
  };
  add(cluster_.violations());
  add(monitor_.problems());
  add(registers_.Check());
  add(timestamps_.Check());
  add(transactions_.problems());
  CheckSet();
  CheckTransactions();
  outcome_.trace_hash = world_.trace_hash();
  outcome_.state_hash = StateHash(cluster_);
  outcome_.events = world_.events();
  outcome_.calls = registers_.completed();
  outcome_.timestamps = timestamps_.completed();
  outcome_.transactions = transactions_.counts();
  outcome_.safe_points = garbage_.raised();
  outcome_.states = monitor_.states();
  for (const FaultKind& kind : kFaultKinds) outcome_.faults.push_back(nemesis_.count(kind.fault));
  outcome_.simulated = world_.Now();
  for (std::size_t i = 0; i < cluster_.size(); ++i) outcome_.boots += cluster_.machine(i).boots();
}

SimulationOutcome Simulate(std::uint64_t seed, const SimulationOptions& options) {
  return Simulation(seed, options).Run();
}

}  // namespace rutile::sim
