#include "sim/simulation.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "sim/trace_checker.h"

namespace rutile::sim {
namespace {

// How many runs; more with RUTILE_TEST_SCALE.
std::uint64_t Scaled(std::uint64_t runs) {
  const char* scale = std::getenv("RUTILE_TEST_SCALE");
  return scale == nullptr ? runs : runs * std::strtoull(scale, nullptr, 10);
}
// Which ones; others with RUTILE_SIM_SEED.
std::uint64_t FirstSeed() {
  const char* seed = std::getenv("RUTILE_SIM_SEED");
  return seed == nullptr ? 1 : std::strtoull(seed, nullptr, 10);
}

std::string Lines(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += "  " + line + "\n";
  return text;
}

TEST(Simulation, SwarmOfFaults) {
  std::uint64_t calls = 0, boots = 0, states = 0, facts = 0, trace_events = 0;
  for (std::uint64_t seed = FirstSeed(); seed < FirstSeed() + Scaled(12); ++seed) {
    const SimulationOptions options = DrawOptions(seed);
    const SimulationOutcome outcome = Simulate(seed, options);
    EXPECT_TRUE(outcome.violations.empty()) << "seed " << seed << ": " << Describe(options) << "\n"
                                            << Lines(outcome.violations);
    calls += outcome.calls;
    boots += outcome.boots;
    states += outcome.states;
    facts += outcome.facts;
    trace_events += outcome.trace_events;
  }
  // A simulation in which nothing happens proves nothing.
  EXPECT_GT(calls, Scaled(1000));
  EXPECT_GT(boots, Scaled(40));
  EXPECT_GT(states, Scaled(1000));
  EXPECT_GT(facts, Scaled(100'000));
  EXPECT_GT(trace_events, Scaled(20'000));
}

TEST(Simulation, WritesTheTraceThatItReplays) {
  SimulationOptions options = DrawOptions(3);
  options.faulty_time = Seconds(4);
  std::string text;
  options.trace = [&](const TraceEvent& event) { text += ToJson(event) + "\n"; };
  const SimulationOutcome outcome = Simulate(3, options);
  const auto checked = CheckTrace(text, "trace");
  ASSERT_TRUE(checked.ok()) << checked.status().ToString();
  EXPECT_EQ(checked.value(), outcome.trace_events);
  EXPECT_GT(outcome.trace_events, 500u);
}

// If this fails, no seed says anything: see World.SameSeedSameRun for where to look.
TEST(Simulation, SameSeedSameRun) {
  for (const std::uint64_t seed : {7u, 8u}) {
    SimulationOptions options = DrawOptions(seed);
    options.faulty_time = Seconds(8);
    const SimulationOutcome first = Simulate(seed, options);
    const SimulationOutcome second = Simulate(seed, options);
    EXPECT_EQ(first.trace_hash, second.trace_hash) << seed;
    EXPECT_EQ(first.events, second.events) << seed;
  }
}

}  // namespace
}  // namespace rutile::sim
