#pragma once

#include <memory>
#include <string>

#include "rpc/seam/channel.h"

namespace rutile::rpc {

// A channel of its own connection to `address`, "host:port", over gRPC. Does not connect yet.
std::unique_ptr<Channel> NewGrpcChannel(const std::string& address,
                                        const ChannelOptions& options = {});

}  // namespace rutile::rpc
