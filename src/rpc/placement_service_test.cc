#include "rpc/services/placement_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proto/etcd.pb.h"
#include "proto/pdpb.pb.h"
#include "rpc/placement_testing.h"

namespace rutile::rpc {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class PlacementServiceTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { rig_ = new OneNode(); }
  static void TearDownTestSuite() {
    delete rig_;
    rig_ = nullptr;
  }

  template <class Response, class Request>
  static Response Call(const std::string& method, Request request = {}) {
    return rig_->server.Call<Response>("/pdpb.PD/" + method, std::move(request));
  }
  template <class Response, class Request>
  static Status Refusal(const std::string& method, Request request = {}) {
    return rig_->server.Refusal<Response>("/pdpb.PD/" + method, std::move(request));
  }

  static OneNode* rig_;
};
OneNode* PlacementServiceTest::rig_ = nullptr;

TEST_F(PlacementServiceTest, TheLeaderIsAMemberFieldForField) {
  const auto answer = Call<pdpb::GetMembersResponse, pdpb::GetMembersRequest>("GetMembers");
  ASSERT_THAT(answer.members(), SizeIs(1));
  const pdpb::Member& member = answer.members(0);
  EXPECT_EQ(member.name(), "n1");
  EXPECT_NE(member.member_id(), 0u);
  EXPECT_THAT(member.client_urls(), ElementsAre("http://127.0.0.1:20160"));
  EXPECT_EQ(answer.leader().SerializeAsString(), member.SerializeAsString());
  EXPECT_EQ(answer.etcd_leader().SerializeAsString(), member.SerializeAsString());
}

TEST_F(PlacementServiceTest, TheClusterIsCompleteFromTheBeginning) {
  EXPECT_THAT((Call<pdpb::GetClusterInfoResponse, pdpb::GetClusterInfoRequest>("GetClusterInfo"))
                  .servicemodes(),
              ElementsAre(pdpb::PD_SVC_MODE));
  EXPECT_TRUE((Call<pdpb::IsBootstrappedResponse, pdpb::IsBootstrappedRequest>("IsBootstrapped"))
                  .bootstrapped());
  EXPECT_EQ(
      (Call<pdpb::BootstrapResponse, pdpb::BootstrapRequest>("Bootstrap")).header().error().type(),
      pdpb::ALREADY_BOOTSTRAPPED);
  const auto config =
      Call<pdpb::GetClusterConfigResponse, pdpb::GetClusterConfigRequest>("GetClusterConfig");
  EXPECT_EQ(config.cluster().id(), rig_->node.placement().cluster().value());
  EXPECT_EQ(config.cluster().max_peer_count(), 1u);
}

TEST_F(PlacementServiceTest, AnotherClustersRequestIsRefused) {
  const std::uint64_t ours = rig_->node.placement().cluster().value();
  pdpb::GetRegionRequest request;
  request.mutable_header()->set_cluster_id(ours);
  EXPECT_TRUE((Call<pdpb::GetRegionResponse>("GetRegion", request)).has_region());
  request.mutable_header()->set_cluster_id(ours + 1);
  const Status refusal = Refusal<pdpb::GetRegionResponse>("GetRegion", request);
  EXPECT_EQ(refusal.code(), Code::kFailedPrecondition);
  EXPECT_THAT(std::string(refusal.message()),
              HasSubstr("mismatch cluster id, need " + std::to_string(ours) + " but got " +
                        std::to_string(ours + 1)));
}

void ExpectTheRegion(const metapb::Region& region, const metapb::Peer& leader) {
  EXPECT_GE(region.id(), 2u);
  EXPECT_EQ(region.start_key(), "");
  EXPECT_EQ(region.end_key(), "");
  EXPECT_NE(region.region_epoch().conf_ver(), 0u);
  EXPECT_NE(region.region_epoch().version(), 0u);
  ASSERT_THAT(region.peers(), SizeIs(1));
  EXPECT_EQ(region.peers(0).SerializeAsString(), leader.SerializeAsString());
}

TEST_F(PlacementServiceTest, RoutesByKeyAndById) {
  pdpb::GetRegionRequest by_key;
  for (const char* key : {"", "k", "\xff\xff"}) {
    by_key.set_region_key(key);
    const auto found = Call<pdpb::GetRegionResponse>("GetRegion", by_key);
    ExpectTheRegion(found.region(), found.leader());
    EXPECT_THAT(found.down_peers(), SizeIs(0));
    pdpb::GetRegionByIDRequest by_id;
    by_id.set_region_id(found.region().id());
    const auto again = Call<pdpb::GetRegionResponse>("GetRegionByID", by_id);
    EXPECT_EQ(again.SerializeAsString(), found.SerializeAsString());
  }
}

