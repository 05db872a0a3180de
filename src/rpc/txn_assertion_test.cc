// What clients claim to know of the keys that they write, in the protocol's words.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rpc/txn_testing.h"

namespace rutile::rpc {
namespace {

using ::testing::SizeIs;

class TxnAssertionTest : public TxnServiceFixture {
 protected:
  static kvrpcpb::PrewriteRequest Asserting(const std::string& key, std::uint64_t start,
                                            kvrpcpb::Assertion assertion,
                                            kvrpcpb::AssertionLevel level) {
    kvrpcpb::PrewriteRequest request = Prewrite({key}, start);
    request.mutable_mutations(0)->set_assertion(assertion);
    request.set_assertion_level(level);
    return request;
  }
};

TEST_F(TxnAssertionTest, AFailureTellsWhatIsThereInstead) {
  const std::string key = Key("k");
  const std::uint64_t first = Now(), commit = Now(), second = Now();
  auto answer = Call(&TxnService::Prewrite, Asserting(key, first, kvrpcpb::Exist, kvrpcpb::Fast));
  ASSERT_THAT(answer.errors(), SizeIs(1)) << answer.DebugString();
  const kvrpcpb::AssertionFailed& absent = answer.errors(0).assertion_failed();
  EXPECT_EQ(absent.start_ts(), first);
  EXPECT_EQ(absent.key(), key);
  EXPECT_EQ(absent.assertion(), kvrpcpb::Exist);
  EXPECT_EQ(absent.existing_start_ts(), 0u);
  EXPECT_EQ(absent.existing_commit_ts(), 0u);

  answer = Call(&TxnService::Prewrite, Asserting(key, first, kvrpcpb::NotExist, kvrpcpb::Strict));
  ASSERT_THAT(answer.errors(), SizeIs(0)) << answer.DebugString();
  Commit({key}, first, commit);
  answer = Call(&TxnService::Prewrite, Asserting(key, second, kvrpcpb::NotExist, kvrpcpb::Fast));
  ASSERT_THAT(answer.errors(), SizeIs(1)) << answer.DebugString();
  const kvrpcpb::AssertionFailed& exists = answer.errors(0).assertion_failed();
  EXPECT_EQ(exists.assertion(), kvrpcpb::NotExist);
  EXPECT_EQ(exists.existing_start_ts(), first);
  EXPECT_EQ(exists.existing_commit_ts(), commit);
  EXPECT_EQ(Get(key, Now()).value(), "of " + key) << "nothing was locked";
}

TEST_F(TxnAssertionTest, NobodyLooksWhereThatIsOff) {
  const std::string key = Key("k");
  const auto answer =
      Call(&TxnService::Prewrite, Asserting(key, Now(), kvrpcpb::Exist, kvrpcpb::Off));
  EXPECT_THAT(answer.errors(), SizeIs(0)) << answer.DebugString();
}

// The key was looked at when it was locked.
TEST_F(TxnAssertionTest, OfALockedKeyOnlyTheStrictLookAgain) {
  const std::string key = Key("k");
  const std::uint64_t start = Now();
  kvrpcpb::PessimisticLockRequest lock;
  auto* mutation = lock.add_mutations();
  mutation->set_op(kvrpcpb::PessimisticLock);
  mutation->set_key(key);
  lock.set_primary_lock(key);
  lock.set_start_version(start);
  lock.set_for_update_ts(start);
  lock.set_lock_ttl(3000);
  ASSERT_THAT(Call(&TxnService::PessimisticLock, lock).errors(), SizeIs(0));

  kvrpcpb::PrewriteRequest request = Asserting(key, start, kvrpcpb::Exist, kvrpcpb::Strict);
  request.set_for_update_ts(start);
  request.add_pessimistic_actions(kvrpcpb::PrewriteRequest::DO_PESSIMISTIC_CHECK);
  const auto strict = Call(&TxnService::Prewrite, request);
  ASSERT_THAT(strict.errors(), SizeIs(1)) << strict.DebugString();
  EXPECT_TRUE(strict.errors(0).has_assertion_failed());
  request.set_assertion_level(kvrpcpb::Fast);
  EXPECT_THAT(Call(&TxnService::Prewrite, request).errors(), SizeIs(0));
}

}  // namespace
}  // namespace rutile::rpc
