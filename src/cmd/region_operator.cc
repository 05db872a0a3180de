#include "cmd/region_operator.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "proto/pdpb.pb.h"
#include "proto/rutile/node.pb.h"

namespace rutile::cmd {
namespace {

using Json = nlohmann::json;
using Kind = store::MemberStep::Kind;

constexpr Duration kCallTimeout = Seconds(5);
constexpr Duration kPause = Milliseconds(200);

Instant Now() {
  return Instant(
      std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch()));
}

store::MemberStep Step(Kind kind, PeerId peer, StoreId store = {}) {
  return {kind, {.id = peer, .store = store}};
}

MemberStep::Kind ToProto(Kind kind) {
  switch (kind) {
    case Kind::kAddLearner: return MemberStep::ADD_LEARNER;
    case Kind::kPromote: return MemberStep::PROMOTE;
    case Kind::kDemote: return MemberStep::DEMOTE;
    case Kind::kRemove: return MemberStep::REMOVE;
  }
  return MemberStep::ADD_LEARNER;
}

template <class Response>
Result<Response> Call(ClientSession& session, const std::string& address, const std::string& method,
                      const google::protobuf::Message& request) {
  RUTILE_ASSIGN_OR_RETURN(const std::string bytes,
                          session.Call(address, method, request.SerializeAsString(), kCallTimeout));
  Response response;
  if (!response.ParseFromString(bytes)) {
    return Status(Code::kCorruption, address + ": the answer cannot be read");
  }
  return response;
}

Result<Json> AskStatus(ClientSession& session, const std::string& address) {
  RUTILE_ASSIGN_OR_RETURN(const auto response,
                          Call<rutile::StatusResponse>(session, address, "/rutile.Node/Status",
                                                       rutile::StatusRequest()));
  Json json = Json::parse(response.json(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return Status(Code::kCorruption, address + ": the answer is not a node's status");
  }
  return json;
}

}  // namespace

const RegionOperator::Member* RegionOperator::View::Find(PeerId peer) const {
  const auto found = std::find_if(members.begin(), members.end(),
                                  [peer](const Member& member) { return member.peer == peer; });
  return found == members.end() ? nullptr : &*found;
}

RegionOperator::RegionOperator(ClientSession& session, const ClientFlags& flags, RegionId region,
                               Duration limit)
    : session_(session), flags_(flags), region_(region), end_(Now() + limit) {}

Result<RegionOperator::View> RegionOperator::Look() {
  Status last(Code::kUnavailable, "no node answered");
  std::set<std::string> asked;
  std::vector<std::string> to_ask = flags_.EndpointList();
  std::optional<View> found;
  while (!to_ask.empty()) {
    const std::string address = to_ask.back();
    to_ask.pop_back();
    if (!asked.insert(address).second) continue;
    Result<Json> status = AskStatus(session_, address);
    if (!status.ok()) {
      last = status.status();
      continue;
    }
    last = Status(Code::kUnavailable, "region " + ToString(region_) + " has no leader");
    cluster_ = ClusterId(status.value()["cluster_id"].get<std::uint64_t>());
    for (const Json& member : status.value()["members"]) {
      const StoreId store(member["store_id"].get<std::uint64_t>());
      addresses_[store] = member["address"].get<std::string>();
      to_ask.push_back(addresses_[store]);
    }
    for (const Json& replica : status.value()["replicas"]) {
      const Term term(replica["term"].get<std::uint64_t>());
      if (replica["region"].get<std::uint64_t>() != region_.value() ||
          replica["role"] != "leader" || (found && found->term >= term)) {
        continue;
      }
      View view{.leader_address = address, .term = term};
      view.leader = PeerId(replica["peer"].get<std::uint64_t>());
      for (const Json& member : replica["members"]) {
        view.members.push_back({.peer = PeerId(member["peer"].get<std::uint64_t>()),
                                .store = StoreId(member["store"].get<std::uint64_t>()),
                                .role = member["role"].get<std::string>()});
      }
      found = std::move(view);
    }
  }
  if (!found) return last;
  return *std::move(found);
}

Result<PeerId> RegionOperator::AllocatePeer() {
  Status last(Code::kUnavailable, "placement has no leader");
  pdpb::AllocIDRequest request;
  request.mutable_header()->set_cluster_id(cluster_.value());
  do {
    for (const auto& [store, address] : addresses_) {
      const auto response =
          Call<pdpb::AllocIDResponse>(session_, address, "/pdpb.PD/AllocID", request);
      if (response.ok() && response.value().id() != 0) return PeerId(response.value().id());
      if (!response.ok()) last = response.status();
    }
  } while (Wait(last).ok());
  return last;
}

Status RegionOperator::Wait(const Status& why) const {
  if (Now() > end_) return why;
  std::this_thread::sleep_for(kPause);
  return {};
}

// The region is looked at first, so a change that was made though nobody heard of it is not made
// again; and after a refusal, because it may have been made between the two.
Status RegionOperator::Change(const Steps& steps, const Goal& reached) {
  rutile::ChangeMembersRequest request;
  request.set_region_id(region_.value());
  for (const store::MemberStep& step : steps) {
    auto* out = request.add_steps();
    out->set_kind(ToProto(step.kind));
    out->set_peer_id(step.peer.id.value());
    out->set_store_id(step.peer.store.value());
  }
  std::optional<Status> refusal;
  while (true) {
    const Result<View> view = Look();
    Status last = view.status();
    if (view.ok()) {
      if (reached(view.value())) return {};
      if (refusal) return *refusal;
      const auto response = Call<rutile::ChangeMembersResponse>(
          session_, view.value().leader_address, "/rutile.Node/ChangeMembers", request);
      if (response.ok() && response.value().error().empty()) continue;
      last = response.ok() ? Status(Code::kFailedPrecondition, response.value().error())
                           : response.status();
      const bool final =
          response.ok() && !response.value().try_again() && !response.value().undetermined();
      if (final) {
        refusal = last;
        continue;
      }
    }
    RUTILE_RETURN_IF_ERROR(Wait(refusal.value_or(last)));
  }
}

Status RegionOperator::AddPeer(StoreId store, bool learner, PeerId* added) {
  RUTILE_RETURN_IF_ERROR(Look().status());
  RUTILE_ASSIGN_OR_RETURN(*added, AllocatePeer());
  std::printf("adding peer %s on store %s\n", ToString(*added).c_str(), ToString(store).c_str());
  const auto is_there = [&](const View& view) { return view.Find(*added) != nullptr; };
  RUTILE_RETURN_IF_ERROR(Change({Step(Kind::kAddLearner, *added, store)}, is_there));
  if (learner) return {};
  return Promote({Step(Kind::kPromote, *added)}, *added);
}

Status RegionOperator::Promote(const Steps& steps, PeerId learner) {
  std::printf("waiting for peer %s to catch up\n", ToString(learner).c_str());
  return Change(steps, [learner](const View& view) {
    const Member* member = view.Find(learner);
    return member != nullptr && member->role == "voter";
  });
}

Status RegionOperator::RemovePeer(PeerId peer) {
  RUTILE_ASSIGN_OR_RETURN(const View view, Look());
  if (view.Find(peer) == nullptr) {
    return Status(Code::kFailedPrecondition,
                  "region " + ToString(region_) + " has no peer " + ToString(peer));
  }
  std::printf("removing peer %s\n", ToString(peer).c_str());
  return Change({Step(Kind::kRemove, peer)},
                [peer](const View& now) { return now.Find(peer) == nullptr; });
}

Status RegionOperator::MovePeer(PeerId peer, StoreId to) {
  RUTILE_ASSIGN_OR_RETURN(const View view, Look());
  const Member* member = view.Find(peer);
  if (member == nullptr) {
    return Status(Code::kFailedPrecondition,
                  "region " + ToString(region_) + " has no peer " + ToString(peer));
  }
  const bool learner = member->role == "learner";
  PeerId added;
  RUTILE_RETURN_IF_ERROR(AddPeer(to, /*learner=*/true, &added));
  if (learner) return RemovePeer(peer);
  // In one step: there is no moment at which one voter less could be lost.
  RUTILE_RETURN_IF_ERROR(Promote({Step(Kind::kPromote, added), Step(Kind::kRemove, peer)}, added));
  std::printf("peer %s is removed\n", ToString(peer).c_str());
  return {};
}

Status RegionOperator::RebuildPeer(PeerId peer) {
  RUTILE_ASSIGN_OR_RETURN(const View view, Look());
  const Member* member = view.Find(peer);
  if (member == nullptr) {
    return Status(Code::kFailedPrecondition,
                  "region " + ToString(region_) + " has no peer " + ToString(peer));
  }
  const StoreId store = member->store;
  const bool learner = member->role == "learner";
  RUTILE_RETURN_IF_ERROR(RemovePeer(peer));
  PeerId added;
  return AddPeer(store, learner, &added);
}

Status RegionOperator::TransferLeader(PeerId peer) {
  rutile::TransferLeadershipRequest request;
  request.set_region_id(region_.value());
  request.set_peer_id(peer.value());
  while (true) {
    const Result<View> view = Look();
    Status last = view.status();
    if (view.ok()) {
      if (view.value().leader == peer) return {};
      const Member* member = view.value().Find(peer);
      if (member == nullptr || member->role == "learner") {
        return Status(Code::kFailedPrecondition,
                      "peer " + ToString(peer) + " is no voter of region " + ToString(region_));
      }
      last = Call<rutile::TransferLeadershipResponse>(session_, view.value().leader_address,
                                                      "/rutile.Node/TransferLeadership", request)
                 .status();
      if (last.ok()) {
        last = Status(Code::kDeadlineExceeded, "peer " + ToString(peer) + " does not lead yet");
      }
    }
    RUTILE_RETURN_IF_ERROR(Wait(last));
  }
}

}  // namespace rutile::cmd
