#include "sim/run_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"
#include "sim/history.h"
#include "sim/minimize.h"
#include "sim/simulation.h"

namespace rutile::sim {
namespace {

using ::testing::HasSubstr;

RunFile DrawnRun(std::uint64_t seed) {
  return {.seed = seed, .script = ScriptOf(seed, DrawOptions(seed))};
}

TEST(RunFile, WhatIsPrintedIsReadBack) {
  std::set<Fault> kinds;
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    RunFile run = DrawnRun(seed);
    run.settings = {{"clients", 3}, {"keys", 2}};
    const Result<RunFile> read = ParseRunFile(ToString(run), "x");
    ASSERT_TRUE(read.ok()) << read.status().ToString();
    EXPECT_EQ(read.value().seed, run.seed);
    EXPECT_EQ(read.value().settings, run.settings);
    EXPECT_EQ(read.value().script, run.script);
    for (const TimedFault& fault : run.script) kinds.insert(fault.fault);
  }
  EXPECT_EQ(kinds.size(), kFaultKinds.size()) << "some kind is never drawn";
}

TEST(RunFile, WhatIsWrongIsSaidWithItsLine) {
  const auto error = [](const std::string& text) {
    const Result<RunFile> run = ParseRunFile(text, "bad");
    return run.ok() ? "no error" : std::string(run.status().message());
  };
  EXPECT_THAT(error(""), HasSubstr("bad:1: expected 'seed NUMBER'"));
  EXPECT_THAT(error("# no\n1.0 kill n1 for 1"), HasSubstr("bad:2: expected 'seed NUMBER' first"));
  EXPECT_THAT(error("seed x"), HasSubstr("bad:1: expected a seed"));
  EXPECT_THAT(error("seed 1\nset what=1"), HasSubstr("bad:2: unknown option 'what'"));
  EXPECT_THAT(error("seed 1\nset clients"), HasSubstr("bad:2: expected NAME=NUMBER"));
  EXPECT_THAT(error("seed 1\nset nodes=99"), HasSubstr("99 is out of range"));
  EXPECT_THAT(error("seed 1\n1.0 burn n1 for 1"), HasSubstr("expected a fault (one of loss"));
  EXPECT_THAT(error("seed 1\nset nodes=3\n1.0 kill n4 for 1"), HasSubstr("(n1 to n3, or leader)"));
  EXPECT_THAT(error("seed 1\nx kill n1 for 1"), HasSubstr("expected a time in seconds"));
  EXPECT_THAT(error("seed 1\n1.0000001 kill n1 for 1"), HasSubstr("expected a time in seconds"));
  EXPECT_THAT(error("seed 1\n1 kill n1 after 1"), HasSubstr("expected 'for', found 'after'"));
  EXPECT_THAT(error("seed 1\n1 loss n1 for 1"), HasSubstr("expected per-million=NUMBER"));
  EXPECT_THAT(error("seed 1\n1 kill n1 for 1 x"), HasSubstr("expected the end of the line"));
}

// What is asked for is there in every run, and beside it all that the run would have had.
TEST(RunFile, FaultsOfDisksOnRequest) {
  std::set<Fault> kinds;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    const FaultScript drawn = ScriptOf(seed, DrawOptions(seed));
    FaultScript more = ScriptOf(seed, DrawOptionsWith(seed, {{"disk-faults", 3}}).value());
    for (const TimedFault& fault : drawn) {
      const auto found = std::find(more.begin(), more.end(), fault);
      ASSERT_NE(found, more.end()) << ToString(fault);
      more.erase(found);
    }
    ASSERT_EQ(more.size(), 3U);
    for (const TimedFault& fault : more) {
      EXPECT_TRUE(KindOf(fault.fault).name.starts_with("disk-") ||
                  KindOf(fault.fault).name.ends_with("-error") || fault.fault == Fault::kPowerCut);
      kinds.insert(fault.fault);
    }
  }
  EXPECT_EQ(kinds.size(), 7U);
}

