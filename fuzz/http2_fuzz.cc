// What a stranger sends to the port of a server: the frames of HTTP/2, gRPC's prefixes in them, and
// the messages that are decoded from those. The server answers or hangs up, and serves the next.
//
// An input with an even first byte is sent as it is; an odd one follows the connection's preface
// and empty settings, so that the fuzzer need not find those.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "base/check.h"
#include "env/posix/event_loop.h"
#include "fuzz/input.h"
#include "proto/kvrpcpb.pb.h"
#include "proto/tikvpb.pb.h"
#include "rpc/h2_server.h"

namespace rutile::fuzz {
namespace {

class Echo final : public rpc::TypedStreamHandler<tikvpb::BatchCommandsRequest> {
 public:
  explicit Echo(std::shared_ptr<rpc::StreamSender> sender) : sender_(std::move(sender)) {}
  void OnTyped(const tikvpb::BatchCommandsRequest& request) override {
    tikvpb::BatchCommandsResponse response;
    *response.mutable_request_ids() = request.request_ids();
    sender_->Send(response);
  }
  void OnHalfClosed() override { sender_->Finish(Status()); }
  void OnClosed(const Status&) override {}

 private:
  std::shared_ptr<rpc::StreamSender> sender_;
};

rpc::Methods MakeMethods() {
  rpc::Methods methods;
  methods.Handle<kvrpcpb::RawPutRequest, kvrpcpb::RawPutResponse>(
      "/tikvpb.Tikv/RawPut",
      [](const kvrpcpb::RawPutRequest& request, kvrpcpb::RawPutResponse* response, rpc::Done done) {
        response->set_error(std::string(request.value().size(), 'e'));
        done();
      });
  methods.HandleStream<tikvpb::BatchCommandsRequest>(
      "/tikvpb.Tikv/BatchCommands",
      [](const std::string&, std::shared_ptr<rpc::StreamSender> sender) {
        return std::make_unique<Echo>(std::move(sender));
      });
  return methods;
}

// One server for all inputs, as in life.
std::uint16_t ServerPort() {
  static auto* const loop = new posix::EventLoop("fuzz");
  static auto* const server = [] {
    auto started = rpc::StartH2Server({.listen = "127.0.0.1:0",
                                       .max_receive_bytes = 4096,
                                       .stream_pause_bytes = 1024,
                                       .stream_limit_bytes = 8192},
                                      MakeMethods(), {loop});
    RUTILE_CHECK(started.ok(), std::string(started.status().message()));
    return std::move(started).value().release();
  }();
  return server->port();
}

int ConnectTo(std::uint16_t port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  RUTILE_CHECK(fd >= 0, std::strerror(errno));
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    // The fuzzer watches its time with a signal; the connection is made all the same.
    RUTILE_CHECK(errno == EINTR, std::strerror(errno));
    pollfd connected = {.fd = fd, .events = POLLOUT, .revents = 0};
    while (::poll(&connected, 1, -1) < 0) RUTILE_CHECK(errno == EINTR, std::strerror(errno));
  }
  // No waiting in TIME_WAIT, of which thousands a second would use up all ports.
  const linger abort_at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort_at_once, sizeof abort_at_once);
  const timeval patience{.tv_sec = 5, .tv_usec = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  return fd;
}

void Send(std::string_view bytes) {
  const int fd = ConnectTo(ServerPort());
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) break;  // It has hung up.
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  ::shutdown(fd, SHUT_WR);
  char buffer[4096];
  ssize_t received = 0;
  do {
    received = ::recv(fd, buffer, sizeof buffer, 0);
  } while (received > 0 || (received < 0 && errno == EINTR));
  // The server has closed its end, in one way or the other, and does not let us wait.
  RUTILE_CHECK(received == 0 || errno != EAGAIN, "the server neither answers nor hangs up");
  ::close(fd);
}

}  // namespace
}  // namespace rutile::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::string bytes;
  if (data[0] % 2 == 1) {
    bytes = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    bytes.append("\0\0\0\4\0\0\0\0\0", 9);  // SETTINGS
  }
  bytes += rutile::fuzz::AsText(data + 1, size - 1);
  rutile::fuzz::Send(bytes);
  return 0;
}
