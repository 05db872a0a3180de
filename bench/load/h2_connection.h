#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/time.h"
#include "bench/load/h2_client.h"

struct nghttp2_session;

namespace rutile::bench {

// One call or stream on a connection.
struct H2Call {
  std::list<H2Call>::iterator self = {};  // Where it is in its list.
  std::int32_t stream_id = 0;
  std::string outgoing = {};  // Framed messages.
  std::size_t sent = 0;       // Of `outgoing`.
  bool paused = false;        // A stream that has nothing to send.
  std::string incoming = {};  // Framed.
  int http_status = 0;
  int grpc_status = -1;
  std::string grpc_message = {};
  Instant deadline = {};
  H2Done done = {};                  // Of a unary call.
  H2StreamEvents* events = nullptr;  // Of a stream.
};

// One TCP connection that speaks HTTP/2 without TLS (prior knowledge). See H2Client.
class H2Connection {
 public:
  H2Connection(const std::string& address, H2Client& client);
  ~H2Connection();
  H2Connection(const H2Connection&) = delete;
  H2Connection& operator=(const H2Connection&) = delete;

  void StartUnary(std::string_view path, std::string_view request, H2Done done);
  H2Call* StartStream(std::string_view path, H2StreamEvents* events);
  void Send(H2Call* call, std::string_view message);

  // For H2Client: the socket has news; send what is queued; give up what is late.
  void OnEvents(std::uint32_t events);
  void Flush();
  void Expire(Instant now);

 private:
  friend struct H2Callbacks;
  H2Call* NewCall();
  void Connect();
  void MarkDirty();
  void Submit(H2Call* call, std::string_view path);
  void Read();
  void Write();
  // Nothing more comes from this connection: noted now, said by the next Flush.
  void Break(std::string_view why);
  void FailAll();
  void Finish(H2Call* call, const Status& status);
  void TakeMessages(H2Call* call);

  const std::string address_;
  H2Client& client_;
  nghttp2_session* session_ = nullptr;
  int fd_ = -1;
  bool connected_ = false;
  bool writable_ = false;
  bool dirty_ = false;
  std::string broken_ = {};  // Why, when the connection is lost.
  std::string out_ = {};
  std::size_t out_sent_ = 0;
  std::list<H2Call> calls_;  // In the order in which they were started.
  std::list<H2Call> free_;
};

}  // namespace rutile::bench
