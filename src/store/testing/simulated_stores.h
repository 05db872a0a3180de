#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <memory>
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

inline constexpr std::size_t kStores = 3;
inline constexpr std::uint64_t kFirstRegion = 10;

// As long as all others, so that they are in the order of numbers.
inline std::string KeyOf(std::uint64_t number) {
  std::string key = std::to_string(number);
  return std::string(8 - key.size(), '0') + key;
}

// Next to each other, one key each, with a peer on every store.
inline std::vector<Region> MakeRegions(std::uint64_t count) {
  std::vector<Region> regions;
  for (std::uint64_t i = 0; i < count; ++i) {
    Region region{.id = RegionId(kFirstRegion + i),
                  .start_key = KeyOf(i),
                  .end_key = KeyOf(i + 1),
                  .epoch = {.conf_version = 1, .version = 1}};
    for (std::uint64_t store = 1; store <= kStores; ++store) {
      region.peers.push_back(
          {.id = PeerId(10 * (kFirstRegion + i) + store), .store = StoreId(store)});
    }
    regions.push_back(std::move(region));
  }
  return regions;
}

// Stores on machines of a simulated world, each with a replica of every region.
class SimulatedStores : public ::testing::Test {
 protected:
  struct Process {
    std::unique_ptr<sim::Machine> machine;
    std::unique_ptr<engine::KvEngine> engine;
    std::unique_ptr<Store> store;
  };

  ~SimulatedStores() override {
    for (std::size_t i = 0; i < kStores; ++i) Kill(i);
  }

  // With options_ as they are.
  void Begin(std::uint64_t regions) {
    regions_ = MakeRegions(regions);
    for (std::size_t i = 0; i < kStores; ++i) {
      processes_[i].machine =
          std::make_unique<sim::Machine>(world_, network_, StoreId(i + 1), sim::Machine::Options{});
      Start(i);
    }
  }

  void Start(std::size_t i) {
    Process& process = processes_[i];
    sim::Machine& machine = *process.machine;
    machine.Boot();
    Store::Executors executors;
    executors.regions = {&machine.NewExecutor("region-1"), &machine.NewExecutor("region-2")};
    executors.apply = {&machine.NewExecutor("apply")};
    executors.log = &machine.NewExecutor("log");
    executors.background = &machine.NewExecutor("background");
    process.engine = engine::OpenMemoryEngine(machine.disk(), "kv").value();
    Result<wal::Wal::Opened> opened = wal::Wal::Open(machine.disk(), {});
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    Store::Observer observer;
    observer.on_failure = [](const Status& status) { ADD_FAILURE() << status.ToString(); };
    process.store = Store::Open({.id = machine.store(), .replica = options_},
                                {.clock = machine.clock(),
                                 .random = machine.random(),
                                 .files = machine.disk(),
                                 .transport = machine.transport(),
                                 .engine = *process.engine,
                                 .executors = executors,
                                 .logger = logger_},
                                std::move(opened).value(), regions_, std::move(observer))
                        .value();
    process.store->Start();
  }

  void Kill(std::size_t i) {
    Process& process = processes_[i];
    if (process.machine == nullptr || !process.machine->is_running()) return;
    process.machine->Kill();
    process.store = nullptr;
    process.engine = nullptr;
  }

  std::vector<ReplicaStatus> Replicas(std::size_t i) {
    std::vector<ReplicaStatus> found;
    bool done = false;
    processes_[i].store->CollectStatus([&](std::vector<ReplicaStatus> all) {
      found = std::move(all);
      done = true;
    });
    world_.RunUntil([&] { return done; }, Seconds(5));
    EXPECT_TRUE(done);
    return found;
  }

  std::size_t CountQuiet(std::size_t i) {
    std::size_t quiet = 0;
    for (const ReplicaStatus& replica : Replicas(i)) quiet += replica.quiet ? 1 : 0;
    return quiet;
  }

  // By store, how many regions it leads.
  std::map<std::size_t, std::size_t> Leaders() {
    std::map<std::size_t, std::size_t> leaders;
    for (std::size_t i = 0; i < kStores; ++i) {
      if (processes_[i].store == nullptr) continue;
      for (const GateState& gate : processes_[i].store->Gates())
        leaders[i] += gate.is_leader ? 1 : 0;
    }
    return leaders;
  }

  std::size_t CountLed() {
    std::size_t all = 0;
    for (const auto& [store, led] : Leaders()) all += led;
    return all;
  }

  std::uint64_t SentIn(Duration duration) {
    const std::uint64_t before = network_.counts().sent;
    world_.RunFor(duration);
    return network_.counts().sent - before;
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
