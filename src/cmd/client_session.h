#pragma once

#include <functional>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "client/raw_client.h"
#include "env/posix/posix_clock.h"
#include "env/posix/thread_executor.h"

namespace CLI {
class App;
}

namespace rutile::cmd {

// How a command reaches the cluster.
struct ClientFlags {
  std::string endpoints = "127.0.0.1:20160";  // Comma-separated; env RUTILE_ENDPOINTS.
  std::int64_t timeout_ms = 10'000;

  void AddTo(CLI::App& command);
  std::vector<std::string> EndpointList() const;
};

// A connection of its own to `address`, "host:port".
std::unique_ptr<client::Channel> ConnectGrpc(const std::string& address);

// A RawClient over gRPC for one command, whose calls are waited for.
class ClientSession {
 public:
  explicit ClientSession(const ClientFlags& flags);

  client::RawClient& client() { return *client_; }
  // Calls `method` of the server at `address` and waits for the encoded answer.
  Result<std::string> Call(const std::string& address, const std::string& method,
                           const std::string& request, Duration timeout);

  // Waits for an operation: Wait<T>([&](auto done) { client().Get(key, done); }).
  template <class T>
  static Result<T> Wait(const std::function<void(client::RawClient::Done<T>)>& start);
  static Status WaitStatus(const std::function<void(client::RawClient::StatusDone)>& start);

 private:
  posix::PosixClock clock_;
  posix::ThreadExecutor executor_{"retries"};
  client::Connections connections_;
  std::unique_ptr<client::RawClient> client_;
};

template <class T>
Result<T> ClientSession::Wait(const std::function<void(client::RawClient::Done<T>)>& start) {
  auto promise = std::make_shared<std::promise<Result<T>>>();
  std::future<Result<T>> future = promise->get_future();
  start([promise](Result<T> result) { promise->set_value(std::move(result)); });
  return future.get();
}

}  // namespace rutile::cmd
