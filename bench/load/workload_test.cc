#include "bench/load/workload.h"

#include <cmath>
#include <set>

namespace rutile::bench {
namespace {

std::unique_ptr<Workload> Make(const WorkloadOptions& options) {
  return std::move(Workload::New(options).value());
}

TEST(Zipf, RanksAreAsFrequentAsTheLawSays) {
  constexpr std::uint64_t kCount = 1000;
  constexpr int kDraws = 400'000;
  const Zipf zipf(kCount, 0.99);
  SeededRandom random(3);
  std::vector<double> seen(kCount);
  for (int i = 0; i < kDraws; ++i) seen[zipf.Next(random)] += 1.0 / kDraws;
  double zeta = 0;
  for (std::uint64_t r = 1; r <= kCount; ++r) zeta += std::pow(static_cast<double>(r), -0.99);
  EXPECT_NEAR(seen[0], 1 / zeta, 0.005);
  EXPECT_NEAR(seen[1], std::pow(2, -0.99) / zeta, 0.005);
  // The method approximates single ranks past the second; whole stretches are right.
  double expected = 0;
  double share = 0;
  for (std::size_t r = 0; r < kCount; ++r) {
    expected += std::pow(static_cast<double>(r + 1), -0.99) / zeta;
    share += seen[r];
    if (r == 9 || r == 99 || r == 499) {
      EXPECT_NEAR(share, expected, 0.02) << r;
    }
  }
  EXPECT_NEAR(share, 1, 1e-6);
}

TEST(Zipf, OneOrTwoRanks) {
  SeededRandom random(5);
  const Zipf one(1, 0.5);
  const Zipf two(2, 0.5);
  std::set<std::uint64_t> ranks;
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(one.Next(random), 0u);
    ranks.insert(two.Next(random));
  }
  EXPECT_EQ(ranks, (std::set<std::uint64_t>{0, 1}));
}

TEST(Workload, SameSeedSameOperations) {
  const WorkloadOptions options{.mixed = true, .distribution = Distribution::kZipf, .seed = 11};
  const auto first = Make(options);
  const auto second = Make(options);
  for (int i = 0; i < 1000; ++i) {
    const Op a = first->Next();
    const Op b = second->Next();
    EXPECT_EQ(a.kind, b.kind);
    EXPECT_EQ(a.key, b.key);
    EXPECT_EQ(a.value, b.value);
  }
}

TEST(Workload, SizesAndMixAreAsAsked) {
  const auto workload =
      Make({.mixed = true, .read_ratio = 0.25, .keys = 50, .key_bytes = 20, .value_bytes = 99});
  int gets = 0;
  std::set<std::string> keys;
  for (int i = 0; i < 10'000; ++i) {
    const Op op = workload->Next();
    EXPECT_EQ(op.key.size(), 20u);
    EXPECT_EQ(op.value.size(), op.kind == OpKind::kPut ? 99u : 0u);
    gets += op.kind == OpKind::kGet ? 1 : 0;
    keys.emplace(op.key);
  }
  EXPECT_NEAR(gets, 2500, 200);
  EXPECT_EQ(keys.size(), 50u);
}

TEST(Workload, LoadingReachesEveryKeyThatIsRead) {
  for (const Distribution distribution :
       {Distribution::kUniform, Distribution::kZipf, Distribution::kLatest}) {
    const auto workload =
        Make({.kind = OpKind::kGet, .keys = 100, .key_bytes = 4, .distribution = distribution});
    std::set<std::string> loaded;
    for (std::uint64_t i = 0; i < 100; ++i) loaded.emplace(workload->Load(i).key);
    EXPECT_EQ(loaded.size(), 100u);
    for (int i = 0; i < 1000; ++i) {
      const Op op = workload->Next();
      EXPECT_EQ(op.kind, OpKind::kGet);
      EXPECT_TRUE(loaded.contains(std::string(op.key))) << op.key;
    }
  }
}

TEST(Workload, ZipfSpreadsItsFavouritesOverAllKeys) {
  const auto workload =
      Make({.kind = OpKind::kGet, .keys = 1000, .distribution = Distribution::kZipf});
  std::map<std::string, int> seen;
  for (int i = 0; i < 200'000; ++i) ++seen[std::string(workload->Next().key)];
  EXPECT_GT(seen.size(), 990u);  // No two ranks share a key.
  int most = 0;
  for (const auto& [key, count] : seen) most = std::max(most, count);
  EXPECT_GT(most, 20'000);
}

TEST(Workload, LatestReadsWhatWasPutLast) {
  const auto workload =
      Make({.mixed = true, .keys = 1000, .distribution = Distribution::kLatest, .seed = 2});
  std::string last;
  int gets = 0;
  int of_last = 0;
  for (int i = 0; i < 20'000; ++i) {
    const Op op = workload->Next();
    if (op.kind == OpKind::kPut) {
      EXPECT_NE(op.key, last);
      last = op.key;
    } else if (!last.empty()) {
      ++gets;
      of_last += op.key == last ? 1 : 0;
    }
  }
  EXPECT_GT(of_last, gets / 10);
}

TEST(Workload, OptionsWithoutAMeaningAreRefused) {
  const auto refused = [](const WorkloadOptions& options) {
    const auto made = Workload::New(options);
    return !made.ok() && made.status().code() == Code::kInvalidArgument;
  };
  EXPECT_TRUE(refused({.keys = 0}));
  EXPECT_TRUE(refused({.keys = 1001, .key_bytes = 3}));
  EXPECT_FALSE(refused({.keys = 1000, .key_bytes = 3}));
  EXPECT_TRUE(refused({.value_bytes = 0}));
  EXPECT_TRUE(refused({.value_bytes = 1u << 30}));
  EXPECT_TRUE(refused({.read_ratio = 1.5}));
  EXPECT_TRUE(refused({.scan_limit = 0}));
  EXPECT_TRUE(refused({.zipf_exponent = 1}));
}

}  // namespace
}  // namespace rutile::bench
