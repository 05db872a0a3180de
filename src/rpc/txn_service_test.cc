// The transactional calls of one node, through its service: what is asked and answered in the
// protocol's words.

#include "rpc/services/txn_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "rpc/txn_testing.h"

namespace rutile::rpc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

using TxnServiceTest = TxnServiceFixture;

TEST_F(TxnServiceTest, WhatIsCommittedIsReadFromThenOn) {
  const std::string a = Key("a"), b = Key("b");
  const std::uint64_t start = Now(), commit = Now();
  Lock({a, b}, start);
  EXPECT_EQ(Commit({a, b}, start, commit).commit_version(), commit);
  EXPECT_EQ(Get(a, commit).value(), "of " + a);
  EXPECT_TRUE(Get(a, commit - 1).not_found());

  kvrpcpb::BatchGetRequest batch;
  for (const std::string& key : {b, Key("none"), a}) batch.add_keys(key);
  batch.set_version(commit);
  const auto pairs = Call(&TxnService::BatchGet, batch);
  ASSERT_THAT(pairs.pairs(), SizeIs(2));
  EXPECT_EQ(pairs.pairs(0).key(), b);
  EXPECT_EQ(pairs.pairs(1).value(), "of " + a);

  kvrpcpb::ScanRequest scan;
  scan.set_start_key(Key(""));
  scan.set_end_key(b);
  scan.set_limit(10);
  scan.set_version(commit);
  const auto found = Call(&TxnService::Scan, scan);
  ASSERT_THAT(found.pairs(), SizeIs(1));
  EXPECT_EQ(found.pairs(0).key(), a);
}

TEST_F(TxnServiceTest, CommitTimestampsAreToldToWhoAsks) {
  const std::string a = Key("a");
  const std::uint64_t start = Now(), commit = Now();
  Lock({a}, start);
  Commit({a}, start, commit);
  for (const bool asked : {false, true}) {
    kvrpcpb::GetRequest get;
    get.set_key(a);
    get.set_version(Now());
    get.set_need_commit_ts(asked);
    EXPECT_EQ(Call(&TxnService::Get, get).commit_ts(), asked ? commit : 0);
    kvrpcpb::BatchGetRequest batch;
    batch.add_keys(a);
    batch.set_version(Now());
    batch.set_need_commit_ts(asked);
    const auto pairs = Call(&TxnService::BatchGet, batch);
    ASSERT_THAT(pairs.pairs(), SizeIs(1));
    EXPECT_EQ(pairs.pairs(0).commit_ts(), asked ? commit : 0);
  }
}

TEST_F(TxnServiceTest, AScanGoesDownAndLeavesOutWhatIsNotSampled) {
  const std::vector<std::string> keys = {Key("a"), Key("b"), Key("c"), Key("d")};
  const std::uint64_t start = Now();
  Lock(keys, start);
  Commit(keys, start, Now());
  kvrpcpb::ScanRequest scan;
  scan.set_start_key(Key("d"));
  scan.set_end_key(Key("a"));
  scan.set_limit(10);
  scan.set_version(Now());
  scan.set_reverse(true);
  const auto shown = [&] {
    std::vector<std::string> found;
    const auto answer = Call(&TxnService::Scan, scan);
    for (const auto& pair : answer.pairs()) found.push_back(pair.key());
    return found;
  };
  EXPECT_THAT(shown(), ElementsAre(keys[2], keys[1], keys[0]));
  scan.set_sample_step(2);
  EXPECT_THAT(shown(), ElementsAre(keys[2], keys[0]));
}

TEST_F(TxnServiceTest, ThatAKeyWasNotLockedBeforeMakesNoTransactionPessimistic) {
  kvrpcpb::PrewriteRequest request = Prewrite({Key("a"), Key("b")}, Now());
  for (int i = 0; i < 2; ++i) {
    request.add_pessimistic_actions(kvrpcpb::PrewriteRequest::SKIP_PESSIMISTIC_CHECK);
  }
  EXPECT_THAT(Call(&TxnService::Prewrite, request).errors(), SizeIs(0));
}

