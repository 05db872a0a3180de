#include "client/operation.h"

#include <algorithm>

#include "proto/errorpb.pb.h"
#include "proto/kvrpcpb.pb.h"
#include "proto/pdpb.pb.h"

namespace rutile::client {
namespace {

Route ToRoute(const metapb::Region& region, std::uint64_t leader) {
  Route route{.region = RegionId(region.id()),
              .start_key = region.start_key(),
              .end_key = region.end_key(),
              .conf_version = region.region_epoch().conf_ver(),
              .version = region.region_epoch().version(),
              .has_leader = leader != 0};
  for (const metapb::Peer& peer : region.peers()) {
    if (peer.id() == leader) route.target = route.peers.size();
    route.peers.push_back({.id = PeerId(peer.id()), .store = StoreId(peer.store_id())});
  }
  return route;
}

}  // namespace

Operations::Operations(RawClientOptions options, Connect connect, const Clock& clock,
                       Executor& executor)
    : options_(std::move(options)),
      clock_(clock),
      executor_(executor),
      connections_(std::move(connect)) {}

std::optional<Route> Operations::Known(const Where& where) const {
  // Only the end of all keys has an empty upper border, and there is no key right below a border to
  // look for: reverse scans ask placement.
  return where.below ? std::nullopt : routes_.Find(where.key);
}

void Operations::Start(const std::shared_ptr<Attempt>& attempt) {
  attempt->before = false;
  std::optional<Route> route = Known(attempt->where);
  if (!route) return LookUp(attempt, 0, 0);
  ChooseTarget(*attempt, &*route);
  const StoreId store = route->peers[route->target].store;
  if (const auto address = routes_.AddressOf(store)) {
    return Send(attempt, *route, *address);
  }
  LookUpStore(attempt, *route, 0, 0);
}

void Operations::LookUp(const std::shared_ptr<Attempt>& attempt, std::size_t endpoint,
                        std::size_t tried) {
  if (tried == options_.endpoints.size()) {
    return Retry(attempt, attempt->last_error);
  }
  const Where& where = attempt->where;
  // Right below a key lies the region that holds it, unless that begins there: then the one before.
  // Below the end of all keys it is the last.
  pdpb::GetRegionRequest by_key;
  by_key.set_region_key(where.key);
  pdpb::ScanRegionsRequest all;
  const bool scan = where.below && where.key.empty();
  const std::string method = scan              ? "/pdpb.PD/ScanRegions"
                             : attempt->before ? "/pdpb.PD/GetPrevRegion"
                                               : "/pdpb.PD/GetRegion";
  connections_.To(options_.endpoints[endpoint])
      .Call(method, scan ? all.SerializeAsString() : by_key.SerializeAsString(),
            options_.attempt_timeout,
            [self = shared_from_this(), attempt, endpoint, tried, scan](Status status,
                                                                        const std::string& bytes) {
              std::optional<Route> route;
              if (status.ok() && scan) {
                pdpb::ScanRegionsResponse response;
                if (response.ParseFromString(bytes) && response.regions_size() > 0) {
                  const pdpb::Region& last = response.regions(response.regions_size() - 1);
                  route = ToRoute(last.region(), last.leader().id());
                }
              } else if (status.ok()) {
                pdpb::GetRegionResponse response;
                if (response.ParseFromString(bytes) && response.has_region()) {
                  route = ToRoute(response.region(), response.leader().id());
                }
              }
              const Where& asked = attempt->where;
              if (route && asked.below && !attempt->before && !asked.key.empty() &&
                  route->start_key == asked.key) {
                attempt->before = true;
                return self->LookUp(attempt, endpoint, tried);
              }
              if (route && !route->peers.empty()) {
                self->routes_.Put(*route);
                self->ChooseTarget(*attempt, &*route);
                const StoreId store = route->peers[route->target].store;
                if (const auto address = self->routes_.AddressOf(store)) {
                  return self->Send(attempt, *route, *address);
                }
                return self->LookUpStore(attempt, *route, endpoint, 0);
              }
              attempt->last_error =
                  status.ok() ? Status(Code::kUnavailable, "placement does not know the region")
                              : std::move(status);
              self->LookUp(attempt, (endpoint + 1) % self->options_.endpoints.size(), tried + 1);
            });
}

void Operations::LookUpStore(const std::shared_ptr<Attempt>& attempt, const Route& route,
                             std::size_t endpoint, std::size_t tried) {
  if (tried == options_.endpoints.size()) return Retry(attempt, attempt->last_error);
  const StoreId store = route.peers[route.target].store;
  pdpb::GetStoreRequest request;
  request.set_store_id(store.value());
  connections_.To(options_.endpoints[endpoint])
      .Call("/pdpb.PD/GetStore", request.SerializeAsString(), options_.attempt_timeout,
            [self = shared_from_this(), attempt, route, endpoint, tried, store](
                Status status, const std::string& bytes) {
              pdpb::GetStoreResponse response;
              if (status.ok() && response.ParseFromString(bytes) &&
                  !response.store().address().empty()) {
                self->routes_.SetAddress(store, response.store().address());
                return self->Send(attempt, route, response.store().address());
              }
              attempt->last_error = status.ok()
                                        ? Status(Code::kUnavailable,
                                                 "placement does not know store " + ToString(store))
                                        : std::move(status);
              self->LookUpStore(attempt, route, (endpoint + 1) % self->options_.endpoints.size(),
                                tried + 1);
            });
}

void Operations::Send(const std::shared_ptr<Attempt>& attempt, const Route& route,
                      const std::string& address) {
  const Duration left = attempt->deadline - clock_.Now();
  if (left <= Duration()) return Retry(attempt, attempt->last_error);
  connections_.To(address).Call(
      attempt->where.method, attempt->encode(route), std::min(left, options_.attempt_timeout),
      [self = shared_from_this(), attempt, route](Status status, const std::string& bytes) {
        if (!status.ok()) {
          const bool lost =
              status.code() == Code::kUnavailable || status.code() == Code::kDeadlineExceeded;
          if (!lost) return self->Refused(*attempt, std::move(status), route);
          self->Lose(*attempt);
          self->routes_.Redirect(attempt->where.key, std::nullopt);
          if (!self->IsRepeatable(attempt->where)) {
            return attempt->fail(
                Status(Code::kDeadlineExceeded, "the outcome is unknown: " + status.ToString()),
                route);
          }
          return self->Retry(attempt, std::move(status));
        }
        errorpb::Error error;
        if (attempt->decode(bytes, route, &error)) return;
        if (auto final = self->Learn(*attempt, error)) {
          return attempt->fail(std::move(*final), route);
        }
        attempt->last_answer = error.message();
        self->Retry(attempt, Status(Code::kUnavailable, error.message()));
      });
}

void Operations::Lose(Attempt& attempt) {
  attempt.unknown = true;
  if (attempt.where.is_late) *attempt.where.is_late = true;
}

void Operations::Refused(Attempt& attempt, Status status, const Route& route) {
  if (attempt.unknown && attempt.where.effect != Where::Effect::kNone) {
    status = Status(Code::kDeadlineExceeded,
                    status.ToString() + "; an attempt before may have been carried out");
  }
  attempt.fail(std::move(status), route);
}

std::optional<Status> Operations::Learn(Attempt& attempt, const errorpb::Error& error) {
  const std::string& key = attempt.where.key;
  // A follower that cannot serve the read may be long behind.
  attempt.asks_leader = true;
  if (error.has_raft_entry_too_large()) {
    return Status(Code::kInvalidArgument, error.message());
  }
  if (error.has_undetermined_result()) {
    Lose(attempt);
    if (!IsRepeatable(attempt.where)) {
      return Status(Code::kDeadlineExceeded, "the outcome is unknown: " + error.message());
    }
  }
  if (error.has_not_leader()) {
    std::optional<PeerId> leader;
    if (error.not_leader().has_leader()) leader = PeerId(error.not_leader().leader().id());
    routes_.Redirect(key, leader);
  } else if (error.has_epoch_not_match() && error.epoch_not_match().current_regions_size() > 0) {
    bool is_news = false;
    for (const metapb::Region& region : error.epoch_not_match().current_regions()) {
      is_news |= routes_.Put(ToRoute(region, 0));
    }
    // Whoever knows less than the client is not who leads.
    if (!is_news) routes_.Redirect(key, std::nullopt);
  } else if (!error.has_server_is_busy() && !error.has_disk_full()) {
    routes_.Drop(key);
  }
  return std::nullopt;
}

void Operations::Retry(const std::shared_ptr<Attempt>& attempt, Status why) {
  attempt->last_error = std::move(why);
  const Duration pause = attempt->backoff;
  attempt->backoff = std::min(attempt->backoff * 2, options_.backoff_max);
  if (clock_.Now() + pause >= attempt->deadline) {
    const bool unknown = attempt->unknown && attempt->where.effect != Where::Effect::kNone;
    std::string text = "gave up after " +
                       std::to_string(ToMilliseconds(clock_.Now() - attempt->began)) +
                       " ms: " + std::string(attempt->last_error.message());
    // The last attempt may just have had no time left for an answer.
    if (!attempt->last_answer.empty() && attempt->last_answer != attempt->last_error.message()) {
      text += "; before that: " + attempt->last_answer;
    }
    if (unknown) text += "; an attempt before may have been carried out";
    return attempt->fail(
        Status(unknown ? Code::kDeadlineExceeded : Code::kUnavailable, std::move(text)), Route());
  }
  executor_.PostAfter(pause, [self = shared_from_this(), attempt] { self->Start(attempt); });
}

bool Operations::IsRepeatable(const Where& where) const {
  switch (where.effect) {
    case Where::Effect::kNone: return true;
    case Where::Effect::kWrite: return options_.repeat_writes;
    case Where::Effect::kAtMostOnce: return false;
  }
  return false;
}

void Operations::ChooseTarget(const Attempt& attempt, Route* route) {
  if (attempt.where.effect != Where::Effect::kNone || !options_.follower_reads) return;
  if (attempt.asks_leader) return;
  route->target = turn_.fetch_add(1, std::memory_order_relaxed) % route->peers.size();
}

void Operations::SetContext(const Where& where, const Route& route,
                            kvrpcpb::Context* context) const {
  context->set_replica_read(where.effect == Where::Effect::kNone && options_.follower_reads);
  if (options_.api == codec::ApiVersion::kV2) context->set_api_version(kvrpcpb::V2);
  context->set_region_id(route.region.value());
  context->mutable_region_epoch()->set_conf_ver(route.conf_version);
  context->mutable_region_epoch()->set_version(route.version);
  const Route::Peer& peer = route.peers[route.target];
  context->mutable_peer()->set_id(peer.id.value());
  context->mutable_peer()->set_store_id(peer.store.value());
}

}  // namespace rutile::client
