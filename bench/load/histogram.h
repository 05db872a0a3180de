#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/time.h"

namespace rutile::bench {

// How often each duration was seen, in buckets whose width is below 1/128 of their value: exact up
// to 128 ns, within 0.8 % above. Recording costs a few instructions and allocates only when a new
// power of two is seen.
class Histogram {
 public:
  // Negative durations count as zero.
  void Record(Duration duration);
  void Merge(const Histogram& other);

  std::uint64_t count() const { return count_; }
  Duration max() const { return max_; }
  Duration Mean() const;
  // A duration that `percent` of the recorded ones do not exceed: the upper edge of the bucket
  // where that is reached, at most max(). Zero when empty. Requires 0 <= percent <= 100.
  Duration Percentile(double percent) const;

 private:
  std::vector<std::uint64_t> buckets_;
  std::uint64_t count_ = 0;
  double sum_ns_ = 0;
  Duration max_ = {};
};

}  // namespace rutile::bench
