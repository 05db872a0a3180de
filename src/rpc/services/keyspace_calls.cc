#include "rpc/services/keyspace_calls.h"

#include <string>
#include <utility>

#include "proto/keyspacepb.pb.h"
#include "proto/rutile/node.pb.h"
#include "rpc/services/placement_call.h"

namespace rutile::rpc {
namespace {

using placement::Keyspace;
using placement::KeyspaceOutcome;
using placement::Placement;
using placement::State;
using OutcomeKind = KeyspaceOutcome::Kind;

constexpr char kKeyspaceService[] = "/keyspacepb.Keyspace/";

void FillKeyspace(const Keyspace& keyspace, keyspacepb::KeyspaceMeta* out) {
  out->set_id(keyspace.id);
  out->set_name(keyspace.name);
  out->set_state(static_cast<keyspacepb::KeyspaceState>(keyspace.state));
  out->set_created_at(static_cast<std::int64_t>(keyspace.created_at));
  out->set_state_changed_at(static_cast<std::int64_t>(keyspace.state_changed_at));
  for (const auto& [key, value] : keyspace.config) (*out->mutable_config())[key] = value;
}

template <class Response>
void SetError(pdpb::ErrorType type, const std::string& message, Response* response) {
  pdpb::Error* error = response->mutable_header()->mutable_error();
  error->set_type(type);
  error->set_message(message);
}

// Clients know by the type that there is none.
template <class Response>
void AnswerFound(const Keyspace* found, const std::string& asked, Response* response) {
  if (found != nullptr) return FillKeyspace(*found, response->mutable_keyspace());
  SetError(pdpb::ENTRY_NOT_FOUND,
           "keyspace does not exist: " + asked +
               "; 'rutile keyspace list' has those that do, 'rutile keyspace create' makes one",
           response);
}

std::string Refusal(const KeyspaceOutcome& outcome, keyspacepb::KeyspaceState wanted) {
  const Keyspace& keyspace = outcome.keyspace;
  if (keyspace.id == placement::kDefaultKeyspaceId) {
    return "cannot modify default keyspace's state: it stays enabled";
  }
  return "cannot change keyspace state from " + std::string(ToString(keyspace.state)) + " to " +
         keyspacepb::KeyspaceState_Name(wanted) + ": keyspace " + keyspace.name +
         " is disabled first, then archived, then a tombstone";
}

void UpdateState(Placement& placement, std::uint64_t now_seconds,
                 const keyspacepb::UpdateKeyspaceStateRequest& request,
                 keyspacepb::UpdateKeyspaceStateResponse* response, Done done) {
  placement.Execute(
      placement::SetKeyspaceState{.id = request.id(),
                                  .state = static_cast<Keyspace::State>(request.state()),
                                  .now_seconds = now_seconds},
      [id = request.id(), wanted = request.state(), response,
       done = std::move(done)](Result<std::string> result) mutable {
        if (!result.ok()) return done(result.status());
        const Result<KeyspaceOutcome> outcome = placement::DecodeKeyspaceOutcome(result.value());
        if (!outcome.ok()) return done(outcome.status());
        if (outcome.value().kind == OutcomeKind::kRefused) {
          SetError(pdpb::UNKNOWN, Refusal(outcome.value(), wanted), response);
        } else {
          const bool found = outcome.value().kind == OutcomeKind::kDone;
          AnswerFound(found ? &outcome.value().keyspace : nullptr, "id " + std::to_string(id),
                      response);
        }
        done();
      });
}

void FillCreated(const KeyspaceOutcome& outcome, CreateKeyspaceResponse* response) {
  response->set_id(outcome.keyspace.id);
  if (outcome.kind == OutcomeKind::kExists) {
    response->set_error("keyspace already exists: " + outcome.keyspace.name + " has id " +
                        std::to_string(outcome.keyspace.id));
  } else if (outcome.kind != OutcomeKind::kDone) {
    response->set_error("there is no id left for another keyspace");
  }
}

void Create(Placement& placement, std::uint64_t now_seconds, const CreateKeyspaceRequest& request,
            CreateKeyspaceResponse* response, Done done) {
  if (const Status status = placement::CheckKeyspaceName(request.name()); !status.ok()) {
    response->set_error(std::string(status.message()));
    return done();
  }
  placement.Execute(
      placement::CreateKeyspace{.name = request.name(),
                                .config = {request.config().begin(), request.config().end()},
                                .now_seconds = now_seconds},
      [response, done = std::move(done)](Result<std::string> result) mutable {
        if (!result.ok()) return done(result.status());
        const Result<KeyspaceOutcome> outcome = placement::DecodeKeyspaceOutcome(result.value());
        if (!outcome.ok()) return done(outcome.status());
        FillCreated(outcome.value(), response);
        done();
      });
}

void RegisterReads(Placement& placement, Methods* methods) {
  using keyspacepb::GetAllKeyspacesRequest;
  using keyspacepb::GetAllKeyspacesResponse;
  using keyspacepb::LoadKeyspaceByIDRequest;
  using keyspacepb::LoadKeyspaceRequest;
  using keyspacepb::LoadKeyspaceResponse;
  const ClusterId cluster = placement.cluster();
  const std::string service = kKeyspaceService;
  HandlePlacementCall<LoadKeyspaceRequest, LoadKeyspaceResponse>(
      methods, cluster, service + "LoadKeyspace",
      FromView<LoadKeyspaceRequest, LoadKeyspaceResponse>(
          placement, [](const auto& request, const State& state, auto* response) {
            AnswerFound(FindKeyspace(state.keyspaces, request.name()), request.name(), response);
            return Status();
          }));
  HandlePlacementCall<LoadKeyspaceByIDRequest, LoadKeyspaceResponse>(
      methods, cluster, service + "LoadKeyspaceByID",
      FromView<LoadKeyspaceByIDRequest, LoadKeyspaceResponse>(
          placement, [](const auto& request, const State& state, auto* response) {
            AnswerFound(FindKeyspace(state.keyspaces, request.id()),
                        "id " + std::to_string(request.id()), response);
            return Status();
          }));
  HandlePlacementCall<GetAllKeyspacesRequest, GetAllKeyspacesResponse>(
      methods, cluster, service + "GetAllKeyspaces",
      FromView<GetAllKeyspacesRequest, GetAllKeyspacesResponse>(
          placement, [](const auto& request, const State& state, auto* response) {
            for (auto it = state.keyspaces.lower_bound(request.start_id());
                 it != state.keyspaces.end(); ++it) {
              FillKeyspace(it->second, response->add_keyspaces());
              const auto found = static_cast<std::uint32_t>(response->keyspaces_size());
              if (found == request.limit()) break;
            }
            return Status();
          }));
}

}  // namespace

void RegisterKeyspaceCalls(Placement& placement, const Clock& clock, Methods* methods) {
  RegisterReads(placement, methods);
  HandlePlacementCall<keyspacepb::UpdateKeyspaceStateRequest,
                      keyspacepb::UpdateKeyspaceStateResponse>(
      methods, placement.cluster(), std::string(kKeyspaceService) + "UpdateKeyspaceState",
      [&placement, &clock](const auto& request, auto* response, Done done) {
        UpdateState(placement, clock.WallMillis() / 1000, request, response, std::move(done));
      });
  methods->Handle<CreateKeyspaceRequest, CreateKeyspaceResponse>(
      "/rutile.Node/CreateKeyspace",
      [&placement, &clock](const CreateKeyspaceRequest& request, CreateKeyspaceResponse* response,
                           Done done) {
        Create(placement, clock.WallMillis() / 1000, request, response, std::move(done));
      });
}

}  // namespace rutile::rpc
