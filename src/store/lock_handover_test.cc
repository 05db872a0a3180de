// Pessimistic locks that stand in their leader's memory, and what becomes of them, over stores of a
// simulated world.

#include "store/lock_handover.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/testing/lock_clients.h"

namespace rutile::store {
namespace {

using mvcc::Timestamp;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class MemoryLocksTest : public testing::LockClients {
 protected:
  TxnScheduler& scheduler() { return kv().scheduler(); }
  std::size_t held() { return scheduler().memory_locks().size(); }
  // All that was ever proposed in the region.
  Index LastIndex() {
    for (const ReplicaStatus& one : Replicas(leader_)) {
      if (one.region.id == kRegion) return one.last;
    }
    ADD_FAILURE() << "the leader has no replica";
    return {};
  }
  std::vector<std::string> LockedKeys(mvcc::LockScan scan = {}) {
    std::vector<std::string> keys;
    for (const auto& locked : Must(Await(&TxnKv::ScanLocks, std::move(scan)))) {
      keys.push_back(locked.key.substr(8));
    }
    return keys;
  }
  std::string Locks(const std::string& key, Timestamp start) {
    return Await(Ask(Key(key), start, {.wait_ms = -1}));
  }
  // Another store leads, and nobody has asked for what the old leader had in memory.
  void LoseLeader() { Move(/*hands_over=*/false); }
  void Move(bool hands_over) {
    const std::size_t old = leader_, next = (leader_ + 1) % kStores;
    const auto transfer = [this, old, next] {
      store(old).TransferLeadership(kRegion, PeerOf(0, next));
    };
    if (hands_over) {
      HandLocksOver(store(old), scheduler(), processes_[old].machine->NewExecutor("handover"),
                    kRegion, transfer);
    } else {
      transfer();
    }
    EXPECT_TRUE(world_.RunUntil(
        [&] {
          const auto gate = store(next).Gate(kRegion);
          return gate && gate->is_leader;
        },
        Seconds(10)));
    leader_ = AwaitLeaderOf(0);
    EXPECT_EQ(next, leader_);
  }
  txn::PrewriteOutcome Prewrite(const std::string& key, Timestamp start) {
    txn::PrewriteRequest prewrite = Puts({Key(key)}, "new", start);
    prewrite.for_update = start;
    prewrite.mutations.front().check = txn::Mutation::Check::kLocked;
    return Must(Await(&TxnKv::Prewrite, std::move(prewrite)));
  }
};

TEST_F(MemoryLocksTest, TakingALockAndGivingItUpCostsNoEntry) {
  Write({Key("a")}, "1");
  const Index before = LastIndex();
  const Timestamp first = Now(), second = Now();
  EXPECT_EQ("locked, 1", Locks("a", first));
  EXPECT_EQ("locked by " + ToString(first), Locks("a", second));
  GiveUp(Key("a"), first);
  EXPECT_EQ("locked, 1", Locks("a", second));
  EXPECT_EQ(1u, held());
  EXPECT_EQ(before, LastIndex());
}

TEST_F(MemoryLocksTest, WhatIsPrewrittenStandsInTheLogAndNotInMemory) {
  const Timestamp first = Now();
  EXPECT_EQ("locked, absent", Locks("a", first));
  EXPECT_THAT(Prewrite("a", first).outcome.errors, IsEmpty());
  EXPECT_EQ(0u, held());
  EXPECT_THAT(LockedKeys(), ElementsAre("a"));
  Must(Await(&TxnKv::Commit,
             txn::CommitRequest{.keys = {Key("a")}, .start = first, .commit = Now()}));
  EXPECT_EQ("new", Read(Key("a"), Now()));
}

TEST_F(MemoryLocksTest, WhoLooksForLocksFindsThoseInMemoryAmongTheOthers) {
  const Timestamp first = Now(), second = Now();
  EXPECT_EQ("locked, absent", Locks("a", first));
  EXPECT_EQ("locked, absent", Locks("c", second));
  Must(Await(&TxnKv::Prewrite, Puts({Key("b")}, "x", Now())));
  EXPECT_EQ(2u, held());
  EXPECT_THAT(LockedKeys(), ElementsAre("a", "b", "c"));
  EXPECT_THAT(LockedKeys({.limit = 2}), ElementsAre("a", "b"));
  EXPECT_THAT(LockedKeys({.starts = {second}}), ElementsAre("c"));
  EXPECT_THAT(LockedKeys({.latest = first}), ElementsAre("a"));
}

TEST_F(MemoryLocksTest, OneThatIsLostIsNotMissedWhereNobodyHasBeenAtTheKey) {
  Write({Key("a")}, "1");
  const Timestamp first = Now();
  EXPECT_EQ("locked, 1", Locks("a", first));
  LoseLeader();
  EXPECT_THAT(LockedKeys(), IsEmpty());
  EXPECT_THAT(Prewrite("a", first).outcome.errors, IsEmpty());
}

TEST_F(MemoryLocksTest, OneThatIsLostIsMissedWhereSomebodyElseHasWritten) {
  Write({Key("a")}, "1");
  const Timestamp first = Now();
  EXPECT_EQ("locked, 1", Locks("a", first));
  LoseLeader();
  Write({Key("a")}, "2");
  const txn::PrewriteOutcome result = Prewrite("a", first);
  ASSERT_EQ(1u, result.outcome.errors.size());
  EXPECT_TRUE(std::holds_alternative<txn::PessimisticLockNotFound>(result.outcome.errors.front()));
}

TEST_F(MemoryLocksTest, WhoWaitsForOneThatIsLostLooksAgainWhoeverLeads) {
  const Timestamp first = Now(), second = Now();
  EXPECT_EQ("locked, absent", Locks("a", first));
  const Answer waits = Ask(Key("a"), second);
  EXPECT_EQ("waits", Await(waits, Milliseconds(50)));
  LoseLeader();
  EXPECT_THAT(Await(waits), ::testing::HasSubstr("not the leader"));
  EXPECT_EQ("locked, absent", Locks("a", second));
}

TEST_F(MemoryLocksTest, WhoeverIsHandedTheOfficeHasTheLocks) {
  const Timestamp first = Now(), second = Now();
  EXPECT_EQ("locked, absent", Locks("a", first));
  EXPECT_EQ("locked, absent", Locks("b", first));
  Move(/*hands_over=*/true);
  EXPECT_THAT(LockedKeys(), ElementsAre("a", "b"));
  EXPECT_EQ("locked by " + ToString(first), Locks("b", second));
  Commit(Key("a"), "1", first);
  GiveUp(Key("b"), first);
  EXPECT_EQ("locked, absent", Locks("b", second));
}

TEST_F(MemoryLocksTest, WhileTheOfficeIsHandedOverLocksGoToTheLog) {
  bool handed = false;
  HandLocksOver(store(leader_), scheduler(), processes_[leader_].machine->NewExecutor("handover"),
                kRegion, [&] { handed = true; });
  EXPECT_TRUE(handed) << "there are none";
  const Timestamp first = Now();
  EXPECT_EQ("locked, absent", Locks("a", first));
  EXPECT_EQ(0u, held());
  EXPECT_THAT(LockedKeys(), ElementsAre("a"));
  world_.RunFor(Seconds(7));
  EXPECT_EQ("locked, absent", Locks("b", first));
  EXPECT_EQ(1u, held()) << "the office was not handed over";
}

TEST_F(MemoryLocksTest, OneThatOthersWereToldOfIsWrittenDown) {
  const Timestamp first = Now();
  EXPECT_EQ("locked, absent", Locks("a", first));
  Must(Await(&TxnKv::Heartbeat,
             txn::HeartbeatRequest{.primary = Key("a"), .start = first, .ttl_ms = 60'000}));
  EXPECT_EQ(0u, held());
  LoseLeader();
  EXPECT_THAT(LockedKeys(), ElementsAre("a"));
}

TEST_F(MemoryLocksTest, OneStatementThatMeetsALockInTheLogIsInTheLog) {
  const Timestamp first = Now();
  EXPECT_EQ("locked, absent", Locks("a", first));
  Move(/*hands_over=*/true);
  LockRequest request{.lock = {.keys = {{.key = Key("a")}, {.key = Key("b")}},
                               .primary = Key("a"),
                               .start = first,
                               .for_update = Now(),
                               .ttl_ms = 10'000}};
  EXPECT_THAT(Must(Await(&TxnKv::PessimisticLock, std::move(request))).outcome.errors, IsEmpty());
  EXPECT_EQ(0u, held());
  EXPECT_THAT(LockedKeys(), ElementsAre("a", "b"));
}

TEST_F(MemoryLocksTest, WithoutRoomAllGoToTheLog) {
  limits_.scheduler.memory_locks.max_region_bytes = 0;
  for (std::size_t i = 0; i < kStores; ++i) Serve(i);
  const Timestamp first = Now();
  EXPECT_EQ("locked, absent", Locks("a", first));
  EXPECT_EQ(0u, held());
  LoseLeader();
  EXPECT_THAT(LockedKeys(), ElementsAre("a"));
}

// The leader has its timestamp before anybody asks for a commit that it is to choose.
TEST_F(MemoryLocksTest, ANewLeaderChoosesCommitTimestampsFromTheStart) {
  world_.RunFor(Milliseconds(50));
  EXPECT_FALSE(Must(Await(&TxnKv::Prewrite, OnePhase({Key("a")}, "1"))).one_phase_commit.IsZero());
  LoseLeader();
  world_.RunFor(Milliseconds(50));
  EXPECT_FALSE(Must(Await(&TxnKv::Prewrite, OnePhase({Key("a")}, "2"))).one_phase_commit.IsZero());
}

}  // namespace
}  // namespace rutile::store