TEST_F(TxnServiceTest, ATransactionOfOnePhaseIsCommittedByItsPrewrite) {
  const std::string a = Key("a"), b = Key("b");
  AwaitMaxTimestamp();
  kvrpcpb::PrewriteRequest request = Prewrite({a, b}, Now());
  request.set_try_one_pc(true);
  const std::uint64_t reader = Now();
  EXPECT_TRUE(Get(a, reader).not_found());
  const auto answer = Call(&TxnService::Prewrite, request);
  EXPECT_THAT(answer.errors(), SizeIs(0)) << answer.DebugString();
  EXPECT_GT(answer.one_pc_commit_ts(), reader) << "what was read stays true";
  EXPECT_TRUE(Get(b, reader).not_found());
  EXPECT_EQ(Get(b, answer.one_pc_commit_ts()).value(), "of " + b);
}

TEST_F(TxnServiceTest, AnAsynchronousCommitIsFoundByItsSecondaries) {
  const std::string a = Key("a"), b = Key("b");
  AwaitMaxTimestamp();
  const std::uint64_t start = Now();
  kvrpcpb::PrewriteRequest request = Prewrite({a, b}, start);
  request.set_use_async_commit(true);
  request.add_secondaries(b);
  const auto answer = Call(&TxnService::Prewrite, request);
  EXPECT_THAT(answer.errors(), SizeIs(0)) << answer.DebugString();
  EXPECT_GT(answer.min_commit_ts(), start);

  // Whoever meets it much later is not to roll it back, but to ask the others.
  const auto status = Status(a, start, start + 60 * kSecond, true);
  EXPECT_TRUE(status.lock_info().use_async_commit()) << status.DebugString();
  ASSERT_THAT(status.lock_info().secondaries(), SizeIs(1));
  EXPECT_EQ(status.lock_info().secondaries(0), b);
  EXPECT_GT(status.lock_ttl(), 0u);
  kvrpcpb::CheckSecondaryLocksRequest check;
  check.add_keys(b);
  check.set_start_version(start);
  const auto locked = Call(&TxnService::CheckSecondaryLocks, check);
  ASSERT_THAT(locked.locks(), SizeIs(1)) << locked.DebugString();
  EXPECT_EQ(locked.locks(0).min_commit_ts(), answer.min_commit_ts());
  Commit({a, b}, start, answer.min_commit_ts());
  const auto committed = Call(&TxnService::CheckSecondaryLocks, check);
  EXPECT_THAT(committed.locks(), SizeIs(0));
  EXPECT_EQ(committed.commit_ts(), answer.min_commit_ts());
}

TEST_F(TxnServiceTest, WhoMeetsALockIsToldWhoseItIs) {
  const std::string a = Key("a"), b = Key("b");
  const std::uint64_t start = Now();
  Lock({a, b}, start);
  const auto expect_lock = [&](const kvrpcpb::LockInfo& lock, const std::string& key) {
    EXPECT_EQ(lock.key(), key);
    EXPECT_EQ(lock.primary_lock(), a);
    EXPECT_EQ(lock.lock_version(), start);
    EXPECT_EQ(lock.lock_ttl(), 3000u);
    EXPECT_EQ(lock.txn_size(), 2u);
    EXPECT_EQ(lock.lock_type(), kvrpcpb::Put);
  };
  expect_lock(Get(b, Now()).error().locked(), b);
  const auto other = Call(&TxnService::Prewrite, Prewrite({b}, Now()));
  ASSERT_THAT(other.errors(), SizeIs(1));
  expect_lock(other.errors(0).locked(), b);

  kvrpcpb::ScanRequest scan;
  scan.set_start_key(a);
  scan.set_limit(10);
  scan.set_version(Now());
  const auto found = Call(&TxnService::Scan, scan);
  ASSERT_GE(found.pairs_size(), 2);
  expect_lock(found.pairs(0).error().locked(), a);
  expect_lock(found.pairs(1).error().locked(), b);

  kvrpcpb::ScanLockRequest locks;
  locks.set_start_key(a);
  locks.set_end_key(b + "~");
  locks.set_max_version(start);
  const auto scanned = Call(&TxnService::ScanLock, locks);
  ASSERT_THAT(scanned.locks(), SizeIs(2));
  expect_lock(scanned.locks(1), b);
  locks.set_max_version(start - 1);
  EXPECT_THAT(Call(&TxnService::ScanLock, locks).locks(), SizeIs(0));

  // Whoever knows what became of it reads past it.
  kvrpcpb::GetRequest get;
  get.set_key(b);
  get.set_version(Now());
  get.mutable_context()->add_resolved_locks(start);
  EXPECT_TRUE(Call(&TxnService::Get, get).not_found());
}

