#include "mvcc/value_cursor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/random.h"
#include "engine/testing/engines.h"
#include "mvcc/keys.h"

namespace rutile::mvcc {
namespace {

using engine::Family;
using engine::testing::EngineKind;
using engine::testing::EngineUnderTest;
using Direction = ValueCursor::Direction;

std::string KeyNumber(int number) { return "k" + std::to_string(1000 + number); }
std::string ValueAt(const std::string& key, std::uint64_t start) {
  return key + "@" + std::to_string(start);
}

// Keys with one version or with many, so that the next value is near or far, and some without.
void Fill(Random& random, EngineUnderTest& engine,
          std::vector<std::pair<std::string, std::uint64_t>>* keys) {
  engine::WriteBatch batch;
  for (int number = 0; number < 60; ++number) {
    const std::string key = KeyNumber(number);
    const std::uint64_t versions = random.OneIn(4) ? 30 : random.OneIn(3) ? 0 : 1;
    for (std::uint64_t start = 1; start <= versions; ++start) {
      batch.Put(Family::kDefault, VersionKey(key, Timestamp(start)), ValueAt(key, start));
    }
    if (versions > 0) keys->emplace_back(key, versions);
  }
  engine.Write(batch);
}

TEST(ValueCursor, HasTheValueOfEachKeyUpAndDown) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    for (const Direction direction : {Direction::kForward, Direction::kBackward}) {
      SCOPED_TRACE(seed);
      SeededRandom random(seed);
      EngineUnderTest engine(EngineKind::kMemory);
      std::vector<std::pair<std::string, std::uint64_t>> keys;
      Fill(random, engine, &keys);
      if (direction == Direction::kBackward) std::reverse(keys.begin(), keys.end());
      const auto snapshot = engine->GetSnapshot();
      ValueCursor cursor(*snapshot, {}, direction);
      for (const auto& [key, versions] : keys) {
        if (random.OneIn(5)) continue;
        const std::uint64_t start = 1 + random.Below(versions);
        const Result<std::string> value = cursor.Load(LockKey(key), Timestamp(start));
        ASSERT_TRUE(value.ok()) << value.status().ToString();
        EXPECT_EQ(ValueAt(key, start), value.value());
      }
    }
  }
}

TEST(ValueCursor, OneThatIsMissingIsSaidToBeAndTheNextIsFound) {
  for (const Direction direction : {Direction::kForward, Direction::kBackward}) {
    EngineUnderTest engine(EngineKind::kMemory);
    engine::WriteBatch batch;
    for (const char* key : {"a", "c", "e"}) {
      batch.Put(Family::kDefault, VersionKey(key, Timestamp(5)), ValueAt(key, 5));
    }
    engine.Write(batch);
    const auto snapshot = engine->GetSnapshot();
    ValueCursor cursor(*snapshot, {}, direction);
    std::vector<std::string> keys = {"a", "b", "c", "d", "e", "f"};
    if (direction == Direction::kBackward) std::reverse(keys.begin(), keys.end());
    for (const std::string& key : keys) {
      const Result<std::string> value = cursor.Load(LockKey(key), Timestamp(5));
      const bool is_there = key == "a" || key == "c" || key == "e";
      SCOPED_TRACE(key);
      EXPECT_EQ(is_there ? Code::kOk : Code::kCorruption, value.status().code());
      EXPECT_EQ(is_there ? ValueAt(key, 5) : "", value.ok() ? value.value() : "");
    }
    EXPECT_FALSE(cursor.Load(LockKey("z"), Timestamp(4)).ok());
  }
}

}  // namespace
}  // namespace rutile::mvcc
