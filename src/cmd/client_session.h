#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "client/client.h"
#include "client/connections.h"

namespace CLI {
class App;
}

namespace rutile::cmd {

// How a command reaches the cluster.
struct ClientFlags {
  std::string endpoints = "127.0.0.1:20160";  // Comma-separated; env RUTILE_ENDPOINTS.
  std::int64_t timeout_ms = 10'000;
  client::TlsFiles tls = {};  // Env RUTILE_TLS_CA, RUTILE_TLS_CERT, RUTILE_TLS_KEY.
  std::string keyspace = {};  // Its name; empty: the cluster is one of API version V1.

  void AddTo(CLI::App& command);
  void AddKeyspaceTo(CLI::App& command);
  std::vector<std::string> EndpointList() const;
  client::ClientOptions ToOptions() const;
};

// A client for one command, whose calls are waited for (client::Await), and calls to single nodes.
class ClientSession {
 public:
  // kInvalidArgument if the flags make no sense.
  static Result<std::unique_ptr<ClientSession>> Open(const ClientFlags& flags);

  client::RawClient& client() { return client_->raw(); }
  // kNotFound: there is none of that name.
  Result<std::uint32_t> IdOfKeyspace(const std::string& name);
  // The id of the flags' keyspace, if they name one.
  Result<std::optional<std::uint32_t>> FindKeyspace();
  // From then on the client's keys are those of that keyspace. Before the first operation.
  Status UseKeyspace();
  // Calls `method` of the members of placement, those at the endpoints first, until one carries it
  // out: what changes something only the leader does, and others say that they have done nothing.
  Result<std::string> CallAny(const std::string& method, const std::string& request);
  // Calls `method` of the server at `address` and waits for the encoded answer.
  Result<std::string> Call(const std::string& address, const std::string& method,
                           const std::string& request, Duration timeout);

 private:
  ClientSession(ClientFlags flags, std::unique_ptr<client::Client> client)
      : flags_(std::move(flags)) {
    Use(std::move(client));
  }

  void Use(std::unique_ptr<client::Client> client);
  // The endpoints, and the members that they know of.
  std::vector<std::string> Members();

  const ClientFlags flags_;
  std::unique_ptr<client::Client> client_;
  std::optional<client::Connections> connections_;
};

// A client of the flags' keyspace, if they name one, which is looked up then.
Result<std::unique_ptr<client::Client>> OpenClient(const ClientFlags& flags,
                                                   client::ClientOptions options);

}  // namespace rutile::cmd
