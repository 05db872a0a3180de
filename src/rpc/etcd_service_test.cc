#include "rpc/services/etcd_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proto/etcd.pb.h"
#include "rpc/placement_testing.h"

namespace rutile::rpc {
namespace {

namespace etcd = etcdserverpb;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kTxnPath[] = "/etcdserverpb.KV/Txn";
constexpr char kPut[] = "/etcdserverpb.KV/Put";
constexpr char kRange[] = "/etcdserverpb.KV/Range";

etcd::PutRequest PutOf(const std::string& key, const std::string& value) {
  etcd::PutRequest put;
  put.set_key(key);
  put.set_value(value);
  return put;
}

etcd::RangeRequest RangeOf(const std::string& key, const std::string& end = "") {
  etcd::RangeRequest range;
  range.set_key(key);
  range.set_range_end(end);
  return range;
}

class EtcdTest : public ::testing::Test {
 protected:
  void Put(const std::string& key, const std::string& value) {
    rig_.server.Call<etcd::PutResponse>(kPut, PutOf(key, value));
  }
  etcd::RangeResponse Range(const etcd::RangeRequest& range) {
    return rig_.server.Call<etcd::RangeResponse>(kRange, range);
  }
  std::vector<std::string> Pairs(const etcd::RangeRequest& range) {
    std::vector<std::string> pairs;
    const etcd::RangeResponse found = Range(range);
    for (const mvccpb::KeyValue& pair : found.kvs()) {
      pairs.push_back(pair.key() + "=" + pair.value());
    }
    return pairs;
  }
  etcd::TxnResponse Txn(const etcd::TxnRequest& txn) {
    return rig_.server.Call<etcd::TxnResponse>(kTxnPath, txn);
  }
  template <class Response, class Request>
  Code Refused(const std::string& method, const Request& request) {
    return rig_.server.Refusal<Response>(method, request).code();
  }

