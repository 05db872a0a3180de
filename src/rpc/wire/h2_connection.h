#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "env/posix/event_loop.h"
#include "rpc/wire/tls.h"

struct nghttp2_session;

namespace rutile::rpc {

class H2Connection;

// One stream of HTTP/2 that carries a call of gRPC: messages with a prefix of five bytes, and a
// status in the trailers (github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md). Everything happens on the
// loop's owner.
class H2Stream : public std::enable_shared_from_this<H2Stream> {
 public:
  virtual ~H2Stream() = default;

  // False once it has ended; then all of the following do nothing.
  bool is_open() const { return connection_ != nullptr; }
  // Sends framed messages, together with what else is sent in this round.
  void Write(std::string framed);
  // What waits to be sent.
  std::size_t unsent() const { return out_.size() - out_sent_; }
  // Of a client: has no more to send.
  void HalfClose();
  // Of a server: sends the status after what was written before, and ends the stream. Without
  // HasResponse() before, it goes out alone.
  void EndWithStatus(const Status& status);
  // Of a server: sends the headers of the response. Once, before Write.
  void StartResponse();
  // Drops what waits, in both directions, and tells the other side.
  void Reset();
  // While reading is paused, no message is handed out and the other side is slowed down.
  void PauseReading() { paused_ = true; }
  void ResumeReading();
  bool is_paused() const { return paused_; }

 protected:
  // One header or trailer.
  virtual void OnHeader(std::string_view name, std::string_view value) = 0;
  // A block of headers or trailers is complete.
  virtual void OnHeaders() = 0;
  virtual void OnMessage(std::string_view message) = 0;
  // What came is no message that could be taken. Nothing more is read.
  virtual void OnBadMessage(Status why) = 0;
  // The other side has no more to say.
  virtual void OnEnd() = 0;
  // All that was written has been sent.
  virtual void OnDrained() {}
  // The stream has ended. `lost` is OK unless it was reset, or the connection was lost.
  virtual void OnClosed(const Status& lost) = 0;

 private:
  friend class H2Connection;
  friend struct H2Callbacks;

  void Receive(std::string_view data);
  // Hands out the whole messages at the beginning of `data`; returns how many bytes that were.
  std::size_t TakeMessages(std::string_view data);
  void EndIfComplete();
  // There is something to send.
  void Resume();

