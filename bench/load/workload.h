#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/status.h"

namespace rutile::bench {

enum class OpKind : std::uint8_t { kPut, kGet, kScan };
enum class Distribution : std::uint8_t {
  kUniform,
  kZipf,    // A few keys, spread over the key space, are asked for most of the time.
  kLatest,  // Puts go through the keys in order; reads prefer what was put last.
};

// One operation. The views are valid until the next one is made.
struct Op {
  OpKind kind = OpKind::kPut;
  std::string_view key = {};
  std::string_view value = {};  // Of a put.
  std::uint32_t limit = 0;      // Of a scan: most pairs.
};

struct WorkloadOptions {
  OpKind kind = OpKind::kPut;
  bool mixed = false;       // Puts and gets instead of `kind`.
  double read_ratio = 0.5;  // Of a mixed workload: the share of gets.
  std::uint64_t keys = 100'000;
  std::size_t key_bytes = 16;
  std::size_t value_bytes = 256;
  std::uint32_t scan_limit = 100;
  Distribution distribution = Distribution::kUniform;
  double zipf_exponent = 0.99;  // In (0, 1); larger is more skewed.
  std::uint64_t seed = 1;
};

// Ranks 0 .. count - 1, where rank r has a probability proportional to 1 / (r + 1)^exponent. The
// method of Gray et al., "Quickly generating billion-record synthetic databases" (1994): O(count)
// to make, O(1) a draw, exact for the first two ranks and close for the others.
class Zipf {
 public:
  // Requires count > 0 and 0 < exponent < 1.
  Zipf(std::uint64_t count, double exponent);
  std::uint64_t Next(Random& random) const;

 private:
  double count_;
  double exponent_;
  double zeta_;
  double alpha_;
  double eta_;
};

// An endless sequence of operations, the same for the same options. Keys are numbers from 0 to
// `keys` - 1 as decimal text of equal length; values are bytes that do not compress.
class Workload {
 public:
  // kInvalidArgument for options without a meaning, such as more keys than `key_bytes` can tell
  // apart.
  static Result<std::unique_ptr<Workload>> New(const WorkloadOptions& options);

  Op Next();
  // The put of one key, to fill the store before it is read. Requires number < keys.
  Op Load(std::uint64_t number);

 private:
  explicit Workload(const WorkloadOptions& options);
  std::uint64_t NextKey(OpKind kind);
  void SetKey(std::uint64_t number);
  std::string_view NextValue();
  // A number in [0, 1).
  double Fraction();

  const WorkloadOptions options_;
  SeededRandom random_;
  std::unique_ptr<Zipf> zipf_;  // Unless uniform.
  std::uint64_t newest_ = 0;    // kLatest: the key put last.
  std::string key_;
  std::string noise_;  // What values are cut from.
};

}  // namespace rutile::bench
