// LogTail against its naive twin: whatever happens to a log, in whatever order the disk answers,
// every answer of the tail is that of two plain maps.

#include <gtest/gtest.h>

#include <cstdlib>

#include "raft/testing/log_twin.h"

namespace rutile::raft {
namespace {

std::uint64_t FromEnvironment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(LogTailTwin, EveryReadIsThatOfThePlainMaps) {
  constexpr std::uint64_t kOperationsPerSeed = 10'000;
  const std::uint64_t seeds = 100 * FromEnvironment("RUTILE_TEST_SCALE", 1);
  const std::uint64_t first = FromEnvironment("RUTILE_SEED", 1);
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    testing::LogTwin twin(seed);
    for (std::uint64_t i = 0; i < kOperationsPerSeed; ++i) {
      const std::string differs = twin.Step();
      ASSERT_EQ("", differs) << "RUTILE_SEED=" << seed << " operation " << i;
    }
  }
}

}  // namespace
}  // namespace rutile::raft
