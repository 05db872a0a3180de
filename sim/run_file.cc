#include "sim/run_file.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/random.h"

namespace rutile::sim {
namespace {

template <class Number>
std::optional<Number> ParseNumber(std::string_view text, int base = 10) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::string_view Trimmed(std::string_view line) {
  line = line.substr(0, line.find('#'));
  const auto first = line.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return line.substr(first, line.find_last_not_of(" \t\r") - first + 1);
}

// Reads line after line.
class Reader {
 public:
  Status Take(std::string_view line) {
    if (line.empty()) return {};
    if (!has_seed_) {
      if (!line.starts_with("seed ")) return Expected("'seed NUMBER' first", line);
      RUTILE_ASSIGN_OR_RETURN(run_.seed, ParseSeed(Trimmed(line.substr(5))));
      has_seed_ = true;
      return {};
    }
    if (line.starts_with("set ")) {
      if (!run_.script.empty()) return Expected("faults only after the first of them", line);
      RUTILE_ASSIGN_OR_RETURN(auto setting, ParseSetting(Trimmed(line.substr(4))));
      run_.settings.push_back(std::move(setting));
      return DrawOptionsWith(run_.seed, run_.settings).status();
    }
    if (nodes_ == 0) {
      RUTILE_ASSIGN_OR_RETURN(const auto options, DrawOptionsWith(run_.seed, run_.settings));
      nodes_ = options.cluster.machines.size();
    }
    RUTILE_ASSIGN_OR_RETURN(const TimedFault fault, ParseFault(line, nodes_));
    run_.script.push_back(fault);
    return {};
  }
  Result<RunFile> Finish() {
    if (!has_seed_) return Status(Code::kInvalidArgument, "expected 'seed NUMBER'");
    std::stable_sort(run_.script.begin(), run_.script.end(),
                     [](const TimedFault& a, const TimedFault& b) { return a.at < b.at; });
    return run_;
  }

 private:
  static Status Expected(std::string_view what, std::string_view found) {
    return Status(Code::kInvalidArgument,
                  "expected " + std::string(what) + ", found '" + std::string(found) + "'");
  }

  RunFile run_;
  bool has_seed_ = false;
  std::size_t nodes_ = 0;
};

}  // namespace

std::string ToString(const RunFile& run) {
  std::string text = "seed " + std::to_string(run.seed) + "\n";
  for (const auto& [name, value] : run.settings) {
    text += "set " + name + "=" + std::to_string(value) + "\n";
  }
  for (const TimedFault& fault : run.script) text += ToString(fault) + "\n";
  return text;
}

Result<RunFile> ParseRunFile(std::string_view text, const std::string& name) {
  Reader reader;
  const auto at = [&](std::size_t line, const Status& status) {
    return Status(status.code(),
                  name + ":" + std::to_string(line) + ": " + std::string(status.message()));
  };
  std::size_t number = 0;
  while (!text.empty()) {
    ++number;
    const auto end = std::min(text.find('\n'), text.size());
    const Status status = reader.Take(Trimmed(text.substr(0, end)));
    if (!status.ok()) return at(number, status);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  Result<RunFile> run = reader.Finish();
  if (!run.ok()) return at(number + 1, run.status());
  return run;
}

Result<std::uint64_t> ParseSeed(std::string_view text) {
  const bool is_hex = text.starts_with("0x");
  const auto seed = ParseNumber<std::uint64_t>(text.substr(is_hex ? 2 : 0), is_hex ? 16 : 10);
  if (seed) return *seed;
  return Status(Code::kInvalidArgument,
                "expected a seed (a number from 0 to 2^64 - 1), found '" + std::string(text) + "'");
}

Result<std::pair<std::string, std::int64_t>> ParseSetting(std::string_view text) {
  const auto equals = text.find('=');
  if (equals != std::string_view::npos && equals > 0) {
    if (const auto value = ParseNumber<std::int64_t>(text.substr(equals + 1))) {
      return std::pair(std::string(text.substr(0, equals)), *value);
    }
  }
  return Status(Code::kInvalidArgument, "expected NAME=NUMBER, found '" + std::string(text) + "'");
}

Result<SimulationOptions> DrawOptionsWith(
    std::uint64_t seed, const std::vector<std::pair<std::string, std::int64_t>>& settings) {
  SimulationOptions options = DrawOptions(seed);
  for (const auto& [name, value] : settings) {
    RUTILE_RETURN_IF_ERROR(SetOption(name, value, &options));
  }
  return options;
}

FaultScript ScriptOf(std::uint64_t seed, const SimulationOptions& options) {
  if (options.script) return *options.script;
  SeededRandom random(seed ^ 0xFA0175C2197ull);
  const std::size_t nodes = options.cluster.machines.size();
  FaultScript script = DrawFaults(random, options.faults, nodes, options.faulty_time);
  SeededRandom moves(seed ^ 0x30E5D12AF7ull);
  AddMoves(moves, options.faults, nodes, options.faulty_time, &script);
  SeededRandom disks(seed ^ 0xD15C5D12AF7ull);
  AddDiskFaults(disks, options.faults, nodes, options.faulty_time, &script);
  return script;
}

}  // namespace rutile::sim