// The script that is printed is the script that was played.
TEST(RunFile, PlayedScriptGivesTheSameRun) {
  for (const std::uint64_t seed : {3u, 11u}) {
    SimulationOptions drawn = DrawOptions(seed);
    drawn.faulty_time = Seconds(5);
    SimulationOptions given = drawn;
    const RunFile run{.seed = seed, .script = ScriptOf(seed, drawn)};
    given.script = ParseRunFile(ToString(run), "x").value().script;
    const SimulationOutcome one = Simulate(seed, drawn), other = Simulate(seed, given);
    EXPECT_EQ(one.trace_hash, other.trace_hash);
    EXPECT_EQ(one.state_hash, other.state_hash);
    EXPECT_NE(one.state_hash, 0u);
  }
}

// What a seed draws changes with every kind of fault that there is: the first that is long enough
// and has several registers.
RunFile RunWithRegisters() {
  for (std::uint64_t seed = 1;; ++seed) {
    RunFile run = DrawnRun(seed);
    if (run.script.size() > 20 && DrawOptions(seed).registers.keys > 1) return run;
  }
}

TEST(Minimize, LeavesWhatIsNeeded) {
  const RunFile run = RunWithRegisters();
  const TimedFault first = run.script[3], second = run.script[17];
  const auto has = [](const RunFile& candidate, const TimedFault& wanted) {
    for (const TimedFault& fault : candidate.script) {
      if (fault.at == wanted.at && fault.fault == wanted.fault) return true;
    }
    return false;
  };
  MinimizeOptions options;
  options.fails = [&](const RunFile& candidate) {
    // Needs two faults, and more than one register.
    return has(candidate, first) && has(candidate, second) &&
           DrawOptionsWith(candidate.seed, candidate.settings).value().registers.keys > 1;
  };
  ASSERT_TRUE(options.fails(run));
  const Minimized found = Minimize(run, options);
  ASSERT_EQ(found.run.script.size(), 2u);
  EXPECT_EQ(found.run.script[0].at, first.at);
  EXPECT_EQ(found.run.script[1].at, second.at);
  EXPECT_LE(found.run.script[0].span, Milliseconds(10));
  EXPECT_FALSE(found.run.settings.empty());
  for (const auto& [name, value] : found.run.settings) EXPECT_NE(name, "keys");
  EXPECT_LT(found.runs, 1000u);
}

TEST(History, BothFormats) {
  using Kind = RegisterCall::Kind;
  const std::map<std::string, std::vector<RegisterCall>> history = {
      {"k",
       {{.kind = Kind::kPut,
         .value = "a",
         .client = 0,
         .invoked = Duration(5),
         .returned = Duration(9)},
        {.kind = Kind::kPut, .value = "b", .client = 1, .invoked = Duration(6)},
        {.kind = Kind::kGet,
         .seen = "a",
         .client = 1,
         .invoked = Duration(10),
         .returned = Duration(12)},
        {.kind = Kind::kCompareAndSwap,
         .value = "c",
         .expected = "x",
         .seen = "a",
         .client = 0,
         .invoked = Duration(13),
         .returned = Duration(14)}}}};
  EXPECT_EQ(
      HistoryAsEdn(history),
      "{:index 0, :time 5, :type :invoke, :process 0, :f :write, :value [\"k\" \"a\"]}\n"
      "{:index 1, :time 6, :type :invoke, :process 1, :f :write, :value [\"k\" \"b\"]}\n"
      "{:index 2, :time 9, :type :ok, :process 0, :f :write, :value [\"k\" \"a\"]}\n"
      "{:index 3, :time 10, :type :invoke, :process 3, :f :read, :value [\"k\" nil]}\n"
      "{:index 4, :time 12, :type :ok, :process 3, :f :read, :value [\"k\" \"a\"]}\n"
      "{:index 5, :time 13, :type :invoke, :process 0, :f :cas, :value [\"k\" [\"x\" \"c\"]]}\n"
      "{:index 6, :time 14, :type :fail, :process 0, :f :cas, :value [\"k\" [\"x\" \"c\"]]}\n"
      "{:index 7, :time 15, :type :info, :process 1, :f :write, :value [\"k\" \"b\"]}\n");
  EXPECT_THAT(HistoryAsJson(history),
              HasSubstr("{\"index\": 6, \"time\": 14, \"type\": \"fail\", \"process\": 0, \"f\": "
                        "\"cas\", \"value\": [\"k\", [\"x\", \"c\"]]},\n"));
}

}  // namespace
}  // namespace rutile::sim
