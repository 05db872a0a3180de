// What compactions leave out, on one engine, and over stores of a simulated world some of which
// leave out what others still have.

#include "store/garbage_filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "codec/keys.h"
#include "engine/testing/engines.h"
#include "mvcc/keys.h"
#include "mvcc/reader.h"
#include "mvcc/records.h"
#include "store/region_collection.h"
#include "store/region_marks.h"
#include "store/testing/txn_stores.h"

namespace rutile::store {
namespace {

using engine::Family;
using engine::testing::EngineKind;
using mvcc::Reader;
using mvcc::Timestamp;
using mvcc::Write;
using ::testing::Each;
using ::testing::ElementsAre;
using Kind = Write::Kind;

Region TheRegion() {
  Region region{.id = kFirstUserRegion};
  region.peers.push_back({.id = PeerId(1), .store = StoreId(1)});
  return region;
}

class GarbageFilterTest : public ::testing::TestWithParam<EngineKind> {
 protected:
  GarbageFilterTest() { engine_->SetFilter(filter_); }
  void TearDown() override { engine_->SetFilter(nullptr); }

  void Put(const std::string& key, std::uint64_t commit, const Write& write) {
    engine::WriteBatch batch;
    if (write.kind == Kind::kPut && !write.short_value) {
      batch.Put(Family::kDefault, mvcc::VersionKey(key, write.start),
                "long " + ToString(write.start));
    }
    batch.Put(Family::kWrite, mvcc::VersionKey(key, Timestamp(commit)), EncodeWrite(write));
    engine_.Write(batch);
  }
  // Of a transaction that began right before it.
  void Put(const std::string& key, std::uint64_t commit, Kind kind,
           std::optional<std::string> value = {}) {
    const std::uint64_t start = kind == Kind::kRollback ? commit : commit - 1;
    Put(key, commit, {.kind = kind, .start = Timestamp(start), .short_value = std::move(value)});
  }
  void Raise(std::uint64_t safe_point, const Region& region = TheRegion()) {
    engine::WriteBatch batch;
    batch.Put(Family::kMeta, codec::SafePointKey(region.id),
              EncodeMarks({.safe_point = Timestamp(safe_point)}));
    engine_.Write(batch);
    filter_->Learn(region);
  }
  void Compact(const engine::Bounds& bounds = {}) {
    ASSERT_TRUE(engine_->Compact(Family::kWrite, bounds).ok());
  }
  void FlushAndCompact() {
    ASSERT_TRUE(engine_->Flush().ok());
    Compact();
  }
  // As "key@commit".
  std::vector<std::string> Records() {
    std::vector<std::string> records;
    const auto snapshot = engine_->GetSnapshot();
    const auto iterator = snapshot->NewIterator(Family::kWrite, {});
    for (iterator->Seek(""); iterator->Valid(); iterator->Next()) {
      const auto parts = mvcc::SplitVersionKey(iterator->key());
      records.push_back(mvcc::UserKeyOf(parts->lock_key).value() + "@" +
                        ToString(parts->timestamp));
    }
    return records;
  }

