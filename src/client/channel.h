#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "base/time.h"

namespace rutile::client {

// A way to one server, over which calls are made by name with encoded messages. Room `rpc` has it
// over gRPC, the simulator over its network.
//
// Safe from any thread.
class Channel {
 public:
  // On OK, the encoded response. Runs once, on a thread of the channel or inside Call; it must not
  // block.
  using Callback = std::function<void(Status, std::string response)>;

  virtual ~Channel() = default;
  // Calls `method`, "/package.Service/Call". kDeadlineExceeded after `timeout` (the outcome is then
  // unknown), kUnavailable when the server cannot be reached or the connection is lost (likewise).
  virtual void Call(std::string method, std::string request, Duration timeout, Callback done) = 0;
};

// Makes the channel to an address, "host:port". Must not block.
using Connect = std::function<std::unique_ptr<Channel>(const std::string& address)>;

}  // namespace rutile::client
