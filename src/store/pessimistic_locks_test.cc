// Waiting for locks, over stores of a simulated world.

#include "store/pessimistic_locks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/lock_handover.h"
#include "store/testing/lock_clients.h"

namespace rutile::store {
namespace {

using mvcc::Timestamp;
using ::testing::HasSubstr;

class PessimisticLocksTest : public testing::LockClients {
 protected:
  // Asks with one transaction after the other, and lets each arrive.
  std::vector<Answer> AskInTurn(const std::vector<Timestamp>& starts, const Asking& asking) {
    std::vector<Answer> answers;
    for (const Timestamp start : starts) {
      answers.push_back(Ask(Key("a"), start, asking));
      world_.RunFor(Milliseconds(10));
    }
    return answers;
  }
};

TEST_F(PessimisticLocksTest, AFreeKeyIsLockedAtOnceAndAHeldOneIsWaitedFor) {
  Write({Key("a")}, "1");
  const Timestamp first = Now(), second = Now();
  EXPECT_EQ("locked, 1", Await(Ask(Key("a"), first)));
  const Answer waits = Ask(Key("a"), second);
  EXPECT_EQ("waits", Await(waits, Milliseconds(500)));
  EXPECT_EQ(1u, kv().locks().waiting());
  GiveUp(Key("a"), first);
  EXPECT_EQ("locked, 1", Await(waits, Milliseconds(100)));
  EXPECT_EQ(0u, kv().locks().waiting());
}

TEST_F(PessimisticLocksTest, AfterACommitTheStatementIsRetried) {
  const Timestamp first = Now(), second = Now();
  EXPECT_EQ("locked, absent", Await(Ask(Key("a"), first)));
  const Answer waits = Ask(Key("a"), second);
  Commit(Key("a"), "1", first);
  EXPECT_EQ("retry", Await(waits, Milliseconds(100)));
  EXPECT_EQ("locked, 1", Await(Ask(Key("a"), second), Milliseconds(100)));
}

TEST_F(PessimisticLocksTest, AfterACommitTheKeyIsLockedWithConflictByWhoAskedForThat) {
  const Timestamp first = Now(), second = Now();
  EXPECT_EQ("locked, absent", Await(Ask(Key("a"), first)));
  const Answer waits = Ask(Key("a"), second, {.with_conflict = true});
  Commit(Key("a"), "1", first);
  EXPECT_EQ("locked, 1, with conflict", Await(waits, Milliseconds(100)));
}

TEST_F(PessimisticLocksTest, EveryWayToGiveUpALockWakes) {
  const auto wakes = [&](const std::string& key, auto give_up) {
    const Timestamp first = Now(), second = Now();
    EXPECT_EQ("locked, absent", Await(Ask(key, first)));
    const Answer waits = Ask(key, second);
    EXPECT_EQ("waits", Await(waits, Milliseconds(100)));
    give_up(first);
    EXPECT_EQ("locked, absent", Await(waits, Milliseconds(100))) << key;
  };
  wakes(Key("rollback"), [&](Timestamp start) {
    Must(Await(&TxnKv::Rollback, txn::RollbackRequest{.keys = {Key("rollback")}, .start = start}));
  });
  wakes(Key("resolve"), [&](Timestamp start) {
    Must(Await(&TxnKv::Resolve, txn::ResolveRequest{.keys = {Key("resolve")}, .start = start}));
  });
  wakes(Key("status"), [&](Timestamp start) {
    Await(&TxnKv::CheckStatus,
          txn::StatusRequest{
              .primary = Key("status"), .start = start, .now = mvcc::kMaxTimestamp.Prev()});
  });
}

TEST_F(PessimisticLocksTest, WhoWaitsHasTheKeyWhenItsRangeIsRemoved) {
  const Timestamp first = Now(), second = Now();
  EXPECT_EQ("locked, absent", Await(Ask(Key("a"), first)));
  EXPECT_EQ("locked, absent", Await(Ask(Key("x"), first)));
  const Answer waits = Ask(Key("a"), second), elsewhere = Ask(Key("x"), second);
  EXPECT_EQ("waits", Await(waits, Milliseconds(100)));
  kv().DeleteRange(Header(), Key("a"), Key("b"), false, [](const TxnReply<RangeRemoved>&) {});
  EXPECT_EQ("locked, absent", Await(waits, Milliseconds(100)));
  EXPECT_EQ("waits", Await(elsewhere, Milliseconds(100)));
  EXPECT_EQ(1u, kv().locks().waiting());
}

// Wherever the removal comes while somebody is about to wait: it is not waited for the lock's end.
TEST_F(PessimisticLocksTest, ARangeThatIsRemovedWhileSomebodyBeginsToWaitIsNotMissed) {
  for (int delay = 0; delay < 20; ++delay) {
    const std::string key = Key("k" + std::to_string(delay));
    const Timestamp first = Now(), second = Now();
    EXPECT_EQ("locked, absent", Await(Ask(key, first)));
    kv().DeleteRange(Header(), key, key + "~", false, [](const TxnReply<RangeRemoved>&) {});
    world_.RunFor(Microseconds(100) * delay);
    EXPECT_EQ("locked, absent", Await(Ask(key, second), Milliseconds(500))) << delay;
  }
}

TEST_F(PessimisticLocksTest, WhoHasWaitedLongEnoughIsToldOfTheLock) {
  const Timestamp first = Now(), second = Now();
  EXPECT_EQ("locked, absent", Await(Ask(Key("a"), first)));
  const std::string locked = "locked by " + ToString(first);
  EXPECT_EQ(locked, Await(Ask(Key("a"), second, {.wait_ms = -1}), Milliseconds(50)));
  const Answer soon = Ask(Key("a"), second, {.wait_ms = 300});
  const Answer by_default = Ask(Key("a"), second);
  const Answer capped = Ask(Key("a"), second, {.wait_ms = 60'000});
  EXPECT_EQ("waits", Await(soon, Milliseconds(290)));
  EXPECT_EQ(locked, Await(soon, Milliseconds(50)));
  EXPECT_EQ("waits", Await(by_default, Milliseconds(600)));
  EXPECT_EQ(locked, Await(by_default, Milliseconds(150)));
  EXPECT_EQ(locked, Await(capped, Milliseconds(50)));
  EXPECT_EQ(0u, kv().locks().waiting());
}

TEST_F(PessimisticLocksTest, TheOldestTransactionIsFirstAndTheOthersWaitForIt) {
  const Timestamp holder = Now(), old = Now(), middle = Now(), young = Now();
  EXPECT_EQ("locked, absent", Await(Ask(Key("a"), holder)));
  const std::vector<Answer> answers = AskInTurn({young, old, middle}, {});
  GiveUp(Key("a"), holder);
  EXPECT_EQ("locked, absent", Await(answers[1], Milliseconds(50)));
  EXPECT_EQ("waits", Await(answers[2], Milliseconds(200)));
  GiveUp(Key("a"), old);
  EXPECT_EQ("locked, absent", Await(answers[2], Milliseconds(50)));
  EXPECT_EQ("waits", Await(answers[0], Milliseconds(200)));
  GiveUp(Key("a"), middle);
  EXPECT_EQ("locked, absent", Await(answers[0], Milliseconds(50)));
}

// The client of the first one may come back for the key; if it does not, the next one looks.
TEST_F(PessimisticLocksTest, AfterACommitTheOthersAreWokenOneByOne) {
  const Timestamp holder = Now(), old = Now(), young = Now();
  EXPECT_EQ("locked, absent", Await(Ask(Key("a"), holder)));
  const std::vector<Answer> answers = AskInTurn({young, old}, {});
  Commit(Key("a"), "1", holder);
  EXPECT_EQ("retry", Await(answers[1], Milliseconds(50)));
  EXPECT_FALSE(answers[0]->has_value());
  EXPECT_EQ("retry", Await(answers[0], Milliseconds(50)));
}

TEST_F(PessimisticLocksTest, TheOthersGoOnWaitingForTheOneThatComesBack) {
  const Timestamp holder = Now(), old = Now(), young = Now();
  EXPECT_EQ("locked, absent", Await(Ask(Key("a"), holder)));
  const std::vector<Answer> answers = AskInTurn({young, old}, {});
  Commit(Key("a"), "1", holder);
  EXPECT_EQ("retry", Await(answers[1], Milliseconds(50)));
  EXPECT_EQ("locked, 1", Await(Ask(Key("a"), old), Milliseconds(50)));
  EXPECT_EQ("waits", Await(answers[0], Milliseconds(300)));
  Commit(Key("a"), "2", old);
  EXPECT_EQ("retry", Await(answers[0], Milliseconds(50)));
}

TEST_F(PessimisticLocksTest, AStoreWithTooManyWaitersIsBusy) {
  limits_.locks.max_waiters = 1;
  Serve(leader_);
  const Timestamp first = Now();
  EXPECT_EQ("locked, absent", Await(Ask(Key("a"), first)));
  const Answer waits = Ask(Key("a"), Now());
  EXPECT_THAT(Await(Ask(Key("a"), Now()), Milliseconds(50)), HasSubstr("too many requests wait"));
  EXPECT_EQ("waits", Await(waits, Milliseconds(50)));
  GiveUp(Key("a"), first);
  EXPECT_EQ("locked, absent", Await(waits, Milliseconds(50)));
}

TEST_F(PessimisticLocksTest, WhoWaitsIsToldThatTheLeaderIsAnother) {
  const Timestamp first = Now(), second = Now();
  EXPECT_EQ("locked, absent", Await(Ask(Key("a"), first)));
  const Answer waits = Ask(Key("a"), second);
  EXPECT_EQ("waits", Await(waits, Milliseconds(100)));
  const std::size_t next = (leader_ + 1) % kStores;
  HandLocksOver(
      store(leader_), kv().scheduler(), processes_[leader_].machine->NewExecutor("hand"), kRegion,
      [this, next, old = leader_] { store(old).TransferLeadership(kRegion, PeerOf(0, next)); });
  EXPECT_THAT(Await(waits, Milliseconds(500)), HasSubstr("not the leader"));
  EXPECT_EQ(0u, kv().locks().waiting());
  // The lock is where it was.
  world_.RunFor(Seconds(1));
  leader_ = next;
  const Answer again = Ask(Key("a"), second);
  EXPECT_EQ("waits", Await(again, Milliseconds(100)));
  GiveUp(Key("a"), first);
  EXPECT_EQ("locked, absent", Await(again, Milliseconds(50)));
}

TEST_F(PessimisticLocksTest, OneThatCannotHaveAllItsKeysWaitsForTheFirstThatIsHeld) {
  const Timestamp first = Now(), second = Now(), third = Now();
  EXPECT_EQ("locked, absent", Await(Ask(Key("b"), first)));
  EXPECT_EQ("locked, absent", Await(Ask(Key("c"), second)));
  Answer answer = std::make_shared<std::optional<std::string>>();
  kv().PessimisticLock(Header(),
                       {.lock = {.keys = {{.key = Key("a")}, {.key = Key("b")}, {.key = Key("c")}},
                                 .primary = Key("a"),
                                 .start = third,
                                 .for_update = third,
                                 .ttl_ms = 1000}},
                       [answer](PessimisticLocks::Reply reply) { *answer = Show(reply); });
  EXPECT_EQ("waits", Await(answer, Milliseconds(100)));
  GiveUp(Key("b"), first);
  EXPECT_EQ("waits", Await(answer, Milliseconds(100)));
  // What it does not have it does not keep from others.
  EXPECT_EQ("locked, absent", Await(Ask(Key("b"), first), Milliseconds(50)));
  GiveUp(Key("b"), first);
  GiveUp(Key("c"), second);
  EXPECT_EQ("locked, absent", Await(answer, Milliseconds(100)));
}

}  // namespace
}  // namespace rutile::store
