#include "cmd/sim_totals.h"

#include <algorithm>
#include <cstdio>

#include "sim/fault_script.h"

namespace rutile::cmd {

void SimTotals::Add(const SimReport& report) {
  ++seeds_;
  if (!report.violations.empty()) failed_.push_back(report.seed);
  for (const auto& [kind, count] : report.faults) faults_[kind] += count;
  for (const auto& [name, count] : report.counts) counts_[name] += count;
  for (const auto& [name, hits] : report.probes) probes_[name] += hits;
  simulated_ += report.simulated;
  service_.Take(report.service, report.seed);
  settled_.Take(report.settled, report.seed);
  recovery_.Take(report.recovery, report.seed);
}

void SimTotals::Print(Duration taken, std::size_t jobs) const {
  const double seconds = std::max(ToSeconds(taken), 1e-3);
  std::printf(
      "%llu seeds, %llu failed; %.2f simulated hours in %.1f s: %.0f simulated seconds a "
      "second on %zu core%s, %.0f seeds a minute\n",
      static_cast<unsigned long long>(seeds_), static_cast<unsigned long long>(failed_.size()),
      ToSeconds(simulated_) / 3600, seconds, ToSeconds(simulated_) / seconds, jobs,
      jobs == 1 ? "" : "s", static_cast<double>(seeds_) / seconds * 60);
  for (const auto& [name, count] : counts_) {
    std::printf("  %-22s %12llu\n", name.c_str(), static_cast<unsigned long long>(count));
  }
  std::uint64_t all = 0;
  for (const auto& [kind, count] : faults_) all += count;
  std::printf("  %-22s %12llu of %zu kinds:", "faults", static_cast<unsigned long long>(all),
              faults_.size());
  for (const auto& [kind, count] : faults_) {
    std::printf(" %s %llu", kind.c_str(), static_cast<unsigned long long>(count));
  }
  std::printf("\n");
  std::string missing;
  for (const sim::FaultKind& kind : sim::kFaultKinds) {
    if (!faults_.contains(std::string(kind.name))) missing += " " + std::string(kind.name);
  }
  if (!missing.empty()) std::printf("  %-22s%s\n", "never came", missing.c_str());
  const auto never = [](const auto& probe) { return probe.second == 0; };
  std::printf("  %-22s %12zu of %zu\n", "probes reached",
              probes_.size() - static_cast<std::size_t>(std::ranges::count_if(probes_, never)),
              probes_.size());
  for (const auto& probe : probes_) {
    if (never(probe)) std::printf("  %-22s %s\n", "never reached", probe.first.c_str());
  }
  const auto longest = [](const char* what, const Longest& time) {
    std::printf("  %-22s %10.2f s (seed %llu)\n", what, ToSeconds(time.time),
                static_cast<unsigned long long>(time.seed));
  };
  std::printf("longest after the last fault until\n");
  longest("clients were served", service_);
  longest("latency was normal", settled_);
  longest("replicas agreed", recovery_);
}

void SimTotals::PrintProbes() const {
  for (const auto& [name, hits] : probes_) {
    std::printf("%12llu  %s\n", static_cast<unsigned long long>(hits), name.c_str());
  }
}

}  // namespace rutile::cmd
