#include "mvcc/records.h"

#include <gtest/gtest.h>

#include "mvcc/keys.h"

namespace rutile::mvcc {
namespace {

using namespace std::string_literals;

Lock FullLock() {
  return {.kind = Lock::Kind::kPut,
          .primary = "pk",
          .start = Timestamp(300),
          .ttl_ms = 3000,
          .transaction_keys = 2,
          .min_commit = Timestamp(301),
          .short_value = "v"};
}

Lock AsyncLock() {
  Lock lock = FullLock();
  lock.is_async_commit = true;
  lock.secondaries = {"s1", ""};
  return lock;
}

Write FullWrite() {
  return {.kind = Write::Kind::kPut,
          .start = Timestamp(300),
          .has_overlapped_rollback = true,
          .short_value = ""};
}

TEST(MvccKeys, GoldenBytes) {
  EXPECT_EQ(LockKey("key"), "zkey\0\0\0\0\0\xfa"s);
  EXPECT_EQ(VersionKey("key", Timestamp(1)), "zkey\0\0\0\0\0\xfa\xff\xff\xff\xff\xff\xff\xff\xfe"s);
}

TEST(MvccKeys, NewerVersionsComeFirstAndKeysStayTogether) {
  EXPECT_LT(VersionKey("k", Timestamp(2)), VersionKey("k", Timestamp(1)));
  EXPECT_LT(VersionKey("k", Timestamp()), EndOfVersions(LockKey("k")));
  EXPECT_LE(EndOfVersions(LockKey("k")), LockKey("k\0"s));
  EXPECT_LT(LockKey("k"), VersionKey("k", kMaxTimestamp));
}

TEST(MvccKeys, AreTakenApart) {
  const std::string key = VersionKey("some longer key", Timestamp(7));
  const std::optional<VersionKeyParts> parts = SplitVersionKey(key);
  ASSERT_TRUE(parts);
  EXPECT_EQ(parts->timestamp, Timestamp(7));
  EXPECT_EQ(UserKeyOf(parts->lock_key).value(), "some longer key");
  EXPECT_EQ(SplitVersionKey("z1234567"), std::nullopt);
  EXPECT_EQ(UserKeyOf("zraw").status().code(), Code::kCorruption);
  EXPECT_EQ(UserKeyOf(key).status().code(), Code::kCorruption);
}

TEST(MvccRecords, GoldenBytes) {
  EXPECT_EQ(EncodeLock(FullLock()), "P\x02pk\xac\x02\xb8\x17\x02\xad\x02v\x01v"s);
  EXPECT_EQ(EncodeLock(AsyncLock()),
            "P\x02pk\xac\x02\xb8\x17\x02\xad\x02"
            "a\x02\x02s1\x00v\x01v"s);
  EXPECT_EQ(EncodeLock({.kind = Lock::Kind::kPessimistic,
                        .primary = "pk",
                        .start = Timestamp(300),
                        .for_update = Timestamp(301)}),
            "S\x02pk\xac\x02\x00\x00\x00\x66\xad\x02"s);
  EXPECT_EQ(EncodeLock({.kind = Lock::Kind::kDelete,
                        .primary = "pk",
                        .start = Timestamp(300),
                        .generation = 130}),
            "D\x02pk\xac\x02\x00\x00\x00g\x82\x01"s);
  EXPECT_EQ(EncodeWrite(FullWrite()), "P\xac\x02rv\x00"s);
  EXPECT_EQ(EncodeWrite({.kind = Write::Kind::kRollback, .start = Timestamp(5)}), "R\x05"s);
}

TEST(MvccRecords, ComeBack) {
  for (const Lock::Kind kind :
       {Lock::Kind::kPut, Lock::Kind::kDelete, Lock::Kind::kLock, Lock::Kind::kPessimistic}) {
    Lock lock = FullLock();
    lock.kind = kind;
    EXPECT_EQ(DecodeLock(EncodeLock(lock)).value(), lock);
    lock.for_update = Timestamp(302);
    EXPECT_EQ(DecodeLock(EncodeLock(lock)).value(), lock);
    lock.generation = 1;
    EXPECT_EQ(DecodeLock(EncodeLock(lock)).value(), lock);
    lock.short_value.reset();
    EXPECT_EQ(DecodeLock(EncodeLock(lock)).value(), lock);
    lock = AsyncLock();
    lock.kind = kind;
    EXPECT_EQ(DecodeLock(EncodeLock(lock)).value(), lock);
    lock.secondaries.clear();
    EXPECT_EQ(DecodeLock(EncodeLock(lock)).value(), lock);
  }
  for (const Write::Kind kind :
       {Write::Kind::kPut, Write::Kind::kDelete, Write::Kind::kLock, Write::Kind::kRollback}) {
    Write write = FullWrite();
    write.kind = kind;
    EXPECT_EQ(DecodeWrite(EncodeWrite(write)).value(), write);
    write.has_overlapped_rollback = false;
    write.short_value.reset();
    EXPECT_EQ(DecodeWrite(EncodeWrite(write)).value(), write);
  }
}

TEST(MvccRecords, CutOffOnesAreNotTaken) {
  const std::string lock = EncodeLock(FullLock());
  // The last field is optional as a whole: without it there is another, shorter lock.
  const std::size_t without_value = lock.size() - 3;
  for (std::size_t size = 0; size < lock.size(); ++size) {
    EXPECT_EQ(DecodeLock(lock.substr(0, size)).ok(), size == without_value) << size;
  }
  const std::string async = EncodeLock(AsyncLock());
  for (std::size_t size = without_value + 1; size < async.size(); ++size) {
    EXPECT_EQ(DecodeLock(async.substr(0, size)).ok(), size == async.size() - 3) << size;
  }
  // A count of keys that no record can hold.
  EXPECT_EQ(DecodeLock("P\x02pk\x01\x01\x01\x01"
                       "a\xff\xff\xff\xff\xff\xff\xff\xff\x01"s)
                .status()
                .code(),
            Code::kCorruption);
  EXPECT_EQ(DecodeWrite("").status().code(), Code::kCorruption);
  EXPECT_EQ(DecodeWrite("P").status().code(), Code::kCorruption);
  EXPECT_EQ(DecodeWrite("P\x05v\x02x").status().code(), Code::kCorruption);
}

TEST(MvccRecords, UnknownKindIsDamageAndUnknownFieldIsANewerBuilds) {
  std::string lock = EncodeLock(FullLock());
  lock[0] = 'x';
  EXPECT_EQ(DecodeLock(lock).status().code(), Code::kCorruption);
  EXPECT_EQ(DecodeWrite("x\x05").status().code(), Code::kCorruption);
  EXPECT_EQ(DecodeLock(EncodeLock(FullLock()) + "?").status().code(), Code::kFailedPrecondition);
  EXPECT_EQ(DecodeWrite("P\x05?").status().code(), Code::kFailedPrecondition);
}

}  // namespace
}  // namespace rutile::mvcc
