#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <future>
#include <string>
#include <utility>
#include <vector>

#include "mvcc/types.h"
#include "rpc/node_testing.h"
#include "rpc/services/txn_service.h"

namespace rutile::rpc {

inline constexpr std::uint64_t kSecond = std::uint64_t{1000} << mvcc::kLogicalBits;

// The transactional calls of one node, through its service.
class TxnServiceFixture : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    net_ = new LocalNet();
    node_ = new TestNode(node::ClusterSpec::Single("n1", "127.0.0.1:20160", "t"), "n1", *net_);
    node_->AwaitLeaders();
    service_ = new TxnService(node_->node().txn(), Served{.cluster = node_->node().cluster().id});
  }
  static void TearDownTestSuite() {
    delete std::exchange(service_, nullptr);
    delete std::exchange(node_, nullptr);
    delete std::exchange(net_, nullptr);
  }
  void SetUp() override { test_ = ::testing::UnitTest::GetInstance()->current_test_info()->name(); }

  template <class Request, class Response>
  static Response Call(void (TxnService::*call)(const Request&, Response*, TxnService::Finished),
                       Request request) {
    if (request.context().region_id() == 0) {
      request.mutable_context()->set_region_id(store::kFirstUserRegion.value());
    }
    Response response;
    std::promise<void> finished;
    (service_->*call)(request, &response, [&finished] { finished.set_value(); });
    finished.get_future().wait();
    return response;
  }

  // A store that has begun to lead asks placement for a timestamp first; until it has one, commits
  // have two phases.
  void AwaitMaxTimestamp() {
    while (true) {
      kvrpcpb::PrewriteRequest request = Prewrite({Key("await" + std::to_string(Now()))}, Now());
      request.set_try_one_pc(true);
      const auto answer = Call(&TxnService::Prewrite, request);
      ASSERT_THAT(answer.errors(), ::testing::SizeIs(0)) << answer.DebugString();
      if (answer.one_pc_commit_ts() != 0) return;
    }
  }

  // A key that no other test has.
  std::string Key(const std::string& suffix) const { return test_ + suffix; }
  // Timestamps grow by a second, the first is that of 1,000 seconds.
  static std::uint64_t Now() { return kSecond * (1000 + ++seconds_); }

  static kvrpcpb::PrewriteRequest Prewrite(const std::vector<std::string>& keys,
                                           std::uint64_t start, kvrpcpb::Op op = kvrpcpb::Put) {
    kvrpcpb::PrewriteRequest request;
    for (const std::string& key : keys) {
      kvrpcpb::Mutation* mutation = request.add_mutations();
      mutation->set_op(op);
      mutation->set_key(key);
      if (op == kvrpcpb::Put || op == kvrpcpb::Insert) mutation->set_value("of " + key);
    }
    request.set_primary_lock(keys.front());
    request.set_start_version(start);
    request.set_lock_ttl(3000);
    request.set_txn_size(keys.size());
    return request;
  }
  static void Lock(const std::vector<std::string>& keys, std::uint64_t start) {
    const auto answer = Call(&TxnService::Prewrite, Prewrite(keys, start));
    ASSERT_FALSE(answer.has_region_error()) << answer.DebugString();
    ASSERT_THAT(answer.errors(), ::testing::SizeIs(0)) << answer.DebugString();
    EXPECT_EQ(answer.min_commit_ts(), 0u);
    EXPECT_EQ(answer.one_pc_commit_ts(), 0u);
  }
  static kvrpcpb::CommitResponse Commit(const std::vector<std::string>& keys, std::uint64_t start,
                                        std::uint64_t commit) {
    kvrpcpb::CommitRequest request;
    for (const std::string& key : keys) request.add_keys(key);
    request.set_start_version(start);
    request.set_commit_version(commit);
    return Call(&TxnService::Commit, request);
  }
  static kvrpcpb::GetResponse Get(const std::string& key, std::uint64_t version) {
    kvrpcpb::GetRequest request;
    request.set_key(key);
    request.set_version(version);
    return Call(&TxnService::Get, request);
  }
  static kvrpcpb::CheckTxnStatusResponse Status(const std::string& primary, std::uint64_t start,
                                                std::uint64_t now, bool rollback_if_absent) {
    kvrpcpb::CheckTxnStatusRequest request;
    request.set_primary_key(primary);
    request.set_lock_ts(start);
    request.set_caller_start_ts(now);
    request.set_current_ts(now);
    request.set_rollback_if_not_exist(rollback_if_absent);
    return Call(&TxnService::CheckTxnStatus, request);
  }

  std::string test_;
  static inline std::uint64_t seconds_ = 0;
  static inline LocalNet* net_ = nullptr;
  static inline TestNode* node_ = nullptr;
  static inline TxnService* service_ = nullptr;
};

}  // namespace rutile::rpc
