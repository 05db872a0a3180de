#pragma once

#include <memory>
#include <vector>

#include "base/status.h"
#include "env/posix/event_loop.h"
#include "rpc/server.h"
#include "rpc/services/methods.h"

namespace rutile::rpc {

// Serves `methods` to clients of gRPC, over HTTP/2, and TLS if the options have it. Connections are
// dealt out to `loops`, which outlive the server; handlers run as their owners. kAlreadyExists when
// another process has the port, kInvalidArgument when the address makes no sense; the message names
// the address.
Result<std::unique_ptr<Server>> StartH2Server(const ServerOptions& options, Methods methods,
                                              const std::vector<posix::EventLoop*>& loops);

}  // namespace rutile::rpc