TEST_F(PlacementServiceTest, WhatIsNotKnownIsAbsent) {
  pdpb::GetRegionByIDRequest by_id;
  by_id.set_region_id(999);
  const auto unknown = Call<pdpb::GetRegionResponse>("GetRegionByID", by_id);
  EXPECT_FALSE(unknown.has_region());
  EXPECT_FALSE(unknown.has_leader());
  // Nothing lies before the first region.
  pdpb::GetRegionRequest by_key;
  by_key.set_region_key("k");
  EXPECT_FALSE((Call<pdpb::GetRegionResponse>("GetPrevRegion", by_key)).has_region());
  // Placement's own group is not a place for keys.
  by_id.set_region_id(store::kPlacementRegion.value());
  EXPECT_FALSE((Call<pdpb::GetRegionResponse>("GetRegionByID", by_id)).has_region());
}

TEST_F(PlacementServiceTest, ScansAnswerForOldAndNewClients) {
  pdpb::ScanRegionsRequest request;
  request.set_start_key("a");
  request.set_end_key("b");
  request.set_limit(10);
  const auto answer = Call<pdpb::ScanRegionsResponse>("ScanRegions", request);
  ASSERT_THAT(answer.regions(), SizeIs(1));
  ExpectTheRegion(answer.regions(0).region(), answer.regions(0).leader());
  ASSERT_THAT(answer.region_metas(), SizeIs(1));
  ASSERT_THAT(answer.leaders(), SizeIs(1));
  ExpectTheRegion(answer.region_metas(0), answer.leaders(0));

  request.set_start_key("c");
  EXPECT_EQ(Refusal<pdpb::ScanRegionsResponse>("ScanRegions", request).code(),
            Code::kInvalidArgument);
}

TEST_F(PlacementServiceTest, ARegionThatTwoRangesMeetIsGivenOnce) {
  pdpb::BatchScanRegionsRequest request;
  for (const auto& [start, end] :
       std::vector<std::pair<std::string, std::string>>{{"a", "b"}, {"c", "d"}, {"e", ""}}) {
    pdpb::KeyRange* range = request.add_ranges();
    range->set_start_key(start);
    range->set_end_key(end);
  }
  request.set_contain_all_key_range(true);
  for (const int limit : {0, 1, 2, 10}) {
    request.set_limit(limit);
    const auto answer = Call<pdpb::BatchScanRegionsResponse>("BatchScanRegions", request);
    ASSERT_THAT(answer.regions(), SizeIs(1)) << limit;
    EXPECT_FALSE(answer.header().has_error()) << answer.header().error().message();
  }
  request.mutable_ranges(0)->set_end_key("A");
  EXPECT_EQ(Refusal<pdpb::BatchScanRegionsResponse>("BatchScanRegions", request).code(),
            Code::kInvalidArgument);
}

TEST_F(PlacementServiceTest, StoresCanBeDialled) {
  const auto all = Call<pdpb::GetAllStoresResponse, pdpb::GetAllStoresRequest>("GetAllStores");
  ASSERT_THAT(all.stores(), SizeIs(1));
  pdpb::GetStoreRequest request;
  request.set_store_id(all.stores(0).id());
  const metapb::Store store = Call<pdpb::GetStoreResponse>("GetStore", request).store();
  EXPECT_EQ(store.id(), all.stores(0).id());
  EXPECT_EQ(store.address(), "127.0.0.1:20160");
  EXPECT_EQ(store.state(), metapb::Up);
  EXPECT_EQ(store.node_state(), metapb::Serving);
  EXPECT_EQ(store.version(), node::kReportedVersion);
  // It has reported: within the test's time, and not in some other unit.
  const auto now_ns = static_cast<std::int64_t>(rig_->node.clock().WallMillis()) * 1'000'000;
  EXPECT_NEAR(static_cast<double>(store.last_heartbeat()), static_cast<double>(now_ns), 600e9);
}

TEST_F(PlacementServiceTest, AnUnknownStoreIsSaidInTheWordsThatClientsKnow) {
  pdpb::GetStoreRequest request;
  request.set_store_id(77);
  EXPECT_THAT(std::string(Refusal<pdpb::GetStoreResponse>("GetStore", request).message()),
              HasSubstr("invalid store ID 77, not found"));
}

TEST_F(PlacementServiceTest, IdsAreGivenOnceAndTheLastIsNamed) {
  pdpb::AllocIDRequest request;
  const std::uint64_t first = Call<pdpb::AllocIDResponse>("AllocID", request).id();
  request.set_count(10);
  const auto ten = Call<pdpb::AllocIDResponse>("AllocID", request);
  EXPECT_EQ(ten.id(), first + 10);
  EXPECT_EQ(ten.count(), 10u);
  request.set_count(0);
  EXPECT_EQ(Call<pdpb::AllocIDResponse>("AllocID", request).id(), first + 11);
}

