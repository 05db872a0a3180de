#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "base/time.h"
#include "client/channel.h"
#include "rpc/seam/stream.h"

namespace rutile::rpc {

class TlsContext;

struct ChannelOptions {
  // The largest message that is taken from the server.
  std::size_t max_receive_bytes = 64u << 20;
  // A stream whose server lets this much wait is cancelled.
  std::size_t stream_limit_bytes = 64u << 20;
  // A silent connection is probed after this time and given up when no sign of life comes back
  // within the other.
  Duration keepalive_interval = Seconds(5);
  Duration keepalive_timeout = Seconds(3);
  // Of a client (rpc/wire/tls.h). Null: what is sent and received is not encrypted.
  std::shared_ptr<const TlsContext> tls = {};
};

// A connection to one server, made when first used and made again when lost. Calls on a channel
// whose server cannot be reached fail with kUnavailable at once rather than wait for it.
//
// Safe from any thread.
class Channel : public client::Channel {
 public:
  // Calls `method`, "/package.Service/Call", with encoded messages.
  void Call(std::string method, std::string request, Duration timeout, Callback done) override = 0;

  // The same with messages. `response` must stay until `done` has run, on a thread of the channel;
  // it is filled when the status is OK. `request` is encoded during the call.
  virtual void CallMessage(const std::string& method, const Message& request, Message* response,
                           Duration timeout, std::function<void(Status)> done) = 0;

  // Opens a stream on which messages like `received` (a prototype that lives for ever) come in.
  // Returns at once; `handler` may be called before it does. The stream lives, and the handler with
  // it, until it is finished or lost, whatever becomes of the channel and the sender.
  virtual std::shared_ptr<StreamSender> OpenStream(const std::string& method,
                                                   const Message& received,
                                                   std::unique_ptr<StreamHandler> handler) = 0;
};

}  // namespace rutile::rpc
