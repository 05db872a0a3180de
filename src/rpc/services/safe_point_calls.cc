#include "rpc/services/safe_point_calls.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <memory>
#include <string>
#include <utility>

#include "proto/pdpb.pb.h"
#include "rpc/services/placement_call.h"

namespace rutile::rpc {
namespace {

using placement::LowestSafePoint;
using placement::Placement;
using placement::ServiceSafePoint;
using placement::State;
using View = std::shared_ptr<const State>;

constexpr std::uint32_t kNoKeyspace = 0xFFFF'FFFF;
// Where the external timestamp is, as decimal text among the values.
constexpr char kExternalTimestampKey[] = "/rutile/external_timestamp";

// 0 for what is no number.
std::uint64_t ParseNumber(std::string_view text) {
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

std::uint64_t NumberAt(const State& state, const std::string& key) {
  const auto found = state.values.find(key);
  return found == state.values.end() ? 0 : ParseNumber(found->second);
}

std::uint64_t ExpiryAfter(std::int64_t ttl_seconds, std::uint64_t now_seconds) {
  if (ttl_seconds <= 0) return 0;
  const auto ttl = static_cast<std::uint64_t>(ttl_seconds);
  return ttl_seconds == std::numeric_limits<std::int64_t>::max() ? ServiceSafePoint::kNever
                                                                 : now_seconds + ttl;
}

std::int64_t TimeLeft(const ServiceSafePoint& point, std::uint64_t now_seconds) {
  if (point.expires_at == ServiceSafePoint::kNever) return std::numeric_limits<std::int64_t>::max();
  return static_cast<std::int64_t>(point.expires_at - std::min(point.expires_at, now_seconds));
}

void UpdateServiceSafePoint(Placement& placement, std::uint64_t now_seconds,
                            const pdpb::UpdateServiceGCSafePointRequest& request,
                            pdpb::UpdateServiceGCSafePointResponse* response, Done done) {
  if (request.service_id().empty()) {
    return done(Status(Code::kInvalidArgument, "a service safe point needs a service id"));
  }
  placement.Execute(
      placement::SetServiceSafePoint{
          .service = request.service_id(),
          .point = {.safe_point = request.safe_point(),
                    .expires_at = ExpiryAfter(request.ttl(), now_seconds)},
          .now_seconds = now_seconds},
      [now_seconds, response, done = std::move(done)](Result<std::string> result) mutable {
        if (!result.ok()) return done(result.status());
        const Result<LowestSafePoint> lowest = placement::DecodeLowestSafePoint(result.value());
        if (!lowest.ok()) return done(lowest.status());
        response->set_service_id(lowest.value().service);
        response->set_ttl(TimeLeft(lowest.value().point, now_seconds));
        response->set_min_safe_point(lowest.value().point.safe_point);
        done();
      });
}

// All keyspaces share one state of collection.
void FillGcState(const State& state, bool with_barriers, std::uint64_t now_seconds,
                 pdpb::GCState* out) {
  out->mutable_keyspace_scope()->set_keyspace_id(kNoKeyspace);
  out->set_txn_safe_point(TxnSafePoint(state));
  out->set_gc_safe_point(state.gc_safe_point);
  if (!with_barriers) return;
  for (const auto& [service, point] : state.service_safe_points) {
    if (point.expires_at <= now_seconds || service == placement::kGcWorker) continue;
    pdpb::GCBarrierInfo* barrier = out->add_gc_barriers();
    barrier->set_barrier_id(service);
    barrier->set_barrier_ts(point.safe_point);
    barrier->set_ttl_seconds(TimeLeft(point, now_seconds));
  }
}

Status CheckKeyspace(const State& state, const pdpb::KeyspaceScope& scope) {
  const std::uint32_t id =
      scope.keyspace_case() == pdpb::KeyspaceScope::kKeyspaceId ? scope.keyspace_id() : kNoKeyspace;
  if (id == kNoKeyspace || placement::FindKeyspace(state.keyspaces, id) != nullptr) return {};
  return Status(Code::kNotFound, "keyspace " + std::to_string(id) + " does not exist");
}

// One attempt to raise the external timestamp from what `state` has.
void RaiseExternalTimestamp(Placement& placement, std::uint64_t wanted, const State& state,
                            Done done) {
  const auto found = state.values.find(kExternalTimestampKey);
  const bool known = found != state.values.end();
  if (known && ParseNumber(found->second) > wanted) {
    return done(Status(Code::kInvalidArgument, "the external timestamp is at " + found->second +
                                                   " and cannot go back to " +
                                                   std::to_string(wanted)));
  }
  placement.Execute(
      placement::CompareAndPutValue{.key = kExternalTimestampKey,
                                    .expected = known ? std::optional(found->second) : std::nullopt,
                                    .value = std::to_string(wanted)},
      [done = std::move(done)](const Result<std::string>& result) mutable {
        if (!result.ok()) return done(result.status());
        if (result.value() == "1") return done();
        done(Status(Code::kFailedPrecondition,
                    "the external timestamp was set by somebody else at the same time; try again"));
      });
}

void SetExternalTimestamp(Placement& placement, std::uint64_t wanted, Done done) {
  placement.GetTimestamps(1, [&placement, wanted,
                              done = std::move(done)](Result<placement::Timestamp> now) mutable {
    if (!now.ok()) return done(now.status());
    if (wanted == 0 || wanted > now.value().Compose()) {
      return done(Status(Code::kInvalidArgument, "the external timestamp " +
                                                     std::to_string(wanted) +
                                                     " is not one of the past; now is " +
                                                     std::to_string(now.value().Compose())));
    }
    placement.CurrentView([&placement, wanted, done = std::move(done)](Result<View> view) mutable {
      if (!view.ok()) return done(view.status());
      RaiseExternalTimestamp(placement, wanted, *view.value(), std::move(done));
    });
  });
}

void RegisterGcStates(Placement& placement, const Clock& clock, Methods* methods) {
  HandlePlacementCall<pdpb::GetGCStateRequest, pdpb::GetGCStateResponse>(
      methods, placement.cluster(), "/pdpb.PD/GetGCState",
      FromView<pdpb::GetGCStateRequest, pdpb::GetGCStateResponse>(
          placement, [&clock](const auto& request, const State& state, auto* response) {
            RUTILE_RETURN_IF_ERROR(CheckKeyspace(state, request.keyspace_scope()));
            FillGcState(state, !request.exclude_gc_barriers(), clock.WallMillis() / 1000,
                        response->mutable_gc_state());
            if (request.include_global_gc_barriers()) response->mutable_global_gc_barriers();
            return Status();
          }));
  HandlePlacementCall<pdpb::GetAllKeyspacesGCStatesRequest, pdpb::GetAllKeyspacesGCStatesResponse>(
      methods, placement.cluster(), "/pdpb.PD/GetAllKeyspacesGCStates",
      FromView<pdpb::GetAllKeyspacesGCStatesRequest, pdpb::GetAllKeyspacesGCStatesResponse>(
          placement, [&clock](const auto& request, const State& state, auto* response) {
            FillGcState(state, !request.exclude_gc_barriers(), clock.WallMillis() / 1000,
                        response->add_gc_states());
            return Status();
          }));
}

void RegisterGcSafePoints(Placement& placement, const Clock& clock, Methods* methods) {
  HandlePlacementCall<pdpb::GetGCSafePointRequest, pdpb::GetGCSafePointResponse>(
      methods, placement.cluster(), "/pdpb.PD/GetGCSafePoint",
      FromView<pdpb::GetGCSafePointRequest, pdpb::GetGCSafePointResponse>(
          placement, [](const auto&, const State& state, auto* response) {
            response->set_safe_point(state.gc_safe_point);
            return Status();
          }));
  HandlePlacementCall<pdpb::UpdateGCSafePointRequest, pdpb::UpdateGCSafePointResponse>(
      methods, placement.cluster(), "/pdpb.PD/UpdateGCSafePoint",
      [&placement](const auto& request, auto* response, Done done) {
        placement.Execute(placement::RaiseGcSafePoint{request.safe_point()},
                          [response, done = std::move(done)](Result<std::string> result) mutable {
                            if (!result.ok()) return done(result.status());
                            response->set_new_safe_point(ParseNumber(result.value()));
                            done();
                          });
      });
  HandlePlacementCall<pdpb::UpdateServiceGCSafePointRequest,
                      pdpb::UpdateServiceGCSafePointResponse>(
      methods, placement.cluster(), "/pdpb.PD/UpdateServiceGCSafePoint",
      [&placement, &clock](const auto& request, auto* response, Done done) {
        UpdateServiceSafePoint(placement, clock.WallMillis() / 1000, request, response,
                               std::move(done));
      });
}

}  // namespace

std::uint64_t TxnSafePoint(const State& state) {
  return std::max(state.gc_safe_point, NumberAt(state, kTxnSafePointKey));
}

void RegisterSafePointCalls(Placement& placement, const Clock& clock, Methods* methods) {
  RegisterGcSafePoints(placement, clock, methods);
  RegisterGcStates(placement, clock, methods);
  HandlePlacementCall<pdpb::GetExternalTimestampRequest, pdpb::GetExternalTimestampResponse>(
      methods, placement.cluster(), "/pdpb.PD/GetExternalTimestamp",
      FromView<pdpb::GetExternalTimestampRequest, pdpb::GetExternalTimestampResponse>(
          placement, [](const auto&, const State& state, auto* response) {
            response->set_timestamp(NumberAt(state, kExternalTimestampKey));
            return Status();
          }));
  HandlePlacementCall<pdpb::SetExternalTimestampRequest, pdpb::SetExternalTimestampResponse>(
      methods, placement.cluster(), "/pdpb.PD/SetExternalTimestamp",
      [&placement](const auto& request, auto*, Done done) {
        SetExternalTimestamp(placement, request.timestamp(), std::move(done));
      });
}

}  // namespace rutile::rpc
