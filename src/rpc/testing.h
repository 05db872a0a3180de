#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "base/status.h"
#include "env/posix/event_loop.h"
#include "rpc/h2_server.h"
#include "rpc/wire/h2_channel.h"

// What the tests of this room share.
namespace rutile::rpc {

inline constexpr char kRawGet[] = "/tikvpb.Tikv/RawGet";

// Something that other threads put in and a test waits for.
template <class T>
class Inbox {
 public:
  void Put(T item) {
    const std::lock_guard lock(mutex_);
    items_.push_back(std::move(item));
    changed_.notify_all();
  }
  // Waits for as long as it takes: a test that waits in vain is ended by its runner.
  T Take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !items_.empty(); });
    T item = std::move(items_.front());
    items_.pop_front();
    return item;
  }
  bool empty() {
    const std::lock_guard lock(mutex_);
    return items_.empty();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<T> items_;
};

inline std::string LocalAddress(const Server& server) {
  return "127.0.0.1:" + std::to_string(server.port());
}

// Our server on a loop of its own.
class LoopServer final : public Server {
 public:
  static Result<std::unique_ptr<Server>> Start(const ServerOptions& options, Methods methods) {
    auto server = std::make_unique<LoopServer>();
    RUTILE_ASSIGN_OR_RETURN(server->server_,
                            StartH2Server(options, std::move(methods), {&server->loop_}));
    return std::unique_ptr<Server>(std::move(server));
  }
  std::uint16_t port() const override { return server_->port(); }
  void Stop(Duration grace) override { server_->Stop(grace); }

 private:
  posix::EventLoop loop_{"server"};
  std::unique_ptr<Server> server_;
};

inline std::unique_ptr<Channel> NewChannel(const std::string& address,
                                           const ChannelOptions& options = {}) {
  return NewH2Channel(address, SharedClientLoop(), options);
}

// A server on any free port of this machine.
inline std::unique_ptr<Server> StartLocal(Methods methods, ServerOptions options = {}) {
  options.listen = "127.0.0.1:0";
  return LoopServer::Start(options, std::move(methods)).value();
}

// Calls and waits.
inline Status CallAndWait(Channel& channel, const std::string& method, const Message& request,
                          Message* response, Duration timeout = Seconds(60)) {
  Inbox<Status> done;
  channel.CallMessage(method, request, response, timeout,
                      [&done](Status status) { done.Put(std::move(status)); });
  return done.Take();
}

}  // namespace rutile::rpc
