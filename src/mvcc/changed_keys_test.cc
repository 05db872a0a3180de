#include "mvcc/changed_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "codec/keys.h"
#include "engine/testing/engines.h"
#include "mvcc/keys.h"
#include "mvcc/records.h"

namespace rutile::mvcc {
namespace {

using engine::Family;
using engine::testing::EngineKind;
using engine::testing::EngineUnderTest;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ChangedKeys : public ::testing::Test {
 protected:
  void Put(const std::string& key, std::uint64_t commit, Write::Kind kind = Write::Kind::kPut) {
    engine::WriteBatch batch;
    batch.Put(Family::kWrite, VersionKey(key, Timestamp(commit)),
              EncodeWrite({.kind = kind, .start = Timestamp(commit - 1), .short_value = "v"}));
    engine_.Write(batch);
  }
  // From 20 on, before 100.
  Result<ChangesFound> Find(ChangeScan scan) {
    scan.after = Timestamp(20);
    scan.until = Timestamp(100);
    if (scan.max_keys == 0) scan.max_keys = 100;
    if (scan.max_records == 0) scan.max_records = 100;
    return FindChanges(*engine_->GetSnapshot(), scan,
                       {.lower = codec::DataKey(""), .upper = codec::DataEndKey("")});
  }

  EngineUnderTest engine_{EngineKind::kMemory};
};

TEST_F(ChangedKeys, AreThoseWhoseNewestChangeIsLater) {
  Put("old", 20);
  Put("new", 21);
  Put("both", 10);
  Put("both", 30);
  Put("gone", 10);
  Put("gone", 40, Write::Kind::kDelete);
  Put("done", 30);
  Put("done", 100);
  // What is no version does not count, wherever it stands.
  Put("locked", 10);
  Put("locked", 200, Write::Kind::kLock);
  Put("rolled back", 10);
  Put("rolled back", 30, Write::Kind::kRollback);
  Put("under a rollback", 30);
  Put("under a rollback", 200, Write::Kind::kRollback);
  EXPECT_THAT(Find({}).value().keys, ElementsAre("both", "gone", "new", "under a rollback"));
  EXPECT_THAT(Find({.lower = "c", .upper = "new"}).value().keys, ElementsAre("gone"));
  EXPECT_THAT(Find({.lower = "x", .upper = "c"}).value().keys, IsEmpty());
}

TEST_F(ChangedKeys, AreFoundInSteps) {
  for (const char* key : {"a", "b", "c"}) Put(key, 30);
  Put("b", 40);
  Put("b", 50);
  ChangesFound found = Find({.max_keys = 2}).value();
  EXPECT_THAT(found.keys, ElementsAre("a", "b"));
  EXPECT_EQ(found.next, "c");
  found = Find({.lower = found.next, .max_keys = 2}).value();
  EXPECT_THAT(found.keys, ElementsAre("c"));
  EXPECT_EQ(found.next, "");
  found = Find({.max_records = 1}).value();
  EXPECT_THAT(found.keys, ElementsAre("a"));
  EXPECT_EQ(found.next, "b");
}

TEST_F(ChangedKeys, OneOfTheFutureIsAnError) {
  Put("a", 101);
  EXPECT_EQ(Find({}).status().code(), Code::kFailedPrecondition);
}

}  // namespace
}  // namespace rutile::mvcc
