#include "base/metrics.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/check.h"

namespace rutile {

namespace metrics_internal {

std::size_t ShardOfThisThread() {
  static std::atomic<std::size_t> next = 0;
  thread_local const std::size_t shard = next.fetch_add(1, std::memory_order_relaxed) % kShards;
  return shard;
}

}  // namespace metrics_internal

namespace {

bool IsMetricName(std::string_view name) {
  const auto is_start = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':';
  };
  const auto is_rest = [&](char c) { return is_start(c) || (c >= '0' && c <= '9'); };
  return !name.empty() && is_start(name.front()) && std::all_of(name.begin(), name.end(), is_rest);
}

// Escapes as the format asks: backslash and newline everywhere, quotes in label values.
void AppendEscaped(std::string* out, std::string_view text, bool quotes) {
  for (const char c : text) {
    if (c == '\\' || (quotes && c == '"')) {
      *out += {'\\', c};
    } else if (c == '\n') {
      *out += "\\n";
    } else {
      out->push_back(c);
    }
  }
}

// {a="b",c="d"}, or nothing without labels.
std::string Braced(const Labels& labels) {
  std::string out;
  for (const auto& [name, value] : labels) {
    out += out.empty() ? "{" : ",";
    out += name + "=\"";
    AppendEscaped(&out, value, /*quotes=*/true);
    out += "\"";
  }
  if (!out.empty()) out += "}";
  return out;
}

std::string Number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  // Whole numbers that a double holds exactly are shown as such.
  if (std::abs(value) < 9e15 && value == std::floor(value)) {
    return std::to_string(static_cast<std::int64_t>(value));
  }
  // Larger ones are timestamps of transactions, of which the last digits count too.
  const bool is_large = std::abs(value) >= 9e15;
  char text[32];
  std::snprintf(text, sizeof(text), is_large ? "%.17g" : "%.9g", value);
  return text;
}

void AppendSample(std::string* out, std::string_view name, std::string_view suffix,
                  const Labels& labels, std::string_view value) {
  out->append(name).append(suffix).append(Braced(labels)).append(" ").append(value).append("\n");
}

void AppendHistogram(std::string* out, std::string_view name, const Labels& labels,
                     const Histogram& histogram) {
  const Histogram::Snapshot snapshot = histogram.Read();
  const Buckets& buckets = histogram.buckets();
  const auto unit = static_cast<double>(buckets.unit);
  Labels bucket_labels = labels;
  bucket_labels.emplace_back("le", "");
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < buckets.bounds.size(); ++i) {
    below += snapshot.counts[i];
    bucket_labels.back().second = Number(static_cast<double>(buckets.bounds[i]) / unit);
    AppendSample(out, name, "_bucket", bucket_labels, std::to_string(below));
  }
  bucket_labels.back().second = "+Inf";
  AppendSample(out, name, "_bucket", bucket_labels, std::to_string(snapshot.count));
  AppendSample(out, name, "_sum", labels, Number(static_cast<double>(snapshot.sum) / unit));
  AppendSample(out, name, "_count", labels, std::to_string(snapshot.count));
}

const char* NameOf(MetricRegistry::Kind kind) {
  switch (kind) {
    case MetricRegistry::Kind::kCounter: return "counter";
    case MetricRegistry::Kind::kGauge: return "gauge";
    case MetricRegistry::Kind::kHistogram: return "histogram";
  }
  RUTILE_UNREACHABLE();
}

}  // namespace

std::uint64_t Counter::value() const {
  std::uint64_t total = 0;
  for (const auto& cell : cells_) total += cell.value.load(std::memory_order_relaxed);
  return total;
}

Buckets Buckets::Latency() {
  Buckets buckets = Exponential(16'384, 2, 20);
  buckets.unit = 1'000'000'000;
  return buckets;
}

Buckets Buckets::Exponential(std::uint64_t first, std::uint64_t factor, std::size_t count) {
  RUTILE_CHECK(first > 0 && factor > 1);
  Buckets buckets;
  for (std::uint64_t bound = first; buckets.bounds.size() < count; bound *= factor) {
    buckets.bounds.push_back(bound);
  }
  return buckets;
}

struct alignas(64) Histogram::Shard {
  explicit Shard(std::size_t size) : counts(size) {}
  std::vector<std::atomic<std::uint64_t>> counts;
  std::atomic<std::uint64_t> sum = 0;
};

Histogram::Histogram(Buckets buckets) : buckets_(std::move(buckets)) {
  RUTILE_CHECK(buckets_.unit > 0 && std::is_sorted(buckets_.bounds.begin(), buckets_.bounds.end()));
  for (auto& shard : shards_) shard = std::make_unique<Shard>(buckets_.bounds.size() + 1);
}

Histogram::~Histogram() = default;

void Histogram::Observe(std::uint64_t value) {
  const auto bucket = static_cast<std::size_t>(
      std::lower_bound(buckets_.bounds.begin(), buckets_.bounds.end(), value) -
      buckets_.bounds.begin());
  Shard& shard = *shards_[metrics_internal::ShardOfThisThread()];
  shard.counts[bucket].fetch_add(1, std::memory_order_relaxed);
  shard.sum.fetch_add(value, std::memory_order_relaxed);
}

Histogram::Snapshot Histogram::Read() const {
  Snapshot snapshot;
  snapshot.counts.resize(buckets_.bounds.size() + 1);
  for (const auto& shard : shards_) {
    snapshot.sum += shard->sum.load(std::memory_order_relaxed);
    for (std::size_t i = 0; i < snapshot.counts.size(); ++i) {
      const std::uint64_t count = shard->counts[i].load(std::memory_order_relaxed);
      snapshot.counts[i] += count;
      snapshot.count += count;
    }
  }
  return snapshot;
}

std::uint64_t Histogram::Quantile(double fraction) const {
  RUTILE_CHECK(fraction > 0 && fraction <= 1);
  const Snapshot snapshot = Read();
  if (snapshot.count == 0 || buckets_.bounds.empty()) return 0;
  const auto wanted =
      static_cast<std::uint64_t>(std::ceil(fraction * static_cast<double>(snapshot.count)));
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < buckets_.bounds.size(); ++i) {
    below += snapshot.counts[i];
    if (below >= wanted) return buckets_.bounds[i];
  }
  return buckets_.bounds.back();
}

