// A region that is brought back to what it was, in the protocol's words.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rpc/txn_testing.h"

namespace rutile::rpc {
namespace {

using ::testing::HasSubstr;

class TxnFlashbackTest : public TxnServiceFixture {
 protected:
  void Write(const std::string& key) {
    const std::uint64_t start = Now();
    Lock({key}, start);
    Commit({key}, start, Now());
  }
  kvrpcpb::PrepareFlashbackToVersionResponse Prepare(std::uint64_t start, std::uint64_t version) {
    kvrpcpb::PrepareFlashbackToVersionRequest request;
    request.set_start_key(Key("a"));
    request.set_end_key(Key("z"));
    request.set_start_ts(start);
    request.set_version(version);
    return Call(&TxnService::PrepareFlashbackToVersion, request);
  }
  kvrpcpb::FlashbackToVersionResponse Flashback(std::uint64_t start, std::uint64_t version) {
    kvrpcpb::FlashbackToVersionRequest request;
    request.set_start_key(Key("a"));
    request.set_end_key(Key("z"));
    request.set_start_ts(start);
    request.set_commit_ts(Now());
    request.set_version(version);
    return Call(&TxnService::FlashbackToVersion, request);
  }
};

TEST_F(TxnFlashbackTest, OthersAreKeptOutUntilTheKeysAreWhatTheyWere) {
  const std::string a = Key("a"), b = Key("b");
  Write(a);
  const std::uint64_t version = Now();
  Write(b);
  Lock({a}, Now());
  const std::uint64_t start = Now();
  EXPECT_EQ(Flashback(start, version).region_error().flashbacknotprepared().region_id(),
            store::kFirstUserRegion.value());
  EXPECT_EQ(Prepare(start, version).ByteSizeLong(), 0u);
  const auto read = Get(a, Now()).region_error();
  EXPECT_EQ(read.flashbackinprogress().region_id(), store::kFirstUserRegion.value());
  EXPECT_EQ(read.flashbackinprogress().flashback_start_ts(), start);
  EXPECT_THAT(read.message(), HasSubstr("is being brought back"));
  EXPECT_EQ(Get(a, version).value(), "of " + a);
  EXPECT_TRUE(
      Call(&TxnService::Prewrite, Prewrite({a}, Now())).region_error().has_flashbackinprogress());
  EXPECT_EQ(Flashback(start, version).ByteSizeLong(), 0u);
  EXPECT_EQ(Get(a, Now()).value(), "of " + a);
  EXPECT_TRUE(Get(b, Now()).not_found());
}

TEST_F(TxnFlashbackTest, WhatCannotBeIsToldInWords) {
  const std::uint64_t start = Now();
  EXPECT_THAT(Prepare(start, start).error(), HasSubstr("not before its start"));
  EXPECT_THAT(Prepare(start, 0).error(), HasSubstr("not before its start"));
  kvrpcpb::FlashbackToVersionRequest request;
  request.set_start_ts(start);
  request.set_commit_ts(start);
  EXPECT_THAT(Call(&TxnService::FlashbackToVersion, request).error(), HasSubstr("commit"));
  EXPECT_TRUE(Get(Key("a"), Now()).not_found()) << "nobody is kept out";
}

}  // namespace
}  // namespace rutile::rpc
