#include "cmd/client_session.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <utility>

namespace rutile::cmd {

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
  return std::unique_ptr<ClientSession>(new ClientSession(std::move(client).value()));
}

Result<std::string> ClientSession::Call(const std::string& address, const std::string& method,
                                        const std::string& request, Duration timeout) {
  return client::Await<Result<std::string>>([&](const auto& done) {
    connections_.To(address).Call(method, request, timeout,
                                  [done](Status status, std::string response) {
                                    if (!status.ok()) return done(std::move(status));
                                    done(std::move(response));
                                  });
  });
}

}  // namespace rutile::cmd
