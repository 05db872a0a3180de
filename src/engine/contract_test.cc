// What every engine promises, one fact a test; each runs on all of them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/mutex.h"
#include "engine/record_filter.h"
#include "engine/testing/engines.h"
#include "engine/testing/model.h"

namespace rutile::engine {
namespace {

using testing::Dump;
using testing::EngineKind;
using testing::EngineUnderTest;
using testing::Model;

using Keys = std::vector<std::string>;

class EngineContract : public ::testing::TestWithParam<EngineKind> {
 protected:
  EngineContract() : engine_(GetParam()) {}

  std::optional<std::string> Get(Family family, const std::string& key) {
    Result<std::optional<std::string>> value = engine_->Get(family, key);
    EXPECT_TRUE(value.ok()) << value.status().ToString();
    return value.ok() ? value.value() : std::nullopt;
  }

  void Put(Family family, const std::string& key, const std::string& value) {
    WriteBatch batch;
    batch.Put(family, key, value);
    engine_.Write(batch);
  }

  void DeleteRange(Family family, const std::string& begin, const std::string& end) {
    WriteBatch batch;
    batch.DeleteRange(family, begin, end);
    engine_.Write(batch);
  }

  Keys KeysOf(Family family, Bounds bounds = {}) {
    const auto snapshot = engine_->GetSnapshot();
    const auto iterator = snapshot->NewIterator(family, std::move(bounds));
    Keys keys;
    for (iterator->Seek(""); iterator->Valid(); iterator->Next()) {
      keys.emplace_back(iterator->key());
    }
    EXPECT_TRUE(iterator->status().ok());
    return keys;
  }

  Keys KeysBackwards(Family family, Bounds bounds = {}) {
    const auto snapshot = engine_->GetSnapshot();
    const auto iterator = snapshot->NewIterator(family, std::move(bounds));
    Keys keys;
    for (iterator->SeekBefore(""); iterator->Valid(); iterator->Prev()) {
      keys.emplace_back(iterator->key());
    }
    EXPECT_TRUE(iterator->status().ok());
    return keys;
  }