TEST_F(PlacementServiceTest, TimestampsGrowOverStreams) {
  std::uint64_t last = 0;
  for (int stream = 0; stream < 2; ++stream) {
    TsoClient client(*rig_->server.channel);
    const std::vector<std::uint32_t> counts = {1, 1, 10, 1000, 1};
    for (const std::uint32_t count : counts) client.Ask(count);
    for (const std::uint32_t count : counts) {
      const pdpb::TsoResponse answer = client.Take();
      EXPECT_EQ(answer.header().cluster_id(), rig_->node.placement().cluster().value());
      EXPECT_EQ(answer.count(), count);
      const std::uint64_t end = (static_cast<std::uint64_t>(answer.timestamp().physical()) << 18) +
                                static_cast<std::uint64_t>(answer.timestamp().logical());
      EXPECT_GT(end - count + 1, last);
      last = end;
    }
    client.HalfClose();
    EXPECT_TRUE(client.TakeEnd().ok());
  }
  const auto min = Call<pdpb::GetMinTSResponse, pdpb::GetMinTSRequest>("GetMinTS").timestamp();
  EXPECT_GT((static_cast<std::uint64_t>(min.physical()) << 18) +
                static_cast<std::uint64_t>(min.logical()),
            last);
}

TEST_F(PlacementServiceTest, ARequestForNoTimestampEndsTheStream) {
  TsoClient client(*rig_->server.channel);
  client.Ask(0);
  EXPECT_EQ(client.TakeEnd().code(), Code::kInvalidArgument);
}

// One of three members runs, so nobody leads.
TEST(PlacementWithoutLeader, AnswersWhatItKnowsAndNamesNoLeader) {
  const auto spec = node::ClusterSpec::Parse("n1=a:1,n2=b:1,n3=c:1", "t").value();
  LocalNet net;
  TestNode node(spec, "n2", net);
  PlacementServer server(node);

  const auto members =
      server.Call<pdpb::GetMembersResponse>("/pdpb.PD/GetMembers", pdpb::GetMembersRequest());
  EXPECT_THAT(members.members(), SizeIs(3));
  EXPECT_FALSE(members.has_leader());
  EXPECT_FALSE(members.has_etcd_leader());

  const auto region =
      server.Call<pdpb::GetRegionResponse>("/pdpb.PD/GetRegion", pdpb::GetRegionRequest());
  EXPECT_THAT(region.region().peers(), SizeIs(3));
  EXPECT_FALSE(region.has_leader());
  EXPECT_THAT((server.Call<pdpb::GetAllStoresResponse>("/pdpb.PD/GetAllStores",
                                                       pdpb::GetAllStoresRequest()))
                  .stores(),
              SizeIs(3));

  const auto expect_not_leader = [](const Status& status) {
    EXPECT_EQ(status.code(), Code::kUnavailable);
    EXPECT_THAT(std::string(status.message()), HasSubstr("not leader"));
  };
  TsoClient tso(*server.channel);
  tso.Ask(1);
  expect_not_leader(tso.TakeEnd());
  expect_not_leader(
      server.Refusal<pdpb::AllocIDResponse>("/pdpb.PD/AllocID", pdpb::AllocIDRequest()));
  expect_not_leader(server.Refusal<pdpb::GetGCSafePointResponse>("/pdpb.PD/GetGCSafePoint",
                                                                 pdpb::GetGCSafePointRequest()));
}

TEST(PlacementFollower, ServesReadsThatAreNeverStaleAndSendsWritersOn) {
  const auto spec = node::ClusterSpec::Parse("n1=a:1,n2=b:1", "t").value();
  LocalNet net;
  TestNode one(spec, "n1", net);
  TestNode two(spec, "n2", net);
  one.AwaitLeaders();
  two.AwaitLeaders();
  TestNode& leader = one.placement().IsLeader() ? one : two;
  TestNode& follower = &leader == &one ? two : one;
  PlacementServer leader_server(leader);
  PlacementServer server(follower);

  const auto members =
      server.Call<pdpb::GetMembersResponse>("/pdpb.PD/GetMembers", pdpb::GetMembersRequest());
  EXPECT_EQ(members.leader().member_id(), leader.placement().self().value());
  TsoClient tso(*server.channel);
  tso.Ask(1);
  EXPECT_THAT(tso.TakeEnd().ToString(),
              AllOf(HasSubstr("not leader"), HasSubstr(members.leader().name())));

  for (std::uint64_t point = 1; point <= 20; ++point) {
    pdpb::UpdateGCSafePointRequest raise;
    raise.set_safe_point(point);
    leader_server.Call<pdpb::UpdateGCSafePointResponse>("/pdpb.PD/UpdateGCSafePoint", raise);
    EXPECT_EQ(server
                  .Call<pdpb::GetGCSafePointResponse>("/pdpb.PD/GetGCSafePoint",
                                                      pdpb::GetGCSafePointRequest())
                  .safe_point(),
              point);
  }
}

}  // namespace
}  // namespace rutile::rpc
