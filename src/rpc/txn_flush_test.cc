// Pipelined transactions, in the protocol's words: they write while they work.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "rpc/txn_testing.h"

namespace rutile::rpc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

class TxnFlushTest : public TxnServiceFixture {
 protected:
  // Keys with their values; an empty one deletes.
  using Writes = std::map<std::string, std::string>;

  kvrpcpb::FlushRequest FlushOf(const Writes& writes, std::uint64_t generation) const {
    kvrpcpb::FlushRequest request;
    for (const auto& [key, value] : writes) {
      kvrpcpb::Mutation* mutation = request.add_mutations();
      mutation->set_op(value.empty() ? kvrpcpb::Del : kvrpcpb::Put);
      mutation->set_key(key);
      mutation->set_value(value);
    }
    request.set_primary_key(Key("a"));
    request.set_start_ts(start_);
    request.set_min_commit_ts(start_ + 1);
    request.set_lock_ttl(20'000);
    request.set_generation(generation);
    return request;
  }
  void Flush(const Writes& writes, std::uint64_t generation) const {
    const auto answer = Call(&TxnService::Flush, FlushOf(writes, generation));
    ASSERT_FALSE(answer.has_region_error()) << answer.DebugString();
    ASSERT_THAT(answer.errors(), SizeIs(0)) << answer.DebugString();
  }
  std::map<std::string, std::string> Flushed(const std::vector<std::string>& keys,
                                             std::uint64_t start) const {
    kvrpcpb::BufferBatchGetRequest request;
    for (const std::string& key : keys) request.add_keys(key);
    request.set_version(start);
    const auto answer = Call(&TxnService::BufferBatchGet, request);
    EXPECT_FALSE(answer.has_error() || answer.has_region_error()) << answer.DebugString();
    std::map<std::string, std::string> found;
    for (const kvrpcpb::KvPair& pair : answer.pairs()) found[pair.key()] = pair.value();
    return found;
  }

  const std::uint64_t start_ = Now();
};

TEST_F(TxnFlushTest, ATransactionReadsWhatItHasFlushedAndOthersWait) {
  const std::string a = Key("a"), b = Key("b"), c = Key("c"), large(1000, 'x');
  const std::uint64_t other = Now();
  Lock({c}, other);
  Flush({{a, "1"}, {b, large}}, 1);
  EXPECT_THAT(Flushed({c, b, a, Key("none")}, start_), ElementsAre(Pair(a, "1"), Pair(b, large)));
  EXPECT_THAT(Flushed({a, b}, other), IsEmpty());
  const auto waits = Get(a, Now());
  EXPECT_EQ(waits.error().locked().lock_version(), start_);
  EXPECT_EQ(waits.error().locked().lock_ttl(), 20'000u);
  EXPECT_EQ(waits.error().locked().txn_size(), UINT64_MAX) << "nobody knows how many it has";
  EXPECT_EQ(waits.error().locked().min_commit_ts(), start_ + 1);

  Flush({{a, ""}, {b, "2"}}, 2);
  EXPECT_THAT(Flushed({a, b}, start_), ElementsAre(Pair(a, ""), Pair(b, "2")));
  Flush({{a, "late"}, {b, "late"}}, 1);
  EXPECT_THAT(Flushed({a, b}, start_), ElementsAre(Pair(a, ""), Pair(b, "2")));
}

TEST_F(TxnFlushTest, ItCommitsItsPrimaryKeyAndTheOthersByTheirRange) {
  Writes writes{{Key("a"), "1"}};
  for (int i = 0; i < 600; ++i) writes[Key("b" + std::to_string(i))] = std::to_string(i);
  Flush(writes, 1);
  const std::uint64_t commit = Now();
  EXPECT_EQ(Commit({Key("a")}, start_, commit).commit_version(), commit);
  EXPECT_THAT(Flushed({Key("a")}, start_), IsEmpty()) << "it is flushed no more";
  kvrpcpb::ResolveLockRequest resolve;
  resolve.set_start_version(start_);
  resolve.set_commit_version(commit);
  EXPECT_EQ(Call(&TxnService::ResolveLock, resolve).ByteSizeLong(), 0u);
  for (const auto& [key, value] : writes) EXPECT_EQ(Get(key, commit).value(), value);
  // A flush comes again, late.
  Flush(writes, 1);
  EXPECT_EQ(Get(Key("b7"), Now()).value(), "7");
}

TEST_F(TxnFlushTest, ItsHeartbeatSaysBelowWhatItWillNotCommit) {
  const std::string a = Key("a");
  Flush({{a, "1"}}, 1);
  const std::uint64_t before = Now(), bound = Now();
  kvrpcpb::TxnHeartBeatRequest heartbeat;
  heartbeat.set_primary_lock(a);
  heartbeat.set_start_version(start_);
  heartbeat.set_advise_lock_ttl(1);
  heartbeat.set_min_commit_ts(bound);
  EXPECT_FALSE(Call(&TxnService::TxnHeartBeat, heartbeat).has_error());
  EXPECT_EQ(Commit({a}, start_, before).error().commit_ts_expired().min_commit_ts(), bound);
  EXPECT_TRUE(Get(a, before).not_found()) << "nobody below has to wait";
  EXPECT_FALSE(Commit({a}, start_, bound).has_error());
}

TEST_F(TxnFlushTest, WhatStandsInTheWayIsTold) {
  const std::string a = Key("a"), b = Key("b");
  const std::uint64_t other = Now(), commit = Now();
  Lock({b}, other);
  const auto flush = [&](const std::string& key, std::uint64_t generation) {
    return Call(&TxnService::Flush, FlushOf({{key, "1"}}, generation));
  };
  auto answer = flush(b, 1);
  ASSERT_THAT(answer.errors(), SizeIs(1));
  EXPECT_EQ(answer.errors(0).locked().lock_version(), other);
  Commit({b}, other, commit);
  answer = flush(b, 1);
  ASSERT_THAT(answer.errors(), SizeIs(1));
  EXPECT_EQ(answer.errors(0).conflict().conflict_commit_ts(), commit);

  answer = flush(a, 0);
  ASSERT_THAT(answer.errors(), SizeIs(1));
  EXPECT_THAT(answer.errors(0).abort(), HasSubstr("generation zero"));
  kvrpcpb::FlushRequest asserting = FlushOf({{a, "1"}}, 1);
  asserting.mutable_mutations(0)->set_assertion(kvrpcpb::Exist);
  asserting.set_assertion_level(kvrpcpb::Strict);
  answer = Call(&TxnService::Flush, asserting);
  ASSERT_THAT(answer.errors(), SizeIs(1));
  EXPECT_EQ(answer.errors(0).assertion_failed().key(), a);
  EXPECT_THAT(Flushed({a, b}, start_), IsEmpty());

  kvrpcpb::BufferBatchGetRequest get;
  get.add_keys("");
  get.set_version(start_);
  EXPECT_THAT(Call(&TxnService::BufferBatchGet, get).error().abort(), HasSubstr("empty"));
}

}  // namespace
}  // namespace rutile::rpc
