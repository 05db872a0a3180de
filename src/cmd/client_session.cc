#include "cmd/client_session.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string_view>
#include <utility>

#include "proto/keyspacepb.pb.h"
#include "proto/pdpb.pb.h"

namespace rutile::cmd {
namespace {

void SetKeyspace(std::uint32_t keyspace, client::ClientOptions* options) {
  options->raw.api = options->txn.api = codec::ApiVersion::kV2;
  options->raw.keyspace = options->txn.keyspace = keyspace;
}

}  // namespace

Result<std::unique_ptr<client::Client>> OpenClient(const ClientFlags& flags,
                                                   client::ClientOptions options) {
  if (!flags.keyspace.empty()) {
    RUTILE_ASSIGN_OR_RETURN(const auto session, ClientSession::Open(flags));
    RUTILE_ASSIGN_OR_RETURN(const std::optional<std::uint32_t> keyspace, session->FindKeyspace());
    SetKeyspace(*keyspace, &options);
  }
  return client::Client::Open(std::move(options));
}

void ClientFlags::AddTo(CLI::App& command) {
  command.add_option("--endpoint,--endpoints", endpoints, "Nodes to ask first: host:port,...")
      ->envname("RUTILE_ENDPOINTS")
      ->capture_default_str();
  command.add_option("--timeout-ms", timeout_ms, "Give up after this time")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      .add_option("--tls-ca", tls.ca,
                  "Encrypt connections, and trust nodes whose certificates these sign (PEM)")
      ->envname("RUTILE_TLS_CA");
  command
      .add_option("--tls-cert", tls.cert, "Show this certificate to nodes that ask for one (PEM)")
      ->envname("RUTILE_TLS_CERT");
  command.add_option("--tls-key", tls.key, "The key to it (PEM)")->envname("RUTILE_TLS_KEY");
}

void ClientFlags::AddKeyspaceTo(CLI::App& command) {
  command.add_option("--keyspace", keyspace,
                     "Name of the keyspace whose keys are meant, in a cluster of API version v2");
}

std::vector<std::string> ClientFlags::EndpointList() const {
  std::vector<std::string> list;
  std::size_t begin = 0;
  while (begin <= endpoints.size()) {
    const std::size_t end = std::min(endpoints.find(',', begin), endpoints.size());
    if (end > begin) list.push_back(endpoints.substr(begin, end - begin));
    begin = end + 1;
  }
  return list;
}

client::ClientOptions ClientFlags::ToOptions() const {
  client::ClientOptions options{.endpoints = EndpointList(), .tls = tls};
  options.raw.timeout = Milliseconds(timeout_ms);
  options.txn.timeout = Milliseconds(timeout_ms);
  return options;
}

Result<std::unique_ptr<ClientSession>> ClientSession::Open(const ClientFlags& flags) {
  Result<std::unique_ptr<client::Client>> client = client::Client::Open(flags.ToOptions());
  if (!client.ok()) return client.status();
  return std::unique_ptr<ClientSession>(new ClientSession(flags, std::move(client).value()));
}

void ClientSession::Use(std::unique_ptr<client::Client> client) {
  // Its channels are the client's.
  connections_.reset();
  client_ = std::move(client);
  connections_.emplace(client_->connect());
}

Result<std::optional<std::uint32_t>> ClientSession::FindKeyspace() {
  if (flags_.keyspace.empty()) return std::optional<std::uint32_t>();
  RUTILE_ASSIGN_OR_RETURN(const std::uint32_t id, IdOfKeyspace(flags_.keyspace));
  return std::optional<std::uint32_t>(id);
}

Result<std::uint32_t> ClientSession::IdOfKeyspace(const std::string& name) {
  keyspacepb::LoadKeyspaceRequest request;
  request.set_name(name);
  RUTILE_ASSIGN_OR_RETURN(const std::string bytes, CallAny("/keyspacepb.Keyspace/LoadKeyspace",
                                                           request.SerializeAsString()));
  keyspacepb::LoadKeyspaceResponse response;
  if (!response.ParseFromString(bytes)) {
    return Status(Code::kInternal, "LoadKeyspace: the answer cannot be read");
  }
  if (response.header().has_error()) {
    return Status(Code::kNotFound, response.header().error().message());
  }
  return response.keyspace().id();
}

Status ClientSession::UseKeyspace() {
  RUTILE_ASSIGN_OR_RETURN(const std::optional<std::uint32_t> keyspace, FindKeyspace());
  if (!keyspace) return {};
  client::ClientOptions options = flags_.ToOptions();
  SetKeyspace(*keyspace, &options);
  RUTILE_ASSIGN_OR_RETURN(auto client, client::Client::Open(std::move(options)));
  Use(std::move(client));
  return {};
}

std::vector<std::string> ClientSession::Members() {
  constexpr std::string_view kScheme = "://";
  std::vector<std::string> addresses = flags_.EndpointList();
  const std::size_t endpoints = addresses.size();
  for (std::size_t i = 0; i < endpoints; ++i) {
    const Result<std::string> bytes =
        Call(addresses[i], "/pdpb.PD/GetMembers", {}, Milliseconds(flags_.timeout_ms));
    pdpb::GetMembersResponse response;
    if (!bytes.ok() || !response.ParseFromString(bytes.value())) continue;
    for (const pdpb::Member& member : response.members()) {
      std::string address = member.client_urls_size() > 0 ? member.client_urls(0) : "";
      if (const auto scheme = address.find(kScheme); scheme != std::string::npos) {
        address.erase(0, scheme + kScheme.size());
      }
      const bool is_new = std::ranges::find(addresses, address) == addresses.end();
      if (is_new) addresses.push_back(std::move(address));
    }
    break;
  }
  return addresses;
}

Result<std::string> ClientSession::CallAny(const std::string& method, const std::string& request) {
  Status last(Code::kInvalidArgument, "--endpoints: no node is named");
  for (const std::string& address : Members()) {
    Result<std::string> answer = Call(address, method, request, Milliseconds(flags_.timeout_ms));
    if (answer.ok()) return answer;
    last = answer.status();
  }
  return last;
}

Result<std::string> ClientSession::Call(const std::string& address, const std::string& method,
                                        const std::string& request, Duration timeout) {
  return client::Await<Result<std::string>>([&](const auto& done) {
    connections_->To(address).Call(method, request, timeout,
                                   [done](Status status, std::string response) {
                                     if (!status.ok()) return done(std::move(status));
                                     done(std::move(response));
                                   });
  });
}

}  // namespace rutile::cmd
