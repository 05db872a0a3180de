#pragma once

#include <memory>
#include <string>

#include "env/posix/event_loop.h"
#include "rpc/seam/channel.h"

namespace rutile::rpc {

// A channel of its own connection to `address`, "host:port", over HTTP/2, and TLS if the options
// have it. Does not connect yet. Its callbacks run as owner of `loop`, which outlives the channel
// and its streams.
std::unique_ptr<Channel> NewH2Channel(const std::string& address, posix::EventLoop& loop,
                                      const ChannelOptions& options = {});

// A loop for those who have none. It never ends.
posix::EventLoop& SharedClientLoop();

}  // namespace rutile::rpc
