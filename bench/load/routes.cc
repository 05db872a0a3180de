#include "bench/load/routes.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "proto/pdpb.pb.h"

namespace rutile::bench {
namespace {

// "http://host:port" -> "host:port".
std::string WithoutScheme(const std::string& url) {
  const std::size_t at = url.find("://");
  return at == std::string::npos ? url : url.substr(at + 3);
}

Route ToRoute(const pdpb::Region& from) {
  Route route{.region = from.region().id(),
              .conf_ver = from.region().region_epoch().conf_ver(),
              .version = from.region().region_epoch().version(),
              .start = from.region().start_key(),
              .end = from.region().end_key()};
  for (const metapb::Peer& peer : from.region().peers()) {
    if (peer.id() == from.leader().id()) route.target = route.peers.size();
    route.peers.push_back({.id = peer.id(), .store = peer.store_id()});
  }
  return route;
}

template <class Response>
Status ParseAnswer(const Status& status, std::string_view bytes, Response* response) {
  if (!status.ok()) return status;
  if (!response->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return Status(Code::kCorruption, "placement's answer cannot be read");
  }
  if (response->header().error().type() != pdpb::OK) {
    return Status(Code::kUnavailable, "placement: " + response->header().error().message());
  }
  return {};
}

}  // namespace

Routes::Routes(H2Client& client, std::vector<std::string> endpoints)
    : client_(client), endpoints_(std::move(endpoints)) {}

Route* Routes::Find(std::string_view key) {
  auto it = routes_.upper_bound(key);
  if (it == routes_.begin()) return nullptr;
  Route& route = std::prev(it)->second;
  return route.end.empty() || key < route.end ? &route : nullptr;
}

H2Peer* Routes::StoreAt(std::uint64_t store) {
  const auto it = stores_.find(store);
  return it == stores_.end() ? nullptr : it->second;
}

void Routes::Refresh(std::function<void(const Status&)> done) {
  waiting_.push_back(std::move(done));
  if (waiting_.size() > 1) return;
  failed_ = 0;
  AskMembers();
}

void Routes::Done(const Status& status) {
  std::vector<std::function<void(const Status&)>> waiting;
  waiting.swap(waiting_);
  for (const auto& done : waiting) done(status);
}

void Routes::TryNext(const Status& why) {
  endpoint_ = (endpoint_ + 1) % endpoints_.size();
  if (++failed_ >= endpoints_.size()) return Done(why);
  AskMembers();
}

void Routes::AskMembers() {
  client_.To(endpoints_[endpoint_])
      .Call(
          "/pdpb.PD/GetMembers", pdpb::GetMembersRequest().SerializeAsString(),
          [this](const Status& status, std::string_view bytes) {
            pdpb::GetMembersResponse response;
            Status parsed = ParseAnswer(status, bytes, &response);
            if (parsed.ok() && response.leader().client_urls().empty()) {
              parsed = Status(Code::kUnavailable, "placement has no leader");
            }
            if (!parsed.ok()) return TryNext(parsed);
            cluster_ = response.header().cluster_id();
            for (const pdpb::Member& member : response.members()) {
              for (const std::string& url : member.client_urls()) {
                const std::string address = WithoutScheme(url);
                if (std::find(endpoints_.begin(), endpoints_.end(), address) == endpoints_.end()) {
                  endpoints_.push_back(address);
                }
              }
            }
            AskRegions(WithoutScheme(response.leader().client_urls(0)));
          });
}

void Routes::AskRegions(const std::string& address) {
  H2Peer& peer = client_.To(address);
  placement_ = &peer;
  pdpb::ScanRegionsRequest request;
  request.mutable_header()->set_cluster_id(cluster_);
  peer.Call("/pdpb.PD/ScanRegions", request.SerializeAsString(),
            [this, &peer](const Status& status, std::string_view bytes) {
              pdpb::ScanRegionsResponse response;
              if (const Status parsed = ParseAnswer(status, bytes, &response); !parsed.ok()) {
                return TryNext(parsed);
              }
              routes_.clear();
              for (const pdpb::Region& region : response.regions()) {
                if (region.region().peers().empty()) continue;
                routes_.insert_or_assign(region.region().start_key(), ToRoute(region));
              }
              AskStores(peer);
            });
}

void Routes::AskStores(H2Peer& peer) {
  pdpb::GetAllStoresRequest request;
  request.mutable_header()->set_cluster_id(cluster_);
  peer.Call("/pdpb.PD/GetAllStores", request.SerializeAsString(),
            [this](const Status& status, std::string_view bytes) {
              pdpb::GetAllStoresResponse response;
              if (const Status parsed = ParseAnswer(status, bytes, &response); !parsed.ok()) {
                return TryNext(parsed);
              }
              for (const metapb::Store& store : response.stores()) {
                stores_[store.id()] = &client_.To(store.address());
              }
              Done({});
            });
}

}  // namespace rutile::bench
