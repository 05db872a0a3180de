#include "bench/load/histogram.h"

#include <algorithm>
#include <cmath>

#include "base/random.h"

namespace rutile::bench {
namespace {

Duration ExactPercentile(const std::vector<Duration>& sorted, double percent) {
  const double rank = std::ceil(static_cast<double>(sorted.size()) * percent / 100);
  return sorted[static_cast<std::size_t>(std::max(rank, 1.0)) - 1];
}

// Durations from nanoseconds to minutes, each power of two as likely as the others.
std::vector<Duration> ManyDurations(std::uint64_t seed, int count) {
  SeededRandom random(seed);
  std::vector<Duration> durations;
  for (int i = 0; i < count; ++i) {
    const std::uint64_t bound = 1ull << (1 + random.Below(36));
    durations.emplace_back(static_cast<Duration::rep>(random.Below(bound)));
  }
  return durations;
}

TEST(Histogram, PercentilesAreWithinOnePercentOfTheExactOnes) {
  std::vector<Duration> durations = ManyDurations(7, 20'000);
  Histogram histogram;
  for (const Duration duration : durations) histogram.Record(duration);
  std::sort(durations.begin(), durations.end());
  for (const double percent : {0.0, 1.0, 25.0, 50.0, 90.0, 99.0, 99.9, 99.99, 100.0}) {
    const auto exact = static_cast<double>(ExactPercentile(durations, percent).count());
    const auto told = static_cast<double>(histogram.Percentile(percent).count());
    EXPECT_GE(told, exact) << percent;
    EXPECT_LE(told, exact * 1.008) << percent;
  }
  EXPECT_EQ(histogram.Percentile(100), durations.back());
  EXPECT_EQ(histogram.max(), durations.back());
  EXPECT_EQ(histogram.count(), durations.size());
}

TEST(Histogram, SmallDurationsAreExact) {
  Histogram histogram;
  for (int i = 1; i <= 100; ++i) histogram.Record(Duration(i));
  for (int i = 1; i <= 100; ++i) EXPECT_EQ(histogram.Percentile(i), Duration(i));
  EXPECT_EQ(histogram.Mean(), Duration(50));
}

TEST(Histogram, EveryPowerOfTwoIsInABucketThatHoldsIt) {
  for (int bits = 0; bits < 63; ++bits) {
    for (const int off : {-1, 0, 1}) {
      const Duration duration((std::int64_t{1} << bits) + off);
      Histogram histogram;
      histogram.Record(duration);
      histogram.Record(Duration::max());
      EXPECT_GE(histogram.Percentile(50), duration);
      EXPECT_LE(static_cast<double>(histogram.Percentile(50).count()),
                static_cast<double>(duration.count()) * 1.008);
    }
  }
}

TEST(Histogram, MergingIsRecordingTogether) {
  Histogram together;
  Histogram small;
  Histogram large;
  for (const Duration duration : ManyDurations(9, 5'000)) {
    together.Record(duration);
    (duration < Microseconds(1) ? small : large).Record(duration);
  }
  small.Merge(large);
  EXPECT_EQ(small.count(), together.count());
  EXPECT_EQ(small.max(), together.max());
  EXPECT_EQ(small.Mean(), together.Mean());
  for (int percent = 0; percent <= 100; ++percent) {
    EXPECT_EQ(small.Percentile(percent), together.Percentile(percent));
  }
}

TEST(Histogram, EmptyAndNegative) {
  Histogram histogram;
  EXPECT_EQ(histogram.Percentile(50), Duration(0));
  EXPECT_EQ(histogram.Mean(), Duration(0));
  histogram.Record(Duration(-5));
  EXPECT_EQ(histogram.count(), 1u);
  EXPECT_EQ(histogram.max(), Duration(0));
}

}  // namespace
}  // namespace rutile::bench