  OneNode rig_;
};

TEST_F(EtcdTest, ValuesArePutAndFound) {
  EXPECT_THAT(Pairs(RangeOf("k")), IsEmpty());
  Put("k", "1");
  Put("k", "2");
  Put("kk", "3");
  EXPECT_THAT(Pairs(RangeOf("k")), ElementsAre("k=2"));
  etcd::RangeRequest serializable = RangeOf("k");
  serializable.set_serializable(true);
  EXPECT_THAT(Pairs(serializable), ElementsAre("k=2"));
}

TEST_F(EtcdTest, Ranges) {
  for (const char* key : {"a", "b", "b1", "c"}) Put(key, "v");
  EXPECT_THAT(Pairs(RangeOf("b", "c")), ElementsAre("b=v", "b1=v"));
  EXPECT_THAT(Pairs(RangeOf("b", std::string(1, '\0'))), ElementsAre("b=v", "b1=v", "c=v"));
  EXPECT_THAT(Pairs(RangeOf("c", "a")), IsEmpty());
  etcd::RangeRequest range = RangeOf("a", "z");
  range.set_sort_order(etcd::RangeRequest::DESCEND);
  range.set_limit(3);
  EXPECT_THAT(Pairs(range), ElementsAre("c=v", "b1=v", "b=v"));
  EXPECT_TRUE(Range(range).more());
  EXPECT_EQ(Range(range).count(), 4);
  range.set_limit(0);
  EXPECT_FALSE(Range(range).more());
  range.set_keys_only(true);
  EXPECT_EQ(Range(range).kvs(0).value(), "");
  range.set_count_only(true);
  EXPECT_THAT(Range(range).kvs(), IsEmpty());
  EXPECT_EQ(Range(range).count(), 4);
}

TEST_F(EtcdTest, WhatIsNotServedIsSaidSo) {
  etcd::PutRequest lease = PutOf("k", "v");
  lease.set_lease(5);
  EXPECT_EQ(Refused<etcd::PutResponse>(kPut, lease), Code::kUnimplemented);
  EXPECT_EQ(Refused<etcd::PutResponse>(kPut, PutOf("", "v")), Code::kInvalidArgument);
  EXPECT_EQ(Refused<etcd::PutResponse>(kPut, PutOf("k", std::string((1u << 20) + 1, 'v'))),
            Code::kInvalidArgument);
  EXPECT_EQ(Refused<etcd::RangeResponse>(kRange, RangeOf("")), Code::kInvalidArgument);
  etcd::RangeRequest old = RangeOf("k");
  old.set_revision(17);
  EXPECT_EQ(Refused<etcd::RangeResponse>(kRange, old), Code::kUnimplemented);
  EXPECT_THAT(Pairs(RangeOf("k")), IsEmpty());
}

// Puts k if it has no value, else reads it.
etcd::TxnRequest CreateOrRead(const std::string& value) {
  etcd::TxnRequest txn;
  etcd::Compare* compare = txn.add_compare();
  compare->set_target(etcd::Compare::CREATE);
  compare->set_key("k");
  compare->set_create_revision(0);
  *txn.add_success()->mutable_request_put() = PutOf("k", value);
  *txn.add_failure()->mutable_request_range() = RangeOf("k");
  return txn;
}

TEST_F(EtcdTest, ATransactionCreatesAKeyOnce) {
  const auto created = Txn(CreateOrRead("mine"));
  EXPECT_TRUE(created.succeeded());
  ASSERT_THAT(created.responses(), SizeIs(1));
  EXPECT_TRUE(created.responses(0).has_response_put());
  const auto found = Txn(CreateOrRead("yours"));
  EXPECT_FALSE(found.succeeded());
  ASSERT_THAT(found.responses(), SizeIs(1));
  EXPECT_EQ(found.responses(0).response_range().kvs(0).value(), "mine");
}

TEST_F(EtcdTest, ATransactionDeletesWhatItExpects) {
  Put("k", "mine");
  etcd::TxnRequest txn;
  etcd::Compare* compare = txn.add_compare();
  compare->set_target(etcd::Compare::VALUE);
  compare->set_key("k");
  compare->set_value("yours");
  txn.add_success()->mutable_request_delete_range()->set_key("k");
  EXPECT_FALSE(Txn(txn).succeeded());
  EXPECT_THAT(Pairs(RangeOf("k")), ElementsAre("k=mine"));
  compare->set_value("mine");
  const auto deleted = Txn(txn);
  EXPECT_TRUE(deleted.succeeded());
  EXPECT_EQ(deleted.responses(0).response_delete_range().deleted(), 1);
  EXPECT_THAT(Pairs(RangeOf("k")), IsEmpty());
}

TEST_F(EtcdTest, ATransactionReadsOnConditions) {
  Put("a", "1");
  Put("b", "2");
  etcd::TxnRequest txn;
  for (const auto& [key, value] : std::map<std::string, std::string>{{"a", "1"}, {"b", "2"}}) {
    etcd::Compare* compare = txn.add_compare();
    compare->set_target(etcd::Compare::VALUE);
    compare->set_key(key);
    compare->set_value(value);
  }
  *txn.add_success()->mutable_request_range() = RangeOf("a");
  *txn.add_failure()->mutable_request_range() = RangeOf("b");
  EXPECT_EQ(Txn(txn).responses(0).response_range().kvs(0).key(), "a");
  txn.mutable_compare(1)->set_value("3");
  EXPECT_EQ(Txn(txn).responses(0).response_range().kvs(0).key(), "b");
  EXPECT_FALSE(Txn(txn).succeeded());
}

TEST_F(EtcdTest, ATransactionThatCannotBeAtomicIsRefused) {
  etcd::TxnRequest two_writes = CreateOrRead("v");
  *two_writes.add_success()->mutable_request_put() = PutOf("l", "v");
  EXPECT_EQ(Refused<etcd::TxnResponse>(kTxnPath, two_writes), Code::kUnimplemented);
  etcd::TxnRequest other_key = CreateOrRead("v");
  other_key.mutable_compare(0)->set_key("other");
  EXPECT_EQ(Refused<etcd::TxnResponse>(kTxnPath, other_key), Code::kUnimplemented);
  etcd::TxnRequest failing_write = CreateOrRead("v");
  *failing_write.mutable_failure(0)->mutable_request_put() = PutOf("k", "v");
  EXPECT_EQ(Refused<etcd::TxnResponse>(kTxnPath, failing_write), Code::kUnimplemented);
  etcd::TxnRequest greater = CreateOrRead("v");
  greater.mutable_compare(0)->set_result(etcd::Compare::GREATER);
  EXPECT_EQ(Refused<etcd::TxnResponse>(kTxnPath, greater), Code::kUnimplemented);
  EXPECT_THAT(Pairs(RangeOf("a", "z")), IsEmpty());
}

TEST_F(EtcdTest, MembersAreThoseOfPlacement) {
  const auto answer = rig_.server.Call<etcd::MemberListResponse>("/etcdserverpb.Cluster/MemberList",
                                                                 etcd::MemberListRequest());
  ASSERT_THAT(answer.members(), SizeIs(1));
  EXPECT_EQ(answer.members(0).name(), "n1");
  EXPECT_THAT(answer.members(0).clienturls(), ElementsAre("http://127.0.0.1:20160"));
}

}  // namespace
}  // namespace rutile::rpc
