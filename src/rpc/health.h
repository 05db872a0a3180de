#pragma once

#include <functional>

#include "rpc/services/methods.h"

namespace rutile::rpc {

// Adds gRPC's health check: SERVING for the server as a whole and for each service in `methods`
// while `serving` says so, NOT_SERVING else. Call it after the other services have been added.
// `serving` may run on any thread and must not block.
void RegisterHealth(Methods& methods, std::function<bool()> serving);

}  // namespace rutile::rpc
