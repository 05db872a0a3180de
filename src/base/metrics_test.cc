#include "base/metrics.h"

#include <gtest/gtest.h>

#include <thread>

namespace rutile {
namespace {

TEST(Metrics, ThreadsLoseNoCount) {
  MetricRegistry registry;
  Counter& counter = registry.AddCounter("events_total", "Events.");
  Histogram& histogram = registry.AddHistogram("sizes", "Sizes.", Buckets::Exponential(1, 2, 4));
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&] {
      for (std::uint64_t i = 0; i < 5000; ++i) {
        counter.Add();
        histogram.Observe(i % 16);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter.value(), 30'000u);
  const Histogram::Snapshot snapshot = histogram.Read();
  EXPECT_EQ(snapshot.count, 30'000u);
  // 5000 values of 0..15 in turn: 312 whole rounds and the values 0 to 7 once more.
  EXPECT_EQ(snapshot.sum, 6u * (312 * 120 + 28));
}

TEST(Metrics, BoundsAreInclusive) {
  Histogram histogram({.bounds = {10, 20}});
  for (const std::uint64_t value : {0u, 10u, 11u, 20u, 21u, 1000u}) histogram.Observe(value);
  EXPECT_EQ(histogram.Read().counts, (std::vector<std::uint64_t>{2, 2, 2}));
}

TEST(Metrics, QuantileIsTheBoundOfItsBucket) {
  Histogram histogram({.bounds = {10, 20, 30}});
  EXPECT_EQ(histogram.Quantile(0.5), 0u);
  for (std::uint64_t i = 1; i <= 100; ++i) histogram.Observe(i <= 50 ? i % 10 : 15);
  EXPECT_EQ(histogram.Quantile(0.5), 10u);
  EXPECT_EQ(histogram.Quantile(0.51), 20u);
  EXPECT_EQ(histogram.Quantile(1), 20u);
  histogram.Observe(99);
  EXPECT_EQ(histogram.Quantile(1), 30u);
}

TEST(Metrics, NegativeSpansCountAsNone) {
  Histogram histogram(Buckets::Latency());
  histogram.Observe(Milliseconds(-5));
  histogram.Observe(Milliseconds(3));
  EXPECT_EQ(histogram.Read().sum, 3'000'000u);
  EXPECT_EQ(histogram.Read().counts.front(), 1u);
}

TEST(Metrics, LargeNumbersKeepWhatADoubleHoldsOfThem) {
  MetricRegistry registry;
  registry.AddCallback(MetricRegistry::Kind::kGauge, "at", "At.",
                       [] { return 470'812'425'562'882'049.0; });
  const std::string text = registry.Render();
  EXPECT_EQ(470'812'425'562'882'049.0, std::stod(text.substr(text.rfind(' ') + 1)));
}

TEST(Metrics, RenderIsPrometheusText) {
  MetricRegistry registry;
  registry.AddCounter("puts_total", "Puts.", {{"region", "2"}}).Add(7);
  registry.AddCounter("puts_total", "Puts.", {{"region", "1"}}).Add(3);
  registry.AddGauge("lag", "Entries\nbehind.").Set(-4);
  registry.AddCallback(MetricRegistry::Kind::kGauge, "load", "Load.", [] { return 0.25; },
                       {{"kind", "a\"b\\c"}});
  Histogram& sync = registry.AddHistogram(
      "sync_seconds", "Sync.", {.bounds = {500'000'000, 1'000'000'000}, .unit = 1'000'000'000});
  sync.Observe(Milliseconds(250));
  sync.Observe(Milliseconds(750));
  sync.Observe(Milliseconds(2000));
  EXPECT_EQ(registry.Render(),
            "# HELP lag Entries\\nbehind.\n"
            "# TYPE lag gauge\n"
            "lag -4\n"
            "# HELP load Load.\n"
            "# TYPE load gauge\n"
            "load{kind=\"a\\\"b\\\\c\"} 0.25\n"
            "# HELP puts_total Puts.\n"
            "# TYPE puts_total counter\n"
            "puts_total{region=\"1\"} 3\n"
            "puts_total{region=\"2\"} 7\n"
            "# HELP sync_seconds Sync.\n"
            "# TYPE sync_seconds histogram\n"
            "sync_seconds_bucket{le=\"0.5\"} 1\n"
            "sync_seconds_bucket{le=\"1\"} 2\n"
            "sync_seconds_bucket{le=\"+Inf\"} 3\n"
            "sync_seconds_sum 3\n"
            "sync_seconds_count 3\n");
}

TEST(MetricsDeathTest, ProgrammerErrorsStopTheProcess) {
  MetricRegistry registry;
  registry.AddCounter("a", "A.");
  EXPECT_DEATH(registry.AddCounter("a", "A."), "is there already");
  EXPECT_DEATH(registry.AddGauge("a", "A.", {{"x", "y"}}), "check failed");
  EXPECT_DEATH(registry.AddCounter("1a", "A."), "1a");
  EXPECT_DEATH(registry.AddCounter("b", "B.", {{"le-x", "1"}}), "le-x");
}

}  // namespace
}  // namespace rutile
