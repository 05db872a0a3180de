#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "env/posix/event_loop.h"

namespace rutile::rpc {

// An address in the form that the system takes.
struct SocketAddress {
  int family = 0;
  std::string bytes = {};  // A sockaddr.
};

// Finds what "host:port" stands for and calls `done` as owner of `loop`: at once when it is a
// number; names are looked up on a thread for that, and `done` is not called if the loop ends
// meanwhile. kInvalidArgument or kUnavailable, naming the address. Owner.
void Resolve(const std::string& address, posix::EventLoop& loop,
             std::function<void(Result<std::vector<SocketAddress>>)> done);

// A socket that is being connected to `address`. kUnavailable when that fails at once.
Result<int> BeginConnect(const SocketAddress& address);

}  // namespace rutile::rpc
