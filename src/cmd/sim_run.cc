#include "cmd/sim_run.h"

#include <algorithm>
#include <cctype>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>

#include "cmd/commands.h"
#include "cmd/sim_totals.h"
#include "env/posix/posix_clock.h"
#include "sim/history.h"
#include "sim/minimize.h"

namespace rutile::cmd {
namespace {

using sim::RunFile;
using sim::SimulationOptions;
using sim::SimulationOutcome;

unsigned long long Number(std::uint64_t value) { return value; }

SimReport ReportOf(std::uint64_t seed, const SimulationOutcome& outcome) {
  SimReport report{.seed = seed,
                   .violations = outcome.violations,
                   .counts = {{"runs", 1},
                              {"events", outcome.events},
                              {"calls of registers", outcome.calls},
                              {"timestamps asked for", outcome.timestamps},
                              {"transactions committed", outcome.transactions.committed},
                              {"transactions failed", outcome.transactions.failed},
                              {"transactions undetermined", outcome.transactions.undetermined},
                              {"clients died", outcome.transactions.died},
                              {"safe points", outcome.safe_points},
                              {"facts compared", outcome.facts},
                              {"trace events", outcome.trace_events},
                              {"elements of sets", outcome.set_elements},
                              {"states compared", outcome.states},
                              {"changes of members", outcome.member_changes},
                              {"transfers", outcome.transfers},
                              {"processes started", outcome.boots}},
                   .probes = outcome.probes,
                   .trace_hash = outcome.trace_hash,
                   .state_hash = outcome.state_hash,
                   .simulated = outcome.simulated,
                   .service = outcome.service,
                   .settled = outcome.settled,
                   .recovery = outcome.recovery};
  for (std::size_t i = 0; i < outcome.faults.size(); ++i) {
    if (outcome.faults[i] > 0) {
      report.faults[std::string(sim::kFaultKinds[i].name)] = outcome.faults[i];
    }
  }
  return report;
}

// What went wrong without what differs from run to run: numbers, and when it was.
std::string KindOfFailure(const SimReport& report) {
  if (report.violations.empty()) return {};
  std::string what = report.violations.front();
  if (what.starts_with("at ")) what.erase(0, std::min(what.find(": ") + 2, what.size()));
  std::erase_if(what, [](unsigned char c) { return std::isdigit(c) != 0; });
  return what.substr(0, 40);
}

// In a process of its own: it may crash.
SimReport TryRun(const RunFile& run) {
  SimReport result;
  SimJobs jobs(1, [&](std::uint64_t) {
    auto options = sim::DrawOptionsWith(run.seed, run.settings);
    if (!options.ok()) return SimReport();
    options.value().script = run.script;
    return RunSimulation(run, options.value());
  });
  bool given = false;
  jobs.RunAll(
      [&]() -> std::optional<std::uint64_t> {
        return std::exchange(given, true) ? std::nullopt : std::optional(run.seed);
      },
      [&](const SimReport& report) { result = report; });
  return result;
}

SimReport RunSeed(std::uint64_t seed, const ManySeeds& many) {
  const auto options = sim::DrawOptionsWith(seed, many.settings);
  if (!options.ok()) return {.seed = seed, .violations = {options.status().ToString()}};
  SimReport report = RunSimulation({.seed = seed}, options.value());
  if (many.twice_every > 0 && seed % many.twice_every == 0) {
    const SimReport again = RunSimulation({.seed = seed}, options.value());
    if (again.trace_hash != report.trace_hash || again.state_hash != report.state_hash) {
      report.violations.emplace_back("the same seed gave two different runs");
    }
    report.counts["runs"] += 1;
    report.counts["runs compared"] += 1;
  }
  return report;
}

// While it lives, a check that fails (base/check.h) does not end the process before `last_words`
// were said. They run where the check failed: on the thread of the run, with all of its memory.
class OnAbort {
 public:
  explicit OnAbort(std::function<void()> last_words) {
    LastWords() = std::move(last_words);
    before_ = std::signal(SIGABRT, [](int) {
      std::signal(SIGABRT, SIG_DFL);  // Last words that abort are the end.
      LastWords()();
    });
  }
  ~OnAbort() {
    std::signal(SIGABRT, before_);
    LastWords() = nullptr;
  }
  OnAbort(const OnAbort&) = delete;
  OnAbort& operator=(const OnAbort&) = delete;