TEST_F(TxnServiceTest, ARangeIsRemovedWithItsLocks) {
  const std::string a = Key("a"), b = Key("b"), c = Key("c");
  const std::uint64_t start = Now();
  Lock({a, b, c}, start);
  Commit({a, c}, start, Now());
  kvrpcpb::DeleteRangeRequest range;
  range.set_start_key(a);
  range.set_end_key(c);
  range.set_notify_only(true);
  EXPECT_EQ(Call(&TxnService::DeleteRange, range).ByteSizeLong(), 0u);
  EXPECT_EQ(Get(a, Now()).value(), "of " + a);
  range.set_notify_only(false);
  EXPECT_EQ(Call(&TxnService::DeleteRange, range).ByteSizeLong(), 0u);
  EXPECT_TRUE(Get(a, Now()).not_found());
  EXPECT_TRUE(Get(b, Now()).not_found());
  EXPECT_EQ(Get(c, Now()).value(), "of " + c);

  range.set_end_key(a);
  EXPECT_EQ(Call(&TxnService::DeleteRange, range).error(),
            "the range is empty: both borders are the same");
  range.mutable_context()->set_region_id(99);
  range.set_end_key(c);
  EXPECT_TRUE(Call(&TxnService::DeleteRange, range).region_error().has_region_not_found());
}

TEST_F(TxnServiceTest, AllRecordsOfAKeyAreShown) {
  const std::string key = Key("k");
  const std::uint64_t first = Now(), commit = Now(), rolled_back = Now(), second = Now();
  kvrpcpb::PrewriteRequest large = Prewrite({key}, first);
  large.mutable_mutations(0)->set_value(std::string(1000, 'x'));
  Call(&TxnService::Prewrite, large);
  Commit({key}, first, commit);
  kvrpcpb::BatchRollbackRequest rollback;
  rollback.add_keys(key);
  rollback.set_start_version(rolled_back);
  Call(&TxnService::BatchRollback, rollback);
  Lock({key}, second);

  kvrpcpb::MvccGetByKeyRequest request;
  request.set_key(key);
  const auto answer = Call(&TxnService::MvccGetByKey, request);
  const kvrpcpb::MvccInfo& info = answer.info();
  EXPECT_EQ(info.lock().type(), kvrpcpb::Put);
  EXPECT_EQ(info.lock().start_ts(), second);
  EXPECT_EQ(info.lock().primary(), key);
  EXPECT_EQ(info.lock().short_value(), "of " + key);
  EXPECT_EQ(info.lock().ttl(), 3000u);
  EXPECT_EQ(info.lock().txn_size(), 1u);
  ASSERT_THAT(info.writes(), SizeIs(2)) << "the newest first";
  EXPECT_EQ(info.writes(0).type(), kvrpcpb::Rollback);
  EXPECT_EQ(info.writes(0).start_ts(), rolled_back);
  EXPECT_EQ(info.writes(0).commit_ts(), rolled_back);
  EXPECT_EQ(info.writes(1).type(), kvrpcpb::Put);
  EXPECT_EQ(info.writes(1).start_ts(), first);
  EXPECT_EQ(info.writes(1).commit_ts(), commit);
  EXPECT_EQ(info.writes(1).short_value(), "");
  ASSERT_THAT(info.values(), SizeIs(1));
  EXPECT_EQ(info.values(0).start_ts(), first);
  EXPECT_EQ(info.values(0).value(), std::string(1000, 'x'));

  request.set_key(Key("absent"));
  EXPECT_EQ(Call(&TxnService::MvccGetByKey, request).info().ByteSizeLong(), 0u);
  request.set_key("");
  EXPECT_EQ(Call(&TxnService::MvccGetByKey, request).error(), "the key is empty");
}

