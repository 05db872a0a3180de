#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/time.h"

namespace rutile {

namespace metrics_internal {

// Threads spread over these, so that counting does not move one cache line between processors.
inline constexpr std::size_t kShards = 4;
struct alignas(64) Cell {
  std::atomic<std::uint64_t> value = 0;
};
std::size_t ShardOfThisThread();

}  // namespace metrics_internal

// Counts events. Only grows. Safe from any thread; Add is one relaxed atomic addition.
class Counter {
 public:
  void Add(std::uint64_t count = 1) {
    cells_[metrics_internal::ShardOfThisThread()].value.fetch_add(count, std::memory_order_relaxed);
  }
  std::uint64_t value() const;

 private:
  std::array<metrics_internal::Cell, metrics_internal::kShards> cells_;
};

// A number that goes up and down. Safe from any thread.
class Gauge {
 public:
  void Set(std::int64_t value) { value_.store(value, std::memory_order_relaxed); }
  void Add(std::int64_t change) { value_.fetch_add(change, std::memory_order_relaxed); }
  std::int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_ = 0;
};

// The upper bounds of a histogram's buckets, and what one of the scrape's units is worth: values
// are observed as whole numbers (nanoseconds, bytes) and shown divided by it (seconds, bytes).
struct Buckets {
  std::vector<std::uint64_t> bounds;  // Inclusive, growing; all above falls into one more bucket.
  std::uint64_t unit = 1;

  // 16 us to about 9 s, each bound twice the one before. For Histogram::Observe(Duration).
  static Buckets Latency();
  // `first`, then each bound `factor` times the one before, `count` in all.
  static Buckets Exponential(std::uint64_t first, std::uint64_t factor, std::size_t count);
};

// How often values of each size were seen. Safe from any thread; Observe is a binary search and two
// relaxed atomic additions.
class Histogram {
 public:
  explicit Histogram(Buckets buckets);
  ~Histogram();

  void Observe(std::uint64_t value);
  // In nanoseconds; a negative span counts as none.
  void Observe(Duration span) {
    Observe(span.count() > 0 ? static_cast<std::uint64_t>(span.count()) : std::uint64_t{0});
  }

  struct Snapshot {
    std::vector<std::uint64_t> counts;  // One for each bound, and one above all.
    std::uint64_t count = 0;
    std::uint64_t sum = 0;
  };
  // Not one moment's if values are being observed meanwhile, but the counts add up to `count`.
  Snapshot Read() const;
  // The bound below which `fraction` of the values lie, rounded up to a bucket; the highest bound
  // when it is above that, 0 without values. Requires 0 < fraction <= 1.
  std::uint64_t Quantile(double fraction) const;
  const Buckets& buckets() const { return buckets_; }

 private:
  struct Shard;

  const Buckets buckets_;
  std::array<std::unique_ptr<Shard>, metrics_internal::kShards> shards_;
};

// Pairs of label and value, as in {{"type", "put"}}.
using Labels = std::vector<std::pair<std::string, std::string>>;

// The metrics of one node, shown together in Prometheus' text format (version 0.0.4:
// https://prometheus.io/docs/instrumenting/exposition_formats/). Owned by whoever puts the node
// together and handed to its parts; what Add... returns lives as long as the registry.
//
// Safe from any thread. Names are checked: [a-zA-Z_:][a-zA-Z0-9_:]*, one kind and one help for each
// name, one metric for each name and labels.
class MetricRegistry {
 public:
  MetricRegistry();
  ~MetricRegistry();
  MetricRegistry(const MetricRegistry&) = delete;
  MetricRegistry& operator=(const MetricRegistry&) = delete;

  Counter& AddCounter(std::string_view name, std::string_view help, Labels labels = {});
  Gauge& AddGauge(std::string_view name, std::string_view help, Labels labels = {});
  Histogram& AddHistogram(std::string_view name, std::string_view help, Buckets buckets,
                          Labels labels = {});

  enum class Kind : std::uint8_t { kCounter, kGauge, kHistogram };
  // A number that somebody else keeps, asked for at every rendering. `read` must be quick, safe
  // from any thread, and valid until the registry is destroyed; it must not use the registry.
  void AddCallback(Kind kind, std::string_view name, std::string_view help,
                   std::function<double()> read, Labels labels = {});

  // All metrics, by name.
  std::string Render() const;

 private:
  struct Metric;
  struct Family;

  Metric& Add(Kind kind, std::string_view name, std::string_view help, Labels labels)
      REQUIRES(mutex_);

  mutable Mutex mutex_;
  std::map<std::string, std::unique_ptr<Family>, std::less<>> families_ GUARDED_BY(mutex_);
};

}  // namespace rutile
