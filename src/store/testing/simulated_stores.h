#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "engine/memory/memory_engine.h"
#include "env/sim/machine.h"
#include "env/sim/sim_log.h"
#include "env/sim/sim_network.h"
#include "env/sim/world.h"
#include "store/store.h"
#include "wal/wal.h"

namespace rutile::store::testing {

// Three stores in a simulated world, with regions that all have a replica on each, and two
// executors for them.
class SimulatedStores : public ::testing::Test {
 protected:
  static constexpr std::size_t kStores = 3;
  static constexpr std::uint64_t kFirstRegion = 10;

  struct Process {
    std::unique_ptr<sim::Machine> machine;
    std::unique_ptr<engine::KvEngine> engine;
    std::unique_ptr<Store> store;
    sim::SimExecutor* log = nullptr;
    sim::SimExecutor* apply = nullptr;
  };

  void SetUp() override {
#ifdef __SANITIZE_THREAD__
    GTEST_SKIP() << "a simulated world has one thread";
#endif
  }
  ~SimulatedStores() override {
    for (std::size_t i = 0; i < kStores; ++i) Kill(i);
  }

  static std::string KeyOf(std::uint64_t number) {
    std::string key = std::to_string(number);
    return std::string(8 - key.size(), '0') + key;
  }
  static RegionId RegionOf(std::uint64_t number) { return RegionId(kFirstRegion + number); }
  static PeerId PeerOf(std::uint64_t number, std::size_t i) {
    return PeerId(10 * RegionOf(number).value() + i + 1);
  }

  // Where region `number` begins. Transactional keys have theirs in another form.
  virtual std::string BorderOf(std::uint64_t number) const { return KeyOf(number); }

  // Region `n` holds the keys that begin with KeyOf(n).
  void Begin(std::uint64_t regions) {
    for (std::uint64_t n = 0; n < regions; ++n) {
      Region region{.id = RegionOf(n),
                    .start_key = BorderOf(n),
                    .end_key = BorderOf(n + 1),
                    .epoch = {.conf_version = 1, .version = 1}};
      for (std::size_t i = 0; i < kStores; ++i) {
        region.peers.push_back({.id = PeerOf(n, i), .store = StoreId(i + 1)});
      }
      regions_.push_back(std::move(region));
    }
    for (std::size_t i = 0; i < kStores; ++i) {
      processes_[i].machine =
          std::make_unique<sim::Machine>(world_, network_, StoreId(i + 1), sim::Machine::Options{});
      Start(i);
    }
  }

  void Start(std::size_t i) {
    const Status status = TryStart(i);
    ASSERT_TRUE(status.ok()) << status.ToString();
  }

  Status TryStart(std::size_t i) {
    Process& process = processes_[i];
    sim::Machine& machine = *process.machine;
    machine.Boot();
    process.log = &machine.NewExecutor("log");
    process.apply = &machine.NewExecutor("apply");
    Store::Executors executors;
    executors.regions = {&machine.NewExecutor("region-1"), &machine.NewExecutor("region-2")};
    executors.apply = {process.apply};
    executors.log = {process.log};
    executors.background = &machine.NewExecutor("background");
    process.engine = engine::OpenMemoryEngine(machine.disk(), "kv").value();
    RUTILE_ASSIGN_OR_RETURN(
        wal::LogStreams::Opened opened,
        wal::LogStreams::Open(machine.disk(), {.segment_bytes = std::uint64_t{16} << 20}));
    Store::Observer observer;
    observer.on_failure = [](const Status& status) { ADD_FAILURE() << status.ToString(); };
    Result<std::unique_ptr<Store>> store =
        Store::Open({.id = machine.store(), .replica = options_},
                    {.clock = machine.clock(),
                     .random = machine.random(),
                     .files = machine.disk(),
                     .transport = machine.transport(),
                     .engine = *process.engine,
                     .executors = executors,
                     .logger = logger_},
                    std::move(opened), regions_, std::move(observer));
    if (!store.ok()) return store.status();
    process.store = std::move(store).value();
    process.store->Start();
    return Status();
  }

  void Kill(std::size_t i) {
    Process& process = processes_[i];
    if (process.machine == nullptr || !process.machine->is_running()) return;
    process.machine->Kill();
    process.store = nullptr;
    process.engine = nullptr;
  }

  Store& store(std::size_t i) { return *processes_[i].store; }

  std::vector<ReplicaStatus> Replicas(std::size_t i) {
    std::vector<ReplicaStatus> found;
    bool done = false;
    store(i).CollectStatus([&](std::vector<ReplicaStatus> all) {
      found = std::move(all);
      done = true;
    });
    world_.RunUntil([&] { return done; }, Seconds(5));
    EXPECT_TRUE(done);
    return found;
  }

  // The store that leads region `number`, of those that say so the one with the highest term.
  std::optional<std::size_t> LeaderOf(std::uint64_t number) {
    std::optional<std::size_t> leader;
    Term term;
    for (std::size_t i = 0; i < kStores; ++i) {
      if (processes_[i].store == nullptr) continue;
      const std::optional<GateState> gate = store(i).Gate(RegionOf(number));
      if (!gate || !gate->is_leader || gate->term <= term) continue;
      leader = i;
      term = gate->term;
    }
    return leader;
  }
  std::size_t AwaitLeaderOf(std::uint64_t number) {
    EXPECT_TRUE(world_.RunUntil([&] { return LeaderOf(number).has_value(); }, Seconds(20)));
    world_.RunFor(Seconds(1));
    return LeaderOf(number).value_or(0);
  }

  // By store, how many regions it leads.
  std::map<std::size_t, std::size_t> Leaders() {
    std::map<std::size_t, std::size_t> leaders;
    for (std::size_t i = 0; i < kStores; ++i) {
      if (processes_[i].store == nullptr) continue;
      for (const GateState& gate : store(i).Gates()) leaders[i] += gate.is_leader ? 1 : 0;
    }
    return leaders;
  }
  std::size_t CountLed() {
    std::size_t all = 0;
    for (const auto& [store, led] : Leaders()) all += led;
    return all;
  }

  // Puts `value` under a key of region `number`, by way of store `i`.
  void Put(std::size_t i, std::uint64_t number, std::string suffix, std::string value,
           WriteDone done) {
    Command command;
    command.mutations.push_back({.kind = Mutation::Kind::kPut,
                                 .key = KeyOf(number) + std::move(suffix),
                                 .value = std::move(value)});
    store(i).Write({.region = RegionOf(number)}, std::move(command), std::move(done));
  }

  sim::World world_{1};
  sim::SimNetwork network_{world_};
  sim::SimLogSink sink_{world_, StoreId(1), nullptr};
  Logger logger_{sink_, LogLevel::kError};
  ReplicaOptions options_;
  std::vector<Region> regions_;
  Process processes_[kStores];
};

}  // namespace rutile::store::testing
