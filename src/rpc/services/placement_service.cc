#include "rpc/services/placement_service.h"

#include <charconv>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "proto/pdpb.pb.h"
#include "rpc/services/convert.h"
#include "rpc/services/etcd_service.h"
#include "rpc/services/keyspace_calls.h"
#include "rpc/services/placement_call.h"
#include "rpc/services/safe_point_calls.h"
#include "rpc/services/tso_stream.h"

namespace rutile::rpc {
namespace {

using placement::Placement;
using placement::Route;

constexpr char kPdService[] = "/pdpb.PD/";

void FillMember(const placement::Member& member, const std::string& scheme, pdpb::Member* out) {
  out->set_name(member.name);
  out->set_member_id(member.store.value());
  out->add_peer_urls(scheme + "://" + member.address);
  out->add_client_urls(scheme + "://" + member.address);
}

void FillStore(const placement::StoreStatus& status, std::uint64_t now_ms, metapb::Store* out) {
  out->set_id(status.info.id.value());
  out->set_address(status.info.address);
  out->set_peer_address(status.info.address);
  out->set_version(status.info.version);
  // A store that is silent is still a member: clients find out by themselves whether it answers.
  out->set_state(metapb::Up);
  out->set_node_state(metapb::Serving);
  if (status.silent_for) {
    const auto now = std::chrono::milliseconds(now_ms);
    out->set_last_heartbeat((now - *status.silent_for).count());
  }
}

template <class Answer>
void FillRoute(const Route& route, Answer* out) {
  ToProto(route.region, out->mutable_region());
  if (route.leader) ToProto(*route.leader, out->mutable_leader());
}

// Absent when nothing is known: clients ask again.
void AnswerRoute(const std::optional<Route>& route, pdpb::GetRegionResponse* response) {
  if (route) FillRoute(*route, response);
}

Status CheckRange(const std::string& start, const std::string& end) {
  if (end.empty() || start <= end) return {};
  return Status(Code::kInvalidArgument, "the range ends before it starts");
}

std::size_t Limit(std::int32_t asked) { return asked > 0 ? static_cast<std::size_t>(asked) : 0; }

void ScanRegions(const Placement& placement, const pdpb::ScanRegionsRequest& request,
                 pdpb::ScanRegionsResponse* response, Done done) {
  Status status = CheckRange(request.start_key(), request.end_key());
  if (!status.ok()) return done(std::move(status));
  for (const Route& route :
       placement.ScanRoutes(request.start_key(), request.end_key(), Limit(request.limit()))) {
    pdpb::Region* region = response->add_regions();
    FillRoute(route, region);
    *response->add_region_metas() = region->region();
    *response->add_leaders() = region->leader();
  }
  done();
}

// Whether `routes`, which are in order and meet the range, leave no key of it out.
bool CoversRange(const std::vector<Route>& routes, std::string_view start, std::string_view end) {
  std::string_view covered = start;
  for (const Route& route : routes) {
    if (route.region.start_key > covered) return false;
    if (route.region.end_key.empty()) return true;
    covered = route.region.end_key;
  }
  return !end.empty() && covered >= end;
}

void BatchScanRegions(const Placement& placement, const pdpb::BatchScanRegionsRequest& request,
                      pdpb::BatchScanRegionsResponse* response, Done done) {
  const std::size_t limit = Limit(request.limit());
  std::uint64_t last = 0;  // A region that two ranges meet is given once.
  for (const pdpb::KeyRange& range : request.ranges()) {
    Status status = CheckRange(range.start_key(), range.end_key());
    if (!status.ok()) return done(std::move(status));
    const auto found = static_cast<std::size_t>(response->regions_size());
    if (limit != 0 && found >= limit) break;
    // One more, as the first may be the last one's.
    const std::size_t wanted = limit == 0 ? 0 : limit - found + 1;
    const std::vector<Route> routes =
        placement.ScanRoutes(range.start_key(), range.end_key(), wanted);
    if (request.contain_all_key_range() && (wanted == 0 || routes.size() < wanted) &&
        !CoversRange(routes, range.start_key(), range.end_key())) {
      response->clear_regions();
      pdpb::Error* error = response->mutable_header()->mutable_error();
      error->set_type(pdpb::REGIONS_NOT_CONTAIN_ALL_KEY_RANGE);
      error->set_message("the regions known do not hold the whole range");
      return done();
    }
    for (const Route& route : routes) {
      if (route.region.id.value() == last) continue;
      if (limit != 0 && static_cast<std::size_t>(response->regions_size()) == limit) break;
      last = route.region.id.value();
      FillRoute(route, response->add_regions());
    }
  }
  done();
}

void GetMembers(const Placement& placement, const std::string& scheme,
                pdpb::GetMembersResponse* response) {
  // Clients look the leader up among the members by comparing all that is said of it.
  for (const placement::Member& member : placement.members()) {
    FillMember(member, scheme, response->add_members());
  }
  if (const std::optional<placement::Member> leader = placement.Leader()) {
    FillMember(*leader, scheme, response->mutable_leader());
    *response->mutable_etcd_leader() = response->leader();
  }
}

void AllocateIds(Placement& placement, std::uint32_t count, pdpb::AllocIDResponse* response,
                 Done done) {
  placement.Execute(placement::AllocateIds{count},
                    [count, response, done = std::move(done)](Result<std::string> result) mutable {
                      if (!result.ok()) return done(result.status());
                      const std::string& text = result.value();
                      std::uint64_t first = 0;
                      std::from_chars(text.data(), text.data() + text.size(), first);
                      response->set_id(first + count - 1);
                      response->set_count(count);
                      done();
                    });
}

}  // namespace

void PlacementService::Register(Methods* methods) {
  RegisterMembers(methods);
  RegisterIds(methods);
  RegisterStores(methods);
  RegisterRoutes(methods);
  RegisterSafePointCalls(placement_, clock_, methods);
  RegisterEtcdCalls(placement_, scheme_, methods);
  RegisterKeyspaceCalls(placement_, clock_, methods);
}

void PlacementService::RegisterMembers(Methods* methods) {
  const ClusterId cluster = placement_.cluster();
  const std::string service = kPdService;
  HandlePlacementCall<pdpb::GetMembersRequest, pdpb::GetMembersResponse>(
      methods, cluster, service + "GetMembers", [this](const auto&, auto* response, Done done) {
        GetMembers(placement_, scheme_, response);
        done();
      });
  HandlePlacementCall<pdpb::GetClusterInfoRequest, pdpb::GetClusterInfoResponse>(
      methods, cluster, service + "GetClusterInfo", [](const auto&, auto* response, Done done) {
        response->add_servicemodes(pdpb::PD_SVC_MODE);
        done();
      });
  HandlePlacementCall<pdpb::GetClusterConfigRequest, pdpb::GetClusterConfigResponse>(
      methods, cluster, service + "GetClusterConfig",
      [this](const auto&, auto* response, Done done) {
        response->mutable_cluster()->set_id(placement_.cluster().value());
        response->mutable_cluster()->set_max_peer_count(
            static_cast<std::uint32_t>(placement_.members().size()));
        done();
      });
  // A cluster of ours is complete from its first moment on.
  HandlePlacementCall<pdpb::IsBootstrappedRequest, pdpb::IsBootstrappedResponse>(
      methods, cluster, service + "IsBootstrapped", [](const auto&, auto* response, Done done) {
        response->set_bootstrapped(true);
        done();
      });
  HandlePlacementCall<pdpb::BootstrapRequest, pdpb::BootstrapResponse>(
      methods, cluster, service + "Bootstrap", [](const auto&, auto* response, Done done) {
        pdpb::Error* error = response->mutable_header()->mutable_error();
        error->set_type(pdpb::ALREADY_BOOTSTRAPPED);
        error->set_message("cluster is already bootstrapped");
        done();
      });
}

void PlacementService::RegisterIds(Methods* methods) {
  const ClusterId cluster = placement_.cluster();
  const std::string service = kPdService;
  methods->HandleStream<pdpb::TsoRequest>(
      service + "Tso", [this](const std::string&, std::shared_ptr<StreamSender> sender) {
        return NewTsoStream(
            [this](std::uint32_t count, Placement::TimestampDone done) {
              placement_.GetTimestamps(count, std::move(done));
            },
            placement_.cluster(), std::move(sender));
      });
  HandlePlacementCall<pdpb::GetMinTSRequest, pdpb::GetMinTSResponse>(
      methods, cluster, service + "GetMinTS", [this](const auto&, auto* response, Done done) {
        placement_.GetTimestamps(
            1, [response, done = std::move(done)](Result<placement::Timestamp> result) mutable {
              if (!result.ok()) return done(result.status());
              response->mutable_timestamp()->set_physical(
                  static_cast<std::int64_t>(result.value().physical_ms));
              response->mutable_timestamp()->set_logical(
                  static_cast<std::int64_t>(result.value().logical));
              done();
            });
      });
  HandlePlacementCall<pdpb::AllocIDRequest, pdpb::AllocIDResponse>(
      methods, cluster, service + "AllocID",
      [this](const pdpb::AllocIDRequest& request, auto* response, Done done) {
        AllocateIds(placement_, request.count() == 0 ? 1 : request.count(), response,
                    std::move(done));
      });
}

void PlacementService::RegisterStores(Methods* methods) {
  const ClusterId cluster = placement_.cluster();
  const std::string service = kPdService;
  HandlePlacementCall<pdpb::GetStoreRequest, pdpb::GetStoreResponse>(
      methods, cluster, service + "GetStore",
      [this](const pdpb::GetStoreRequest& request, auto* response, Done done) {
        for (const placement::StoreStatus& store : placement_.Stores()) {
          if (store.info.id.value() != request.store_id()) continue;
          FillStore(store, clock_.WallMillis(), response->mutable_store());
          return done();
        }
        // Clients know by these words that the store is gone. A status, since some take an answer
        // without a store for a broken one.
        done(Status(Code::kNotFound,
                    "invalid store ID " + std::to_string(request.store_id()) + ", not found"));
      });
  HandlePlacementCall<pdpb::GetAllStoresRequest, pdpb::GetAllStoresResponse>(
      methods, cluster, service + "GetAllStores", [this](const auto&, auto* response, Done done) {
        for (const placement::StoreStatus& store : placement_.Stores()) {
          FillStore(store, clock_.WallMillis(), response->add_stores());
        }
        done();
      });
}

void PlacementService::RegisterRoutes(Methods* methods) {
  const ClusterId cluster = placement_.cluster();
  const std::string service = kPdService;
  HandlePlacementCall<pdpb::GetRegionRequest, pdpb::GetRegionResponse>(
      methods, cluster, service + "GetRegion",
      [this](const pdpb::GetRegionRequest& request, auto* response, Done done) {
        AnswerRoute(placement_.FindRoute(request.region_key()), response);
        done();
      });
  HandlePlacementCall<pdpb::GetRegionRequest, pdpb::GetRegionResponse>(
      methods, cluster, service + "GetPrevRegion",
      [this](const pdpb::GetRegionRequest& request, auto* response, Done done) {
        AnswerRoute(placement_.FindRouteBefore(request.region_key()), response);
        done();
      });
  HandlePlacementCall<pdpb::GetRegionByIDRequest, pdpb::GetRegionResponse>(
      methods, cluster, service + "GetRegionByID",
      [this](const pdpb::GetRegionByIDRequest& request, auto* response, Done done) {
        AnswerRoute(placement_.FindRoute(RegionId(request.region_id())), response);
        done();
      });
  HandlePlacementCall<pdpb::ScanRegionsRequest, pdpb::ScanRegionsResponse>(
      methods, cluster, service + "ScanRegions",
      [this](const pdpb::ScanRegionsRequest& request, auto* response, Done done) {
        ScanRegions(placement_, request, response, std::move(done));
      });
  HandlePlacementCall<pdpb::BatchScanRegionsRequest, pdpb::BatchScanRegionsResponse>(
      methods, cluster, service + "BatchScanRegions",
      [this](const pdpb::BatchScanRegionsRequest& request, auto* response, Done done) {
        BatchScanRegions(placement_, request, response, std::move(done));
      });
}

}  // namespace rutile::rpc
