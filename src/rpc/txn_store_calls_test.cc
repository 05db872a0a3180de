// Calls of a whole store: who waits in it, ranges that are destroyed, news of transactions.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "codec/crc64.h"
#include "rpc/txn_testing.h"

namespace rutile::rpc {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

using TxnStoreCallsTest = TxnServiceFixture;

TEST_F(TxnStoreCallsTest, WhoWaitsForALockIsTold) {
  const std::string key = Key("k");
  const std::uint64_t holder = Now(), waiter = Now();
  Lock({key}, holder);
  EXPECT_THAT(Call(&TxnService::GetLockWaitInfo, kvrpcpb::GetLockWaitInfoRequest()).entries(),
              SizeIs(0));
  kvrpcpb::PessimisticLockRequest lock;
  auto* mutation = lock.add_mutations();
  mutation->set_op(kvrpcpb::PessimisticLock);
  mutation->set_key(key);
  lock.set_primary_lock(key);
  lock.set_start_version(waiter);
  lock.set_for_update_ts(waiter);
  lock.set_lock_ttl(3000);
  lock.mutable_context()->set_resource_group_tag("statement");
  auto waits =
      std::async(std::launch::async, [&] { return Call(&TxnService::PessimisticLock, lock); });
  kvrpcpb::GetLockWaitInfoResponse info;
  while (info.entries_size() == 0) {
    std::this_thread::yield();
    info = Call(&TxnService::GetLockWaitInfo, kvrpcpb::GetLockWaitInfoRequest());
  }
  ASSERT_THAT(info.entries(), SizeIs(1));
  EXPECT_EQ(info.entries(0).txn(), waiter);
  EXPECT_EQ(info.entries(0).wait_for_txn(), holder);
  EXPECT_EQ(info.entries(0).key(), key);
  EXPECT_EQ(info.entries(0).key_hash(), codec::Crc64(key));
  EXPECT_EQ(info.entries(0).resource_group_tag(), "statement");
  EXPECT_LT(info.entries(0).wait_time(), 60'000u);

  kvrpcpb::BatchRollbackRequest rollback;
  rollback.add_keys(key);
  rollback.set_start_version(holder);
  Call(&TxnService::BatchRollback, rollback);
  EXPECT_THAT(waits.get().errors(), SizeIs(0));
  EXPECT_THAT(Call(&TxnService::GetLockWaitInfo, kvrpcpb::GetLockWaitInfoRequest()).entries(),
              SizeIs(0));
}

TEST_F(TxnStoreCallsTest, ADestroyedRangeIsGoneWhoeverHasLocksThere) {
  const std::string a = Key("a"), b = Key("b"), c = Key("c");
  const std::uint64_t start = Now(), commit = Now();
  Lock({a, c}, start);
  Commit({a, c}, start, commit);
  Lock({b}, Now());
  kvrpcpb::UnsafeDestroyRangeRequest request;
  request.set_start_key(a);
  request.set_end_key(c);
  EXPECT_EQ(Call(&TxnService::UnsafeDestroyRange, request).ByteSizeLong(), 0u);
  EXPECT_TRUE(Get(a, Now()).not_found());
  EXPECT_TRUE(Get(b, Now()).not_found());
  EXPECT_EQ(Get(c, Now()).value(), "of " + c);

  request.clear_end_key();
  EXPECT_THAT(Call(&TxnService::UnsafeDestroyRange, request).error(), HasSubstr("both"));
  request.set_end_key(a);
  request.set_start_key(c);
  EXPECT_THAT(Call(&TxnService::UnsafeDestroyRange, request).error(), HasSubstr("reversed"));
  EXPECT_EQ(Get(c, Now()).value(), "of " + c);
}

TEST_F(TxnStoreCallsTest, NewsOfTransactionsAreKeptUntilTheyHaveEnded) {
  const txn::StatusCache& statuses = node_->node().txn().statuses();
  const mvcc::Timestamp start(Now()), other(Now()), told(Now()), commit(Now());
  kvrpcpb::BroadcastTxnStatusRequest news;
  const auto add = [&news](mvcc::Timestamp of) {
    kvrpcpb::TxnStatus* const status = news.add_txn_status();
    status->set_start_ts(of.value());
    return status;
  };
  add(start)->set_min_commit_ts(told.value());
  add(other)->set_rolled_back(true);
  add(mvcc::Timestamp())->set_is_completed(true);
  EXPECT_EQ(Call(&TxnService::BroadcastTxnStatus, news).ByteSizeLong(), 0u);
  EXPECT_EQ(statuses.MinCommit(start), told);
  EXPECT_EQ(statuses.MinCommit(other), mvcc::Timestamp()) << "its primary key decides";

  news.clear_txn_status();
  add(start)->set_commit_ts(commit.value());
  Call(&TxnService::BroadcastTxnStatus, news);
  EXPECT_EQ(statuses.MinCommit(start), commit);
  add(start)->set_is_completed(true);
  Call(&TxnService::BroadcastTxnStatus, news);
  EXPECT_EQ(statuses.MinCommit(start), mvcc::Timestamp());
}

// A lock is judged by its primary key.
TEST_F(TxnStoreCallsTest, NewsOfATransactionLetNobodyPastItsLocks) {
  const std::string key = Key("k");
  const std::uint64_t start = Now();
  Lock({key}, start);
  kvrpcpb::BroadcastTxnStatusRequest news;
  kvrpcpb::TxnStatus* status = news.add_txn_status();
  status->set_start_ts(start);
  status->set_commit_ts(Now());
  Call(&TxnService::BroadcastTxnStatus, news);
  EXPECT_EQ(Get(key, Now()).error().locked().lock_version(), start);
}

}  // namespace
}  // namespace rutile::rpc
