#include "rpc/node_service.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "proto/rutile/node.pb.h"
#include "store/member_change.h"

namespace rutile::rpc {
namespace {

store::MemberStep ToStep(const MemberStep& step) {
  using Kind = store::MemberStep::Kind;
  store::MemberStep out{.peer = {.id = PeerId(step.peer_id()), .store = StoreId(step.store_id())}};
  switch (step.kind()) {
    case MemberStep::PROMOTE: out.kind = Kind::kPromote; break;
    case MemberStep::DEMOTE: out.kind = Kind::kDemote; break;
    case MemberStep::REMOVE: out.kind = Kind::kRemove; break;
    default: out.kind = Kind::kAddLearner; break;
  }
  return out;
}

void ToProto(const store::ChangeOutcome& outcome, ChangeMembersResponse* out) {
  if (const auto* error = std::get_if<store::RegionError>(&outcome)) {
    out->set_error(ToString(*error));
    const bool undetermined = std::holds_alternative<store::Undetermined>(*error);
    out->set_undetermined(undetermined);
    out->set_try_again(!undetermined && !std::holds_alternative<store::EpochNotMatch>(*error));
    return;
  }
  const Status& status = std::get<Status>(outcome);
  if (status.ok()) return;
  out->set_error(std::string(status.message()));
  out->set_try_again(status.code() == Code::kUnavailable ||
                     status.code() == Code::kResourceExhausted);
}

}  // namespace

void NodeService::Register(Methods* methods) {
  methods->Handle<StatusRequest, StatusResponse>(
      "/rutile.Node/Status",
      [this](const StatusRequest& /*request*/, StatusResponse* response, Done done) {
        node_.CollectStatus([response, done = std::move(done)](std::string json) mutable {
          response->set_json(std::move(json));
          done();
        });
      });
  methods->Handle<ChangeMembersRequest, ChangeMembersResponse>(
      "/rutile.Node/ChangeMembers",
      [this](const ChangeMembersRequest& request, ChangeMembersResponse* response, Done done) {
        ChangeMembers(request, response, std::move(done));
      });
  methods->Handle<TransferLeadershipRequest, TransferLeadershipResponse>(
      "/rutile.Node/TransferLeadership",
      [this](const TransferLeadershipRequest& request, TransferLeadershipResponse* /*response*/,
             Done done) {
        node_.TransferLeadership(RegionId(request.region_id()), PeerId(request.peer_id()));
        done();
      });
}

void NodeService::ChangeMembers(const ChangeMembersRequest& request,
                                ChangeMembersResponse* response, Done done) {
  std::vector<store::MemberStep> steps;
  for (const MemberStep& step : request.steps()) {
    steps.push_back(ToStep(step));
    if (step.kind() != MemberStep::ADD_LEARNER) continue;
    const auto stores = node_.placement().Stores();
    const bool known = std::any_of(stores.begin(), stores.end(), [&](const auto& one) {
      return one.info.id == steps.back().peer.store;
    });
    if (known) continue;
    response->set_error("there is no store " + ToString(steps.back().peer.store));
    return done();
  }
  node_.store().ChangeMembers(
      {.region = RegionId(request.region_id())}, std::move(steps),
      [response, done = std::move(done)](const store::ChangeOutcome& outcome) mutable {
        ToProto(outcome, response);
        done();
      });
}

}  // namespace rutile::rpc
