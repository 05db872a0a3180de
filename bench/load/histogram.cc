#include "bench/load/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/check.h"

namespace rutile::bench {
namespace {

// Values below 2 * kSteps have a bucket each; from there on each power of two has kSteps.
constexpr unsigned kStepBits = 7;
constexpr std::uint64_t kSteps = 1u << kStepBits;

std::size_t IndexOf(std::uint64_t value) {
  if (value < kSteps) return value;
  const unsigned shift = static_cast<unsigned>(std::bit_width(value)) - kStepBits - 1;
  return (shift << kStepBits) + (value >> shift);
}

// The largest value whose index is `index`.
std::uint64_t UpperEdge(std::size_t index) {
  if (index < 2 * kSteps) return index;
  const std::size_t shift = (index >> kStepBits) - 1;
  return (((index & (kSteps - 1)) + kSteps + 1) << shift) - 1;
}

}  // namespace

void Histogram::Record(Duration duration) {
  const Duration::rep ns = std::max<Duration::rep>(duration.count(), 0);
  const std::size_t index = IndexOf(static_cast<std::uint64_t>(ns));
  if (index >= buckets_.size()) buckets_.resize((index / kSteps + 1) * kSteps);
  ++buckets_[index];
  ++count_;
  sum_ns_ += static_cast<double>(ns);
  max_ = std::max(max_, Duration(ns));
}

void Histogram::Merge(const Histogram& other) {
  buckets_.resize(std::max(buckets_.size(), other.buckets_.size()));
  for (std::size_t i = 0; i < other.buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  sum_ns_ += other.sum_ns_;
  max_ = std::max(max_, other.max_);
}

Duration Histogram::Mean() const {
  if (count_ == 0) return {};
  return Duration(static_cast<Duration::rep>(sum_ns_ / static_cast<double>(count_)));
}

Duration Histogram::Percentile(double percent) const {
  RUTILE_CHECK(percent >= 0 && percent <= 100, "not a percentage");
  const auto wanted = std::max<std::uint64_t>(
      static_cast<std::uint64_t>(std::ceil(static_cast<double>(count_) * percent / 100)), 1);
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    seen += buckets_[i];
    if (seen >= wanted) return std::min(max_, Duration(static_cast<Duration::rep>(UpperEdge(i))));
  }
  return max_;
}

}  // namespace rutile::bench
