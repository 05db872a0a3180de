#include "bench/load/workload.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/check.h"

namespace rutile::bench {
namespace {

constexpr std::size_t kNoiseBytes = 1u << 20;
// A prime larger than any number of keys that fits in a machine, so that multiplying by it modulo
// the number of keys moves every rank to a place of its own.
constexpr std::uint64_t kSpreader = 0xFFFF'FFFF'FFFF'FFC5u;

double ToFraction(std::uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1p-53; }

std::size_t Digits(std::uint64_t number) { return std::to_string(number).size(); }

std::uint64_t Spread(std::uint64_t rank, std::uint64_t count) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<std::uint64_t>(Wide{rank} * (kSpreader % count) % count);
}

}  // namespace

Zipf::Zipf(std::uint64_t count, double exponent)
    : count_(static_cast<double>(count)), exponent_(exponent), zeta_(0) {
  RUTILE_CHECK(count > 0 && exponent > 0 && exponent < 1, "not a distribution");
  for (std::uint64_t i = 1; i <= count; ++i) zeta_ += std::pow(static_cast<double>(i), -exponent);
  const double zeta_of_two = 1 + std::pow(0.5, exponent);
  alpha_ = 1 / (1 - exponent);
  eta_ = (1 - std::pow(2 / count_, 1 - exponent)) / (1 - zeta_of_two / zeta_);
}

std::uint64_t Zipf::Next(Random& random) const {
  const double u = ToFraction(random.Next());
  const double scaled = u * zeta_;
  if (scaled < 1 || count_ < 2) return 0;
  if (scaled < 1 + std::pow(0.5, exponent_)) return 1;
  const double rank = count_ * std::pow(eta_ * u - eta_ + 1, alpha_);
  return static_cast<std::uint64_t>(std::min(rank, count_ - 1));
}

Result<std::unique_ptr<Workload>> Workload::New(const WorkloadOptions& options) {
  const auto bad = [](const std::string& why) { return Status(Code::kInvalidArgument, why); };
  if (options.keys == 0) return bad("there must be at least one key");
  if (options.key_bytes < Digits(options.keys - 1)) {
    return bad(std::to_string(options.keys) + " keys cannot be told apart in " +
               std::to_string(options.key_bytes) + " bytes");
  }
  if (options.value_bytes == 0 || options.value_bytes > kNoiseBytes / 2) {
    return bad("values have 1 to " + std::to_string(kNoiseBytes / 2) + " bytes");
  }
  if (!(options.read_ratio >= 0 && options.read_ratio <= 1)) {
    return bad("the ratio of reads is between 0 and 1");
  }
  if (!(options.zipf_exponent > 0 && options.zipf_exponent < 1)) {
    return bad("the exponent of the zipf distribution is between 0 and 1");
  }
  if (options.scan_limit == 0) return bad("a scan reads at least one pair");
  return std::unique_ptr<Workload>(new Workload(options));
}

Workload::Workload(const WorkloadOptions& options)
    : options_(options), random_(options.seed), key_(options.key_bytes, '0') {
  if (options.distribution != Distribution::kUniform) {
    zipf_ = std::make_unique<Zipf>(options.keys, options.zipf_exponent);
  }
  noise_.reserve(kNoiseBytes);
  while (noise_.size() < kNoiseBytes) {
    const std::uint64_t bits = random_.Next();
    noise_.append(reinterpret_cast<const char*>(&bits), sizeof bits);
  }
}

double Workload::Fraction() { return ToFraction(random_.Next()); }

void Workload::SetKey(std::uint64_t number) {
  std::array<char, 20> digits = {};
  const char* end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  const auto size = static_cast<std::size_t>(end - digits.data());
  key_.assign(options_.key_bytes - size, '0');
  key_.append(digits.data(), size);
}

std::string_view Workload::NextValue() {
  const std::size_t begin = random_.Below(noise_.size() - options_.value_bytes + 1);
  return std::string_view(noise_).substr(begin, options_.value_bytes);
}

std::uint64_t Workload::NextKey(OpKind kind) {
  switch (options_.distribution) {
    case Distribution::kUniform: return random_.Below(options_.keys);
    case Distribution::kZipf: return Spread(zipf_->Next(random_), options_.keys);
    case Distribution::kLatest: break;
  }
  if (kind == OpKind::kPut) {
    newest_ = (newest_ + 1) % options_.keys;
    return newest_;
  }
  return (newest_ + options_.keys - zipf_->Next(random_)) % options_.keys;
}

Op Workload::Next() {
  OpKind kind = options_.kind;
  if (options_.mixed) kind = Fraction() < options_.read_ratio ? OpKind::kGet : OpKind::kPut;
  SetKey(NextKey(kind));
  Op op{.kind = kind, .key = key_};
  if (kind == OpKind::kPut) op.value = NextValue();
  if (kind == OpKind::kScan) op.limit = options_.scan_limit;
  return op;
}

Op Workload::Load(std::uint64_t number) {
  RUTILE_CHECK(number < options_.keys, "no such key");
  SetKey(number);
  return Op{.kind = OpKind::kPut, .key = key_, .value = NextValue()};
}

}  // namespace rutile::bench