  H2Connection* connection_ = nullptr;
  std::int32_t id_ = 0;
  std::string out_;
  std::size_t out_sent_ = 0;
  bool responded_ = false;  // The headers of the response are sent.
  bool finishing_ = false;  // Nothing follows what is in out_,
  bool has_trailers_ = false;
  int trailer_code_ = 0;  // but these.
  std::string trailer_message_;
  bool deferred_ = false;  // nghttp2 asks for nothing until resumed.
  bool drain_noted_ = false;
  std::string in_;              // Received and not handed out.
  std::size_t unconsumed_ = 0;  // Received while paused; the other side may not send as much more.
  bool paused_ = false;
  bool deaf_ = false;  // What comes is thrown away.
  bool end_received_ = false;
  bool end_told_ = false;
};

// One connection of HTTP/2, of a server or a client, on a socket that it owns and on a loop that
// outlives it. It keeps itself alive until it is lost or closed. Owner only.
class H2Connection : public posix::EventLoop::Watcher,
                     public posix::EventLoop::Flusher,
                     public std::enable_shared_from_this<H2Connection> {
 public:
  struct Options {
    // The largest message that is taken.
    std::size_t max_receive_bytes = 0;
    // A silent connection is probed after this time and given up when no sign of life comes back
    // within the other.
    Duration keepalive_interval = Seconds(10);
    Duration keepalive_timeout = Seconds(5);
    // Null: what is sent and received is not encrypted. Of a client, `host` is whom it dials.
    std::shared_ptr<const TlsContext> tls = {};
    std::string host = {};
  };

  H2Connection(posix::EventLoop& loop, const Options& options, bool is_server);
  ~H2Connection() override;
  H2Connection(const H2Connection&) = delete;
  H2Connection& operator=(const H2Connection&) = delete;

  posix::EventLoop& loop() { return loop_; }
  const Options& options() const { return options_; }
  bool is_open() const { return session_ != nullptr; }
  std::size_t stream_count() const { return streams_.size(); }
  // The address of the other end as text.
  const std::string& peer() const { return peer_; }

  // Begins to serve `fd`, a connected socket, or one that is being connected.
  void Start(int fd, std::string peer);
  // Tells the other side to open no further streams.
  void GoAway();
  // Ends the connection at the end of this round, after what was written; its streams hear `why`.
  void Close(const Status& why);
  // Calls `visit` with all streams that are open.
  template <class Visit>
  void ForEachStream(const Visit& visit) {
    std::vector<std::shared_ptr<H2Stream>> streams;
    streams.reserve(streams_.size());
    for (const auto& [id, stream] : streams_) streams.push_back(stream);
    for (const auto& stream : streams) visit(*stream);
  }

  // Of a client: opens a stream. `timeout` zero: none is told to the server.
  void Request(const std::string& authority, const std::string& path, Duration timeout,
               std::shared_ptr<H2Stream> stream);

 protected:
  // Of a server: somebody opens a stream.
  virtual std::shared_ptr<H2Stream> OnStream() { return nullptr; }
  // The socket is connected, and what goes over it is encrypted if it is to be. Of a client.
  virtual void OnConnected() {}
  // The other side wants no further streams.
  virtual void OnGoAway() {}
  // Once, when all its streams have been told.
  virtual void OnLost(const Status& why) = 0;

 private:
  friend class H2Stream;
  friend struct H2Callbacks;

  void OnEvents(std::uint32_t events) final;
  void OnShutdown() final;
  void Flush() final;

  void MarkDirty();
  void ReadSocket();
  // Why the other side is gone, for people.
  Status Ended(std::string how) const;
  // What has come, decrypted; empty if there is nothing yet, or the connection breaks.
  std::string_view Decrypt(std::string_view received);
  void WriteSocket();
  // Lets nghttp2 encode what waits, up to a bound. False when it failed.
  bool Encode();
  bool EncodeEncrypted();
  // Appends to `out`, of which `sent` bytes are gone already.
  bool EncodeTo(std::string* out, std::size_t sent);
  void TellDrained();
  void Break(Status why);
  void Lose();
  void KeepAlive();
  void Adopt(std::int32_t id, std::shared_ptr<H2Stream> stream);
  // The stream has ended; forgets it.
  void Forget(H2Stream* stream, const Status& lost);

  posix::EventLoop& loop_;
  const Options options_;
  const bool is_server_;
  std::string peer_;
  int fd_ = -1;
  posix::EventLoop::WatchId watch_ = 0;
  nghttp2_session* session_ = nullptr;
  std::shared_ptr<H2Connection> self_;  // While the socket is open.
  std::map<std::int32_t, std::shared_ptr<H2Stream>> streams_;
  std::vector<std::shared_ptr<H2Stream>> drained_;  // Have nothing left to send.
  std::string out_;                                 // Encoded.
  std::size_t out_sent_ = 0;
  bool connected_ = false;
  std::unique_ptr<TlsSession> tls_;  // Null: nothing is encrypted.
  std::string said_;                 // Decrypted, or to be encrypted, within one call.
  bool writable_ = false;
  bool dirty_ = false;
  bool closing_ = false;  // Broken once out_ is sent.
  Status broken_;         // Not OK: the connection is lost at the end of the round.
  bool hung_up_ = false;  // The other side sends no more than what is in the socket.
  Instant last_received_ = {};
  Instant probed_ = {};  // When a ping was sent that nothing has followed; zero: none.
};

}  // namespace rutile::rpc