TEST_F(TxnServiceTest, TheFirstKeyOfATransactionIsShown) {
  const std::string a = Key("a"), b = Key("b"), c = Key("c");
  const std::uint64_t start = Now();
  Lock({b, c}, start);
  kvrpcpb::MvccGetByStartTsRequest request;
  request.set_start_ts(start);
  auto answer = Call(&TxnService::MvccGetByStartTs, request);
  EXPECT_EQ(answer.key(), b);
  EXPECT_EQ(answer.info().lock().start_ts(), start);
  Commit({b}, start, Now());
  answer = Call(&TxnService::MvccGetByStartTs, request);
  EXPECT_EQ(answer.key(), b) << "its write is before the other's lock";
  EXPECT_FALSE(answer.info().has_lock());
  EXPECT_THAT(answer.info().writes(), SizeIs(1));

  request.set_start_ts(start + 1);
  EXPECT_EQ(Call(&TxnService::MvccGetByStartTs, request).ByteSizeLong(), 0u);
  request.set_start_ts(0);
  EXPECT_THAT(Call(&TxnService::MvccGetByStartTs, request).error(), HasSubstr("timestamp zero"));
}

TEST_F(TxnServiceTest, WhoCameSecondIsToldOfTheConflict) {
  const std::string key = Key("k");
  const std::uint64_t late = Now(), start = Now(), commit = Now();
  Lock({key}, start);
  Commit({key}, start, commit);
  const auto answer = Call(&TxnService::Prewrite, Prewrite({key}, late));
  ASSERT_THAT(answer.errors(), SizeIs(1));
  const kvrpcpb::WriteConflict& conflict = answer.errors(0).conflict();
  EXPECT_EQ(conflict.start_ts(), late);
  EXPECT_EQ(conflict.conflict_ts(), start);
  EXPECT_EQ(conflict.conflict_commit_ts(), commit);
  EXPECT_EQ(conflict.key(), key);
  EXPECT_EQ(conflict.reason(), kvrpcpb::WriteConflict::Optimistic);

  const auto insert = Call(&TxnService::Prewrite, Prewrite({key}, Now(), kvrpcpb::Insert));
  ASSERT_THAT(insert.errors(), SizeIs(1));
  EXPECT_EQ(insert.errors(0).already_exist().key(), key);
}

