#include "cmd/client_session.h"

#include <CLI/CLI.hpp>
#include <utility>

#include "rpc/wire/h2_channel.h"

namespace rutile::cmd {

std::unique_ptr<client::Channel> ConnectGrpc(const std::string& address) {
  return rpc::NewH2Channel(address, rpc::SharedClientLoop());
}

void ClientFlags::AddTo(CLI::App& command) {
  command.add_option("--endpoint,--endpoints", endpoints, "Nodes to ask first: host:port,...")
      ->envname("RUTILE_ENDPOINTS")
      ->capture_default_str();
  command.add_option("--timeout-ms", timeout_ms, "Give up after this time")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
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

ClientSession::ClientSession(const ClientFlags& flags) : connections_(ConnectGrpc) {
  client::RawClientOptions options;
  options.endpoints = flags.EndpointList();
  options.timeout = Milliseconds(flags.timeout_ms);
  client_ = std::make_unique<client::RawClient>(std::move(options), ConnectGrpc, clock_, executor_);
}

Result<std::string> ClientSession::Call(const std::string& address, const std::string& method,
                                        const std::string& request, Duration timeout) {
  return Wait<std::string>([&](const client::RawClient::Done<std::string>& done) {
    connections_.To(address).Call(method, request, timeout,
                                  [done](Status status, std::string response) {
                                    if (!status.ok()) return done(std::move(status));
                                    done(std::move(response));
                                  });
  });
}

Status ClientSession::WaitStatus(const std::function<void(client::RawClient::StatusDone)>& start) {
  auto promise = std::make_shared<std::promise<Status>>();
  std::future<Status> future = promise->get_future();
  start([promise](Status status) { promise->set_value(std::move(status)); });
  return future.get();
}

}  // namespace rutile::cmd
