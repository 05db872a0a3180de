// The in-memory engine on a disk that loses power.

#include <gtest/gtest.h>

#include "engine/memory/memory_engine.h"
#include "engine/testing/engines.h"
#include "engine/testing/model.h"
#include "env/sim/sim_files.h"
#include "env/sim/world.h"

namespace rutile::engine {
namespace {

using testing::Dump;
using testing::FromEnvironment;
using testing::Model;

WriteBatch BatchOf(const std::string& value) {
  WriteBatch batch;
  for (const Family family : kAllFamilies) batch.Put(family, "key", value);
  batch.Put(Family::kDefault, "key of " + value, std::string(2000, 'x'));
  return batch;
}

// Power goes during the n-th change that a flush makes to the disk, for every n there is.
TEST(MemoryEngineCrash, PowerCutDuringFlushLeavesTheOldImageOrTheNew) {
  const std::uint64_t first = FromEnvironment("RUTILE_SEED", 1);
  const std::uint64_t seeds = 30 * FromEnvironment("RUTILE_TEST_SCALE", 1);
  bool old_seen = false;
  bool new_seen = false;
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    bool interrupted = true;
    for (std::uint64_t change = 1; interrupted; ++change) {
      SCOPED_TRACE("RUTILE_SEED=" + std::to_string(seed) + " change " + std::to_string(change));
      sim::World world(seed);
      sim::SimFileSystem disk(world);
      auto engine = OpenMemoryEngine(disk, "kv").value();
      ASSERT_TRUE(engine->Write(BatchOf("old")).ok());
      ASSERT_TRUE(engine->Flush().ok());
      const Model flushed = Dump(*engine);
      ASSERT_TRUE(engine->Write(BatchOf("new")).ok());
      const Model written = Dump(*engine);

      disk.FailPowerAfter(change);
      interrupted = !engine->Flush().ok();
      engine.reset();
      disk.CutPower();
      const Model found = Dump(*OpenMemoryEngine(disk, "kv").value());
      if (!interrupted) {
        ASSERT_EQ(found, written);
      }
      ASSERT_TRUE(found == flushed || found == written);
      old_seen = old_seen || found == flushed;
      new_seen = new_seen || (interrupted && found == written);
    }
  }
  EXPECT_TRUE(old_seen);
  EXPECT_TRUE(new_seen);
}

TEST(MemoryEngineCrash, FlipOfAnyBitIsFound) {
  sim::World world(1);
  sim::SimFileSystem disk(world);
  auto engine = OpenMemoryEngine(disk, "kv").value();
  WriteBatch batch;
  batch.Put(Family::kLock, "key", "value");
  ASSERT_TRUE(engine->Write(batch).ok());
  ASSERT_TRUE(engine->Flush().ok());
  engine.reset();
  const std::uint64_t bits = 8 * disk.ReadAll("kv/image").value().size();
  for (std::uint64_t bit = 0; bit < bits; ++bit) {
    disk.FlipBit("kv/image", bit);
    EXPECT_FALSE(OpenMemoryEngine(disk, "kv").ok()) << bit;
    disk.FlipBit("kv/image", bit);
  }
  EXPECT_TRUE(OpenMemoryEngine(disk, "kv").ok());
}

}  // namespace
}  // namespace rutile::engine
