#include "txn/memory_locks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mvcc/keys.h"
#include "mvcc/records.h"

namespace rutile::txn {
namespace {

using engine::Family;
using engine::WriteBatch;
using mvcc::Lock;
using mvcc::Timestamp;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr RegionId kRegion{2};
constexpr Term kTerm{5};

Lock Pessimistic(std::uint64_t start) {
  return {.kind = Lock::Kind::kPessimistic,
          .primary = "a",
          .start = Timestamp(start),
          .ttl_ms = 100,
          .for_update = Timestamp(start)};
}

WriteBatch& Locked(WriteBatch& batch, const std::string& key, const Lock& lock) {
  batch.Put(Family::kLock, mvcc::LockKey(key), mvcc::EncodeLock(lock));
  return batch;
}
WriteBatch Locks(const std::vector<std::string>& keys, std::uint64_t start = 10) {
  WriteBatch batch;
  for (const std::string& key : keys) Locked(batch, key, Pessimistic(start));
  return batch;
}
WriteBatch GivesUp(const std::vector<std::string>& keys) {
  WriteBatch batch;
  for (const std::string& key : keys) batch.Delete(Family::kLock, mvcc::LockKey(key));
  return batch;
}

std::vector<std::string> KeysOf(const mvcc::LockMap& locks) {
  std::vector<std::string> keys;
  for (const auto& [key, lock] : locks) keys.push_back(key);
  return keys;
}

TEST(MemoryLocks, WhatIsLockedIsFoundInItsTermAndRegion) {
  MemoryLocks locks({});
  EXPECT_TRUE(locks.Apply(kRegion, kTerm, Locks({"a", "c"})));
  EXPECT_EQ(2u, locks.size());
  const mvcc::LockMap found = locks.Find(kRegion, kTerm, {"a", "b", "c"});
  EXPECT_THAT(KeysOf(found), ElementsAre("a", "c"));
  EXPECT_EQ(Pessimistic(10), found.at("a"));
  EXPECT_THAT(locks.Find(RegionId(3), kTerm, {"a"}), IsEmpty());
  EXPECT_THAT(locks.Find(kRegion, Term(4), {"a"}), IsEmpty());
  EXPECT_THAT(locks.Find(kRegion, Term(6), {"a"}), IsEmpty());
}

TEST(MemoryLocks, WhatIsGivenUpIsGoneAndItsMemoryWithIt) {
  MemoryLocks locks({});
  EXPECT_TRUE(locks.Apply(kRegion, kTerm, Locks({"a", "b", "c"})));
  EXPECT_TRUE(locks.Apply(kRegion, kTerm, GivesUp({"b"})));
  locks.Forget(kRegion, kTerm, {"a", "x"});
  EXPECT_THAT(KeysOf(locks.Scan(kRegion, kTerm, {})), ElementsAre("c"));
  locks.DropSome(kRegion, [](const std::string& key) { return key == "c"; });
  EXPECT_EQ(0u, locks.size());
  EXPECT_EQ(0u, locks.bytes());
}

TEST(MemoryLocks, OneThatIsTakenAgainReplacesTheOld) {
  MemoryLocks locks({});
  EXPECT_TRUE(locks.Apply(kRegion, kTerm, Locks({"a"}, 10)));
  const std::size_t bytes = locks.bytes();
  EXPECT_TRUE(locks.Apply(kRegion, kTerm, Locks({"a"}, 20)));
  EXPECT_EQ(Timestamp(20), locks.Find(kRegion, kTerm, {"a"}).at("a").start);
  EXPECT_EQ(1u, locks.size());
  EXPECT_EQ(bytes, locks.bytes());
}

TEST(MemoryLocks, NothingIsDoneOfChangesThatDoMore) {
  MemoryLocks locks({});
  EXPECT_TRUE(locks.Apply(kRegion, kTerm, Locks({"a"})));
  WriteBatch with_record = Locks({"b"});
  with_record.Put(Family::kWrite, "key", "record");
  EXPECT_FALSE(locks.Apply(kRegion, kTerm, with_record));
  Lock prewritten = Pessimistic(10);
  prewritten.kind = Lock::Kind::kPut;
  WriteBatch with_prewrite = Locks({"b"});
  EXPECT_FALSE(locks.Apply(kRegion, kTerm, Locked(with_prewrite, "c", prewritten)));
  // The second key's lock is in the engine, if it has one.
  EXPECT_FALSE(locks.Apply(kRegion, kTerm, GivesUp({"a", "b"})));
  EXPECT_THAT(KeysOf(locks.Scan(kRegion, kTerm, {})), ElementsAre("a"));
}

TEST(MemoryLocks, ALaterTermHasNoneOfThoseOfEarlierOnes) {
  MemoryLocks locks({});
  EXPECT_TRUE(locks.Apply(kRegion, kTerm, Locks({"a"})));
  EXPECT_TRUE(locks.Apply(kRegion, Term(6), Locks({"b"})));
  EXPECT_THAT(KeysOf(locks.Scan(kRegion, Term(6), {})), ElementsAre("b"));
  EXPECT_EQ(1u, locks.size());
  EXPECT_FALSE(locks.Apply(kRegion, kTerm, Locks({"c"}))) << "its command comes too late";
  locks.DropBefore(kRegion, Term(7));
  EXPECT_EQ(0u, locks.size());
  EXPECT_FALSE(locks.Apply(kRegion, Term(6), Locks({"c"})));
}

TEST(MemoryLocks, AClosedRegionTakesNoneUntilItIsReopenedAndGivesThemUp) {
  MemoryLocks locks({});
  EXPECT_TRUE(locks.Apply(kRegion, kTerm, Locks({"a", "b"})));
  EXPECT_THAT(locks.Close(kRegion, kTerm), ElementsAre("a", "b"));
  EXPECT_FALSE(locks.Apply(kRegion, kTerm, Locks({"c"})));
  EXPECT_TRUE(locks.Apply(kRegion, kTerm, GivesUp({"a"})));
  locks.Reopen(kRegion, Term(4));
  EXPECT_FALSE(locks.Apply(kRegion, kTerm, Locks({"c"})));
  locks.Reopen(kRegion, kTerm);
  EXPECT_TRUE(locks.Apply(kRegion, kTerm, Locks({"c"})));
  EXPECT_THAT(locks.Close(kRegion, kTerm), ElementsAre("b", "c"));
  EXPECT_TRUE(locks.Apply(kRegion, Term(6), Locks({"d"}))) << "the next term begins open";
}

TEST(MemoryLocks, ThereIsRoomForSoManyInARegionAndInAll) {
  MemoryLocks probe({});
  EXPECT_TRUE(probe.Apply(kRegion, kTerm, Locks({"a"})));
  const std::size_t one = probe.bytes();
  MemoryLocks locks({.max_region_bytes = 2 * one, .max_bytes = 3 * one});
  EXPECT_FALSE(locks.Apply(kRegion, kTerm, Locks({"a", "b", "c"})));
  EXPECT_TRUE(locks.Apply(kRegion, kTerm, Locks({"a", "b"})));
  EXPECT_FALSE(locks.Apply(kRegion, kTerm, Locks({"c"})));
  EXPECT_TRUE(locks.Apply(RegionId(3), kTerm, Locks({"d"})));
  EXPECT_FALSE(locks.Apply(RegionId(3), kTerm, Locks({"e"})));
  EXPECT_TRUE(locks.Apply(kRegion, kTerm, GivesUp({"a"})));
  EXPECT_TRUE(locks.Apply(RegionId(3), kTerm, Locks({"e"})));
  MemoryLocks none({.max_region_bytes = 0});
  EXPECT_FALSE(none.Apply(kRegion, kTerm, Locks({"a"})));
}

TEST(MemoryLocks, AScanHasThoseThatItLooksFor) {
  MemoryLocks locks({});
  EXPECT_TRUE(locks.Apply(kRegion, kTerm, Locks({"a", "b", "c"}, 10)));
  EXPECT_TRUE(locks.Apply(kRegion, kTerm, Locks({"d"}, 20)));
  const auto scan = [&](mvcc::LockScan what) { return KeysOf(locks.Scan(kRegion, kTerm, what)); };
  EXPECT_THAT(scan({.lower = "b", .upper = "d"}), ElementsAre("b", "c"));
  EXPECT_THAT(scan({.latest = Timestamp(19), .limit = 2}), ElementsAre("a", "b"));
  EXPECT_THAT(scan({.starts = {Timestamp(20)}}), ElementsAre("d"));
}

TEST(MemoryLocks, WhatChangesEndInTheEngineIsKnown) {
  MemoryLocks locks({});
  EXPECT_TRUE(locks.Apply(kRegion, kTerm, Locks({"a", "b", "c"})));
  WriteBatch changes = GivesUp({"b", "x"});
  Locked(changes, "c", Pessimistic(10));
  changes.Put(Family::kWrite, mvcc::LockKey("a"), "record");
  EXPECT_THAT(locks.Concerned(kRegion, kTerm, changes), ElementsAre("b", "c"));
  EXPECT_THAT(locks.Concerned(kRegion, Term(6), changes), IsEmpty());
}

}  // namespace
}  // namespace rutile::txn