TEST_F(TxnServiceTest, ASilentTransactionIsRolledBackAndItsClientIsTold) {
  const std::string a = Key("a"), b = Key("b");
  const std::uint64_t start = Now();
  Lock({a, b}, start);
  const auto alive = Status(a, start, Now(), true);
  EXPECT_EQ(alive.lock_ttl(), 3000u);
  EXPECT_EQ(alive.lock_info().primary_lock(), a);
  EXPECT_EQ(alive.action(), kvrpcpb::NoAction);

  kvrpcpb::TxnHeartBeatRequest beat;
  beat.set_primary_lock(a);
  beat.set_start_version(start);
  beat.set_advise_lock_ttl(20'000);
  EXPECT_EQ(Call(&TxnService::TxnHeartBeat, beat).lock_ttl(), 20'000u);
  EXPECT_EQ(Status(a, start, start + 10 * kSecond, true).lock_ttl(), 20'000u);

  const auto expired = Status(a, start, start + 30 * kSecond, true);
  EXPECT_EQ(expired.lock_ttl(), 0u);
  EXPECT_EQ(expired.commit_version(), 0u);
  EXPECT_EQ(expired.action(), kvrpcpb::TTLExpireRollback);
  const auto commit = Commit({a, b}, start, Now());
  EXPECT_EQ(commit.error().txn_lock_not_found().key(), a);
  EXPECT_THAT(commit.error().retryable(), HasSubstr("rolled back"));
  EXPECT_TRUE(Call(&TxnService::TxnHeartBeat, beat).has_error());
}

TEST_F(TxnServiceTest, OfWhatNeverCameAnEndIsMadeWhereThatIsAskedFor) {
  const std::string key = Key("k");
  const std::uint64_t start = Now();
  const auto unknown = Status(key, start, Now(), false);
  EXPECT_EQ(unknown.error().txn_not_found().start_ts(), start);
  EXPECT_EQ(unknown.error().txn_not_found().primary_key(), key);
  EXPECT_EQ(Status(key, start, Now(), true).action(), kvrpcpb::LockNotExistRollback);
  const auto late = Call(&TxnService::Prewrite, Prewrite({key}, start));
  ASSERT_THAT(late.errors(), SizeIs(1));
  EXPECT_EQ(late.errors(0).conflict().reason(), kvrpcpb::WriteConflict::SelfRolledBack);
}

TEST_F(TxnServiceTest, CommittedIsCommittedForWhoeverAsks) {
  const std::string a = Key("a"), b = Key("b");
  const std::uint64_t start = Now(), commit = Now();
  Lock({a, b}, start);
  Commit({a}, start, commit);
  EXPECT_EQ(Status(a, start, Now(), true).commit_version(), commit);

  kvrpcpb::CleanupRequest cleanup;
  cleanup.set_key(a);
  cleanup.set_start_version(start);
  EXPECT_EQ(Call(&TxnService::Cleanup, cleanup).commit_version(), commit);
  kvrpcpb::BatchRollbackRequest rollback;
  rollback.add_keys(a);
  rollback.set_start_version(start);
  EXPECT_THAT(Call(&TxnService::BatchRollback, rollback).error().abort(),
              HasSubstr("committed at " + std::to_string(commit)));

  kvrpcpb::ResolveLockRequest resolve;
  resolve.add_keys(b);
  resolve.set_start_version(start);
  resolve.set_commit_version(commit);
  EXPECT_FALSE(Call(&TxnService::ResolveLock, resolve).has_error());
  EXPECT_EQ(Get(b, commit).value(), "of " + b);
}

TEST_F(TxnServiceTest, ACleanupSparesTheLiving) {
  const std::string key = Key("k");
  const std::uint64_t start = Now();
  Lock({key}, start);
  kvrpcpb::CleanupRequest cleanup;
  cleanup.set_key(key);
  cleanup.set_start_version(start);
  cleanup.set_current_ts(start + kSecond);
  EXPECT_EQ(Call(&TxnService::Cleanup, cleanup).error().locked().lock_version(), start);
  cleanup.set_current_ts(start + 5 * kSecond);
  const auto answer = Call(&TxnService::Cleanup, cleanup);
  EXPECT_FALSE(answer.has_error()) << answer.DebugString();
  EXPECT_TRUE(Get(key, Now()).not_found());
}

TEST_F(TxnServiceTest, AResolveWithoutKeysFindsThem) {
  std::vector<std::string> keys, others;
  for (int i = 0; i < 600; ++i) {
    keys.push_back(Key("a" + std::to_string(i)));
    others.push_back(Key("b" + std::to_string(i)));
  }
  const std::uint64_t start = Now(), other = Now(), bystander = Now(), commit = Now();
  Lock(keys, start);
  Lock(others, other);
  Lock({Key("c")}, bystander);

  kvrpcpb::ResolveLockRequest resolve;
  const auto add = [&](std::uint64_t txn, std::uint64_t status) {
    auto* one = resolve.add_txn_infos();
    one->set_txn(txn);
    one->set_status(status);
  };
  add(start, commit);
  add(other, 0);
  const auto answer = Call(&TxnService::ResolveLock, resolve);
  EXPECT_FALSE(answer.has_error() || answer.has_region_error()) << answer.DebugString();
  for (const std::string& key : keys) EXPECT_EQ(Get(key, commit).value(), "of " + key);
  for (const std::string& key : others) EXPECT_TRUE(Get(key, commit).not_found());
  EXPECT_EQ(Get(Key("c"), commit).error().locked().lock_version(), bystander);

  kvrpcpb::ResolveLockRequest single;
  single.set_start_version(bystander);
  single.set_commit_version(commit);
  EXPECT_FALSE(Call(&TxnService::ResolveLock, single).has_error());
  EXPECT_EQ(Get(Key("c"), commit).value(), "of " + Key("c"));
}

TEST_F(TxnServiceTest, ACommitBelowWhatReadersWerePromisedIsTooEarly) {
  const std::string key = Key("k");
  const std::uint64_t start = Now(), reader = Now();
  kvrpcpb::PrewriteRequest prewrite = Prewrite({key}, start);
  prewrite.set_min_commit_ts(start + 1);
  EXPECT_THAT(Call(&TxnService::Prewrite, prewrite).errors(), SizeIs(0));
  EXPECT_EQ(Status(key, start, reader, false).action(), kvrpcpb::MinCommitTSPushed);
  EXPECT_TRUE(Get(key, reader).not_found()) << "it need not wait";
  const auto early = Commit({key}, start, reader);
  EXPECT_EQ(early.error().commit_ts_expired().start_ts(), start);
  EXPECT_EQ(early.error().commit_ts_expired().attempted_commit_ts(), reader);
  EXPECT_GT(early.error().commit_ts_expired().min_commit_ts(), reader);
  EXPECT_EQ(early.error().commit_ts_expired().key(), key);
}

TEST_F(TxnServiceTest, WhatNoClientShouldSendIsRefusedAndChangesNothing) {
  const std::string key = Key("k");
  const auto refusal = [](const kvrpcpb::PrewriteRequest& request) {
    const auto answer = Call(&TxnService::Prewrite, request);
    return answer.errors_size() == 1 ? answer.errors(0).abort() : answer.DebugString();
  };
  EXPECT_THAT(refusal(Prewrite({key}, Now(), kvrpcpb::Rollback)), HasSubstr("operation 3"));
  EXPECT_THAT(refusal(Prewrite({key, key}, Now())), HasSubstr("twice"));
  EXPECT_THAT(refusal(Prewrite({""}, Now())), HasSubstr("the key is empty"));
  EXPECT_THAT(refusal(Prewrite({key}, 0)), HasSubstr("timestamp zero"));
  kvrpcpb::PrewriteRequest absent = Prewrite({key}, Now());
  absent.clear_primary_lock();
  EXPECT_THAT(refusal(absent), HasSubstr("primary"));
  kvrpcpb::PrewriteRequest foreign = Prewrite({key}, Now());
  foreign.mutable_context()->set_cluster_id(99);
  EXPECT_THAT(refusal(foreign), HasSubstr("cluster 99"));
  EXPECT_THAT(Get(key, 0).error().abort(), HasSubstr("timestamp zero"));
  const std::uint64_t start = Now();
  Lock({key}, start);
  EXPECT_THAT(Commit({key}, start, start).error().abort(), HasSubstr("commit"));
  EXPECT_EQ(Get(key, Now()).error().locked().lock_version(), start) << "it is as before";
}

TEST_F(TxnServiceTest, AnotherRegionsKeyGoesElsewhere) {
  kvrpcpb::GetRequest get;
  get.mutable_context()->set_region_id(99);
  get.set_key("k");
  get.set_version(Now());
  EXPECT_EQ(Call(&TxnService::Get, get).region_error().region_not_found().region_id(), 99u);
}

}  // namespace
}  // namespace rutile::rpc
