#include "sim/minimize.h"

#include <algorithm>
#include <utility>

namespace rutile::sim {
namespace {

class Minimizer {
 public:
  Minimizer(RunFile run, const MinimizeOptions& options)
      : best_(std::move(run)), options_(options) {}

  Minimized Run() {
    std::size_t before = 0;
    do {
      before = Weight();
      RemoveFaults();
      SimplifyOptions();
      ShortenFaults();
    } while (Weight() < before && runs_ < options_.max_runs);
    return {.run = best_, .runs = runs_};
  }

 private:
  // Goes down with every success but those of shortening, which end by themselves.
  std::size_t Weight() const { return 1000 * best_.script.size() + complex_; }

  bool Try(RunFile candidate) {
    if (runs_ >= options_.max_runs) return false;
    ++runs_;
    if (!options_.fails(candidate)) return false;
    best_ = std::move(candidate);
    return true;
  }

  void RemoveFaults() {
    std::size_t chunk = best_.script.size();
    while (chunk > 0) {
      bool removed = false;
      for (std::size_t begin = 0; begin < best_.script.size();) {
        RunFile candidate = best_;
        const std::size_t end = std::min(begin + chunk, candidate.script.size());
        const auto first = candidate.script.begin();
        candidate.script.erase(first + static_cast<std::ptrdiff_t>(begin),
                               first + static_cast<std::ptrdiff_t>(end));
        if (!Try(std::move(candidate))) {
          begin += chunk;
          continue;
        }
        removed = true;
        Say();
      }
      if (!removed || chunk > 1) chunk = chunk == 1 && removed ? 1 : chunk / 2;
    }
  }

  void SimplifyOptions() {
    complex_ = 0;
    for (const NamedOption& option : NamedOptions()) {
      const auto drawn = DrawOptionsWith(best_.seed, best_.settings);
      // Fewer nodes would make the script mean something else.
      if (option.name == "nodes" || !drawn.ok() || option.get(drawn.value()) == option.simple) {
        continue;
      }
      RunFile candidate = best_;
      const std::string name(option.name);
      std::erase_if(candidate.settings, [&](const auto& setting) { return setting.first == name; });
      candidate.settings.emplace_back(name, option.simple);
      if (!Try(std::move(candidate))) {
        ++complex_;
        continue;
      }
      if (options_.progress)
        options_.progress("with " + name + "=" + std::to_string(option.simple));
    }
  }

  void ShortenFaults() {
    for (std::size_t i = 0; i < best_.script.size(); ++i) {
      while (best_.script[i].span > Milliseconds(10)) {
        RunFile candidate = best_;
        Duration& span = candidate.script[i].span;
        span = Microseconds(ToMicroseconds(span) / 2);
        if (!Try(std::move(candidate))) break;
      }
    }
  }

  void Say() const {
    if (options_.progress) {
      options_.progress(std::to_string(best_.script.size()) + " faults left after " +
                        std::to_string(runs_) + " runs");
    }
  }

  RunFile best_;
  const MinimizeOptions& options_;
  std::size_t complex_ = 0;  // Options that could not be made simple.
  std::uint64_t runs_ = 0;
};

}  // namespace

Minimized Minimize(RunFile run, const MinimizeOptions& options) {
  return Minimizer(std::move(run), options).Run();
}

}  // namespace rutile::sim
