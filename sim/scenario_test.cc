// Stories of one cluster, told step by step. Each starts from a healthy one.

#include <gtest/gtest.h>

#include "sim/cluster.h"
#include "sim/monitor.h"
#include "sim/workload.h"

namespace rutile::sim {
namespace {

class Scenario {
 public:
  explicit Scenario(std::uint64_t seed, std::size_t nodes = 3,
                    const store::ReplicaOptions& replica = {})
      : world_(seed), cluster_(world_, OptionsOf(nodes, replica)) {
    for (std::size_t i = 0; i < nodes; ++i) cluster_.Start(i);
    monitor_.Start();
    registers_.Start();
    const bool healthy = Serves(50);
    EXPECT_TRUE(healthy);
  }
  ~Scenario() { EXPECT_EQ(Problems(), std::vector<std::string>()); }

  // Whether `calls` more calls are answered in time.
  bool Serves(std::uint64_t calls, Duration limit = Seconds(20)) {
    const std::uint64_t target = registers_.completed() + calls;
    return world_.RunUntil([&] { return registers_.completed() >= target; }, limit);
  }

  bool Converges(Duration limit = Seconds(20)) {
    registers_.Stop();
    const Duration end = world_.Now() + limit;
    while (!registers_.is_idle() || !monitor_.HasConverged()) {
      if (world_.Now() > end) return false;
      world_.RunFor(Milliseconds(50));
    }
    return true;
  }

  std::size_t Leader() {
    for (std::size_t i = 0; i < cluster_.size(); ++i) {
      if (cluster_.is_up(i) && cluster_.node(i)->store().Gate(store::kFirstUserRegion)->is_leader) {
        return i;
      }
    }
    ADD_FAILURE() << "nobody leads";
    return 0;
  }

  std::vector<std::string> Problems() {
    std::vector<std::string> all = cluster_.violations();
    for (const auto& more : {monitor_.problems(), registers_.Check()}) {
      all.insert(all.end(), more.begin(), more.end());
    }
    return all;
  }

  World& world() { return world_; }
  Cluster& cluster() { return cluster_; }
  RegisterWorkload& registers() { return registers_; }

 private:
  static Cluster::Options OptionsOf(std::size_t nodes, const store::ReplicaOptions& replica) {
    Cluster::Options options;
    options.machines.resize(nodes);
    for (Machine::Options& machine : options.machines) {
      machine.disk.sync = {Microseconds(300), Milliseconds(2)};
    }
    options.wal.segment_bytes = 1 << 16;
    options.replica = replica;
    return options;
  }

  World world_;
  Cluster cluster_;
  Monitor monitor_{world_, cluster_, Milliseconds(20)};
  RegisterWorkload registers_{world_, cluster_, {.timeout = Milliseconds(300)}};
};

// What the defaults promise: writes resume within two seconds of a leader's death.
TEST(Scenario, CallsAreServedSoonAfterTheLeaderDies) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    Scenario s(seed);
    const Duration died = s.world().Now();
    s.cluster().Kill(s.Leader());
    EXPECT_TRUE(s.Serves(1)) << seed;
    // A call may have been answered by what was under way; several cannot.
    EXPECT_TRUE(s.Serves(10)) << seed;
    EXPECT_LT(ToMilliseconds(s.world().Now() - died), 2000) << seed;
  }
}

TEST(Scenario, AMinorityServesNothingAndComesBack) {
  Scenario s(1);
  const std::size_t leader = s.Leader();
  const std::size_t other = (leader + 1) % 3;
  s.cluster().Kill(leader);
  s.cluster().Kill(other);
  s.world().RunFor(Seconds(3));  // What was under way may still be answered.
  EXPECT_FALSE(s.Serves(1, Seconds(5)));
  s.cluster().Start(other);
  EXPECT_TRUE(s.Serves(20));
  s.cluster().Start(leader);
  EXPECT_TRUE(s.Converges());
}

// Everything that was acknowledged is read back although no machine keeps its power.
TEST(Scenario, AllMachinesLosePowerAtOnce) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    Scenario s(seed);
    for (int round = 0; round < 3; ++round) {
      for (std::size_t i = 0; i < 3; ++i) s.cluster().CutPower(i);
      for (std::size_t i = 0; i < 3; ++i) s.cluster().Start(i);
      EXPECT_TRUE(s.Serves(50)) << seed;
    }
    EXPECT_TRUE(s.Converges()) << seed;
  }
}

// The same on disks that promise what they do not keep must be noticed, by a node or by a client.
TEST(Scenario, LyingDisksAreFoundOut) {
  World world(1);
  Cluster::Options options;
  options.machines.resize(1);
  options.wal.segment_bytes = 1 << 16;
  Cluster cluster(world, options);
  cluster.Start(0);
  RegisterWorkload registers(world, cluster, {});
  registers.Start();
  ASSERT_TRUE(world.RunUntil([&] { return registers.completed() > 100; }, Seconds(20)));
  cluster.machine(0).disk().LieAboutSyncs();
  ASSERT_TRUE(world.RunUntil([&] { return registers.completed() > 200; }, Seconds(20)));
  cluster.CutPower(0, Loss::kAll);
  cluster.Start(0);
  world.RunUntil([&] { return registers.completed() > 300; }, Seconds(20));
  EXPECT_FALSE(cluster.violations().empty() && registers.Check().empty());
}

