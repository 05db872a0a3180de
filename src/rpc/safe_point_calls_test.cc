#include "rpc/services/safe_point_calls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "proto/etcd.pb.h"
#include "proto/pdpb.pb.h"
#include "rpc/placement_testing.h"

namespace rutile::rpc {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class SafePointCallsTest : public ::testing::Test {
 protected:
  std::uint64_t SafePoint() {
    return Call<pdpb::GetGCSafePointResponse>("GetGCSafePoint", pdpb::GetGCSafePointRequest())
        .safe_point();
  }
  std::uint64_t Raise(std::uint64_t point) {
    pdpb::UpdateGCSafePointRequest request;
    request.set_safe_point(point);
    return Call<pdpb::UpdateGCSafePointResponse>("UpdateGCSafePoint", request).new_safe_point();
  }
  pdpb::UpdateServiceGCSafePointResponse SetService(const std::string& service, std::int64_t ttl,
                                                    std::uint64_t point) {
    pdpb::UpdateServiceGCSafePointRequest request;
    request.set_service_id(service);
    request.set_ttl(ttl);
    request.set_safe_point(point);
    return Call<pdpb::UpdateServiceGCSafePointResponse>("UpdateServiceGCSafePoint", request);
  }
  pdpb::GCState GcState() {
    return Call<pdpb::GetGCStateResponse>("GetGCState", pdpb::GetGCStateRequest()).gc_state();
  }
  template <class Response, class Request>
  Response Call(const std::string& method, const Request& request) {
    return rig_.server.Call<Response>("/pdpb.PD/" + method, request);
  }

  OneNode rig_;
};

TEST_F(SafePointCallsTest, TheSafePointOnlyRises) {
  EXPECT_EQ(SafePoint(), 0u);
  EXPECT_EQ(Raise(100), 100u);
  EXPECT_EQ(Raise(50), 100u);
  EXPECT_EQ(SafePoint(), 100u);
}

TEST_F(SafePointCallsTest, AServiceHoldsItBackUntilItWithdraws) {
  auto answer = SetService("gc_worker", std::numeric_limits<std::int64_t>::max(), 100);
  EXPECT_EQ(answer.min_safe_point(), 100u);
  EXPECT_EQ(answer.ttl(), std::numeric_limits<std::int64_t>::max());
  // Too late for what may be gone.
  answer = SetService("backup", 1000, 99);
  EXPECT_EQ(answer.service_id(), "gc_worker");
  EXPECT_EQ(answer.min_safe_point(), 100u);

  SetService("backup", 1000, 150);
  answer = SetService("gc_worker", std::numeric_limits<std::int64_t>::max(), 200);
  EXPECT_EQ(answer.service_id(), "backup");
  EXPECT_EQ(answer.min_safe_point(), 150u);
  EXPECT_GT(answer.ttl(), 0);
  EXPECT_LE(answer.ttl(), 1000);
  ASSERT_THAT(GcState().gc_barriers(), SizeIs(1));
  EXPECT_EQ(GcState().gc_barriers(0).barrier_id(), "backup");
  EXPECT_EQ(GcState().gc_barriers(0).barrier_ts(), 150u);

  answer = SetService("backup", 0, 0);
  EXPECT_EQ(answer.service_id(), "gc_worker");
  EXPECT_EQ(answer.min_safe_point(), 200u);
  EXPECT_THAT(GcState().gc_barriers(), SizeIs(0));
}

TEST_F(SafePointCallsTest, AServiceNeedsAName) {
  EXPECT_EQ(rig_.server
                .Refusal<pdpb::UpdateServiceGCSafePointResponse>(
                    "/pdpb.PD/UpdateServiceGCSafePoint", pdpb::UpdateServiceGCSafePointRequest())
                .code(),
            Code::kInvalidArgument);
}

TEST_F(SafePointCallsTest, TheSafePointOfTransactionsIsWhatCollectorsKeepAmongTheValues) {
  EXPECT_EQ(GcState().txn_safe_point(), 0u);
  EXPECT_EQ(GcState().keyspace_scope().keyspace_id(), 0xFFFFFFFFu);
  Raise(10);
  EXPECT_EQ(GcState().txn_safe_point(), 10u);
  EXPECT_EQ(GcState().gc_safe_point(), 10u);
  etcdserverpb::PutRequest put;
  put.set_key(kTxnSafePointKey);
  put.set_value("435000000000000001");
  rig_.server.Call<etcdserverpb::PutResponse>("/etcdserverpb.KV/Put", put);
  EXPECT_EQ(GcState().txn_safe_point(), 435000000000000001u);
  EXPECT_EQ(GcState().gc_safe_point(), 10u);
  const auto all = Call<pdpb::GetAllKeyspacesGCStatesResponse>(
      "GetAllKeyspacesGCStates", pdpb::GetAllKeyspacesGCStatesRequest());
  ASSERT_THAT(all.gc_states(), SizeIs(1));
  EXPECT_EQ(all.gc_states(0).SerializeAsString(), GcState().SerializeAsString());
}

TEST_F(SafePointCallsTest, OnlyTheKeyspacesThatExistHaveAState) {
  pdpb::GetGCStateRequest request;
  request.mutable_keyspace_scope()->set_keyspace_id(0);
  EXPECT_TRUE((Call<pdpb::GetGCStateResponse>("GetGCState", request)).has_gc_state());
  request.mutable_keyspace_scope()->set_keyspace_id(5);
  EXPECT_EQ(rig_.server.Refusal<pdpb::GetGCStateResponse>("/pdpb.PD/GetGCState", request).code(),
            Code::kNotFound);
}

TEST_F(SafePointCallsTest, TheExternalTimestampRisesUpToNow) {
  const auto get = [this] {
    return Call<pdpb::GetExternalTimestampResponse>("GetExternalTimestamp",
                                                    pdpb::GetExternalTimestampRequest())
        .timestamp();
  };
  pdpb::SetExternalTimestampRequest request;
  const auto refusal = [&] {
    return rig_.server.Refusal<pdpb::SetExternalTimestampResponse>("/pdpb.PD/SetExternalTimestamp",
                                                                   request);
  };
  EXPECT_EQ(get(), 0u);
  for (const std::uint64_t point : {5u, 9u, 9u}) {
    request.set_timestamp(point);
    Call<pdpb::SetExternalTimestampResponse>("SetExternalTimestamp", request);
    EXPECT_EQ(get(), point);
  }
  request.set_timestamp(8);
  EXPECT_THAT(std::string(refusal().message()), HasSubstr("cannot go back"));
  request.set_timestamp(std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(refusal().code(), Code::kInvalidArgument);
  request.set_timestamp(0);
  EXPECT_EQ(refusal().code(), Code::kInvalidArgument);
  EXPECT_EQ(get(), 9u);
}

}  // namespace
}  // namespace rutile::rpc
