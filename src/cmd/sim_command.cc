#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cmd/commands.h"
#include "cmd/read_file.h"
#include "cmd/sim_run.h"
#include "cmd/sim_scenarios.h"
#include "env/posix/posix_clock.h"
#include "sim/trace_checker.h"

namespace rutile::cmd {
namespace {

struct SimFlags {
  std::string seed;
  std::string seeds;
  std::string seeds_file;
  std::string script;
  std::string history;
  std::string html;
  std::string svg;
  std::optional<double> html_from_seconds;
  double html_for_seconds = 10;
  std::string trace;
  std::string check_trace;
  std::string out = "failure.sim";
  std::vector<std::string> settings;
  std::vector<std::string> scenarios;
  double time_seconds = 0;
  std::size_t jobs = 1;
  std::uint64_t twice_every = 50;
  bool minimize = false;
  bool log = false;
  bool print_script = false;
  bool speed = false;
  bool list = false;
  bool verbs = false;
  bool probes = false;
};

Status Invalid(const std::string& what) { return Status(Code::kInvalidArgument, what); }

// "A..B" or "N"; a number alone is how many.
Status ParseSeeds(const std::string& text, ManySeeds* many) {
  const auto dots = text.find("..");
  const std::string_view view = text;
  if (dots == std::string::npos) {
    RUTILE_ASSIGN_OR_RETURN(many->count, sim::ParseSeed(view));
    return {};
  }
  RUTILE_ASSIGN_OR_RETURN(many->first, sim::ParseSeed(view.substr(0, dots)));
  RUTILE_ASSIGN_OR_RETURN(const std::uint64_t last, sim::ParseSeed(view.substr(dots + 2)));
  if (last < many->first) return Invalid("--seeds " + text + ": expected A..B with A at most B");
  many->count = last - many->first + 1;
  return {};
}

// One seed a line; what follows a '#' is for people.
Result<std::vector<std::uint64_t>> ReadSeeds(const std::string& path) {
  RUTILE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  std::vector<std::uint64_t> seeds;
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    ++number;
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    line.resize(std::min(line.find('#'), line.size()));
    line.resize(line.find_last_not_of(" \t\r") + 1);
    if (line.empty()) continue;
    const Result<std::uint64_t> seed = sim::ParseSeed(line);
    if (!seed.ok()) {
      return Invalid(path + ":" + std::to_string(number) + ": " +
                     std::string(seed.status().message()));
    }
    seeds.push_back(seed.value());
  }
  return seeds;
}

Result<SimSettings> ParseSettings(const std::vector<std::string>& texts) {
  SimSettings settings;
  for (const std::string& text : texts) {
    RUTILE_ASSIGN_OR_RETURN(auto setting, sim::ParseSetting(text));
    settings.push_back(std::move(setting));
  }
  RUTILE_RETURN_IF_ERROR(sim::DrawOptionsWith(0, settings).status());
  return settings;
}

Duration SecondsOf(double seconds) { return Microseconds(std::llround(seconds * 1e6)); }

sim::PictureWindow WindowOf(const SimFlags& flags) {
  sim::PictureWindow window{.span = SecondsOf(flags.html_for_seconds)};
  if (flags.html_from_seconds) window.from = SecondsOf(*flags.html_from_seconds);
  return window;
}

Result<int> PlayOne(const SimFlags& flags, const sim::RunFile& run, sim::SimulationOptions options,
                    const std::string& repeat) {
  if (flags.print_script) {
    std::printf("%s", ToString(run).c_str());
    return kExitOk;
  }
  if (flags.minimize) return MinimizeRun(run, flags.out);
  if (flags.log) {
    options.cluster.log_level = LogLevel::kInfo;
    options.cluster.log = [](const std::string& line) { std::printf("%s\n", line.c_str()); };
  }
  std::printf("seed %llu: %s\n", static_cast<unsigned long long>(run.seed),
              Describe(options).c_str());
  std::ofstream trace;
  if (!flags.trace.empty()) {
    trace.open(flags.trace, std::ios::binary | std::ios::trunc);
    options.trace = [&trace](const sim::TraceEvent& event) { trace << ToJson(event) << '\n'; };
  }
  const SimReport report = RunSimulation(
      run, options,
      {.history = flags.history, .html = flags.html, .window = WindowOf(flags), .repeat = repeat});
  PrintReport(report, repeat);
  trace.close();
  if (!flags.trace.empty() && !trace) {
    return Status(Code::kIoError, flags.trace + ": cannot be written");
  }
  return report.violations.empty() ? kExitOk : kExitFailed;
}

Result<int> RunSeed(const SimFlags& flags, const SimSettings& settings) {
  sim::RunFile run{.settings = settings};
  RUTILE_ASSIGN_OR_RETURN(run.seed, sim::ParseSeed(flags.seed));
  RUTILE_ASSIGN_OR_RETURN(auto options, sim::DrawOptionsWith(run.seed, settings));
  run.script = sim::ScriptOf(run.seed, options);
  return PlayOne(flags, run, std::move(options), RepeatLine(run.seed, settings));
}

Result<int> RunScript(const SimFlags& flags, const SimSettings& settings) {
  RUTILE_ASSIGN_OR_RETURN(const std::string text, ReadFile(flags.script));
  RUTILE_ASSIGN_OR_RETURN(sim::RunFile run, sim::ParseRunFile(text, flags.script));
  run.settings.insert(run.settings.end(), settings.begin(), settings.end());
  RUTILE_ASSIGN_OR_RETURN(auto options, sim::DrawOptionsWith(run.seed, run.settings));
  options.script = run.script;
  return PlayOne(flags, run, std::move(options), "rutile sim --script " + flags.script);
}

Result<int> RunSeeds(const SimFlags& flags, const SimSettings& settings) {
  ManySeeds many{.settings = settings,
                 .jobs = flags.jobs,
                 .print_probes = flags.probes,
                 .twice_every = flags.twice_every};
  // Seeds that nobody has tried: the milliseconds of this moment, with room for a million a second.
  many.first = posix::PosixClock().WallMillis() * 1000;
  if (!flags.seeds.empty()) RUTILE_RETURN_IF_ERROR(ParseSeeds(flags.seeds, &many));
  if (!flags.seeds_file.empty()) {
    RUTILE_ASSIGN_OR_RETURN(many.given, ReadSeeds(flags.seeds_file));
    std::printf("%zu seeds of %s\n", many.given.size(), flags.seeds_file.c_str());
  }
  if (flags.time_seconds > 0) {
    many.time = Milliseconds(static_cast<std::int64_t>(flags.time_seconds * 1000));
  }
  if (many.count > 0 || many.time) {
    std::printf("seeds from %llu on\n", static_cast<unsigned long long>(many.first));
  }
  std::fflush(stdout);
  return RunManySeeds(many);
}

// Says whether a trace is a run of Raft, and if not, from which line on.
Result<int> CheckTraceFile(const std::string& path) {
  RUTILE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  RUTILE_ASSIGN_OR_RETURN(const std::uint64_t events, sim::CheckTrace(text, path));
  std::printf("%s: %llu events, a run of Raft\n", path.c_str(),
              static_cast<unsigned long long>(events));
  return kExitOk;
}

// Where the scenarios of a checkout are.
constexpr const char* kScenarios = "tests/scenarios";

Result<int> Dispatch(const SimFlags& flags) {
  if (flags.verbs) return DescribeScenarios();
  if (!flags.check_trace.empty()) return CheckTraceFile(flags.check_trace);
  if (flags.list) {
    return ListScenarios(flags.scenarios.empty() ? std::vector<std::string>{kScenarios}
                                                 : flags.scenarios);
  }
  if (!flags.scenarios.empty()) {
    return PlayScenarios(flags.scenarios,
                         {.story = flags.log, .html = flags.html, .svg = flags.svg});
  }
  RUTILE_ASSIGN_OR_RETURN(const SimSettings settings, ParseSettings(flags.settings));
  const bool one = !flags.seed.empty() || !flags.script.empty();
  if (!one && (flags.minimize || flags.log || flags.print_script || !flags.history.empty() ||
               !flags.trace.empty() || !flags.html.empty())) {
    return Invalid(
        "--minimize, --log, --print-script, --history, --html and --trace are for --seed or "
        "--script");
  }
  if (!flags.history.empty() && !flags.history.ends_with(".edn") &&
      !flags.history.ends_with(".json")) {
    return Invalid("--history " + flags.history + ": expected a name that ends in .edn or .json");
  }
  if (flags.speed) return MeasureSpeed();
  if (!flags.seed.empty()) return RunSeed(flags, settings);
  if (!flags.script.empty()) return RunScript(flags, settings);
  const bool many = !flags.seeds.empty() || !flags.seeds_file.empty() || flags.time_seconds > 0;
  return many ? RunSeeds(flags, settings) : GuidedRun();
}

}  // namespace