// Cuts off a leader whose clock is slow, the others' being fast; whether clients saw the past.
bool SeesThePastOnWildClocks(std::uint64_t seed) {
  World world(seed);
  Cluster::Options options;
  options.machines.resize(3);
  options.machines[0].clock.drift_ppm = -500'000;
  options.machines[1].clock.drift_ppm = 500'000;
  options.machines[2].clock.drift_ppm = 500'000;
  options.wal.segment_bytes = 1 << 16;
  Cluster cluster(world, options);
  for (std::size_t i = 0; i < 3; ++i) cluster.Start(i);
  RegisterWorkload registers(world, cluster, {.clients = 8, .timeout = Milliseconds(100)});
  registers.Start();
  EXPECT_TRUE(world.RunUntil([&] { return registers.completed() > 100; }, Seconds(20)));
  const auto gate = [&] { return *cluster.node(0)->store().Gate(store::kFirstUserRegion); };
  for (std::size_t i = 1; i < 3; ++i) {
    cluster.node(i)->store().TransferLeadership(store::kFirstUserRegion, gate().self);
  }
  EXPECT_TRUE(world.RunUntil([&] { return gate().lease_until.has_value(); }, Seconds(5)));
  world.RunFor(Milliseconds(200));
  cluster.network().Partition({StoreId(1)}, {StoreId(2), StoreId(3)});
  world.RunFor(Seconds(3));
  return !registers.Check().empty();
}

// A lease relies on clocks that run at nearly one rate. Where they do not, a leader that was cut
// off goes on answering from the past, and clients must be seen to notice.
TEST(Scenario, LeasesOnWildClocksAreFoundOut) {
  bool found = false;
  for (std::uint64_t seed = 1; seed <= 200 && !found; ++seed) {
    found = SeesThePastOnWildClocks(seed);
  }
  EXPECT_TRUE(found);
}

TEST(Scenario, ANodeThatMissedTheLogGetsASnapshot) {
  store::ReplicaOptions replica;
  replica.kept_log_entries = 10;
  replica.cached_log_bytes = 1024;
  replica.log_collect_every = Milliseconds(100);
  replica.snapshot_part_bytes = 64;
  Scenario s(1, 3, replica);
  const std::size_t behind = (s.Leader() + 1) % 3;
  s.cluster().Kill(behind);
  EXPECT_TRUE(s.Serves(500));
  // The log can be forgotten only below what the engine has flushed.
  for (std::size_t i = 0; i < 3; ++i) {
    if (i == behind) continue;
    EXPECT_TRUE(s.cluster().node(i)->Flush().ok());
  }
  EXPECT_TRUE(s.Serves(200));
  Index base;
  s.cluster()
      .node(s.Leader())
      ->store()
      .CollectStatus(
          [&](const std::vector<store::ReplicaStatus>& replicas) { base = replicas.back().base; });
  s.world().RunFor(Milliseconds(10));
  EXPECT_GT(base, Index(100));
  s.cluster().Start(behind);
  EXPECT_TRUE(s.Serves(100));
  EXPECT_TRUE(s.Converges());
}

TEST(Scenario, StatusTellsOfWhichTermsTheEndOfTheLogIs) {
  Scenario s(1);
  for (int lead = 2; lead <= 12; ++lead) {
    const std::size_t leader = s.Leader();
    s.cluster().Kill(leader);
    EXPECT_TRUE(s.Serves(10));
    s.cluster().Start(leader);
    EXPECT_TRUE(s.Serves(10));
  }
  store::ReplicaStatus status;
  s.cluster()
      .node(s.Leader())
      ->store()
      .CollectStatus(
          [&](const std::vector<store::ReplicaStatus>& replicas) { status = replicas.back(); });
  s.world().RunFor(Milliseconds(10));
  ASSERT_EQ(status.terms.size(), 8U);
  EXPECT_EQ(status.terms.back().term, status.term);
  EXPECT_LE(status.terms.back().start, status.last);
  for (std::size_t i = 1; i < status.terms.size(); ++i) {
    EXPECT_LT(status.terms[i - 1].start, status.terms[i].start);
    EXPECT_LT(status.terms[i - 1].term, status.terms[i].term);
  }
}

TEST(Scenario, ASlowDiskOfTheLeaderHoldsNobodyUp) {
  Scenario s(1);
  s.cluster().machine(s.Leader()).disk().StallFor(Milliseconds(600));
  const std::uint64_t before = s.registers().completed();
  s.world().RunFor(Milliseconds(500));
  // The followers are a quorum.
  EXPECT_GT(s.registers().completed(), before + 50);
}

TEST(Scenario, AClockThatJumpsChangesNothingForLeases) {
  Scenario s(1);
  const std::size_t leader = s.Leader();
  for (const std::int64_t jump : {100'000'000, -200'000'000, 5'000}) {
    s.cluster().machine(leader).clock().JumpWall(jump);
    EXPECT_TRUE(s.Serves(50, Seconds(2)));
    EXPECT_EQ(s.Leader(), leader);
  }
}

}  // namespace
}  // namespace rutile::sim
