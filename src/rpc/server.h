#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/time.h"
#include "rpc/wire/tls.h"

namespace rutile::rpc {

struct ServerOptions {
  // "host:port". Port 0 takes any that is free.
  std::string listen = {};
  // Of a server. Null: connections are not encrypted.
  std::shared_ptr<const TlsContext> tls = {};
  // The largest message that is taken; a larger one is answered with kResourceExhausted. Sixteen
  // mebibytes of payload and some room for what is around it.
  std::size_t max_receive_bytes = (16u << 20) + (64u << 10);
  // A stream whose client lets this much wait is not read from until that is gone.
  std::size_t stream_pause_bytes = 4u << 20;
  // A stream whose client lets this much wait is ended.
  std::size_t stream_limit_bytes = 64u << 20;
};

// A server that is listening.
class Server {
 public:
  virtual ~Server() = default;
  // The port that is listened on.
  virtual std::uint16_t port() const = 0;
  // Takes no new calls, ends streams, gives unary calls `grace` to complete and cancels the rest.
  // Returns when no handler runs or will run any more. Not from a handler. Idempotent.
  virtual void Stop(Duration grace) = 0;
};

}  // namespace rutile::rpc
