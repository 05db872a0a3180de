#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "env/posix/event_loop.h"

namespace rutile::rpc {

// Takes connections in on one address.
class Listener final : public posix::EventLoop::Watcher {
 public:
  // Gets a connected socket, which is its own now, and the other end as text. Owner of the loop.
  using Taker = std::function<void(int fd, std::string peer)>;

  // Listens on `address`, "host:port"; port 0 takes any that is free. Errors as those of
  // ExplainBindFailure. Any thread; not while the loop is shut down.
  static Result<std::unique_ptr<Listener>> Start(const std::string& address, posix::EventLoop& loop,
                                                 Taker take);
  // Requires that it was closed, or its loop shut down.
  ~Listener() override;
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  std::uint16_t port() const { return port_; }
  // Owner. Idempotent.
  void Close();

 private:
  Listener(int fd, std::uint16_t port, posix::EventLoop& loop, Taker take);
  void OnEvents(std::uint32_t events) override;
  void OnShutdown() override;
  void TryAgainLater();

  int fd_;
  const std::uint16_t port_;
  posix::EventLoop& loop_;
  const Taker take_;
  posix::EventLoop::WatchId watch_ = 0;
  // Tasks that come after it has closed.
  const std::shared_ptr<Listener*> self_ = std::make_shared<Listener*>(this);
};

}  // namespace rutile::rpc