  engine::testing::EngineUnderTest engine_{GetParam()};
  const std::shared_ptr<GarbageFilter> filter_ = std::make_shared<GarbageFilter>(*engine_);
};

INSTANTIATE_TEST_SUITE_P(Engines, GarbageFilterTest,
                         ::testing::Values(EngineKind::kMemory, EngineKind::kRocks),
                         [](const auto& kind) { return ToString(kind.param); });

TEST_P(GarbageFilterTest, LeavesOutWhatIsHidden) {
  Put("a", 10, Kind::kPut, "1");
  Put("a", 20, Kind::kPut, "2");
  Put("a", 30, Kind::kPut, "3");
  Put("b", 10, Kind::kPut, "1");
  Put("b", 15, Kind::kRollback);
  Put("b", 20, Kind::kLock);
  FlushAndCompact();
  EXPECT_EQ(Records().size(), 6u) << "no safe point is known";
  Raise(25);
  FlushAndCompact();
  EXPECT_THAT(Records(), ElementsAre("a@30", "a@20", "b@10"));
  EXPECT_EQ(filter_->dropped(), 3u);
  filter_->Forget(kFirstUserRegion);
  Put("a", 24, Kind::kPut, "4");
  FlushAndCompact();
  EXPECT_EQ(Records().size(), 4u) << "the region is not here any more";
}

TEST_P(GarbageFilterTest, LeavesWhatOthersHaveToRemove) {
  Put("deletion", 10, Kind::kPut, "1");
  Put("deletion", 20, Kind::kDelete);
  Put("long", 10, Kind::kPut);
  Put("long", 20, Kind::kPut, "2");
  Put("locked", 10, Kind::kPut, "1");
  Put("locked", 20, Kind::kPut, "2");
  engine::WriteBatch batch;
  batch.Put(Family::kLock, mvcc::LockKey("locked"),
            mvcc::EncodeLock({.primary = "locked", .start = Timestamp(25)}));
  engine_.Write(batch);
  Raise(30);
  FlushAndCompact();
  EXPECT_THAT(Records(),
              ElementsAre("deletion@20", "locked@20", "locked@10", "long@20", "long@10"));
}

TEST_P(GarbageFilterTest, KnowsWhereARegionEnds) {
  for (const char* key : {"a", "b", "c"}) {
    Put(key, 10, Kind::kPut, "1");
    Put(key, 20, Kind::kPut, "2");
  }
  Region region = TheRegion();
  region.start_key = codec::UserKey(mvcc::LockKey("b"));
  region.end_key = codec::UserKey(mvcc::LockKey("c"));
  Raise(30, region);
  FlushAndCompact();
  EXPECT_THAT(Records(), ElementsAre("a@20", "a@10", "b@20", "c@20", "c@10"));
}

// Whoever reads from a snapshot has asked that snapshot for the safe point.
TEST_P(GarbageFilterTest, LeavesWhatASnapshotMayNeed) {
  Put("a", 10, Kind::kPut, "1");
  Put("a", 20, Kind::kPut, "2");
  ASSERT_TRUE(engine_->Flush().ok());
  auto snapshot = engine_->GetSnapshot();
  Raise(30);
  FlushAndCompact();
  EXPECT_EQ(Records().size(), 2u);
  const auto found = Reader(*snapshot).Get("a", {.at = Timestamp(15)}).value();
  EXPECT_EQ(std::get<std::optional<mvcc::Found>>(found)->value, "1");
  snapshot.reset();
  Put("b", 10, Kind::kPut, "1");
  FlushAndCompact();
  EXPECT_THAT(Records(), ElementsAre("a@20", "b@10"));
}

// (RocksDB flushes before it compacts at somebody's word.)
class GarbageFilterInMemory : public GarbageFilterTest {};

INSTANTIATE_TEST_SUITE_P(Engines, GarbageFilterInMemory, ::testing::Values(EngineKind::kMemory),
                         [](const auto& kind) { return ToString(kind.param); });

// After a crash the region would have the old safe point, and lack what readers above that see.
TEST_P(GarbageFilterInMemory, WaitsForTheSafePointToBeDurable) {
  Put("a", 10, Kind::kPut, "1");
  Put("a", 20, Kind::kPut, "2");
  ASSERT_TRUE(engine_->Flush().ok());
  Raise(30);
  Compact();
  EXPECT_EQ(Records().size(), 2u);
  for (std::uint64_t safe_point = 31; safe_point < 60; ++safe_point) Raise(safe_point);
  FlushAndCompact();
  EXPECT_EQ(Records().size(), 1u);
}

class FilterOfStores : public testing::TxnStores {
 protected:
  void Collect(bool only_raises) {
    bool done = false;
    RegionCollection::Run(
        store(leader_), kv_[leader_]->scheduler(),
        processes_[leader_].machine->NewExecutor("garbage"),
        {.region = Header().region, .safe_point = safe_point_, .only_raises = only_raises}, {},
        [&](const RegionCollection::Ending& ending) {
          EXPECT_TRUE(std::holds_alternative<TxnScheduler::Finished>(ending.how));
          done = true;
        });
    ASSERT_TRUE(world_.RunUntil([&] { return done; }, Seconds(10)));
    world_.RunFor(Seconds(2));
  }
  void FlushAndCompact(std::size_t i) {
    ASSERT_TRUE(processes_[i].engine->Flush().ok());
    ASSERT_TRUE(processes_[i].engine->Compact(Family::kWrite, {}).ok());
  }
  std::vector<std::size_t> Records() { return CountOf(Family::kWrite); }

  Timestamp safe_point_;
};

TEST_F(FilterOfStores, EachReplicaLeavesOutItsOwn) {
  for (int i = 0; i < 5; ++i) Write({Key("a")}, std::to_string(i));
  safe_point_ = Now();
  Collect(/*only_raises=*/true);
  EXPECT_THAT(Records(), Each(5u));
  for (std::size_t i = 0; i < kStores; ++i) {
    FlushAndCompact(i);
    EXPECT_EQ(Records()[i], 1u);
    EXPECT_EQ("4", Read(Key("a"), safe_point_));
  }
}

// The leader does not know of what its compactions have left out and others have.
TEST_F(FilterOfStores, ADeletionGoesWithAllThatItHidesAnywhere) {
  for (int i = 0; i < 5; ++i) Write({Key("a"), Key("b")}, std::to_string(i));
  Delete(Key("a"));
  safe_point_ = Now();
  Collect(/*only_raises=*/true);
  FlushAndCompact(leader_);
  EXPECT_EQ(Records()[leader_], 2u);
  Collect(/*only_raises=*/false);
  EXPECT_EQ(Records()[leader_], 1u);
  for (std::size_t i = 0; i < kStores; ++i) {
    FlushAndCompact(i);
    EXPECT_EQ(Records()[i], 1u) << "store " << i;
  }
  EXPECT_EQ("absent", Read(Key("a"), safe_point_));
  EXPECT_EQ("4", Read(Key("b"), safe_point_));
}

// By what its engine has: nobody tells it again.
TEST_F(FilterOfStores, ARestartKnowsTheSafePoint) {
  for (int i = 0; i < 5; ++i) Write({Key("a")}, std::to_string(i));
  safe_point_ = Now();
  Collect(/*only_raises=*/true);
  const std::size_t other = (leader_ + 1) % kStores;
  ASSERT_TRUE(processes_[other].engine->Flush().ok());
  Stop(other);
  Restart(other);
  world_.RunFor(Seconds(2));
  FlushAndCompact(other);
  EXPECT_EQ(Records()[other], 1u);
}

}  // namespace
}  // namespace rutile::store
