// What is garbage: cases by hand, and random records, of which no reader may miss any.

#include "mvcc/garbage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/random.h"
#include "engine/testing/engines.h"
#include "mvcc/garbage_sieve.h"
#include "mvcc/keys.h"
#include "mvcc/reader.h"
#include "mvcc/records.h"

namespace rutile::mvcc {
namespace {

using engine::Family;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = Write::Kind;

constexpr std::size_t kAll = 1000;

class Garbage : public ::testing::Test {
 protected:
  void Put(const std::string& key, std::uint64_t commit, Write write) {
    if (write.kind == Kind::kPut && !write.short_value) {
      Apply([&](engine::WriteBatch* batch) {
        batch->Put(Family::kDefault, VersionKey(key, write.start), "long " + ToString(write.start));
      });
    }
    Apply([&](engine::WriteBatch* batch) {
      batch->Put(Family::kWrite, VersionKey(key, Timestamp(commit)), EncodeWrite(write));
    });
  }
  // Of a transaction that began right before it.
  void Put(const std::string& key, std::uint64_t commit, Kind kind,
           std::optional<std::string> value = {}) {
    const std::uint64_t start = kind == Kind::kRollback ? commit : commit - 1;
    Put(key, commit, {.kind = kind, .start = Timestamp(start), .short_value = std::move(value)});
  }
  void Lock(const std::string& key, std::uint64_t start) {
    Apply([&](engine::WriteBatch* batch) {
      batch->Put(Family::kLock, LockKey(key),
                 EncodeLock({.primary = key, .start = Timestamp(start)}));
    });
  }
  template <class F>
  void Apply(F fill) {
    engine::WriteBatch batch;
    fill(&batch);
    engine_.Write(batch);
  }

  GarbageFound Find(std::uint64_t safe_point, std::size_t max_records = kAll,
                    const std::string& lower = {}) {
    return FindGarbage(
               *engine_->GetSnapshot(),
               {.lower = lower, .safe_point = Timestamp(safe_point), .max_records = max_records},
               {})
        .value();
  }
  // As "key: commit commit".
  std::vector<std::string> Show(std::uint64_t safe_point) {
    std::vector<std::string> shown;
    for (const KeyGarbage& key : Find(safe_point).keys) {
      std::string line = key.key + ":";
      for (const GarbageRecord& record : key.records) {
        line += " " + ToString(record.commit) + (record.has_long_value ? "+" : "");
      }
      shown.push_back(std::move(line));
    }
    return shown;
  }
  void Remove(std::uint64_t safe_point) {
    for (const KeyGarbage& key : Find(safe_point).keys) {
      Apply([&](engine::WriteBatch* batch) { RemoveGarbage(key, batch); });
    }
  }
  std::size_t CountOf(Family family) {
    std::size_t count = 0;
    const auto snapshot = engine_->GetSnapshot();
    const auto iterator = snapshot->NewIterator(family, {});
    for (iterator->Seek(""); iterator->Valid(); iterator->Next()) ++count;
    return count;
  }

  engine::testing::EngineUnderTest engine_{engine::testing::EngineKind::kMemory};
};

TEST_F(Garbage, IsWhatANewerVersionHides) {
  Put("a", 10, Kind::kPut, "1");
  Put("a", 20, Kind::kPut);
  Put("a", 30, Kind::kPut, "3");
  Put("a", 40, Kind::kPut, "4");
  EXPECT_THAT(Show(9), IsEmpty());
  EXPECT_THAT(Show(10), IsEmpty());
  EXPECT_THAT(Show(29), ElementsAre("a: 10"));
  EXPECT_THAT(Show(30), ElementsAre("a: 20+ 10"));
  EXPECT_THAT(Show(99), ElementsAre("a: 30 20+ 10"));
}

TEST_F(Garbage, IsADeletionWithAllThatItHides) {
  Put("a", 10, Kind::kPut, "1");
  Put("a", 20, Kind::kDelete);
  Put("b", 10, Kind::kDelete);
  Put("b", 30, Kind::kPut, "2");
  EXPECT_THAT(Show(20), ElementsAre("a: 10", "b: 10")) << "at the safe point itself it stays";
  EXPECT_THAT(Show(21), ElementsAre("a: 20 10", "b: 10"));
}

TEST_F(Garbage, IsWhatIsNoVersion) {
  Put("a", 10, Kind::kPut, "1");
  Put("a", 20, Kind::kLock);
  Put("a", 30, Kind::kRollback);
  Put("a", 40, Kind::kRollback);
  EXPECT_THAT(Show(40), ElementsAre("a: 30 20"));
  EXPECT_THAT(Show(41), ElementsAre("a: 40 30 20"));
}

TEST_F(Garbage, IsNotWhatTellsOfARollbackAtTheSafePoint) {
  Put("a", 10, Kind::kPut, "1");
  Put("a", 20, {.kind = Kind::kDelete, .start = Timestamp(15), .has_overlapped_rollback = true});
  EXPECT_THAT(Show(20), ElementsAre("a: 10"));
}

TEST_F(Garbage, IsNotLookedForWhereAnOldTransactionIsNotOver) {
  for (const char* key : {"a", "b"}) {
    Put(key, 10, Kind::kPut, "1");
    Put(key, 20, Kind::kPut, "2");
  }
  Lock("a", 25);
  EXPECT_THAT(Show(25), ElementsAre("a: 10", "b: 10"));
  EXPECT_THAT(Show(26), ElementsAre("b: 10"));
}

TEST_F(Garbage, IsLookedForInSteps) {
  for (const char* key : {"a", "b", "c"}) {
    Put(key, 10, Kind::kPut, "1");
    Put(key, 20, Kind::kPut, "2");
  }
  const GarbageFound first = Find(30, 3);
  EXPECT_EQ(2u, first.keys.size()) << "a key is not left in its middle";
  EXPECT_EQ(4u, first.looked_at);
  EXPECT_EQ("c", first.next);
  const GarbageFound last = Find(30, 3, first.next);
  EXPECT_EQ(1u, last.keys.size());
  EXPECT_EQ("", last.next);
}

TEST_F(Garbage, HasValuesThatGoWithIt) {
  Put("a", 10, Kind::kPut);
  Put("a", 20, Kind::kPut);
  Remove(20);
  EXPECT_EQ(1u, CountOf(Family::kWrite));
  EXPECT_EQ(1u, CountOf(Family::kDefault));
  EXPECT_THAT(Show(99), IsEmpty());
}

// What every reader sees, and what is known of every transaction that may still come.
class RandomGarbage : public Garbage, public ::testing::WithParamInterface<std::uint64_t> {
 protected:
  using Seen = std::map<std::string, std::string>;

