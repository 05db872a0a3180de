#pragma once

#include <memory>
#include <string>
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

  void AddTo(CLI::App& command);
  std::vector<std::string> EndpointList() const;
  client::ClientOptions ToOptions() const;
};

// A client for one command, whose calls are waited for (client::Await), and calls to single nodes.
class ClientSession {
 public:
  // kInvalidArgument if the flags make no sense.
  static Result<std::unique_ptr<ClientSession>> Open(const ClientFlags& flags);

  client::RawClient& client() { return client_->raw(); }
  // Calls `method` of the server at `address` and waits for the encoded answer.
  Result<std::string> Call(const std::string& address, const std::string& method,
                           const std::string& request, Duration timeout);

 private:
  explicit ClientSession(std::unique_ptr<client::Client> client)
      : client_(std::move(client)), connections_(client_->connect()) {}

  const std::unique_ptr<client::Client> client_;
  client::Connections connections_;
};

}  // namespace rutile::cmd
