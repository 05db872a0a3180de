// Thousands of regions with nothing to do, on three stores in a simulated world.

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>

#include "store/testing/simulated_stores.h"

namespace rutile::store {
namespace {

// How many regions; RUTILE_TEST_SCALE=10 makes it ten thousand.
std::uint64_t Regions() {
  const char* text = std::getenv("RUTILE_TEST_SCALE");
  return 1000 * (text == nullptr ? 1 : std::strtoull(text, nullptr, 10));
}

class QuietStores : public testing::SimulatedStores {
 protected:
  void Begin(std::uint64_t regions, bool quiet = true) {
    options_.quiet_groups = quiet;
    SimulatedStores::Begin(regions);
  }

  std::size_t CountQuiet(std::size_t i) {
    std::size_t quiet = 0;
    for (const ReplicaStatus& replica : Replicas(i)) quiet += replica.quiet ? 1 : 0;
    return quiet;
  }

  std::uint64_t SentIn(Duration duration) {
    const std::uint64_t before = network_.counts().sent;
    world_.RunFor(duration);
    return network_.counts().sent - before;
  }
};

// 10 beats a second for each of 6 directions, and nothing else; nobody ticks.
TEST_F(QuietStores, IdleRegionsSendNothingButOneBeatForEachPairOfStores) {
  const std::uint64_t count = Regions();
  Begin(count);
  world_.RunFor(Seconds(6));
  EXPECT_EQ(count, CountLed());
  for (std::size_t i = 0; i < kStores; ++i) EXPECT_EQ(count, CountQuiet(i));
  const std::uint64_t events = world_.events();
  const std::uint64_t sent = SentIn(Seconds(10));
  EXPECT_GE(sent, 580u);
  EXPECT_LE(sent, 620u);
  // A beat, its way through two executors, its arrival, housekeeping: the number of regions is not
  // in it. (Their ticks alone would be 20 a second for each of three replicas.)
  EXPECT_LT(world_.events() - events, 10'000u);
  EXPECT_EQ(count, CountLed());
}

// One store dies: the regions that it led are led by others about as soon as without all this, and
// the rest sleep on.
TEST_F(QuietStores, TheDeathOfAStoreWakesTheRegionsThatItLed) {
  const std::uint64_t count = Regions() / 10;
  Begin(count);
  world_.RunFor(Seconds(6));
  const std::size_t led = Leaders()[0];
  ASSERT_GT(led, 0u);
  ASSERT_LT(led, count);
  Kill(0);
  EXPECT_EQ(count - led, CountLed());
  // With default options an election timeout of 1 to 1.5 s; of many regions some split their votes.
  world_.RunFor(Seconds(2));
  EXPECT_GE(CountLed(), count * 9 / 10);
  EXPECT_TRUE(world_.RunUntil([&] { return CountLed() == count; }, Seconds(8))) << CountLed();
  world_.RunFor(Seconds(5));
  // They sleep again, with one of three down.
  EXPECT_EQ(count, CountQuiet(1));
  EXPECT_EQ(count, CountQuiet(2));
  EXPECT_EQ(count, CountLed());
  // It comes back, and all hear of it.
  Start(0);
  world_.RunFor(Seconds(6));
  for (std::size_t i = 0; i < kStores; ++i) EXPECT_EQ(count, CountQuiet(i));
  EXPECT_EQ(count, CountLed());
  for (const ReplicaStatus& replica : Replicas(0)) EXPECT_EQ(replica.last, replica.applied);
}

TEST_F(QuietStores, AWriteToASleepingRegionIsServedAtOnce) {
  Begin(20);
  world_.RunFor(Seconds(6));
  std::size_t done = 0;
  for (std::size_t i = 0; i < kStores; ++i) {
    for (const GateState& gate : processes_[i].store->Gates()) {
      if (!gate.is_leader) continue;
      Command command;
      command.mutations.push_back(
          {.kind = Mutation::Kind::kPut, .key = gate.region->start_key, .value = "v"});
      processes_[i].store->Write({.region = gate.region->id}, std::move(command),
                                 [&done](auto result) { done += result.index() == 0 ? 1u : 0u; });
    }
  }
  EXPECT_TRUE(world_.RunUntil([&] { return done == 20; }, Milliseconds(200))) << done;
  EXPECT_EQ(0u, CountQuiet(0));
  world_.RunFor(Seconds(4));
  EXPECT_EQ(20u, CountQuiet(0));
}

TEST_F(QuietStores, WithoutTheOptionRegionsHaveHeartbeatsOfTheirOwn) {
  Begin(20, false);
  world_.RunFor(Seconds(6));
  EXPECT_EQ(0u, CountQuiet(0));
  EXPECT_GT(SentIn(Seconds(10)), 20u * 2 * 2 * 90);
}

}  // namespace
}  // namespace rutile::store
