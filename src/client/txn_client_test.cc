#include "client/txn_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "client/testing/txn_client_testing.h"
#include "proto/errorpb.pb.h"
#include "proto/kvrpcpb.pb.h"
#include "proto/pdpb.pb.h"

namespace rutile::client {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;

TEST_F(TxnClientTest, LocksAllKeysAndDecidesAtThePrimary) {
  auto transaction = BeginWriting({"z", "a", "b"});
  EXPECT_EQ("committed", Commit(*transaction));
  EXPECT_GT(commit_, transaction->start());
  Settle();
  // The regions are not known yet when the keys are grouped.
  EXPECT_THAT(stores_.calls, ElementsAre("KvPrewrite a b", "KvPrewrite z", "ts", "KvCommit a",
                                         "KvCommit b", "KvCommit z"));
  const auto prewrite = Last<kvrpcpb::PrewriteRequest>("KvPrewrite");
  EXPECT_EQ("a", prewrite.primary_lock());
  EXPECT_EQ(transaction->start().value(), prewrite.start_version());
  EXPECT_EQ(3u, prewrite.txn_size());
  EXPECT_EQ(commit_.value(), Last<kvrpcpb::CommitRequest>("KvCommit").commit_version());
}

TEST_F(TxnClientTest, KnownRegionsAreAskedAtTheSameTimeInBatches) {
  Connect({.batch_keys = 2});
  EXPECT_EQ("committed", Commit(*BeginWriting({"a", "z"})));
  Settle();
  EXPECT_EQ("committed", Commit(*BeginWriting({"a", "b", "c", "y", "z"})));
  EXPECT_THAT(Strings(stores_.calls.begin(), stores_.calls.begin() + 3),
              ElementsAre("KvPrewrite a b", "KvPrewrite c", "KvPrewrite y z"));
}

TEST_F(TxnClientTest, ABatchHasNoMoreBytesThanItMay) {
  Connect({.batch_bytes = 10});
  EXPECT_EQ("committed", Commit(*BeginWriting({"a"})));
  auto transaction = Begin();
  for (const char* key : {"a", "b", "c"}) transaction->Put(key, "1234");
  stores_.calls.clear();
  EXPECT_EQ("committed", Commit(*transaction));
  EXPECT_THAT(stores_.calls, Contains("KvPrewrite a b"));
  EXPECT_THAT(stores_.calls, Contains("KvPrewrite c"));
}

TEST_F(TxnClientTest, KeysOfARegionThatWasSplitMeanwhileAreSentToBothParts) {
  stores_.one_region = true;
  EXPECT_EQ("committed", Commit(*BeginWriting({"a"})));
  stores_.one_region = false;
  errorpb::Error split;
  *split.mutable_epoch_not_match()->add_current_regions() = stores_.Region(1);
  *split.mutable_epoch_not_match()->add_current_regions() = stores_.Region(2);
  stores_.answers["KvPrewrite"] = {split};
  EXPECT_EQ("committed", Commit(*BeginWriting({"a", "z"})));
  EXPECT_THAT(Strings(stores_.calls.begin(), stores_.calls.begin() + 3),
              ElementsAre("KvPrewrite a z", "KvPrewrite a", "KvPrewrite z"));
}

TEST_F(TxnClientTest, WithoutWritesNothingIsSent) {
  auto transaction = BeginWriting({});
  EXPECT_EQ("committed", Commit(*transaction));
  EXPECT_EQ(transaction->start(), commit_);
  EXPECT_THAT(stores_.calls, IsEmpty());
}

TEST_F(TxnClientTest, ReadsItsOwnWritesOverWhatIsStored) {
  stores_.data = {{"a", "old"}, {"b", "old"}, {"n", "old"}};
  auto transaction = BeginWriting({"b", "o"});
  transaction->Delete("n");
  EXPECT_EQ("old", Get(*transaction, "a"));
  EXPECT_EQ("1", Get(*transaction, "b"));
  EXPECT_EQ("absent", Get(*transaction, "n"));
  EXPECT_EQ("absent", Get(*transaction, "q"));
  EXPECT_THAT(stores_.calls, ElementsAre("KvBatchGet a", "KvBatchGet q"));
  EXPECT_EQ(transaction->start().value(), Last<kvrpcpb::BatchGetRequest>("KvBatchGet").version());
}

TEST_F(TxnClientTest, AScanGoesOverRegionsAndMergesItsOwnWrites) {
  stores_.data = {{"a", "old"}, {"b", "old"}, {"n", "old"}, {"o", "old"}, {"p", "old"}};
  auto transaction = BeginWriting({"b", "c", "q"});
  transaction->Delete("n");
  const auto scan = [&](const char* from, const char* to, std::size_t limit) {
    return Scanned(*transaction, &Transaction::Scan, from, to, limit);
  };
  EXPECT_EQ("a=old b=1 c=1 o=old p=old q=1 ", scan("", "", 100));
  EXPECT_EQ("b=1 c=1 o=old ", scan("b", "", 3));
  EXPECT_EQ("b=1 c=1 ", scan("b", "o", 3));
  EXPECT_EQ("", scan("d", "o", 3));
  EXPECT_EQ("", scan("d", "c", 3));
}

TEST_F(TxnClientTest, InAKeyspaceKeysAreSentBehindItsPrefixAndReadWithoutIt) {
  Connect({.api = codec::ApiVersion::kV2, .keyspace = 0x616263});
  stores_.data = {{"xabba", "other"}, {"xabca", "old"}, {"xabcb", "old"}, {"xabda", "other"}};
  auto transaction = BeginWriting({"b", "c"});
  EXPECT_EQ("old", Get(*transaction, "a"));
  EXPECT_EQ("1", Get(*transaction, "c"));
  EXPECT_EQ("a=old b=1 c=1 ", Scanned(*transaction, &Transaction::Scan, "", "", 100));
  EXPECT_EQ("c=1 b=1 a=old ", Scanned(*transaction, &Transaction::ReverseScan, "", "", 100));
  const auto scan = Last<kvrpcpb::ScanRequest>("KvScan");
  EXPECT_EQ("xabd", scan.start_key());
  EXPECT_EQ("xabc", scan.end_key());
  EXPECT_EQ(kvrpcpb::V2, scan.context().api_version());
  EXPECT_EQ("committed", Commit(*transaction));
  EXPECT_THAT(stores_.calls, Contains("KvPrewrite xabcb xabcc"));
}

TEST_F(TxnClientTest, InAKeyspaceAnErrorNamesTheUsersKey) {
  Connect({.api = codec::ApiVersion::kV2, .keyspace = 0x616263});
  kvrpcpb::KeyError exists;
  exists.mutable_already_exist()->set_key("xabca");
  stores_.answers["KvPrewrite"] = {PrewriteError(exists)};
  auto transaction = BeginWriting({"a"});
  const auto result = Await<Timestamp>([&](auto done) { transaction->Commit(std::move(done)); });
  EXPECT_EQ("a", std::get<TxnError>(result).key);
}

TEST_F(TxnClientTest, AReverseScanGoesDownOverRegionsAndMergesItsOwnWrites) {
  stores_.data = {{"a", "old"}, {"b", "old"}, {"n", "old"}, {"o", "old"}, {"p", "old"}};
  auto transaction = BeginWriting({"b", "c", "q"});
  transaction->Delete("n");
  const auto scan = [&](const char* from, const char* to, std::size_t limit) {
    return Scanned(*transaction, &Transaction::ReverseScan, from, to, limit);
  };
  EXPECT_EQ("q=1 p=old o=old c=1 b=1 a=old ", scan("", "", 100));
  EXPECT_EQ("o=old c=1 b=1 ", scan("b", "p", 3));
  EXPECT_EQ("c=1 b=1 ", scan("b", "o", 3));
  EXPECT_EQ("c=1 b=1 a=old ", scan("", "m", 100));  // The border of two regions.
  EXPECT_EQ("", scan("d", "m", 3));
  EXPECT_EQ("", scan("d", "c", 3));
}

TEST_F(TxnClientTest, AConflictIsSaidAndAllKeysAreRolledBack) {
  auto transaction = BeginWriting({"a", "z"});
  kvrpcpb::KeyError error;
  error.mutable_conflict()->set_key("a");
  error.mutable_conflict()->set_conflict_ts(7);
  error.mutable_conflict()->set_conflict_commit_ts(8);
  stores_.answers["KvPrewrite"] = {PrewriteError(error)};
  EXPECT_EQ("write-conflict", Commit(*transaction));
  EXPECT_EQ("a", error_.key);
  EXPECT_EQ(Timestamp(7), error_.conflict_start);
  EXPECT_EQ(Timestamp(8), error_.conflict_commit);
  Settle();
  EXPECT_THAT(stores_.calls, Contains("KvBatchRollback a"));
  EXPECT_THAT(stores_.calls, Contains("KvBatchRollback z"));
  EXPECT_THAT(stores_.calls, Not(Contains(HasSubstr("KvCommit"))));
}

TEST_F(TxnClientTest, WhatElseAPrewriteFailsOfHasItsOwnCode) {
  kvrpcpb::KeyError exists, rolled_back, refused;
  exists.mutable_already_exist()->set_key("a");
  rolled_back.mutable_conflict()->set_reason(kvrpcpb::WriteConflict::SelfRolledBack);
  refused.set_abort("the value is too long");
  stores_.answers["KvPrewrite"] = {PrewriteError(exists), PrewriteError(rolled_back),
                                   PrewriteError(refused)};
  auto transaction = BeginWriting({});
  transaction->Insert("a", "1");
  EXPECT_EQ("already-exists", Commit(*transaction));
  EXPECT_EQ("a", error_.key);
  EXPECT_EQ(kvrpcpb::Insert, Last<kvrpcpb::PrewriteRequest>("KvPrewrite").mutations(0).op());
  EXPECT_EQ("rolled-back", Commit(*BeginWriting({"a"})));
  EXPECT_EQ("refused", Commit(*BeginWriting({"a"})));
}

// A check leaves no lock, so that it can be no primary and has nothing to be committed.
TEST_F(TxnClientTest, WhatIsOnlyCheckedIsNotCommitted) {
  auto transaction = BeginWriting({"b"});
  transaction->Insert("a", "1");
  transaction->Delete("a");
  EXPECT_EQ("committed", Commit(*transaction));
  EXPECT_EQ("b", Last<kvrpcpb::PrewriteRequest>("KvPrewrite").primary_lock());
  Settle();
  EXPECT_THAT(stores_.calls, ElementsAre("KvPrewrite a b", "ts", "KvCommit b"));
}

TEST_F(TxnClientTest, AReaderBringsTheLocksOfACommittedTransactionToTheirEnd) {
  auto transaction = Begin();
  stores_.calls.clear();
  stores_.data = {{"a", "new"}};
  stores_.answers["KvBatchGet"] = {ReadLocked(LockOf("a", 5, 3000))};
  stores_.answers["KvCheckTxnStatus"] = {CommittedAt(9)};
  EXPECT_EQ("new", Get(*transaction, "a"));
  EXPECT_THAT(stores_.calls, ElementsAre("KvBatchGet a", "ts", "KvCheckTxnStatus p",
                                         "KvResolveLock a", "KvBatchGet a"));
  const auto resolve = Last<kvrpcpb::ResolveLockRequest>("KvResolveLock");
  EXPECT_EQ(5u, resolve.start_version());
  EXPECT_EQ(9u, resolve.commit_version());
}

// The prewrite of the primary may still be on its way while the lock is young.
TEST_F(TxnClientTest, OnlyAnOldLockMayBeRolledBackWithoutItsPrimary) {
  auto transaction = Begin();
  kvrpcpb::CheckTxnStatusResponse nothing;
  nothing.mutable_error()->mutable_txn_not_found()->set_start_ts(5);
  const kvrpcpb::LockInfo lock = LockOf("a", stores_.Now(), 3000);
  stores_.answers["KvBatchGet"] = {ReadLocked(lock)};
  stores_.answers["KvCheckTxnStatus"] = {nothing.SerializeAsString()};
  EXPECT_EQ("absent", Get(*transaction, "a"));
  EXPECT_FALSE(Last<kvrpcpb::CheckTxnStatusRequest>("KvCheckTxnStatus").rollback_if_not_exist());
  EXPECT_THAT(stores_.calls, Not(Contains(HasSubstr("KvResolveLock"))));

  stores_.clock_ms += 3001;
  stores_.answers["KvBatchGet"] = {ReadLocked(lock)};
  EXPECT_EQ("absent", Get(*transaction, "a"));
  EXPECT_TRUE(Last<kvrpcpb::CheckTxnStatusRequest>("KvCheckTxnStatus").rollback_if_not_exist());
  EXPECT_EQ(0u, Last<kvrpcpb::ResolveLockRequest>("KvResolveLock").commit_version());
}

TEST_F(TxnClientTest, AReaderWaitsForALockThatLivesAndGivesUpInTheEnd) {
  Connect({.timeout = Seconds(2)});
  auto transaction = Begin();
  stores_.answers["KvBatchGet"] =
      std::deque<FakeStores::Answer>(1000, ReadLocked(LockOf("a", 5, 1)));
  stores_.answers["KvCheckTxnStatus"] = std::deque<FakeStores::Answer>(1000, Lives());
  const Duration began = world_.Now();
  EXPECT_THAT(Get(*transaction, "a"), HasSubstr("locked"));
  EXPECT_LT(world_.Now() - began, Seconds(2));
  EXPECT_GT(world_.Now() - began, Seconds(1));
}

// A rollback record would keep a transaction that lives from taking the key again, which may have
// been given up as its primary.
TEST_F(TxnClientTest, PessimisticLocksOfTheSilentAreTakenAwayWithoutARecord) {
  kvrpcpb::LockInfo lock = LockOf("a", 5, 1);
  lock.set_lock_type(kvrpcpb::PessimisticLock);
  lock.set_lock_for_update_ts(9);
  kvrpcpb::CheckTxnStatusResponse absent;
  absent.set_action(kvrpcpb::LockNotExistDoNothing);
  stores_.answers["KvPrewrite"] = {PrewriteLocked(lock)};
  stores_.answers["KvCheckTxnStatus"] = {absent.SerializeAsString()};
  EXPECT_EQ("committed", Commit(*BeginWriting({"a"})));
  EXPECT_TRUE(
      Last<kvrpcpb::CheckTxnStatusRequest>("KvCheckTxnStatus").resolving_pessimistic_lock());
  const auto rollback = Last<kvrpcpb::PessimisticRollbackRequest>("KVPessimisticRollback");
  EXPECT_EQ(5u, rollback.start_version());
  EXPECT_EQ(9u, rollback.for_update_ts());
  EXPECT_THAT(stores_.calls, Contains("KVPessimisticRollback a"));
  EXPECT_THAT(stores_.calls, Not(Contains(HasSubstr("KvResolveLock"))));
}

// Of another client: ours commit in two phases.
class AsyncLocks : public TxnClientTest {
 protected:
  // A reader meets the lock on "a"; the primary "p" has a lock too, and names "a" and "z".
  std::string Get() {
    auto transaction = Begin();
    stores_.calls.clear();
    stores_.answers["KvBatchGet"] = {ReadLocked(LockOf("a", 5, 3000))};
    kvrpcpb::CheckTxnStatusResponse status;
    status.set_lock_ttl(100);
    *status.mutable_lock_info() = AsyncLock("p", 11);
    status.mutable_lock_info()->add_secondaries("a");
    status.mutable_lock_info()->add_secondaries("z");
    stores_.answers["KvCheckTxnStatus"].push_front(status.SerializeAsString());
    return TxnClientTest::Get(*transaction, "a");
  }
  static kvrpcpb::LockInfo AsyncLock(const std::string& key, std::uint64_t min_commit) {
    kvrpcpb::LockInfo lock = LockOf(key, 5, 100);
    lock.set_use_async_commit(true);
    lock.set_min_commit_ts(min_commit);
    return lock;
  }
  static std::string Locks(const std::vector<kvrpcpb::LockInfo>& locks, std::uint64_t commit) {
    kvrpcpb::CheckSecondaryLocksResponse response;
    for (const kvrpcpb::LockInfo& lock : locks) *response.add_locks() = lock;
    response.set_commit_ts(commit);
    return response.SerializeAsString();
  }
  std::uint64_t ResolvedAt() {
    return Last<kvrpcpb::ResolveLockRequest>("KvResolveLock").commit_version();
  }
};

TEST_F(AsyncLocks, OfAllKeysAreACommit) {
  stores_.answers["KvCheckSecondaryLocks"] = {Locks({AsyncLock("a", 13)}, 0),
                                              Locks({AsyncLock("z", 12)}, 0)};
  EXPECT_EQ("absent", Get());
  EXPECT_EQ(13u, ResolvedAt());
  EXPECT_THAT(stores_.calls, Contains("KvResolveLock a"));
  EXPECT_THAT(stores_.calls, Contains("KvResolveLock p z"));
}

TEST_F(AsyncLocks, OfWhichOneIsMissingSayWhatBecameOfIt) {
  stores_.answers["KvCheckSecondaryLocks"] = {Locks({AsyncLock("a", 13)}, 0), Locks({}, 0)};
  EXPECT_EQ("absent", Get());
  EXPECT_EQ(0u, ResolvedAt());
  stores_.answers["KvCheckSecondaryLocks"] = {Locks({}, 17), Locks({AsyncLock("z", 12)}, 0)};
  EXPECT_EQ("absent", Get());
  EXPECT_EQ(17u, ResolvedAt());
}

TEST_F(AsyncLocks, BesideOneOfTwoPhasesAreJudgedByThePrimary) {
  kvrpcpb::LockInfo plain = AsyncLock("z", 0);
  plain.set_use_async_commit(false);
  stores_.answers["KvCheckSecondaryLocks"] = {Locks({AsyncLock("a", 13)}, 0), Locks({plain}, 0)};
  EXPECT_EQ("absent", Get());
  EXPECT_TRUE(Last<kvrpcpb::CheckTxnStatusRequest>("KvCheckTxnStatus").force_sync_commit());
  EXPECT_EQ(0u, ResolvedAt());
}

TEST_F(TxnClientTest, AReaderPassesALockWhoseCommitWasMadeLater) {
  auto transaction = Begin();
  stores_.data = {{"a", "old"}};
  stores_.answers["KvBatchGet"] = {ReadLocked(LockOf("a", 5, 3000))};
  stores_.answers["KvCheckTxnStatus"] = {Lives(kvrpcpb::MinCommitTSPushed)};
  EXPECT_EQ("old", Get(*transaction, "a"));
  const auto again = Last<kvrpcpb::BatchGetRequest>("KvBatchGet");
  EXPECT_THAT(again.context().resolved_locks(), ElementsAre(5u));
  EXPECT_EQ(transaction->start().value(),
            Last<kvrpcpb::CheckTxnStatusRequest>("KvCheckTxnStatus").caller_start_ts());
}

TEST_F(TxnClientTest, AReadWaitsOnlyForTheKeysThatAreLocked) {
  auto transaction = Begin();
  stores_.data = {{"a", "1"}, {"b", "2"}};
  kvrpcpb::BatchGetResponse half;
  half.add_pairs()->set_key("a");
  half.mutable_pairs(0)->set_value("1");
  *half.add_pairs()->mutable_error()->mutable_locked() = LockOf("b", 5, 3000);
  stores_.answers["KvBatchGet"] = {half.SerializeAsString()};
  stores_.answers["KvCheckTxnStatus"] = {CommittedAt(9)};
  const auto found = Await<Transaction::Pairs>([&](TxnDone<Transaction::Pairs> done) {
    transaction->BatchGet({"b", "a", "c"}, std::move(done));
  });
  EXPECT_THAT(std::get<Transaction::Pairs>(found), ElementsAre(Pair("a", "1"), Pair("b", "2")));
  EXPECT_EQ("KvBatchGet b", stores_.calls.back());
}

TEST_F(TxnClientTest, AWriterWaitsForAnEarlierTransaction) {
  auto transaction = BeginWriting({"a"});
  stores_.answers["KvPrewrite"] = {PrewriteLocked(LockOf("a", 5, 3000)),
                                   PrewriteLocked(LockOf("a", 5, 3000))};
  stores_.answers["KvCheckTxnStatus"] = {Lives()};
  EXPECT_EQ("committed", Commit(*transaction));
  EXPECT_THAT(stores_.calls, ElementsAre("KvPrewrite a", "ts", "KvCheckTxnStatus p", "KvPrewrite a",
                                         "ts", "KvCheckTxnStatus p", "KvResolveLock a",
                                         "KvPrewrite a", "ts", "KvCommit a"));
}

// Two that lock each other's keys would wait in a circle; and who is later commits later.
TEST_F(TxnClientTest, AWriterDoesNotWaitForALaterTransaction) {
  auto transaction = BeginWriting({"a"});
  stores_.answers["KvPrewrite"] = {PrewriteLocked(LockOf("a", stores_.Now(), 3000))};
  EXPECT_EQ("write-conflict", Commit(*transaction));
  EXPECT_THAT(stores_.calls, Not(Contains(HasSubstr("KvCheckTxnStatus"))));
}

TEST_F(TxnClientTest, ACommitThatTakesLongGivesSignsOfLife) {
  EXPECT_EQ("committed", Commit(*BeginWriting({"a", "z"})));  // The regions are known now.
  Settle();
  auto transaction = BeginWriting({"a", "z"});
  stores_.answers["KvPrewrite"] =
      std::deque<FakeStores::Answer>(20, PrewriteLocked(LockOf("z", 5, 3000)));
  stores_.answers["KvPrewrite"].push_front(kvrpcpb::PrewriteResponse().SerializeAsString());
  stores_.answers["KvCheckTxnStatus"] = std::deque<FakeStores::Answer>(20, Lives());
  EXPECT_EQ("committed", Commit(*transaction));
  EXPECT_THAT(stores_.calls, Contains("KvTxnHeartBeat a"));
  // The time of a lock counts from the start.
  EXPECT_GT(Last<kvrpcpb::TxnHeartBeatRequest>("KvTxnHeartBeat").advise_lock_ttl(), 4000u);
  Settle();
  stores_.calls.clear();
  Settle();
  EXPECT_THAT(stores_.calls, IsEmpty());
}

TEST_F(TxnClientTest, LocksOfALargeTransactionLiveLonger) {
  auto transaction = Begin();
  transaction->Put("a", std::string(5 << 20, 'x'));
  EXPECT_EQ("committed", Commit(*transaction));
  const std::uint64_t ttl = Last<kvrpcpb::PrewriteRequest>("KvPrewrite").lock_ttl();
  EXPECT_GE(ttl, 8000u);
  EXPECT_LT(ttl, 8100u);
}

TEST_F(TxnClientTest, ALostCommitIsRepeated) {
  stores_.answers["KvCommit"] = {Lost(), Lost()};
  EXPECT_EQ("committed", Commit(*BeginWriting({"a"})));
}

TEST_F(TxnClientTest, ACommitWithoutAnAnswerIsUndeterminedAndLeftAlone) {
  Connect({.timeout = Seconds(2)});
  stores_.answers["KvCommit"] = std::deque<FakeStores::Answer>(1000, Lost());
  EXPECT_EQ("undetermined", Commit(*BeginWriting({"a", "z"})));
  Settle();
  EXPECT_THAT(stores_.calls, Not(Contains(HasSubstr("KvBatchRollback"))));
}

// The first attempt may yet be carried out.
TEST_F(TxnClientTest, ACommitThatIsRefusedAfterALostAnswerIsUndeterminedToo) {
  Connect({.timeout = Seconds(2)});
  stores_.answers["KvCommit"] = std::deque<FakeStores::Answer>(1000, Busy());
  stores_.answers["KvCommit"].push_front(Lost());
  EXPECT_EQ("undetermined", Commit(*BeginWriting({"a"})));
  kvrpcpb::KeyError strange;
  strange.set_abort("what is this?");
  stores_.answers["KvCommit"] = {Lost(), CommitError(strange)};
  EXPECT_EQ("undetermined", Commit(*BeginWriting({"a"})));
}

TEST_F(TxnClientTest, ACommitThatNobodyTookIsRolledBack) {
  Connect({.timeout = Seconds(2)});
  stores_.answers["KvCommit"] = std::deque<FakeStores::Answer>(1000, Busy());
  EXPECT_EQ("unavailable", Commit(*BeginWriting({"a"})));
  Settle();
  EXPECT_THAT(stores_.calls, Contains("KvBatchRollback a"));
}

TEST_F(TxnClientTest, ACommitThatReadersMadeLaterTakesALaterTimestamp) {
  kvrpcpb::KeyError expired;
  expired.mutable_commit_ts_expired()->set_key("a");
  stores_.answers["KvCommit"] = {CommitError(expired)};
  EXPECT_EQ("committed", Commit(*BeginWriting({"a"})));
  EXPECT_THAT(stores_.calls, ElementsAre("KvPrewrite a", "ts", "KvCommit a", "ts", "KvCommit a"));
}

TEST_F(TxnClientTest, ACommitWithoutItsLockWasRolledBack) {
  kvrpcpb::KeyError gone;
  gone.mutable_txn_lock_not_found()->set_key("a");
  stores_.answers["KvCommit"] = {Lost(), CommitError(gone)};
  EXPECT_EQ("rolled-back", Commit(*BeginWriting({"a"})));
  stores_.answers["KvCommit"] = {CommitError(gone)};
  EXPECT_EQ("rolled-back", Commit(*BeginWriting({"a"})));
}

// Or it was committed by an attempt without an answer, overwritten and collected.
TEST_F(TxnClientTest, ACommitWithoutItsLockOfWhichNothingNeedBeKeptIsUndetermined) {
  kvrpcpb::KeyError gone;
  gone.mutable_txn_lock_not_found()->set_key("a");
  stores_.answers["KvCommit"] = {Lost(), CommitError(gone)};
  auto transaction = BeginWriting({"a"});
  stores_.safe_point = transaction->start().value() + 1;
  EXPECT_EQ("undetermined", Commit(*transaction));
}

TEST_F(TxnClientTest, AnswersWhenAllKeysAreCommittedIfItIsTold) {
  Connect({.await_all_keys = true});
  stores_.answers["KvCommit"] = {kvrpcpb::CommitResponse().SerializeAsString(), Busy()};
  EXPECT_EQ("committed", Commit(*BeginWriting({"a", "b"})));
  EXPECT_THAT(stores_.calls,
              ElementsAre("KvPrewrite a b", "ts", "KvCommit a", "KvCommit b", "KvCommit b"));
}

TEST_F(TxnClientTest, IsClosedWhenNothingIsUnderWay) {
  bool is_closed = false;
  stores_.answers["KvCommit"] = {kvrpcpb::CommitResponse().SerializeAsString(), Busy()};
  EXPECT_EQ("committed", Commit(*BeginWriting({"a", "b"})));
  client_->Close([&] { is_closed = true; });
  EXPECT_FALSE(is_closed);
  Settle();
  EXPECT_TRUE(is_closed);
  EXPECT_EQ("KvCommit b", stores_.calls.back());
}

TEST_F(TxnClientTest, WhatIsOverIsOver) {
  auto committed = BeginWriting({"a"});
  EXPECT_EQ("committed", Commit(*committed));
  EXPECT_EQ("refused", Commit(*committed));
  auto rolled_back = BeginWriting({"a"});
  rolled_back->Rollback();
  EXPECT_THAT(Get(*rolled_back, "a"), HasSubstr("refused"));
  EXPECT_EQ("refused", Commit(*rolled_back));
  EXPECT_THAT(stores_.calls, IsEmpty());
}

}  // namespace
}  // namespace rutile::client
