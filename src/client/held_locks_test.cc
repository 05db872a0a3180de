// Pessimistic transactions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "client/testing/txn_client_testing.h"
#include "client/txn_client.h"
#include "proto/kvrpcpb.pb.h"

namespace rutile::client {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

std::string LockError(const kvrpcpb::KeyError& error) {
  kvrpcpb::PessimisticLockResponse response;
  *response.add_errors() = error;
  return response.SerializeAsString();
}
std::string HasLock(const kvrpcpb::LockInfo& lock) {
  kvrpcpb::KeyError error;
  *error.mutable_locked() = lock;
  return LockError(error);
}
std::string TooEarly() {
  kvrpcpb::KeyError error;
  error.mutable_conflict()->set_reason(kvrpcpb::WriteConflict::PessimisticRetry);
  return LockError(error);
}

class HeldLocksTest : public TxnClientTest {
 protected:
  HeldLocksTest() {
    options_ = {.is_pessimistic = true, .use_async_commit = false, .try_one_phase = false};
    stores_.data = {{"a", "1"}, {"b", "2"}, {"z", "3"}};
  }
  std::shared_ptr<Transaction> BeginQuietly() {
    auto transaction = Begin();
    stores_.calls.clear();
    return transaction;
  }
  // "k=v ..." of what exists, or the error.
  std::string Lock(Transaction& transaction, const Strings& keys, LockOptions options = {}) {
    const auto result = Await<Transaction::Pairs>([&](TxnDone<Transaction::Pairs> done) {
      transaction.Lock(keys, options, std::move(done));
    });
    if (const auto* error = std::get_if<TxnError>(&result)) {
      error_ = *error;
      return std::string(ToString(error->code));
    }
    std::string text;
    for (const auto& [key, value] : std::get<0>(result)) text += key + "=" + value + " ";
    return text;
  }
  std::vector<kvrpcpb::PrewriteRequest::PessimisticAction> Actions() {
    std::vector<kvrpcpb::PrewriteRequest::PessimisticAction> actions;
    const auto prewrite = Last<kvrpcpb::PrewriteRequest>("KvPrewrite");
    for (int i = 0; i < prewrite.pessimistic_actions_size(); ++i) {
      actions.push_back(prewrite.pessimistic_actions(i));
    }
    return actions;
  }
};

TEST_F(HeldLocksTest, LocksAreTakenAtOnceAndTellTheValues) {
  auto transaction = BeginQuietly();
  EXPECT_EQ("a=1 b=2 ", Lock(*transaction, {"b", "a", "c"}));
  const auto lock = Last<kvrpcpb::PessimisticLockRequest>("KvPessimisticLock");
  EXPECT_EQ("a", lock.primary_lock());
  EXPECT_EQ(transaction->start().value(), lock.start_version());
  EXPECT_EQ(transaction->start(), transaction->for_update());
  EXPECT_TRUE(lock.is_first_lock());
  // What it has already it need not ask for.
  EXPECT_EQ("b=2 z=3 ", Lock(*transaction, {"b", "z"}));
  EXPECT_THAT(stores_.calls, ElementsAre("KvPessimisticLock a b c", "KvPessimisticLock z"));
  EXPECT_FALSE(Last<kvrpcpb::PessimisticLockRequest>("KvPessimisticLock").is_first_lock());
}

// Its signs of life are those of all locks.
TEST_F(HeldLocksTest, ThePrimaryKeyIsLockedFirst) {
  EXPECT_EQ("a=1 ", Lock(*BeginQuietly(), {"a"}));  // The regions are known now.
  EXPECT_EQ("z=3 ", Lock(*BeginQuietly(), {"z"}));
  auto transaction = BeginQuietly();
  kvrpcpb::LockInfo other = LockOf("a", 5, 3000);
  stores_.answers["KvPessimisticLock"] = {HasLock(other)};
  stores_.answers["KvCheckTxnStatus"] = {Lives()};
  EXPECT_EQ("a=1 z=3 ", Lock(*transaction, {"a", "z"}));
  EXPECT_THAT(stores_.calls, ElementsAre("KvPessimisticLock a", "ts", "KvCheckTxnStatus p",
                                         "KvPessimisticLock a", "KvPessimisticLock z"));
}

TEST_F(HeldLocksTest, ACommitMeanwhileMakesItLockAtALaterTimestamp) {
  auto transaction = BeginQuietly();
  stores_.answers["KvPessimisticLock"] = {TooEarly(), TooEarly()};
  EXPECT_EQ("a=1 ", Lock(*transaction, {"a"}));
  EXPECT_THAT(stores_.calls, ElementsAre("KvPessimisticLock a", "ts", "KvPessimisticLock a", "ts",
                                         "KvPessimisticLock a"));
  EXPECT_GT(transaction->for_update(), transaction->start());
  EXPECT_EQ(transaction->for_update().value(),
            Last<kvrpcpb::PessimisticLockRequest>("KvPessimisticLock").for_update_ts());
}

TEST_F(HeldLocksTest, WhoWaitsAsksAgainUntilItsTimeIsUp) {
  auto transaction = BeginQuietly();
  stores_.answers["KvPessimisticLock"] =
      std::deque<FakeStores::Answer>(1000, HasLock(LockOf("a", 5, 3000)));
  stores_.answers["KvCheckTxnStatus"] = std::deque<FakeStores::Answer>(1000, Lives());
  const Duration began = world_.Now();
  EXPECT_EQ("locked", Lock(*transaction, {"a"}, {.wait = Seconds(1)}));
  EXPECT_LE(world_.Now() - began, Seconds(1));
  EXPECT_GT(world_.Now() - began, Milliseconds(400));
  EXPECT_EQ("a", error_.key);
  Settle();
  EXPECT_THAT(stores_.calls, Contains("KVPessimisticRollback a"));
}

TEST_F(HeldLocksTest, WhoDoesNotWaitIsToldAtOnce) {
  auto transaction = BeginQuietly();
  stores_.answers["KvPessimisticLock"] = {HasLock(LockOf("a", 5, 3000))};
  stores_.answers["KvCheckTxnStatus"] = {Lives()};
  EXPECT_EQ("locked", Lock(*transaction, {"a"}, {.wait = Duration()}));
  EXPECT_LT(Last<kvrpcpb::PessimisticLockRequest>("KvPessimisticLock").wait_timeout(), 0);
  // A lock that nobody has any more is no reason to wait.
  stores_.answers["KvPessimisticLock"] = {HasLock(LockOf("a", 5, 3000))};
  EXPECT_EQ("a=1 ", Lock(*transaction, {"a"}, {.wait = Duration()}));
}

TEST_F(HeldLocksTest, ACircleOfWaitsIsTold) {
  auto transaction = BeginQuietly();
  EXPECT_EQ("b=2 ", Lock(*transaction, {"b"}));
  kvrpcpb::KeyError error;
  error.mutable_deadlock()->set_lock_ts(7);
  error.mutable_deadlock()->set_lock_key("a");
  auto* wait = error.mutable_deadlock()->add_wait_chain();
  wait->set_txn(7);
  wait->set_wait_for_txn(9);
  wait->set_key("b");
  stores_.answers["KvPessimisticLock"] = {LockError(error)};
  EXPECT_EQ("deadlock", Lock(*transaction, {"a"}));
  EXPECT_EQ("a", error_.key);
  EXPECT_EQ(Timestamp(7), error_.conflict_start);
  EXPECT_THAT(error_.message, HasSubstr("7 waits for 9 on b"));
}

// Locks of a statement that failed are given up as of its timestamp. A later one must not be hit.
TEST_F(HeldLocksTest, AStatementThatFailedLeavesNothingAndTheNextIsLater) {
  auto transaction = BeginQuietly();
  EXPECT_EQ("b=2 ", Lock(*transaction, {"b"}));
  stores_.answers["KvPessimisticLock"] = {
      std::deque<FakeStores::Answer>::value_type(HasLock(LockOf("a", 5, 3000)))};
  stores_.answers["KvCheckTxnStatus"] = {Lives()};
  EXPECT_EQ("locked", Lock(*transaction, {"a", "z"}, {.wait = Duration()}));
  Settle();
  EXPECT_THAT(stores_.calls, Contains("KVPessimisticRollback a"));
  EXPECT_THAT(stores_.calls, Contains("KVPessimisticRollback z"));
  EXPECT_THAT(stores_.calls, Not(Contains("KVPessimisticRollback b")));
  const auto rollback = Last<kvrpcpb::PessimisticRollbackRequest>("KVPessimisticRollback");
  EXPECT_EQ("a=1 ", Lock(*transaction, {"a"}));
  EXPECT_GT(Last<kvrpcpb::PessimisticLockRequest>("KvPessimisticLock").for_update_ts(),
            rollback.for_update_ts());
}

TEST_F(HeldLocksTest, TheCommitSaysWhatIsLockedAndWhatIsNot) {
  auto transaction = BeginQuietly();
  stores_.answers["KvPessimisticLock"] = {TooEarly()};
  EXPECT_EQ("b=2 ", Lock(*transaction, {"b", "c"}));
  transaction->Put("a", "7");
  transaction->Put("b", "8");
  EXPECT_EQ("committed", Commit(*transaction));
  const auto prewrite = Last<kvrpcpb::PrewriteRequest>("KvPrewrite");
  EXPECT_EQ("b", prewrite.primary_lock());
  EXPECT_EQ(transaction->for_update().value(), prewrite.for_update_ts());
  ASSERT_EQ(3, prewrite.mutations_size());
  EXPECT_EQ("a", prewrite.mutations(0).key());
  EXPECT_EQ(kvrpcpb::Put, prewrite.mutations(1).op());
  EXPECT_EQ(kvrpcpb::Lock, prewrite.mutations(2).op());  // Locked, and not written.
  using Request = kvrpcpb::PrewriteRequest;
  EXPECT_THAT(Actions(), ElementsAre(Request::DO_CONSTRAINT_CHECK, Request::DO_PESSIMISTIC_CHECK,
                                     Request::DO_PESSIMISTIC_CHECK));
}

TEST_F(HeldLocksTest, AnInsertOfALockedKeyIsDecidedByWhatTheLockTold) {
  auto transaction = BeginQuietly();
  Lock(*transaction, {"a", "c"});
  transaction->Insert("c", "7");
  EXPECT_EQ("committed", Commit(*transaction));
  const auto prewrite = Last<kvrpcpb::PrewriteRequest>("KvPrewrite");
  EXPECT_EQ(kvrpcpb::Put, prewrite.mutations(1).op());

  auto other = BeginQuietly();
  Lock(*other, {"a", "c"});
  other->Insert("a", "7");
  EXPECT_EQ("already-exists", Commit(*other));
  EXPECT_EQ("a", error_.key);
  Settle();
  EXPECT_THAT(stores_.calls, Contains("KVPessimisticRollback a c"));
}

TEST_F(HeldLocksTest, ALockThatIsGoneFailsTheCommit) {
  auto transaction = BeginQuietly();
  Lock(*transaction, {"a"});
  kvrpcpb::KeyError gone;
  gone.mutable_conflict()->set_reason(kvrpcpb::WriteConflict::NotLockedKeyConflict);
  gone.mutable_conflict()->set_key("a");
  stores_.answers["KvPrewrite"] = {PrewriteError(gone)};
  EXPECT_EQ("rolled-back", Commit(*transaction));
}

TEST_F(HeldLocksTest, SignsOfLifeAreGivenUntilTheEnd) {
  auto transaction = BeginQuietly();
  Lock(*transaction, {"a"});
  world_.RunFor(Seconds(10));
  EXPECT_GE(std::ranges::count(stores_.calls, "KvTxnHeartBeat a"), 5);
  EXPECT_GT(Last<kvrpcpb::TxnHeartBeatRequest>("KvTxnHeartBeat").advise_lock_ttl(), 10'000u);
  transaction->Rollback();
  Settle();
  EXPECT_EQ("KVPessimisticRollback a", stores_.calls.back());
}

TEST_F(HeldLocksTest, ButNotForEver) {
  Connect({.max_life = Seconds(5)});
  auto transaction = BeginQuietly();
  Lock(*transaction, {"a"});
  world_.RunFor(Seconds(60));
  EXPECT_LE(std::ranges::count(stores_.calls, "KvTxnHeartBeat a"), 4);
}

TEST_F(HeldLocksTest, WhoIsForgottenGivesUpWhatIsLocked) {
  auto transaction = BeginQuietly();
  Lock(*transaction, {"a"});
  transaction = nullptr;
  Settle();
  EXPECT_EQ("KVPessimisticRollback a", stores_.calls.back());
}

TEST_F(HeldLocksTest, WithoutLocksOrWritesNothingIsSent) {
  auto transaction = BeginQuietly();
  EXPECT_EQ("committed", Commit(*transaction));
  EXPECT_THAT(stores_.calls, IsEmpty());
}

TEST_F(HeldLocksTest, AnOptimisticOneLocksNothing) {
  options_.is_pessimistic = false;
  auto transaction = BeginQuietly();
  EXPECT_EQ("refused", Lock(*transaction, {"a"}));
  options_.is_pessimistic = true;
  transaction = BeginQuietly();
  transaction->Rollback();
  EXPECT_EQ("refused", Lock(*transaction, {"a"}));
  EXPECT_THAT(stores_.calls, Not(Contains(StartsWith("KvPessimisticLock"))));
}

}  // namespace
}  // namespace rutile::client