 private:
  static std::function<void()>& LastWords() {
    static std::function<void()> words;
    return words;
  }

  void (*before_)(int) = SIG_DFL;
};

}  // namespace

Status WriteText(const std::string& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << text;
  out.close();
  if (out) return {};
  return Status(Code::kIoError, path + ": cannot be written");
}

SimReport RunSimulation(const RunFile& run, const SimulationOptions& options,
                        const RunOutputs& outputs) {
  sim::Simulation simulation(run.seed, options);
  const sim::SimulationPicture* picture = nullptr;
  if (!outputs.html.empty()) {
    auto observer = std::make_unique<sim::SimulationPicture>(outputs.window);
    picture = observer.get();
    simulation.Observe(std::move(observer));
  }
  std::unique_ptr<OnAbort> on_abort;
  if (picture != nullptr) {
    on_abort = std::make_unique<OnAbort>([&] {
      const std::string why = "the program ended itself: a check failed, which it has named";
      const Status written =
          WriteText(outputs.html, picture->Page(run.seed, {why}, outputs.repeat));
      std::fprintf(stderr, "%s\n",
                   written.ok() ? outputs.html.c_str() : written.ToString().c_str());
    });
  }
  SimReport report = ReportOf(run.seed, simulation.Run());
  on_abort.reset();
  const auto write = [&](const std::string& path, const std::string& text) {
    const Status written = WriteText(path, text);
    if (!written.ok()) report.violations.push_back(written.ToString());
  };
  if (picture != nullptr) {
    write(outputs.html, picture->Page(run.seed, report.violations, outputs.repeat));
  }
  if (!outputs.history.empty()) {
    const auto& calls = simulation.registers().history();
    write(outputs.history, outputs.history.ends_with(".json") ? sim::HistoryAsJson(calls)
                                                              : sim::HistoryAsEdn(calls));
  }
  return report;
}

std::string RepeatLine(std::uint64_t seed, const SimSettings& settings) {
  std::string line = "rutile sim --seed " + std::to_string(seed);
  for (const auto& [name, value] : settings) line += " --set " + name + "=" + std::to_string(value);
  return line;
}

void PrintReport(const SimReport& report, const std::string& repeat) {
  std::uint64_t faults = 0;
  for (const auto& [kind, count] : report.faults) faults += count;
  const auto count = [&](const char* name) {
    const auto found = report.counts.find(name);
    return Number(found == report.counts.end() ? 0 : found->second);
  };
  std::printf(
      "seed %llu %s: %.1f simulated seconds, %llu faults, %llu starts, %llu calls, %llu "
      "timestamps; trace %016llx, state %016llx\n",
      Number(report.seed), report.violations.empty() ? "passed" : "FAILED",
      ToSeconds(report.simulated), Number(faults), count("processes started"),
      count("calls of registers"), count("timestamps asked for"), Number(report.trace_hash),
      Number(report.state_hash));
  for (const std::string& what : report.violations) std::printf("  %s\n", what.c_str());
  if (!report.violations.empty()) std::printf("  repeat: %s\n", repeat.c_str());
  std::fflush(stdout);
}

int RunManySeeds(const ManySeeds& many) {
  const posix::PosixClock clock;
  const Instant begin = clock.Now();
  SimTotals totals;
  SimJobs jobs(many.jobs, [&](std::uint64_t seed) { return RunSeed(seed, many); });
  std::size_t given = 0;
  std::uint64_t fresh = 0;
  const auto next = [&]() -> std::optional<std::uint64_t> {
    if (given < many.given.size()) return many.given[given++];
    const bool more = (many.count == 0 ? many.time.has_value() : fresh < many.count) &&
                      (!many.time || clock.Now() - begin < *many.time);
    return more ? std::optional(many.first + fresh++) : std::nullopt;
  };
  Instant told = begin;
  std::uint64_t done = 0;
  jobs.RunAll(next, [&](const SimReport& report) {
    totals.Add(report);
    ++done;
    if (!report.violations.empty()) PrintReport(report, RepeatLine(report.seed, many.settings));
    if (clock.Now() - told < Seconds(30)) return;
    told = clock.Now();
    std::printf("after %.0f s: %llu seeds, %llu failed\n", ToSeconds(told - begin), Number(done),
                Number(totals.failed()));
    std::fflush(stdout);
  });
  totals.Print(clock.Now() - begin, many.jobs);
  if (many.print_probes) totals.PrintProbes();
  return totals.failed() == 0 ? kExitOk : kExitFailed;
}

int MinimizeRun(const RunFile& run, const std::string& out) {
  const SimReport whole = TryRun(run);
  const std::string kind = KindOfFailure(whole);
  if (kind.empty()) {
    std::printf("seed %llu passes: there is nothing to minimize\n", Number(run.seed));
    return kExitOk;
  }
  PrintReport(whole, RepeatLine(run.seed, run.settings));
  std::printf("minimizing %zu faults\n", run.script.size());
  const sim::Minimized found = sim::Minimize(
      run,
      {.fails = [&](const RunFile& candidate) { return KindOfFailure(TryRun(candidate)) == kind; },
       .progress =
           [](const std::string& line) {
             std::printf("  %s\n", line.c_str());
             std::fflush(stdout);
           }});
  const std::string text = ToString(found.run);
  const Status written = WriteText(out, text);
  if (!written.ok()) return Fail(written);
  std::printf("the shortest of %llu runs that still fails:\n%s", Number(found.runs), text.c_str());
  PrintReport(TryRun(found.run), "rutile sim --script " + out);
  return kExitFailed;
}

int MeasureSpeed() {
  const posix::PosixClock clock;
  SimulationOptions options;
  options.cluster.machines.resize(3);
  for (sim::Machine::Options& machine : options.cluster.machines) {
    machine.disk.sync = {Microseconds(50), Microseconds(200)};
  }
  options.cluster.wal.segment_bytes = 1 << 20;
  options.registers.clients = 16;
  options.registers.keys = 100;
  // Sixteen clients, each of which calls every 80 ms.
  options.registers.max_think = Milliseconds(156);
  options.timestamps.clients = 1;
  options.timestamps.max_think = Milliseconds(100);
  options.faulty_time = Seconds(60);
  const Instant begin = clock.Now();
  const SimReport report = RunSimulation({.seed = 1}, options);
  const double taken = ToSeconds(clock.Now() - begin);
  const double simulated = ToSeconds(report.simulated);
  const auto count = [&](const char* name) { return static_cast<double>(report.counts.at(name)); };
  PrintReport(report, "rutile sim --speed");
  std::printf(
      "3 nodes, %.0f operations a second: %.0f simulated seconds a second, %.0f events a "
      "second, on one core\n",
      (count("calls of registers") + count("timestamps asked for")) / simulated, simulated / taken,
      count("events") / taken);
  return report.violations.empty() ? kExitOk : kExitFailed;
}

int GuidedRun() {
  constexpr std::uint64_t kShown = 3;
  constexpr std::uint64_t kMore = 20;
  std::printf(
      "A simulation is a whole cluster in one thread on virtual time: the code that production "
      "runs,\n"
      "on disks, clocks and a network that fail. All that happens follows from a number, the "
      "seed.\n"
      "First the faults come. Then they end, some nodes stay dead, and the others must serve "
      "clients,\n"
      "become quick again and agree. Every answer that a client got must have an explanation.\n\n");
  int code = kExitOk;
  for (std::uint64_t seed = 1; seed <= kShown; ++seed) {
    const SimulationOptions options = sim::DrawOptions(seed);
    const sim::FaultScript script = sim::ScriptOf(seed, options);
    std::printf("seed %llu draws %s\n", Number(seed), Describe(options).c_str());
    std::printf("  its first faults, of %zu (time in seconds):\n", script.size());
    for (std::size_t i = 0; i < std::min<std::size_t>(script.size(), 4); ++i) {
      std::printf("    %s\n", ToString(script[i]).c_str());
    }
    const SimReport report = RunSimulation({.seed = seed}, options);
    PrintReport(report, RepeatLine(seed, {}));
    if (!report.violations.empty()) code = kExitFailed;
  }
  std::printf("\n%llu more seeds:\n", Number(kMore));
  const int more =
      RunManySeeds({.first = kShown + 1, .count = kMore, .jobs = 1, .twice_every = 10});
  std::printf(
      "\nnext: rutile sim --time 60 --jobs 2 for fresh seeds, rutile sim --help for the rest,\n"
      "docs/simulation.md for what the faults are\n");
  return code != kExitOk ? code : more;
}

}  // namespace rutile::cmd
