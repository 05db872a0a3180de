// Commits without a second phase.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "client/testing/txn_client_testing.h"
#include "client/txn_client.h"
#include "proto/errorpb.pb.h"
#include "proto/kvrpcpb.pb.h"

namespace rutile::client {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::string LockedUntil(std::uint64_t min_commit) {
  kvrpcpb::PrewriteResponse response;
  response.set_min_commit_ts(min_commit);
  return response.SerializeAsString();
}
std::string DoneAt(std::uint64_t commit) {
  kvrpcpb::PrewriteResponse response;
  response.set_one_pc_commit_ts(commit);
  return response.SerializeAsString();
}
std::string Conflict(const std::string& key) {
  kvrpcpb::KeyError error;
  error.mutable_conflict()->set_key(key);
  return PrewriteError(error);
}

class AsyncCommit : public TxnClientTest {
 protected:
  AsyncCommit() { options_ = {.use_async_commit = true, .try_one_phase = false}; }
  // Later than all timestamps that have been given, as those that stores choose.
  std::uint64_t Later(std::uint64_t by) const { return (stores_.clock_ms << 18) + 1000 + by; }

  std::string Status(const kvrpcpb::LockInfo& lock) {
    kvrpcpb::CheckTxnStatusResponse response;
    response.set_lock_ttl(3000);
    *response.mutable_lock_info() = lock;
    return response.SerializeAsString();
  }
  kvrpcpb::LockInfo AsyncLock(const std::string& key, std::uint64_t min_commit) {
    kvrpcpb::LockInfo lock = LockOf(key, 5, 3000);
    lock.set_use_async_commit(true);
    lock.set_min_commit_ts(min_commit);
    return lock;
  }
  std::string Secondary(const kvrpcpb::LockInfo& lock) {
    kvrpcpb::CheckSecondaryLocksResponse response;
    *response.add_locks() = lock;
    return response.SerializeAsString();
  }
};

TEST_F(AsyncCommit, IsDoneWhenAllKeysAreLockedAtTheHighestTimestampOfThem) {
  auto transaction = BeginWriting({"a", "b", "z"});
  const std::uint64_t first = Later(1), second = Later(2);
  stores_.answers["KvPrewrite"] = {LockedUntil(second), LockedUntil(first)};
  EXPECT_EQ("committed", Commit(*transaction));
  EXPECT_EQ(second, commit_.value());
  EXPECT_THAT(Strings(stores_.calls.begin(), stores_.calls.begin() + 3),
              ElementsAre("ts", "KvPrewrite a b", "KvPrewrite z"));
  Settle();
  EXPECT_THAT(stores_.calls, Contains("KvCommit a b"));
  EXPECT_THAT(stores_.calls, Contains("KvCommit z"));
  EXPECT_EQ(second, Last<kvrpcpb::CommitRequest>("KvCommit").commit_version());
}

TEST_F(AsyncCommit, ThePrimaryNamesTheOtherKeysAndTheBoundsGoAlong) {
  Connect({.commit_window = Seconds(3)});
  auto transaction = BeginWriting({"a", "b", "c"});
  stores_.answers["KvPrewrite"] = {LockedUntil(Later(1))};
  EXPECT_EQ("committed", Commit(*transaction));
  const auto prewrite = Last<kvrpcpb::PrewriteRequest>("KvPrewrite");
  EXPECT_TRUE(prewrite.use_async_commit());
  EXPECT_FALSE(prewrite.try_one_pc());
  EXPECT_THAT(prewrite.secondaries(), ElementsAre("b", "c"));
  // Later than all that was committed before, which a timestamp tells that was taken for that.
  EXPECT_GT(prewrite.min_commit_ts(), transaction->start().value() + 1);
  EXPECT_EQ(3000u << 18, prewrite.max_commit_ts() - prewrite.min_commit_ts() + 1);
}

TEST_F(AsyncCommit, OfWhichOneStoreDeclinesTakesTwoPhases) {
  auto transaction = BeginWriting({"a", "z"});
  stores_.answers["KvPrewrite"] = {LockedUntil(Later(1)), LockedUntil(0)};
  EXPECT_EQ("committed", Commit(*transaction));
  Settle();
  EXPECT_THAT(stores_.calls,
              ElementsAre("ts", "KvPrewrite a", "KvPrewrite z", "ts", "KvCommit a", "KvCommit z"));
}

TEST_F(AsyncCommit, IsNotForManyKeysNorLongOnesNorThoseThatAreOnlyLookedAt) {
  Connect({.async_keys = 2, .async_key_bytes = 10});
  const auto asks = [&](Transaction& transaction) {
    EXPECT_EQ("committed", Commit(transaction));
    return Last<kvrpcpb::PrewriteRequest>("KvPrewrite").use_async_commit();
  };
  EXPECT_TRUE(asks(*BeginWriting({"a", "b"})));
  EXPECT_FALSE(asks(*BeginWriting({"a", "b", "c"})));
  EXPECT_TRUE(asks(*BeginWriting({"aaaaaaaaaa"})));
  EXPECT_FALSE(asks(*BeginWriting({"aaaaaaaaaaa"})));
  auto checking = BeginWriting({"a"});
  checking->Insert("b", "1");
  checking->Delete("b");
  EXPECT_FALSE(asks(*checking));
}

TEST_F(AsyncCommit, ThatConflictsIsRolledBackIfAllWasAnswered) {
  auto transaction = BeginWriting({"a", "z"});
  stores_.answers["KvPrewrite"] = {LockedUntil(Later(1)), Conflict("z")};
  EXPECT_EQ("write-conflict", Commit(*transaction));
  Settle();
  EXPECT_THAT(stores_.calls, Not(Contains(HasSubstr("KvCheckTxnStatus"))));
  EXPECT_THAT(stores_.calls, Contains("KvBatchRollback a"));
}

// The attempt that was not answered may come when the conflict is gone, and lock the last key.
TEST_F(AsyncCommit, ThatConflictsAfterALostAnswerIsAskedFor) {
  auto transaction = BeginWriting({"a", "b"});
  stores_.answers["KvPrewrite"] = {Lost(), Conflict("b")};
  EXPECT_EQ("write-conflict", Commit(*transaction));
  const auto status = Last<kvrpcpb::CheckTxnStatusRequest>("KvCheckTxnStatus");
  EXPECT_EQ("a", status.primary_key());
  EXPECT_TRUE(status.rollback_if_not_exist());
  Settle();
  EXPECT_THAT(stores_.calls, Contains("KvBatchRollback a b"));
}

TEST_F(AsyncCommit, WhoseLocksAreAllThereIsCommittedWhateverWasSaidOfThem) {
  auto transaction = BeginWriting({"a", "b"});
  stores_.answers["KvPrewrite"] = {Lost(), Conflict("b")};
  kvrpcpb::LockInfo primary = AsyncLock("a", Later(3));
  primary.add_secondaries("b");
  stores_.answers["KvCheckTxnStatus"] = {Status(primary)};
  stores_.answers["KvCheckSecondaryLocks"] = {Secondary(AsyncLock("b", Later(7)))};
  EXPECT_EQ("committed", Commit(*transaction));
  EXPECT_EQ(Later(7), commit_.value());
  Settle();
  EXPECT_THAT(stores_.calls, Contains("KvCommit a b"));
  EXPECT_THAT(stores_.calls, Not(Contains(HasSubstr("KvBatchRollback"))));
}

TEST_F(AsyncCommit, OfWhichALockNeverComesHasFailed) {
  auto transaction = BeginWriting({"a", "b"});
  stores_.answers["KvPrewrite"] = {Lost(), Conflict("b")};
  kvrpcpb::LockInfo primary = AsyncLock("a", Later(3));
  primary.add_secondaries("b");
  stores_.answers["KvCheckTxnStatus"] = {Status(primary)};
  EXPECT_EQ("write-conflict", Commit(*transaction));
  EXPECT_THAT(stores_.calls, Contains("KvCheckSecondaryLocks b"));
}

TEST_F(AsyncCommit, OfWhichNobodyKnowsIsUndeterminedAndLeftAlone) {
  Connect({.timeout = Seconds(2)});
  stores_.answers["KvPrewrite"] = std::deque<FakeStores::Answer>(1000, Lost());
  stores_.answers["KvCheckTxnStatus"] = std::deque<FakeStores::Answer>(1000, Lost());
  EXPECT_EQ("undetermined", Commit(*BeginWriting({"a", "z"})));
  Settle();
  EXPECT_THAT(stores_.calls, Not(Contains(HasSubstr("KvBatchRollback"))));
  // Without the other end of the line there is nothing to be uncertain about.
  stores_.answers["KvPrewrite"] = std::deque<FakeStores::Answer>(1000, Busy());
  EXPECT_EQ("unavailable", Commit(*BeginWriting({"a", "z"})));
}

TEST_F(AsyncCommit, AnswersWhenAllKeysAreCommittedIfItIsTold) {
  Connect({.await_all_keys = true});
  stores_.answers["KvPrewrite"] = {LockedUntil(Later(1))};
  stores_.answers["KvCommit"] = {Busy()};
  EXPECT_EQ("committed", Commit(*BeginWriting({"a", "b"})));
  EXPECT_THAT(stores_.calls, ElementsAre("ts", "KvPrewrite a b", "KvCommit a b", "KvCommit a b"));
}

class OnePhase : public AsyncCommit {
 protected:
  OnePhase() { options_ = {.use_async_commit = false, .try_one_phase = true}; }
};

TEST_F(OnePhase, IsDoneWithOneRequest) {
  auto transaction = BeginWriting({"a", "b"});
  stores_.answers["KvPrewrite"] = {DoneAt(Later(4))};
  EXPECT_EQ("committed", Commit(*transaction));
  EXPECT_EQ(Later(4), commit_.value());
  Settle();
  EXPECT_THAT(stores_.calls, ElementsAre("ts", "KvPrewrite a b"));
  EXPECT_TRUE(Last<kvrpcpb::PrewriteRequest>("KvPrewrite").try_one_pc());
}

// Part of a transaction in one phase would be committed without the rest.
TEST_F(OnePhase, IsNotForKeysOfTwoRegions) {
  EXPECT_EQ("committed", Commit(*BeginWriting({"a", "z"})));
  EXPECT_FALSE(Last<kvrpcpb::PrewriteRequest>("KvPrewrite").try_one_pc());
  Settle();
  EXPECT_THAT(stores_.calls,
              ElementsAre("ts", "KvPrewrite a", "KvPrewrite z", "ts", "KvCommit a", "KvCommit z"));
}

TEST_F(OnePhase, AlsoWhenTheRegionIsSplitMeanwhile) {
  stores_.one_region = true;
  stores_.answers["KvPrewrite"] = {DoneAt(Later(4))};
  EXPECT_EQ("committed", Commit(*BeginWriting({"a"})));
  stores_.one_region = false;
  errorpb::Error split;
  *split.mutable_epoch_not_match()->add_current_regions() = stores_.Region(1);
  *split.mutable_epoch_not_match()->add_current_regions() = stores_.Region(2);
  stores_.answers["KvPrewrite"] = {split};
  EXPECT_EQ("committed", Commit(*BeginWriting({"a", "z"})));
  EXPECT_FALSE(Last<kvrpcpb::PrewriteRequest>("KvPrewrite").try_one_pc());
  EXPECT_THAT(stores_.calls, Contains("KvCommit a"));
}

TEST_F(OnePhase, IsNotForWhatIsTooLargeForOneRequest) {
  Connect({.batch_keys = 2});
  EXPECT_EQ("committed", Commit(*BeginWriting({"a", "b", "c"})));
  EXPECT_FALSE(Last<kvrpcpb::PrewriteRequest>("KvPrewrite").try_one_pc());
  EXPECT_THAT(stores_.calls, Not(Contains("KvPrewrite a b c")));
}

TEST_F(OnePhase, ThatAStoreDeclinesTakesTwo) {
  EXPECT_EQ("committed", Commit(*BeginWriting({"a"})));
  EXPECT_THAT(stores_.calls, ElementsAre("ts", "KvPrewrite a", "ts", "KvCommit a"));
}

TEST_F(OnePhase, ThatSeemsToFailAfterALostAnswerMayBeCommitted) {
  stores_.answers["KvPrewrite"] = {Lost(), Conflict("a")};
  stores_.answers["KvCheckTxnStatus"] = {CommittedAt(Later(9))};
  EXPECT_EQ("committed", Commit(*BeginWriting({"a"})));
  EXPECT_EQ(Later(9), commit_.value());
  stores_.answers["KvPrewrite"] = {Lost(), Conflict("a")};
  EXPECT_EQ("write-conflict", Commit(*BeginWriting({"a"})));
}

// The commit may have been overwritten since, and its record collected.
TEST_F(OnePhase, OfWhichNothingNeedBeKeptIsUndetermined) {
  stores_.answers["KvPrewrite"] = {Lost(), Conflict("a")};
  auto transaction = BeginWriting({"a"});
  stores_.safe_point = transaction->start().value() + 1;
  EXPECT_EQ("undetermined", Commit(*transaction));
  Settle();
  EXPECT_THAT(stores_.calls, Not(Contains(HasSubstr("KvBatchRollback"))));
}

// What fell back to two phases is committed by nobody but its client.
TEST_F(OnePhase, ThatHasFallenBackIsNotAskedFor) {
  stores_.answers["KvPrewrite"] = {Lost()};
  stores_.answers["KvCommit"] = std::deque<FakeStores::Answer>(1000, Busy());
  EXPECT_EQ("unavailable", Commit(*BeginWriting({"a"})));
  EXPECT_THAT(stores_.calls, Not(Contains(HasSubstr("KvCheckTxnStatus"))));
}

}  // namespace
}  // namespace rutile::client