struct MetricRegistry::Metric {
  // The one of the metric's kind, or `read` in its place.
  std::unique_ptr<Counter> counter = nullptr;
  std::unique_ptr<Gauge> gauge = nullptr;
  std::unique_ptr<Histogram> histogram = nullptr;
  std::function<double()> read = {};
};

struct MetricRegistry::Family {
  Kind kind = Kind::kCounter;
  std::string help;
  std::map<Labels, Metric> metrics;
};

MetricRegistry::MetricRegistry() = default;
MetricRegistry::~MetricRegistry() = default;

MetricRegistry::Metric& MetricRegistry::Add(Kind kind, std::string_view name, std::string_view help,
                                            Labels labels) {
  RUTILE_CHECK(IsMetricName(name), std::string(name));
  for (const auto& label : labels) {
    RUTILE_CHECK(IsMetricName(label.first) && label.first.find(':') == std::string::npos,
                 label.first);
  }
  std::unique_ptr<Family>& family = families_[std::string(name)];
  if (family == nullptr) {
    family = std::make_unique<Family>(Family{kind, std::string(help), {}});
  }
  RUTILE_CHECK(family->kind == kind && family->help == help, std::string(name));
  const auto [at, is_new] = family->metrics.try_emplace(std::move(labels));
  RUTILE_CHECK(is_new, std::string(name) + Braced(at->first) + " is there already");
  return at->second;
}

Counter& MetricRegistry::AddCounter(std::string_view name, std::string_view help, Labels labels) {
  const MutexLock lock(mutex_);
  Metric& metric = Add(Kind::kCounter, name, help, std::move(labels));
  metric.counter = std::make_unique<Counter>();
  return *metric.counter;
}

Gauge& MetricRegistry::AddGauge(std::string_view name, std::string_view help, Labels labels) {
  const MutexLock lock(mutex_);
  Metric& metric = Add(Kind::kGauge, name, help, std::move(labels));
  metric.gauge = std::make_unique<Gauge>();
  return *metric.gauge;
}

Histogram& MetricRegistry::AddHistogram(std::string_view name, std::string_view help,
                                        Buckets buckets, Labels labels) {
  const MutexLock lock(mutex_);
  Metric& metric = Add(Kind::kHistogram, name, help, std::move(labels));
  metric.histogram = std::make_unique<Histogram>(std::move(buckets));
  return *metric.histogram;
}

void MetricRegistry::AddCallback(Kind kind, std::string_view name, std::string_view help,
                                 std::function<double()> read, Labels labels) {
  RUTILE_CHECK(kind != Kind::kHistogram && read != nullptr, std::string(name));
  const MutexLock lock(mutex_);
  Add(kind, name, help, std::move(labels)).read = std::move(read);
}

std::string MetricRegistry::Render() const {
  std::string out;
  const MutexLock lock(mutex_);
  for (const auto& [name, family] : families_) {
    out += "# HELP " + name + " ";
    AppendEscaped(&out, family->help, /*quotes=*/false);
    out += "\n# TYPE " + name + " " + NameOf(family->kind) + "\n";
    for (const auto& [labels, metric] : family->metrics) {
      if (metric.histogram != nullptr) {
        AppendHistogram(&out, name, labels, *metric.histogram);
      } else if (metric.counter != nullptr) {
        AppendSample(&out, name, "", labels, std::to_string(metric.counter->value()));
      } else if (metric.gauge != nullptr) {
        AppendSample(&out, name, "", labels, std::to_string(metric.gauge->value()));
      } else {
        AppendSample(&out, name, "", labels, Number(metric.read()));
      }
    }
  }
  return out;
}

}  // namespace rutile
