#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/metrics.h"

namespace rutile::store {

// Counts what the replicas of one store do with their logs. Safe from any thread.
class LogMetrics {
 public:
  LogMetrics();

  // In Prometheus' text format; docs/operations/status.md.
  std::string Render() const { return registry_.Render(); }

 private:
  MetricRegistry registry_;

 public:
  Histogram& commit_time;  // From a proposal until a majority has it on disk.
  Histogram& apply_wait;   // From the commit until apply begins.
  Histogram& apply_time;   // Of all that has gathered, until it is in the engine.
  Counter& appends;        // Messages with entries to followers.
  Counter& cold_reads;     // Of entries for followers, from disk.
  Counter& cold_answers;   // Of these what was found, and most likely sent.
};

// Of the replicas of one store together, a moment ago.
struct LogTotals {
  std::size_t cached_bytes = 0;  // Payload in their log tails.
  std::uint64_t most_ahead = 0;  // Entries that one has applied and not on disk yet, at most.
  std::size_t poisoned = 0;
  std::size_t impaired = 0;
};

}  // namespace rutile::store
