#include "txn/concurrency_manager.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <thread>

#include "engine/testing/engines.h"

namespace rutile::txn {
namespace {

using engine::testing::FromEnvironment;
using mvcc::Timestamp;
using mvcc::View;
using Keys = std::vector<std::string>;

mvcc::Lock LockAt(std::uint64_t start, std::uint64_t min_commit = 0) {
  return {.primary = "p", .start = Timestamp(start), .min_commit = Timestamp(min_commit)};
}

TEST(ConcurrencyManager, ReadsRaiseTheHighestTimestampAndTheMaximumDoesNot) {
  ConcurrencyManager manager;
  EXPECT_EQ(manager.max_ts(), Timestamp());
  manager.AdmitRead({.at = Timestamp(7)}, {"a"});
  EXPECT_EQ(manager.max_ts(), Timestamp(7));
  manager.AdmitScan({.at = Timestamp(9)}, "a", "b", 1);
  EXPECT_EQ(manager.max_ts(), Timestamp(9));
  manager.AdmitRead({.at = Timestamp(8)}, {"a"});
  manager.AdmitRead({.at = mvcc::kMaxTimestamp}, {"a"});
  EXPECT_EQ(manager.max_ts(), Timestamp(9));
}

TEST(ConcurrencyManager, ReadersMeetTheLocksThatMayCommitBelowThem) {
  ConcurrencyManager manager;
  mvcc::Lock mere = LockAt(5);
  mere.kind = mvcc::Lock::Kind::kLock;
  KeyLocks locks = manager.Lock({{"a", LockAt(5, 10)}, {"b", mere}, {"c", LockAt(5, 12)}});
  EXPECT_EQ(manager.locked_keys(), 3u);
  const auto count = [&](const View& view) {
    return manager.AdmitRead(view, {"a", "b", "c", "d"}).size();
  };
  EXPECT_EQ(count({.at = Timestamp(9)}), 0u);
  EXPECT_EQ(count({.at = Timestamp(10)}), 1u);
  EXPECT_EQ(count({.at = Timestamp(12)}), 2u);
  EXPECT_EQ(count({.at = mvcc::kMaxTimestamp}), 2u);
  EXPECT_EQ(count({.at = Timestamp(12), .bypassed = {Timestamp(5)}}), 0u);
  EXPECT_EQ(manager.AdmitRead({.at = Timestamp(12)}, {"c"}).at("c").start, Timestamp(5));

  locks.SetMinCommit(Timestamp(20));
  EXPECT_EQ(count({.at = Timestamp(19)}), 0u);
  EXPECT_EQ(count({.at = Timestamp(20)}), 2u);
  locks.Release();
  EXPECT_EQ(count({.at = Timestamp(20)}), 0u);
  EXPECT_EQ(manager.locked_keys(), 0u);
}

TEST(ConcurrencyManager, ScansMeetTheLocksOfTheirRange) {
  ConcurrencyManager manager;
  const KeyLocks locks =
      manager.Lock({{"a", LockAt(5)}, {"b", LockAt(5, 30)}, {"c", LockAt(5)}, {"d", LockAt(5)}});
  const auto keys = [&](std::string_view lower, std::string_view upper, std::size_t limit) {
    Keys found;
    for (const auto& [key, lock] : manager.AdmitScan({.at = Timestamp(9)}, lower, upper, limit)) {
      found.push_back(key);
    }
    return found;
  };
  EXPECT_EQ(keys("", "", 9), (Keys{"a", "c", "d"}));
  EXPECT_EQ(keys("a", "d", 9), (Keys{"a", "c"}));
  EXPECT_EQ(keys("a1", "", 9), (Keys{"c", "d"}));
  EXPECT_EQ(keys("", "", 2), (Keys{"a", "c"}));
}

TEST(ConcurrencyManager, LocksEndWithTheirOwner) {
  ConcurrencyManager manager;
  {
    KeyLocks first = manager.Lock({{"a", LockAt(5)}});
    KeyLocks second = std::move(first);
    EXPECT_EQ(manager.locked_keys(), 1u);
    second = manager.Lock({{"b", LockAt(5)}});
    EXPECT_EQ(manager.AdmitRead({.at = Timestamp(9)}, {"a"}).size(), 0u);
    EXPECT_EQ(manager.locked_keys(), 1u);
  }
  EXPECT_EQ(manager.locked_keys(), 0u);
}

// Each writer puts its commit on a key that readers look at. What a reader at `t` has not met as a
// lock, and not found, must never come to be at or below `t`.
TEST(ConcurrencyManager, NoReaderMissesACommitAtOrBelowIt) {
  static constexpr std::size_t kRounds = 3000;
  const std::size_t rounds = kRounds * FromEnvironment("RUTILE_TEST_SCALE", 1);
  ConcurrencyManager manager;
  std::atomic<std::uint64_t> clock = 0;
  std::atomic<std::uint64_t> newest_commit = 0;  // Of the key, applied.
  struct Seen {
    std::uint64_t at = 0;
    std::uint64_t seen = 0;
  };
  std::vector<std::uint64_t> commits;
  std::thread writer([&] {
    for (std::size_t i = 0; i < rounds; ++i) {
      const Timestamp start(clock.fetch_add(1) + 1);
      KeyLocks locks = manager.Lock({{"k", LockAt(start.value(), start.value() + 1)}});
      const Timestamp commit = std::max(start, manager.max_ts()).Next();
      locks.SetMinCommit(commit);
      commits.push_back(commit.value());
      newest_commit.store(commit.value());
    }
  });
  constexpr std::size_t kReaders = 3;
  std::array<std::vector<Seen>, kReaders> reads;
  std::vector<std::thread> readers;
  readers.reserve(kReaders);
  for (std::vector<Seen>& seen : reads) {
    readers.emplace_back([&] {
      for (std::size_t i = 0; i < rounds; ++i) {
        const std::uint64_t at = clock.fetch_add(1) + 1;
        const bool is_locked = !manager.AdmitRead({.at = Timestamp(at)}, {"k"}).empty();
        if (!is_locked) seen.push_back({.at = at, .seen = newest_commit.load()});
      }
    });
  }
  writer.join();
  for (std::thread& reader : readers) reader.join();
  for (const std::vector<Seen>& seen : reads) {
    for (const Seen& read : seen) {
      const auto next = std::ranges::upper_bound(commits, read.seen);
      ASSERT_TRUE(next == commits.end() || *next > read.at)
          << "a read at " << read.at << " saw " << read.seen << ", not " << *next;
    }
  }
}

}  // namespace
}  // namespace rutile::txn
