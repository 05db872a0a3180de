#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "base/status.h"

namespace google::protobuf {
class MessageLite;
}  // namespace google::protobuf

namespace rutile::rpc {

using Message = google::protobuf::MessageLite;

// The sending side of a stream, the same for servers and clients.
//
// Safe from any thread, also after the stream has ended: then everything is a no-op.
class StreamSender {
 public:
  virtual ~StreamSender() = default;
  // Queues `message` (encoded during the call) and starts to write at once if nothing is being
  // written. Never blocks. Returns the bytes that now wait or are being written: who goes on
  // sending although this grows loses the stream (kResourceExhausted) at its limit.
  virtual std::size_t Send(const Message& message) = 0;
  // Ends the stream once what was sent before has been written. A server's status is what the
  // client sees. A client's OK says that it has no more to send; anything else cancels the stream
  // at once. Only the first call counts.
  virtual void Finish(Status status) = 0;
};

// What happens on a stream. The binding owns the handler and destroys it after OnClosed.
//
// OnMessage and OnHalfClosed are called one after the other, in the order of the wire. OnDrained
// may run beside them, on another thread. OnClosed comes last and once. None of them may block:
// they run on the threads that serve everybody.
class StreamHandler {
 public:
  virtual ~StreamHandler() = default;
  // `message` is of the type registered for the stream, and valid during the call. The next one is
  // read when this returns, and not while the queue of the sender is long.
  virtual void OnMessage(const Message& message) = 0;
  // All that was sent has been written: the moment to send what has gathered meanwhile.
  virtual void OnDrained() {}
  // On a server: the client has no more to say, or nothing more that can be read. It still listens,
  // so the handler finishes when it has answered what is under way. Not called when the client is
  // simply gone. May come after Finish.
  virtual void OnHalfClosed() {}
  // The stream is over. On a client: the status from the server, or why there is none.
  virtual void OnClosed(const Status& status) = 0;
};

// A StreamHandler that sees its messages with their type.
template <class Received>
class TypedStreamHandler : public StreamHandler {
 public:
  void OnMessage(const Message& message) final { OnTyped(static_cast<const Received&>(message)); }

 protected:
  virtual void OnTyped(const Received& message) = 0;
};

// Makes the handler of a new stream. `peer` is the address of the other end as text, for logs.
using StreamFactory = std::function<std::unique_ptr<StreamHandler>(
    const std::string& peer, std::shared_ptr<StreamSender> sender)>;

}  // namespace rutile::rpc