void AddSim(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<SimFlags>();
  CLI::App* command = app.add_subcommand(
      "sim", "Run whole clusters on virtual time, with faults, from seeds; alone: a guided run");
  CLI::Option* seed = command->add_option("--seed", flags->seed, "One seed");
  CLI::Option* script =
      command->add_option("--script", flags->script, "One run from a file: seed, settings, faults");
  CLI::Option* seeds =
      command->add_option("--seeds", flags->seeds, "A..B: these seeds; N: so many fresh ones");
  command->add_option("--seeds-file", flags->seeds_file,
                      "Seeds of a file, one a line, before others");
  command
      ->add_option("--time", flags->time_seconds,
                   "As many seeds as begin in so many seconds, of those of --seeds or fresh ones")
      ->check(CLI::PositiveNumber);
  command->add_option("--jobs", flags->jobs, "Processes, each on one core")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command
      ->add_option("--twice-every", flags->twice_every,
                   "Multiples of it are run twice and compared; 0: none")
      ->capture_default_str();
  command->add_flag("--probes", flags->probes,
                    "Print how often each rare path was reached by these seeds");
  command->add_option("--set", flags->settings, "NAME=NUMBER in place of what the seed draws");
  command->add_flag("--minimize", flags->minimize, "Shorten the run that fails");
  command->add_option("--out", flags->out, "Where --minimize writes it")->capture_default_str();
  command->add_flag("--print-script", flags->print_script, "Print the run as --script takes it");
  command->add_flag("--log", flags->log, "Print what the nodes log");
  command->add_option(
      "--history", flags->history,
      "Write the clients' history for other checkers: FILE.edn (Jepsen) or FILE.json");
  CLI::Option* html = command->add_option(
      "--html", flags->html, "Write a page that shows the run of a seed, script or scenario");
  command
      ->add_option("--html-from", flags->html_from_seconds,
                   "From this second on, instead of the end of the run")
      ->check(CLI::NonNegativeNumber)
      ->needs(html);
  command->add_option("--html-for", flags->html_for_seconds, "How many simulated seconds")
      ->check(CLI::Range(0.001, 600.0))
      ->capture_default_str()
      ->needs(html);
  command->add_option("--trace", flags->trace,
                      "Write what the consensus cores do, in the format of etcd's Raft traces");
  command->add_option("--check-trace", flags->check_trace,
                      "Say whether such a file is a run of Raft, and from which line on it is not");
  command->add_flag("--speed", flags->speed, "Measure simulated seconds a second");
  CLI::Option* svg =
      command->add_option("--svg", flags->svg, "Draw a scenario as a picture for a document");
  CLI::Option* scenario = command->add_option(
      "--scenario", flags->scenarios,
      "Play stories: files, or directories of *.scenario; with --log all that happens is told");
  command->add_flag("--list", flags->list,
                    "Name the scenarios of --scenario, or of tests/scenarios");
  command->add_flag("--verbs", flags->verbs, "Describe the language of scenarios");
  svg->needs(scenario);
  scenario->excludes(seed)->excludes(script)->excludes(seeds);
  seed->excludes(script)->excludes(seeds);
  script->excludes(seeds);
  command->callback([flags, exit_code] {
    const Result<int> code = Dispatch(*flags);
    *exit_code = code.ok() ? code.value() : Fail(code.status());
  });
}

}  // namespace rutile::cmd