  Seen Look(std::uint64_t from, std::uint64_t to) {
    Seen seen;
    const auto snapshot = engine_->GetSnapshot();
    Reader reader(*snapshot);
    for (std::uint64_t at = from; at <= to; ++at) {
      for (const std::string& key : kKeys) {
        const auto answer = reader.Get(key, {.at = Timestamp(at)}).value();
        const auto& found = std::get<std::optional<Found>>(answer);
        const auto fate = reader.FateOf(key, Timestamp(at)).value();
        seen[key + "@" + std::to_string(at)] =
            (found ? found->value + " of " + ToString(found->commit) : "absent") + ", " +
            std::to_string(fate.index());
      }
    }
    return seen;
  }

  void PutAny(Random& random) {
    for (const std::string& key : kKeys) {
      std::uint64_t start = 1;
      for (std::uint64_t at = 2; at < kEnd; at += 1 + random.Below(4)) {
        const Kind kind = std::vector{Kind::kPut, Kind::kPut, Kind::kDelete, Kind::kLock,
                                      Kind::kRollback}[random.Below(5)];
        Write write{.kind = kind, .start = Timestamp(kind == Kind::kRollback ? at : start)};
        if (kind == Kind::kPut && random.OneIn(2))
          write.short_value = "short " + std::to_string(at);
        if (kind != Kind::kRollback) write.has_overlapped_rollback = random.OneIn(4);
        Put(key, at, write);
        start = at;
      }
    }
  }
  // As a compaction does that does not come by all records.
  void LeaveOutSome(Random& random, Timestamp safe_point) {
    engine::WriteBatch batch;
    std::string of;
    GarbageSieve sieve(safe_point);
    const auto snapshot = engine_->GetSnapshot();
    const auto iterator = snapshot->NewIterator(Family::kWrite, {});
    for (iterator->Seek(""); iterator->Valid(); iterator->Next()) {
      if (random.OneIn(3)) continue;
      const VersionKeyParts parts = SplitVersionKey(iterator->key()).value();
      if (parts.lock_key != of) sieve = GarbageSieve(safe_point);
      of = parts.lock_key;
      const Write write = DecodeWrite(iterator->value()).value();
      if (sieve.Judge(parts.timestamp, write) == GarbageSieve::Verdict::kGarbage &&
          !HasLongValue(write)) {
        batch.Delete(Family::kWrite, std::string(iterator->key()));
      }
    }
    engine_.Write(batch);
  }

  static constexpr std::uint64_t kEnd = 40;
  const std::vector<std::string> kKeys = {"a", "b", "c"};
};

TEST_P(RandomGarbage, IsMissedByNobody) {
  SeededRandom random(GetParam());
  PutAny(random);
  for (std::uint64_t safe_point = 1; safe_point <= kEnd; safe_point += 1 + random.Below(9)) {
    const Seen before = Look(safe_point, kEnd);
    Remove(safe_point);
    EXPECT_EQ(before, Look(safe_point, kEnd)) << "safe point " << safe_point;
    EXPECT_THAT(Show(safe_point), IsEmpty());
  }
  Remove(kEnd + 1);
  EXPECT_LE(CountOf(Family::kWrite), kKeys.size());
  EXPECT_LE(CountOf(Family::kDefault), CountOf(Family::kWrite));
}

// Who comes by some of a key's records only leaves more, but nothing that is missed.
TEST_P(RandomGarbage, IsMissedByNobodyWhoeverLeavesOutSome) {
  SeededRandom random(GetParam());
  PutAny(random);
  for (std::uint64_t safe_point = 1; safe_point <= kEnd; safe_point += 1 + random.Below(9)) {
    const Seen before = Look(safe_point, kEnd);
    LeaveOutSome(random, Timestamp(safe_point));
    EXPECT_EQ(before, Look(safe_point, kEnd)) << "safe point " << safe_point;
    if (random.OneIn(2)) Remove(safe_point);
    EXPECT_EQ(before, Look(safe_point, kEnd)) << "safe point " << safe_point;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomGarbage, ::testing::Range<std::uint64_t>(1, 101));

}  // namespace
}  // namespace rutile::mvcc
