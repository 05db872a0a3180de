#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/random.h"
#include "base/time.h"
#include "env/env.h"
#include "rpc/seam/channel.h"
#include "rpc/services/methods.h"

namespace rutile::rpc {

struct PeerTransportOptions {
  ClusterId cluster = {};
  StoreId self = {};
  // What may wait for one store; more is dropped. A second of a fast disk's log.
  std::size_t queue_bytes = 64u << 20;
  // How much goes into one message of the stream, unless a single message is larger.
  std::size_t batch_bytes = 1u << 20;
  // The pause before a lost stream is opened again; doubles with every failure, and up to half of
  // it is left to chance, so that nodes do not come in step.
  Duration backoff_min = Milliseconds(100);
  Duration backoff_max = Seconds(1);
  // Takes a line about something that an operator should know. Any thread; must not block.
  std::function<void(std::string_view line)> log = [](std::string_view) {};
};

// Carries messages between stores over `/rutile.Node/Peer`: one stream for each pair of stores and
// direction, opened by the first message. What is sent in one task of the executor, or while a
// write is under way, goes out together.
//
// A lost stream takes with it what was waiting: Raft's own retries are cheaper than stale messages.
//
// The receiver may run on several threads at once, for one sender on one at a time.
class PeerTransport final : public Transport {
 public:
  // Counts since the start.
  struct Counters {
    std::uint64_t sent = 0;     // Messages handed to a stream.
    std::uint64_t batches = 0;  // In so many writes.
    std::uint64_t received = 0;
    std::uint64_t dropped_full = 0;     // The queue was full.
    std::uint64_t dropped_unknown = 0;  // Nobody has told the address.
    std::uint64_t dropped_lost = 0;     // Waited on a stream that broke.
    std::uint64_t streams_opened = 0;
    std::uint64_t streams_refused = 0;  // Incoming, of another cluster or for another store.
  };
  using ChannelFactory = std::function<std::unique_ptr<Channel>(const std::string& address)>;

  // `clock` and `executor` outlive this; `random` is drawn from here only. The executor, best that
  // of the senders, serves to gather and to wait.
  PeerTransport(PeerTransportOptions options, const Clock& clock, Executor& executor,
                std::unique_ptr<Random> random, ChannelFactory connect);
  // Waits for calls of the receiver that are under way. Nothing is delivered or sent afterwards.
  ~PeerTransport() override;

  // Takes incoming streams on the server that `methods` is for.
  void Register(Methods& methods);

  // Where `store` listens, "host:port". A new address is used from the next stream on.
  void SetAddress(StoreId store, std::string address);

  void Start(Receiver receiver) override;
  void Send(StoreId to, std::string message) override;

  Counters counters() const;

 private:
  struct Shared;
  class Report;
  class Peer;
  class Outgoing;
  class Incoming;

  const std::shared_ptr<Shared> shared_;  // Streams and timers may outlive the transport.
};

}  // namespace rutile::rpc
