// What the log path holds is counted: once, to the byte, and until nobody holds it.

#include "store/log_memory.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/log_slice.h"
#include "store/log_ages.h"
#include "store/peer_message.h"
#include "store/testing/simulated_stores.h"

namespace rutile::store {
namespace {

constexpr std::size_t kOverhead = Entry::kOverheadBytes;

TEST(LogMemory, TheChargeGoesWithTheMemoryAndOutlivesWhoeverCounted) {
  auto memory = std::make_unique<LogMemory>(1000);
  const std::shared_ptr<const MemoryQuota> quota = memory->quota();
  std::optional<QuotaCharge> reserved = memory->TryReserve(100);
  ASSERT_TRUE(reserved.has_value());
  EXPECT_EQ(100 + kOverhead, quota->used_bytes());
  Bytes kept = memory->Keep(std::string(100, 'x'), std::move(*reserved));
  EXPECT_EQ(100 + kOverhead, quota->used_bytes());
  // Shared, it is counted once; and as a whole, whatever part is held.
  Bytes part = kept.Slice(10, 20);
  kept = Bytes();
  EXPECT_EQ(100 + kOverhead, quota->used_bytes());
  EXPECT_EQ(std::string(20, 'x'), part.view());
  memory = nullptr;
  part = Bytes();
  EXPECT_EQ(0u, quota->used_bytes());
}

TEST(LogMemory, WhatExistsAlreadyIsCountedBeyondTheLimitAndWritesAreRefused) {
  LogMemory memory(1000);
  const Bytes own = memory.Keep(std::string(500, 'x'), QuotaCharge());
  const Bytes copy = memory.Copy(std::string(900, 'y'), 3);
  EXPECT_EQ(500 + 900 + 4 * kOverhead, memory.used_bytes());
  EXPECT_FALSE(memory.TryReserve(1).has_value());
  EXPECT_EQ(1u, memory.refused_writes());
}

TEST(LogMemory, ThePauseGrowsWithWhatIsUsedBeyondSevenEighths) {
  LogMemory memory(800);
  const std::size_t most = 700 - kOverhead;
  const Bytes plenty = memory.Keep(std::string(most, 'x'), QuotaCharge());
  EXPECT_EQ(Duration(), memory.Pause());
  const Bytes half = memory.Keep(std::string(50 - kOverhead, 'x'), QuotaCharge());
  EXPECT_EQ(Milliseconds(50), memory.Pause());
  const Bytes full = memory.Keep(std::string(50 - kOverhead, 'x'), QuotaCharge());
  EXPECT_EQ(Milliseconds(100), memory.Pause());
  const Bytes beyond = memory.Keep(std::string(500, 'x'), QuotaCharge());
  EXPECT_EQ(Milliseconds(100), memory.Pause());
}

TEST(LogMemory, EntriesOfAMessageAreCountedUntilTheLastIsGone) {
  raft::Message message{.from = PeerId(1), .to = PeerId(2), .term = Term(1)};
  message.slice.prev = {Term(1), Index(5)};
  for (std::uint64_t i = 6; i < 9; ++i) {
    message.slice.entries.push_back(
        {{Term(1), Index(i)}, EntryType::kNormal, Bytes(std::string(1000, 'x'))});
  }
  const std::string bytes = Encode(RaftEnvelope{.region = RegionId(7), .message = message});
  LogMemory memory(1 << 20);
  PeerMessage decoded = DecodePeerMessage(bytes, &memory).value();
  LogSlice slice = std::move(std::get<RaftEnvelope>(decoded).message.slice);
  decoded = Beat();
  EXPECT_GE(memory.used_bytes(), 3 * (1000 + kOverhead));
  EXPECT_LE(memory.used_bytes(), 3 * (1000 + kOverhead) + 20);
  const Entry last = slice.entries.back();
  slice = {};
  EXPECT_GE(memory.used_bytes(), 3 * (1000 + kOverhead));
  EXPECT_EQ(std::string(1000, 'x'), last.payload.view());
}

TEST(LogMemory, AsksForReliefOnceUntilThatHasEnded) {
  LogMemory memory(1000);
  int asked = 0;
  memory.SetOnPressure([&asked] { ++asked; });
  Bytes held = memory.Copy(std::string(700, 'x'), 0);
  EXPECT_EQ(0, asked);
  EXPECT_FALSE(memory.needs_relief());
  {
    const Bytes more = memory.Copy(std::string(60, 'x'), 0);
    EXPECT_EQ(1, asked);
    EXPECT_TRUE(memory.needs_relief());
    memory.Copy(std::string(1, 'x'), 0);
    EXPECT_EQ(1, asked);
    memory.EndRelief();  // It was not enough.
    EXPECT_EQ(2, asked);
  }
  memory.EndRelief();
  EXPECT_EQ(2, asked);
  // What was refused counts as well: 300 are free, which is not enough for this.
  EXPECT_FALSE(memory.TryReserve(400).has_value());
  EXPECT_EQ(3, asked);
  EXPECT_TRUE(memory.needs_relief());
  held = memory.Copy(std::string(500, 'x'), 0);
  EXPECT_FALSE(memory.needs_relief());
}

TEST(LogMemory, IsScarceFromWhenLittleWasFreeUntilReliefEnds) {
  LogMemory memory(800);
  Bytes held = memory.Copy(std::string(700, 'x'), 0);
  EXPECT_FALSE(memory.scarce());
  const Bytes more = memory.Copy("x", 0);
  EXPECT_TRUE(memory.scarce());
  held = Bytes();
  EXPECT_TRUE(memory.scarce());
  memory.EndRelief();
  EXPECT_FALSE(memory.scarce());
}

TEST(LogAges, KnowsUpToWhereTheLogIsOlder) {
  LogAges ages;
  const auto note = [&](std::uint64_t first, std::uint64_t last, std::uint64_t age) {
    ages.Note(Index(first), Index(last), age, 10, 1000);
  };
  EXPECT_EQ(Index(), ages.OlderThan(5000));
  note(1, 4, 100);
  note(1, 5, 105);  // Not told apart from the first.
  note(1, 5, 200);  // Nothing new.
  note(1, 9, 300);
  EXPECT_EQ(Index(), ages.OlderThan(99));
  EXPECT_EQ(Index(5), ages.OlderThan(100));
  EXPECT_EQ(Index(5), ages.OlderThan(299));
  EXPECT_EQ(Index(9), ages.OlderThan(300));
  note(1, 7, 400);  // Cut to 6 and longer again.
  EXPECT_EQ(Index(5), ages.OlderThan(399));
  EXPECT_EQ(Index(7), ages.OlderThan(400));
  note(6, 8, 500);  // Evicted.
  EXPECT_EQ(Index(), ages.OlderThan(399));
  EXPECT_EQ(Index(7), ages.OlderThan(499));
  note(9, 8, 600);  // All of it.
  EXPECT_EQ(0u, ages.size());
}

TEST(LogAges, StaysSmallWhileOtherLogsGrow) {
  LogAges ages;
  for (std::uint64_t i = 1; i <= 10'000; ++i) {
    ages.Note(Index(1), Index(i), 100 * i, 10, 1000);
    ASSERT_LE(ages.size(), 12u);
  }
  EXPECT_EQ(Index(9995), ages.OlderThan(999'500));
}

// --- In stores: after whatever happens to logs nothing is left behind.

class LogMemoryOfStores : public testing::SimulatedStores {
 protected:
  // All that stores hold is what they are told to keep.
  void KeepNothing() {
    options_.cached_log_bytes = 0;
    options_.log_collect_every = Milliseconds(100);
  }
  void PutMany(std::size_t i, std::uint64_t number, int count, std::size_t bytes) {
    for (int n = 0; n < count; ++n) {
      Put(i, number, std::to_string(n), std::string(bytes, 'v'),
          [this](const WriteOutcome& outcome) { served_ += outcome.index() == 0 ? 1 : 0; });
    }
  }
  std::size_t Used(std::size_t i) { return store(i).log_memory().used_bytes(); }
  ReplicaStatus Replica(std::size_t i) { return Replicas(i).front(); }

  int served_ = 0;
};

TEST_F(LogMemoryOfStores, IsWhatTheTailsHoldWhenAllIsDone) {
  Begin(1);
  const std::size_t leader = AwaitLeaderOf(0);
  PutMany(leader, 0, 50, 1000);
  world_.RunFor(Seconds(1));
  ASSERT_EQ(50, served_);
  // What was measured on the way.
  const LogMetrics& metrics = store(leader).log_metrics();
  EXPECT_EQ(50u, metrics.commit_time.Read().count);
  EXPECT_GE(metrics.apply_time.Read().count, 1u);
  EXPECT_GE(metrics.appends.value(), 2u);
  EXPECT_EQ(0u, metrics.cold_reads.value());
  EXPECT_EQ(Replica(leader).resident_bytes, store(leader).log_totals().cached_bytes);
  EXPECT_EQ(1u, Replica(leader).log_segments);
  EXPECT_EQ(Replica(leader).last, Replica(leader).submitted);
  // But for the leader's empty entry.
  EXPECT_EQ(Replica(leader).resident_bytes - kOverhead, Used(leader));
  for (std::size_t i = 0; i < kStores; ++i) {
    // In messages there are a few bytes more to each entry.
    EXPECT_GE(Used(i), Replica(i).resident_bytes - kOverhead);
    EXPECT_LE(Used(i), Replica(i).resident_bytes + 50 * 8);
  }
}

TEST_F(LogMemoryOfStores, NothingIsLeftAfterEviction) {
  KeepNothing();
  Begin(3);
  for (std::uint64_t n = 0; n < 3; ++n) {
    const std::size_t leader = AwaitLeaderOf(n);
    PutMany(leader, n, 20, 1000);
    EXPECT_GT(Used(leader), 20'000u);
  }
  world_.RunFor(Seconds(2));
  ASSERT_EQ(60, served_);
  for (std::size_t i = 0; i < kStores; ++i) EXPECT_EQ(0u, Used(i));
}

TEST_F(LogMemoryOfStores, NothingIsLeftAfterCompaction) {
  options_.kept_log_entries = 0;
  Begin(1);
  PutMany(AwaitLeaderOf(0), 0, 20, 1000);
  world_.RunFor(Seconds(1));
  for (std::size_t i = 0; i < kStores; ++i) {
    EXPECT_GT(Used(i), 20'000u);
    ASSERT_TRUE(processes_[i].engine->Flush().ok());
  }
  world_.RunFor(Seconds(3));
  for (std::size_t i = 0; i < kStores; ++i) EXPECT_EQ(0u, Used(i));
}

TEST_F(LogMemoryOfStores, NothingIsLeftOfWhatWasCut) {
  KeepNothing();
  Begin(1);
  const std::size_t leader = AwaitLeaderOf(0);
  for (std::size_t i = 0; i < kStores; ++i) {
    if (i != leader) network_.Partition({StoreId(leader + 1)}, {StoreId(i + 1)});
  }
  PutMany(leader, 0, 20, 1000);
  world_.RunFor(Milliseconds(200));
  // Waiting for an answer, in the log, and on disk: each is counted once.
  EXPECT_EQ(Replica(leader).resident_bytes, Used(leader));
  EXPECT_GT(Used(leader), 20'000u);
  world_.RunFor(Seconds(5));
  // Others lead meanwhile, and have another opinion of these entries.
  network_.HealAll();
  world_.RunFor(Seconds(5));
  ASSERT_NE(leader, LeaderOf(0));
  EXPECT_EQ(0, served_);
  EXPECT_EQ(0u, Used(leader));
}

TEST_F(LogMemoryOfStores, NothingIsLeftOfWhatASnapshotReplaces) {
  options_.kept_log_entries = 0;
  Begin(1);
  const std::size_t leader = AwaitLeaderOf(0);
  PutMany(leader, 0, 20, 1000);
  world_.RunFor(Seconds(1));
  const std::size_t behind = (leader + 1) % kStores;
  Kill(behind);
  PutMany(leader, 0, 20, 1000);
  world_.RunFor(Seconds(1));
  // It starts with what it has in its log, and nobody has what follows.
  Start(behind);
  EXPECT_GT(Used(behind), 20'000u);
  network_.Partition({StoreId(behind + 1)},
                     {StoreId(leader + 1), StoreId(3 - leader - behind + 1)});
  for (std::size_t i = 0; i < kStores; ++i) {
    if (i != behind) {
      ASSERT_TRUE(processes_[i].engine->Flush().ok());
    }
  }
  world_.RunFor(Seconds(3));
  network_.HealAll();
  world_.RunFor(Seconds(5));
  EXPECT_EQ(Replica(behind).applied, Replica(AwaitLeaderOf(0)).applied);
  EXPECT_LT(Used(behind), 10'000u);
}

TEST_F(LogMemoryOfStores, NothingIsLeftOfAReplicaThatIsDestroyed) {
  Begin(1);
  const std::size_t leader = AwaitLeaderOf(0);
  PutMany(leader, 0, 20, 1000);
  world_.RunFor(Seconds(1));
  const std::size_t other = (leader + 1) % kStores;
  EXPECT_GT(Used(other), 20'000u);
  bool removed = false;
  store(leader).ChangeMembers(
      {.region = RegionOf(0)},
      {{.kind = MemberStep::Kind::kRemove, .peer = {.id = PeerOf(0, other)}}},
      [&removed](const ChangeOutcome& outcome) {
        removed = std::holds_alternative<Status>(outcome) && std::get<Status>(outcome).ok();
      });
  world_.RunFor(Seconds(10));
  ASSERT_TRUE(removed);
  ASSERT_FALSE(store(other).Gate(RegionOf(0)).has_value());
  EXPECT_EQ(0u, Used(other));
  EXPECT_GT(Used(leader), 20'000u);
}

// With writes in every queue of the log path.
TEST_F(LogMemoryOfStores, NothingIsLeftOfAStoreThatIsGone) {
  Begin(2);
  const std::size_t leader = AwaitLeaderOf(0);
  processes_[leader].log->Pause();
  PutMany(leader, 0, 20, 1000);
  world_.RunFor(Milliseconds(100));
  processes_[leader].apply->Pause();
  PutMany(leader, 0, 20, 1000);
  world_.RunFor(Milliseconds(100));
  PutMany(leader, 0, 20, 1000);
  std::vector<std::shared_ptr<const MemoryQuota>> quotas;
  for (std::size_t i = 0; i < kStores; ++i) quotas.push_back(store(i).log_memory().quota());
  EXPECT_GT(quotas[leader]->used_bytes(), 60'000u);
  for (std::size_t i = 0; i < kStores; ++i) Kill(i);
  for (const auto& quota : quotas) EXPECT_EQ(0u, quota->used_bytes());
}

}  // namespace
}  // namespace rutile::store