  EngineUnderTest engine_;
};

INSTANTIATE_TEST_SUITE_P(Engines, EngineContract,
                         ::testing::Values(EngineKind::kMemory, EngineKind::kRocks,
                                           EngineKind::kRocksWithTinyBuffers),
                         [](const auto& kind) { return ToString(kind.param); });

// With the bytes that tell versions apart.
std::string Version(const std::string& key, int version) {
  return key + std::to_string(10'000'000 + version);
}

std::string Numbered(int number) { return "key" + std::to_string(10000 + number); }

TEST_P(EngineContract, AVersionCursorStandsOnVersionsOfOneKey) {
  for (const char* key : {"a", "ab", "b"}) {
    for (const int version : {1, 3, 5}) Put(Family::kWrite, Version(key, version), key);
  }
  Put(Family::kWrite, "short", "of which nobody is a version");
  ASSERT_TRUE(engine_->Flush().ok());
  Put(Family::kWrite, Version("a", 4), "later");
  DeleteRange(Family::kWrite, Version("ab", 3), Version("ab", 4));
  const auto snapshot = engine_->GetSnapshot();
  const auto cursor = snapshot->NewVersionCursor();
  const auto walk = [&](const std::string& from) {
    Keys keys;
    for (cursor->Seek(from); cursor->Valid(); cursor->Next()) keys.emplace_back(cursor->key());
    EXPECT_TRUE(cursor->status().ok());
    return keys;
  };
  EXPECT_EQ(walk(Version("a", 2)), (Keys{Version("a", 3), Version("a", 4), Version("a", 5)}));
  EXPECT_EQ(walk(Version("a", 6)), Keys());
  EXPECT_EQ(walk(Version("ab", 0)), (Keys{Version("ab", 1), Version("ab", 5)}));
  EXPECT_EQ(walk(Version("aa", 0)), Keys());
  EXPECT_EQ(walk(Version("", 0)), Keys());
  EXPECT_EQ(walk(Version("b", 5)), Keys{Version("b", 5)});
}

TEST_P(EngineContract, NewOneIsEmptyAndDurable) {
  EXPECT_EQ(Dump(*engine_), Model());
  EXPECT_EQ(engine_->WrittenSequence(), engine_->DurableSequence());
  EXPECT_EQ(Get(Family::kDefault, "a"), std::nullopt);
}

TEST_P(EngineContract, PutIsReadBackAndDeleteIsNot) {
  Put(Family::kDefault, "a", "1");
  EXPECT_EQ(Get(Family::kDefault, "a"), "1");
  Put(Family::kDefault, "a", "2");
  EXPECT_EQ(Get(Family::kDefault, "a"), "2");
  WriteBatch batch;
  batch.Delete(Family::kDefault, "a");
  batch.Delete(Family::kDefault, "never there");
  engine_.Write(batch);
  EXPECT_EQ(Get(Family::kDefault, "a"), std::nullopt);
}

TEST_P(EngineContract, KeysAndValuesAreAnyBytes) {
  const std::string zeros(3, '\0');
  Put(Family::kWrite, "", "the empty key");
  Put(Family::kWrite, zeros, "");
  Put(Family::kWrite, "\xff\xff", std::string(70'000, 'x'));
  EXPECT_EQ(Get(Family::kWrite, ""), "the empty key");
  EXPECT_EQ(Get(Family::kWrite, zeros), "");
  EXPECT_EQ(KeysOf(Family::kWrite), (Keys{"", zeros, "\xff\xff"}));
  EXPECT_EQ(KeysBackwards(Family::kWrite), (Keys{"\xff\xff", zeros, ""}));
}

TEST_P(EngineContract, FamiliesAreApart) {
  for (const Family family : kAllFamilies) Put(family, "a", std::string(ToString(family)));
  DeleteRange(Family::kLock, "", "");
  EXPECT_EQ(Get(Family::kDefault, "a"), "default");
  EXPECT_EQ(Get(Family::kLock, "a"), std::nullopt);
  EXPECT_EQ(Get(Family::kWrite, "a"), "write");
  EXPECT_EQ(Get(Family::kMeta, "a"), "meta");
}

TEST_P(EngineContract, InABatchTheLaterChangeWins) {
  WriteBatch batch;
  batch.Put(Family::kDefault, "a", "1");
  batch.Put(Family::kDefault, "a", "2");
  batch.Put(Family::kDefault, "b", "1");
  batch.Delete(Family::kDefault, "b");
  batch.Put(Family::kDefault, "c", "1");
  batch.DeleteRange(Family::kDefault, "c", "e");
  batch.Put(Family::kDefault, "d", "after the range");
  engine_.Write(batch);
  EXPECT_EQ(KeysOf(Family::kDefault), (Keys{"a", "d"}));
  EXPECT_EQ(Get(Family::kDefault, "a"), "2");
}

TEST_P(EngineContract, DeleteRangeIncludesItsBeginAndNotItsEnd) {
  for (const char* key : {"a", "b", "bb", "c", "d"}) Put(Family::kDefault, key, "");
  DeleteRange(Family::kDefault, "b", "c");
  EXPECT_EQ(KeysOf(Family::kDefault), (Keys{"a", "c", "d"}));
  DeleteRange(Family::kDefault, "c", "");
  EXPECT_EQ(KeysOf(Family::kDefault), (Keys{"a"}));
}

TEST_P(EngineContract, ReversedOrEmptyRangeDeletesNothing) {
  for (const char* key : {"a", "b", "c"}) Put(Family::kDefault, key, "");
  DeleteRange(Family::kDefault, "c", "a");
  DeleteRange(Family::kDefault, "b", "b");
  EXPECT_EQ(KeysOf(Family::kDefault), (Keys{"a", "b", "c"}));
}

TEST_P(EngineContract, LargeRangesAreDeletedToo) {
  WriteBatch fill;
  for (int i = 0; i < 500; ++i) fill.Put(Family::kDefault, Numbered(i), "old");
  engine_.Write(fill);
  WriteBatch batch;
  batch.Put(Family::kDefault, Numbered(250), "put and deleted by the same batch");
  batch.DeleteRange(Family::kDefault, Numbered(1), Numbered(499));
  batch.Put(Family::kDefault, Numbered(300), "new");
  engine_.Write(batch);
  EXPECT_EQ(KeysOf(Family::kDefault), (Keys{Numbered(0), Numbered(300), Numbered(499)}));
  EXPECT_EQ(KeysBackwards(Family::kDefault), (Keys{Numbered(499), Numbered(300), Numbered(0)}));
}

TEST_P(EngineContract, DeleteToTheEndTakesWhatTheBatchPutThere) {
  WriteBatch fill;
  for (int i = 0; i < 200; ++i) fill.Put(Family::kDefault, Numbered(i), "");
  engine_.Write(fill);
  WriteBatch batch;
  batch.Put(Family::kDefault, "zzz", "above all there is");
  batch.DeleteRange(Family::kDefault, Numbered(5), "");
  engine_.Write(batch);
  EXPECT_EQ(KeysOf(Family::kDefault).size(), 5u);
}

TEST_P(EngineContract, DeletedRangeStaysDeletedAfterFlush) {
  WriteBatch fill;
  for (int i = 0; i < 200; ++i) fill.Put(Family::kDefault, Numbered(i), "");
  engine_.Write(fill);
  ASSERT_TRUE(engine_->Flush().ok());
  DeleteRange(Family::kDefault, Numbered(10), Numbered(190));
  ASSERT_TRUE(engine_->Flush().ok());
  EXPECT_EQ(engine_->DurableSequence(), engine_->WrittenSequence());
  engine_.Reopen();
  EXPECT_EQ(KeysOf(Family::kDefault).size(), 20u);
}

TEST_P(EngineContract, SnapshotSeesNothingOfWhatComesLater) {
  Put(Family::kDefault, "a", "1");
  Put(Family::kLock, "b", "1");
  const auto snapshot = engine_->GetSnapshot();
  const auto iterator = snapshot->NewIterator(Family::kDefault, {});
  iterator->Seek("");
  const Model before = Dump(*snapshot);

  Put(Family::kDefault, "a", "2");
  Put(Family::kDefault, "c", "2");
  DeleteRange(Family::kLock, "", "");
  ASSERT_TRUE(engine_->Flush().ok());

  EXPECT_EQ(Dump(*snapshot), before);
  EXPECT_EQ(snapshot->Get(Family::kDefault, "a").value(), "1");
  EXPECT_EQ(snapshot->Get(Family::kLock, "b").value(), "1");
  EXPECT_EQ(snapshot->Get(Family::kDefault, "c").value(), std::nullopt);
  EXPECT_EQ(iterator->value(), "1");
  iterator->Next();
  EXPECT_FALSE(iterator->Valid());
  EXPECT_TRUE(iterator->status().ok());
  EXPECT_EQ(Get(Family::kDefault, "a"), "2");
}

TEST_P(EngineContract, IteratorKeepsToItsBounds) {
  for (const char* key : {"a", "b", "c", "d", "e"}) Put(Family::kMeta, key, "");
  const Bounds bounds = {.lower = "b", .upper = "d"};
  EXPECT_EQ(KeysOf(Family::kMeta, bounds), (Keys{"b", "c"}));
  EXPECT_EQ(KeysBackwards(Family::kMeta, bounds), (Keys{"c", "b"}));
  EXPECT_EQ(KeysOf(Family::kMeta, {.lower = "d", .upper = "b"}), Keys());
  EXPECT_EQ(KeysBackwards(Family::kMeta, {.lower = "c", .upper = "c"}), Keys());

  const auto snapshot = engine_->GetSnapshot();
  const auto iterator = snapshot->NewIterator(Family::kMeta, bounds);
  iterator->Seek("e");
  EXPECT_FALSE(iterator->Valid());
  iterator->Seek("a");
  ASSERT_TRUE(iterator->Valid());
  EXPECT_EQ(iterator->key(), "b");
  iterator->SeekBefore("e");
  ASSERT_TRUE(iterator->Valid());
  EXPECT_EQ(iterator->key(), "c");
  iterator->SeekBefore("b");
  EXPECT_FALSE(iterator->Valid());
  iterator->SeekBefore("a");
  EXPECT_FALSE(iterator->Valid());
}

TEST_P(EngineContract, SeekBeforeIsStrict) {
  for (const char* key : {"a", "c"}) Put(Family::kDefault, key, "");
  const auto snapshot = engine_->GetSnapshot();
  const auto iterator = snapshot->NewIterator(Family::kDefault, {});
  iterator->SeekBefore("c");
  ASSERT_TRUE(iterator->Valid());
  EXPECT_EQ(iterator->key(), "a");
  iterator->SeekBefore("b");
  ASSERT_TRUE(iterator->Valid());
  EXPECT_EQ(iterator->key(), "a");
  iterator->Next();
  ASSERT_TRUE(iterator->Valid());
  EXPECT_EQ(iterator->key(), "c");
  iterator->SeekBefore("a");
  EXPECT_FALSE(iterator->Valid());
}

TEST_P(EngineContract, WhatIsFlushedSurvivesAndTheRestGoesInAllFamiliesTogether) {
  for (const Family family : kAllFamilies) Put(family, "a", "1");
  ASSERT_TRUE(engine_->Flush().ok());
  EXPECT_EQ(engine_->DurableSequence(), engine_->WrittenSequence());
  const Model flushed = Dump(*engine_);
  WriteBatch batch;
  for (const Family family : kAllFamilies) batch.Put(family, "a", "2");
  engine_.Write(batch);
  EXPECT_LT(engine_->DurableSequence(), engine_->WrittenSequence());
  engine_.Reopen();
  EXPECT_EQ(Dump(*engine_), flushed);
  EXPECT_EQ(engine_->DurableSequence(), engine_->WrittenSequence());
}

TEST_P(EngineContract, FlushOfNothingIsFine) {
  ASSERT_TRUE(engine_->Flush().ok());
  Put(Family::kDefault, "a", "1");
  ASSERT_TRUE(engine_->Flush().ok());
  ASSERT_TRUE(engine_->Flush().ok());
  EXPECT_EQ(engine_->DurableSequence(), engine_->WrittenSequence());
}

TEST_P(EngineContract, FlushCoversAFamilyThatOnlyForgot) {
  Put(Family::kLock, "a", "1");
  ASSERT_TRUE(engine_->Flush().ok());
  WriteBatch batch;
  batch.Delete(Family::kLock, "a");
  batch.Put(Family::kWrite, "a", "1");
  engine_.Write(batch);
  ASSERT_TRUE(engine_->Flush().ok());
  EXPECT_EQ(engine_->DurableSequence(), engine_->WrittenSequence());
  engine_.Reopen();
  EXPECT_EQ(KeysOf(Family::kLock), Keys());
  EXPECT_EQ(KeysOf(Family::kWrite), (Keys{"a"}));
}

TEST_P(EngineContract, SequenceGrowsWithEveryWriteAndNotWithoutOne) {
  std::uint64_t last = engine_->WrittenSequence();
  for (int i = 0; i < 10; ++i) {
    Put(Family::kDefault, "a", "same");
    EXPECT_GT(engine_->WrittenSequence(), last);
    last = engine_->WrittenSequence();
  }
  ASSERT_TRUE(engine_->Write(WriteBatch()).ok());
  EXPECT_EQ(engine_->WrittenSequence(), last);
  EXPECT_LE(engine_->DurableSequence(), last);
}

TEST_P(EngineContract, BytesBetweenKeysAreRoughlyThoseWritten) {
  for (int i = 0; i < 1000; ++i) Put(Family::kDefault, Numbered(i), std::string(1000, 'x'));
  ASSERT_TRUE(engine_->Flush().ok());
  engine_.Reopen();
  const std::uint64_t all = engine_->ApproximateBytes(Family::kDefault, {});
  const std::uint64_t half =
      engine_->ApproximateBytes(Family::kDefault, {.lower = "", .upper = Numbered(500)});
  // RocksDB compresses these values well.
  EXPECT_GT(all, 10'000u);
  EXPECT_LT(all, 2'000'000u);
  EXPECT_GT(half, all / 4);
  EXPECT_LT(half, all);
  EXPECT_EQ(engine_->ApproximateBytes(Family::kDefault, {.lower = "b", .upper = "a"}), 0u);
  EXPECT_EQ(engine_->ApproximateBytes(Family::kLock, {}), 0u);
}

TEST_P(EngineContract, StatisticsNameTheSequencesAndSnapshots) {
  Put(Family::kDefault, "a", "1");
  const auto snapshot = engine_->GetSnapshot();
  const auto numbers = engine_->Statistics();
  EXPECT_THAT(numbers,
              ::testing::Contains(::testing::Pair("written_sequence", engine_->WrittenSequence())));
  EXPECT_THAT(numbers,
              ::testing::Contains(::testing::Pair("durable_sequence", engine_->DurableSequence())));
  EXPECT_THAT(numbers, ::testing::Contains(::testing::Pair("open_snapshots", 1)));
}

// Drops what has the value "old" in one family, and notes what it is asked.
class FilterOfOld final : public RecordFilter {
 public:
  explicit FilterOfOld(Family family) : family_(family) {}

  std::unique_ptr<Walk> Begin(Family family, std::uint64_t seen) override {
    if (family != family_) return nullptr;
    MutexLock lock(mutex_);
    seen_ = seen;
    return std::make_unique<WalkOfOld>();
  }
  // When a walk began last.
  std::optional<std::uint64_t> seen() const {
    MutexLock lock(mutex_);
    return seen_;
  }

 private:
  class WalkOfOld final : public Walk {
   public:
    bool Drops(std::string_view key, std::string_view value) override {
      EXPECT_LT(last_, key);
      last_ = key;
      return value == "old";
    }

   private:
    std::string last_ = "";
  };

  const Family family_;
  mutable Mutex mutex_;
  std::optional<std::uint64_t> seen_ GUARDED_BY(mutex_);
};

TEST_P(EngineContract, AFilterDropsWhatItSays) {
  for (const Family family : {Family::kDefault, Family::kWrite}) {
    Put(family, "a", "old");
    Put(family, "b", "new");
    Put(family, "c", "old");
  }
  ASSERT_TRUE(engine_->Flush().ok());
  ASSERT_TRUE(engine_->Compact(Family::kWrite, {}).ok());
  EXPECT_EQ(KeysOf(Family::kWrite), (Keys{"a", "b", "c"}));
  engine_->SetFilter(std::make_shared<FilterOfOld>(Family::kWrite));
  for (const Family family : kAllFamilies) ASSERT_TRUE(engine_->Compact(family, {}).ok());
  EXPECT_EQ(KeysOf(Family::kWrite), (Keys{"b"}));
  EXPECT_EQ(KeysOf(Family::kDefault), (Keys{"a", "b", "c"}));
  engine_.Reopen();
  EXPECT_EQ(KeysOf(Family::kWrite), (Keys{"b"}));
}

TEST_P(EngineContract, AFilterLeavesWhatWasWrittenSince) {
  Put(Family::kWrite, "a", "new");
  Put(Family::kWrite, "b", "old");
  ASSERT_TRUE(engine_->Flush().ok());
  Put(Family::kWrite, "a", "old");
  Put(Family::kWrite, "b", "new");
  ASSERT_TRUE(engine_->Flush().ok());
  Put(Family::kWrite, "a", "new");
  engine_->SetFilter(std::make_shared<FilterOfOld>(Family::kWrite));
  ASSERT_TRUE(engine_->Compact(Family::kWrite, {}).ok());
  EXPECT_EQ(Get(Family::kWrite, "a"), "new");
  EXPECT_EQ(Get(Family::kWrite, "b"), "new");
  engine_->SetFilter(nullptr);
  Put(Family::kWrite, "a", "old");
  ASSERT_TRUE(engine_->Flush().ok());
  ASSERT_TRUE(engine_->Compact(Family::kWrite, {}).ok());
  EXPECT_EQ(Get(Family::kWrite, "a"), "old");
}

// What a snapshot does not show yet may be needed by whoever reads from it.
TEST_P(EngineContract, AFilterKnowsWhatAllSnapshotsSee) {
  const auto filter = std::make_shared<FilterOfOld>(Family::kWrite);
  engine_->SetFilter(filter);
  Put(Family::kWrite, "a", "1");
  const std::uint64_t first = engine_->WrittenSequence();
  ASSERT_TRUE(engine_->Flush().ok());
  auto snapshot = engine_->GetSnapshot();
  Put(Family::kWrite, "b", "2");
  const std::uint64_t second = engine_->WrittenSequence();
  ASSERT_TRUE(engine_->Flush().ok());
  ASSERT_TRUE(engine_->Compact(Family::kWrite, {}).ok());
  ASSERT_TRUE(filter->seen().has_value());
  EXPECT_GE(*filter->seen(), first);
  EXPECT_LT(*filter->seen(), second);
  snapshot.reset();
  ASSERT_TRUE(engine_->Compact(Family::kWrite, {}).ok());
  EXPECT_GE(*filter->seen(), second);
  Put(Family::kWrite, "c", "3");
  ASSERT_TRUE(engine_->Compact(Family::kWrite, {}).ok());
  EXPECT_LE(*filter->seen(), engine_->DurableSequence());
}

}  // namespace
}  // namespace rutile::engine
