#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "cmd/client_session.h"
#include "cmd/commands.h"
#include "proto/keyspacepb.pb.h"
#include "proto/rutile/node.pb.h"

namespace rutile::cmd {
namespace {

struct KeyspaceFlags {
  ClientFlags client = {};
  std::string name = {};
  std::string state = {};
};

template <class Response, class Request>
Result<Response> Ask(ClientSession& session, const std::string& method, const Request& request) {
  RUTILE_ASSIGN_OR_RETURN(const std::string bytes,
                          session.CallAny(method, request.SerializeAsString()));
  Response response;
  if (response.ParseFromString(bytes)) return response;
  return Status(Code::kInternal, method + ": the answer cannot be read");
}

void Print(const keyspacepb::KeyspaceMeta& keyspace) {
  std::printf("%u\t%s\t%s\n", keyspace.id(), keyspace.name().c_str(),
              keyspacepb::KeyspaceState_Name(keyspace.state()).c_str());
}

Status List(const KeyspaceFlags& /*flags*/, ClientSession& session) {
  RUTILE_ASSIGN_OR_RETURN(const auto all, Ask<keyspacepb::GetAllKeyspacesResponse>(
                                              session, "/keyspacepb.Keyspace/GetAllKeyspaces",
                                              keyspacepb::GetAllKeyspacesRequest()));
  for (const keyspacepb::KeyspaceMeta& keyspace : all.keyspaces()) Print(keyspace);
  return {};
}

Status Create(const KeyspaceFlags& flags, ClientSession& session) {
  CreateKeyspaceRequest request;
  request.set_name(flags.name);
  RUTILE_ASSIGN_OR_RETURN(const auto made, Ask<CreateKeyspaceResponse>(
                                               session, "/rutile.Node/CreateKeyspace", request));
  if (!made.error().empty()) return Status(Code::kInvalidArgument, made.error());
  std::printf("keyspace %s has id %u\n", flags.name.c_str(), made.id());
  return {};
}

Status SetState(const KeyspaceFlags& flags, ClientSession& session) {
  keyspacepb::UpdateKeyspaceStateRequest request;
  keyspacepb::KeyspaceState state = keyspacepb::ENABLED;
  if (!keyspacepb::KeyspaceState_Parse(flags.state, &state)) {
    return Status(Code::kInvalidArgument, "there is no state '" + flags.state +
                                              "'; there are ENABLED, DISABLED, ARCHIVED and "
                                              "TOMBSTONE");
  }
  RUTILE_ASSIGN_OR_RETURN(const std::uint32_t id, session.IdOfKeyspace(flags.name));
  request.set_id(id);
  request.set_state(state);
  RUTILE_ASSIGN_OR_RETURN(const auto changed,
                          Ask<keyspacepb::UpdateKeyspaceStateResponse>(
                              session, "/keyspacepb.Keyspace/UpdateKeyspaceState", request));
  if (changed.header().has_error()) {
    return Status(Code::kFailedPrecondition, changed.header().error().message());
  }
  Print(changed.keyspace());
  return {};
}

using Action = Status (*)(const KeyspaceFlags&, ClientSession&);

CLI::App* Add(CLI::App& parent, const char* name, const char* description,
              const std::shared_ptr<KeyspaceFlags>& flags, Action action, int* exit_code) {
  CLI::App* command = parent.add_subcommand(name, description);
  flags->client.AddTo(*command);
  command->callback([flags, action, exit_code] {
    const auto session = ClientSession::Open(flags->client);
    const Status status = session.ok() ? action(*flags, *session.value()) : session.status();
    if (!status.ok()) *exit_code = Fail(status);
  });
  return command;
}

}  // namespace

void AddKeyspace(CLI::App& app, int* exit_code) {
  CLI::App* keyspace = app.add_subcommand("keyspace", "Keyspaces, in a cluster of API version v2");
  keyspace->require_subcommand(1);
  const auto flags = std::make_shared<KeyspaceFlags>();
  Add(*keyspace, "list", "Ids, names and states of all", flags, List, exit_code);
  Add(*keyspace, "create", "Makes one", flags, Create, exit_code)
      ->add_option("NAME", flags->name, "1 to 20 letters, digits, '-' and '_'")
      ->required();
  CLI::App* set =
      Add(*keyspace, "set-state", "Changes what others think of one", flags, SetState, exit_code);
  set->add_option("NAME", flags->name, "Of the keyspace")->required();
  set->add_option("STATE", flags->state, "ENABLED, DISABLED, ARCHIVED or TOMBSTONE")->required();
}

}  // namespace rutile::cmd
