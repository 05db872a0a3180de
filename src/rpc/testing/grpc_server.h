#pragma once

#include <memory>

#include "base/status.h"
#include "rpc/server.h"
#include "rpc/services/methods.h"

namespace rutile::rpc {

// Serves `methods` over gRPC. kAlreadyExists when another process has the port, kInvalidArgument
// when the address makes no sense; the message names the address.
Result<std::unique_ptr<Server>> StartGrpcServer(const ServerOptions& options, Methods methods);

}  // namespace rutile::rpc
