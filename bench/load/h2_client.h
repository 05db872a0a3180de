#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/time.h"

namespace rutile::bench {

class H2Connection;
struct H2Call;

// What happens on a stream opened with H2Peer::OpenStream. Calls come from H2Client::Poll.
class H2StreamEvents {
 public:
  virtual ~H2StreamEvents() = default;
  // `message` is valid during the call.
  virtual void OnMessage(std::string_view message) = 0;
  // The stream is over and must not be used again. Comes once.
  virtual void OnClosed(const Status& status) = 0;
};

// Names a stream until its OnClosed.
struct H2Stream {
  H2Connection* connection = nullptr;
  H2Call* call = nullptr;

  explicit operator bool() const { return call != nullptr; }
  // Queues one message; it leaves with the next Poll, together with what else was queued.
  void Send(std::string_view message) const;
};

// `response` is valid during the call and empty unless the status is OK.
using H2Done = std::function<void(const Status& status, std::string_view response)>;

// One server. Its connections are made when first used and again after a loss; what was under way
// on a lost connection fails with kUnavailable.
class H2Peer {
 public:
  H2Peer(const std::string& address, int connections, class H2Client& client);
  ~H2Peer();
  H2Peer(const H2Peer&) = delete;
  H2Peer& operator=(const H2Peer&) = delete;

  // Calls `path`, "/package.Service/Call", with an encoded request. `path` must live as long as the
  // client. `done` runs from a later Poll, never from within.
  void Call(std::string_view path, std::string_view request, H2Done done);
  // Opens a stream of messages in both directions. `events` outlives the stream or the client.
  H2Stream OpenStream(std::string_view path, H2StreamEvents* events);

  const std::string& address() const { return address_; }

 private:
  H2Connection& NextConnection();

  const std::string address_;
  std::vector<std::unique_ptr<H2Connection>> connections_;
  std::size_t next_ = 0;
};

struct H2ClientOptions {
  // To each server; calls take them in turn.
  int connections = 1;
  // A unary call without an answer for this long is cancelled and fails with kDeadlineExceeded.
  Duration call_timeout = Seconds(5);
};

// A gRPC client without TLS that costs a fraction of a gRPC library's processor time per call:
// nghttp2 for the frames, epoll, and one thread, the caller's. Everything that was started in one
// turn leaves in one write.
//
// Use from one thread.
class H2Client {
 public:
  explicit H2Client(const H2ClientOptions& options);
  // Ends connections; callbacks of what is under way are not run.
  ~H2Client();
  H2Client(const H2Client&) = delete;
  H2Client& operator=(const H2Client&) = delete;

  // The server at "host:port". Lives as long as the client.
  H2Peer& To(const std::string& address);
  // Runs `task` from a Poll at least `delay` from now.
  void RunAfter(Duration delay, std::function<void()> task);
  // Sends what is queued, waits up to `max_wait` for something to happen and runs its callbacks.
  void Poll(Duration max_wait);
  // The monotonic clock, read now.
  Instant Now() const;

  const H2ClientOptions& options() const { return options_; }

 private:
  friend class H2Connection;
  void Flush();
  void RunTimers();

  const H2ClientOptions options_;
  int epoll_ = -1;
  std::map<std::string, std::unique_ptr<H2Peer>> peers_;
  std::vector<H2Connection*> all_;
  std::vector<H2Connection*> dirty_;  // With something to send, or to say.
  std::multimap<Instant, std::function<void()>> timers_;
  Instant next_expiry_ = {};  // When to look for calls past their time again.
};

}  // namespace rutile::bench
