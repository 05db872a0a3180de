#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "base/status.h"
#include "base/time.h"
#include "bench/load/h2_client.h"
#include "bench/load/histogram.h"
#include "bench/load/target.h"
#include "bench/load/workload.h"

namespace rutile::bench {

// The state of a run, told about once a second.
struct LoadProgress {
  const char* phase = "";        // "loading", "warming up" or "measuring".
  Duration elapsed = {};         // Of the phase.
  double share = 0;              // Of the phase that is done, 0 to 1.
  std::uint64_t operations = 0;  // Succeeded in the last second or so,
  double per_second = 0;
  Duration p50 = {};  // and their latency.
  Duration p99 = {};
  std::uint64_t errors = 0;  // Since the phase began.
};

struct LoadOptions {
  TargetOptions target = {};
  H2ClientOptions client = {};
  WorkloadOptions workload = {};
  // Operations under way at most; without a rate: at all times.
  std::size_t concurrency = 64;
  // Operations started a second, whether or not earlier ones are complete (open loop); latency
  // counts from when an operation should have started. 0: one starts when another ends.
  double rate = 0;
  Duration warmup = Seconds(1);
  Duration duration = Seconds(10);
  // Write every key once before the warm-up.
  bool preload = false;
  std::function<void(const LoadProgress&)> progress = {};
};

// What was seen after the warm-up. Operations that were under way at the end are waited for; they
// count, and so does the time.
struct LoadReport {
  Histogram latency = {};        // Of successes.
  std::uint64_t errors = 0;      // Operations that failed for good,
  std::string first_error = {};  // and how the first one did.
  std::uint64_t not_found = 0;   // Successful reads that found nothing.
  std::uint64_t retries = 0;     // Requests sent again.
  Duration elapsed = {};
  Duration max_gap = {};     // Longest time without a success.
  Duration client_cpu = {};  // Of the thread that made the load.

  double PerSecond() const;
  // Microseconds of the client for each operation; 0 without any.
  double ClientCpuMicros() const;
};

// Loads a store on the caller's thread. An error means that the run did not take place: bad
// options, or a store that nobody answers for. Errors of operations are in the report.
Result<LoadReport> RunLoad(const LoadOptions& options);

}  // namespace rutile::bench
