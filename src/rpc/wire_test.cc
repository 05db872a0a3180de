// What networks do to connections: pieces of any size, silence, nonsense, an end in the middle.

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <nghttp2/nghttp2.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"
#include "proto/kvrpcpb.pb.h"
#include "proto/tikvpb.pb.h"
#include "rpc/testing.h"
#include "rpc/wire/grpc_framing.h"

namespace rutile::rpc {
namespace {

using kvrpcpb::RawGetRequest;
using kvrpcpb::RawGetResponse;
using ::testing::HasSubstr;

Methods Echo() {
  Methods methods;
  methods.Handle<RawGetRequest, RawGetResponse>(
      kRawGet, [](const RawGetRequest& request, RawGetResponse* response, Done done) {
        response->set_value(request.key());
        done();
      });
  return methods;
}

sockaddr_in LocalPort(std::uint16_t port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

int ConnectTo(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = LocalPort(port);
  RUTILE_CHECK(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0,
               "connect");
  return fd;
}

// Takes one connection and passes on what it says in pieces of a few bytes.
class Relay {
 public:
  explicit Relay(std::uint16_t to) : listening_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = LocalPort(0);
    socklen_t size = sizeof address;
    RUTILE_CHECK(::bind(listening_, reinterpret_cast<sockaddr*>(&address), size) == 0, "bind");
    RUTILE_CHECK(::listen(listening_, 1) == 0, "listen");
    ::getsockname(listening_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, to] {
      const int client = ::accept(listening_, nullptr, nullptr);
      if (client < 0) return;
      const int server = ConnectTo(to);
      client_ = client;
      std::thread back([this, server, client] { Pass(server, client); });
      Pass(client, server);
      back.join();
      ::close(server);
      ::close(client);
    });
  }
  ~Relay() {
    Cut();
    ::shutdown(listening_, SHUT_RDWR);
    thread_.join();
    ::close(listening_);
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  // Both ends see the connection end.
  void Cut() {
    if (const int client = client_.exchange(-1); client >= 0) ::shutdown(client, SHUT_RDWR);
  }
  // From now on nothing passes, and nobody is told.
  void FallSilent() { silent_ = true; }

 private:
  void Pass(int from, int to) {
    std::array<char, 1021> buffer = {};
    for (std::size_t most = 1;; most = most % buffer.size() + 1) {
      const ssize_t size = ::recv(from, buffer.data(), most, 0);
      if (size <= 0) break;
      if (silent_) continue;
      if (::send(to, buffer.data(), static_cast<std::size_t>(size), MSG_NOSIGNAL) != size) break;
    }
    ::shutdown(to, SHUT_RDWR);
  }

  const int listening_;
  std::uint16_t port_ = 0;
  std::atomic<int> client_{-1};
  std::atomic<bool> silent_{false};
  std::thread thread_;
};

Status Get(Channel& channel, const std::string& key, RawGetResponse* response) {
  RawGetRequest request;
  request.set_key(key);
  return CallAndWait(channel, kRawGet, request, response);
}

TEST(Wire, PiecesOfAnySizeMakeTheSameMessages) {
  const auto server = StartLocal(Echo());
  const Relay relay(server->port());
  const auto channel = NewChannel(relay.address());
  for (const std::size_t size : {0u, 1u, 5u, 1000u, 70'000u, 300'000u}) {
    RawGetResponse response;
    const std::string key(size, static_cast<char>('a' + size % 26));
    ASSERT_TRUE(Get(*channel, key, &response).ok()) << size;
    EXPECT_EQ(response.value(), key);
  }
}

TEST(Wire, ACutConnectionFailsItsCallsAndTheNextOneConnectsAgain) {
  Inbox<Done> held;
  Methods methods = Echo();
  methods.Handle<RawGetRequest, RawGetResponse>(
      "/test.Holder/Hold",
      [&held](const RawGetRequest&, RawGetResponse*, Done done) { held.Put(std::move(done)); });
  const auto server = StartLocal(std::move(methods));
  Relay relay(server->port());
  const auto channel = NewChannel(relay.address());
  Inbox<Status> ended;
  RawGetResponse response;
  channel->CallMessage("/test.Holder/Hold", RawGetRequest(), &response, Seconds(60),
                       [&ended](Status status) { ended.Put(std::move(status)); });
  Done late = held.Take();
  relay.Cut();
  const Status status = ended.Take();
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_THAT(status.ToString(), HasSubstr("/test.Holder/Hold at 127.0.0.1:"));
  late();  // To nobody.
  // The relay takes no second connection; the server itself does.
  const auto direct = NewChannel(LocalAddress(*server));
  EXPECT_TRUE(Get(*direct, "k", &response).ok());
}

TEST(Wire, SilenceIsNoticed) {
  const auto server = StartLocal(Echo());
  Relay relay(server->port());
  const auto channel = NewChannel(relay.address(), {.keepalive_interval = Milliseconds(1),
                                                    .keepalive_timeout = Milliseconds(1)});
  RawGetResponse response;
  ASSERT_TRUE(Get(*channel, "k", &response).ok());
  relay.FallSilent();
  const Status status = Get(*channel, "k", &response);
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_THAT(status.ToString(), HasSubstr("no sign of life"));
}

TEST(Wire, NonsenseEndsItsConnectionOnly) {
  const auto server = StartLocal(Echo());
  const auto channel = NewChannel(LocalAddress(*server));
  RawGetResponse response;
  ASSERT_TRUE(Get(*channel, "before", &response).ok());
  for (const std::string& nonsense :
       {std::string("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), std::string(1000, '\0'),
        std::string(NGHTTP2_CLIENT_MAGIC) + std::string(100, '\xff')}) {
    const int fd = ConnectTo(server->port());
    ASSERT_GT(::send(fd, nonsense.data(), nonsense.size(), MSG_NOSIGNAL), 0);
    std::array<char, 4096> buffer = {};
    while (::recv(fd, buffer.data(), buffer.size(), 0) > 0) {
    }
    ::close(fd);  // The server has closed its end, or we would still be reading.
  }
  ASSERT_TRUE(Get(*channel, "after", &response).ok());
  EXPECT_EQ(response.value(), "after");
}

TEST(Wire, ManyConnectionsAndCallsAtOnce) {
  const auto server = StartLocal(Echo());
  constexpr std::size_t kChannels = 50, kCalls = 40;
  std::vector<std::unique_ptr<Channel>> channels;
  std::vector<RawGetResponse> responses(kChannels * kCalls);
  Inbox<Status> ended;
  for (std::size_t c = 0; c < kChannels; ++c) {
    channels.push_back(NewChannel(LocalAddress(*server)));
    for (std::size_t i = 0; i < kCalls; ++i) {
      RawGetRequest request;
      request.set_key(std::to_string(c * kCalls + i));
      channels[c]->CallMessage(kRawGet, request, &responses[c * kCalls + i], Seconds(60),
                               [&ended](Status status) { ended.Put(std::move(status)); });
    }
  }
  for (std::size_t i = 0; i < responses.size(); ++i) ASSERT_TRUE(ended.Take().ok());
  for (std::size_t i = 0; i < responses.size(); ++i) {
    EXPECT_EQ(responses[i].value(), std::to_string(i));
  }
}

// A call under way is answered although the server stops, and comes over the same connection.
TEST(Wire, StopLetsCallsUnderWayFinish) {
  Inbox<Done> held;
  Methods methods;
  methods.Handle<RawGetRequest, RawGetResponse>(
      kRawGet, [&held](const RawGetRequest& request, RawGetResponse* response, Done done) {
        response->set_value(request.key());
        held.Put(std::move(done));
      });
  const auto server = StartLocal(std::move(methods));
  const auto channel = NewChannel(LocalAddress(*server));
  Inbox<Status> ended;
  RawGetRequest request;
  request.set_key("k");
  RawGetResponse response;
  channel->CallMessage(kRawGet, request, &response, Seconds(60),
                       [&ended](Status status) { ended.Put(std::move(status)); });
  Done done = held.Take();
  std::thread stopper([&server] { server->Stop(Seconds(60)); });
  done();
  EXPECT_TRUE(ended.Take().ok());
  stopper.join();
  EXPECT_EQ(response.value(), "k");
}

TEST(Framing, TextsOfStatusesSurviveTheHeader) {
  for (const std::string text :
       {"", "plain", "50% of it", "two\nlines", "\xc3\xa4\xff\x01", "%zz%"}) {
    const std::string encoded = PercentEncode(text);
    for (const char c : encoded) EXPECT_TRUE(c >= ' ' && c <= '~');
    EXPECT_EQ(PercentDecode(encoded), text);
  }
  EXPECT_EQ(PercentDecode("%zz%"), "%zz%");  // What is no encoding stays.
}

TEST(Framing, StatusCodesComeBack) {
  for (const Code code :
       {Code::kInvalidArgument, Code::kNotFound, Code::kUnavailable, Code::kCorruption,
        Code::kAlreadyExists, Code::kFailedPrecondition, Code::kResourceExhausted,
        Code::kUnimplemented, Code::kDeadlineExceeded, Code::kInternal}) {
    EXPECT_EQ(FromGrpcCode(ToGrpcCode(code), "text", "call").code(), code);
  }
  EXPECT_TRUE(FromGrpcCode(ToGrpcCode(Code::kOk), "", "call").ok());
  EXPECT_EQ(FromGrpcCode(77, "text", "call").code(), Code::kInternal);
}

TEST(Framing, TimeoutsHaveAtMostEightDigits) {
  EXPECT_EQ(EncodeTimeout(Milliseconds(1)), "1m");
  EXPECT_EQ(EncodeTimeout(Duration(1)), "1m");
  EXPECT_EQ(EncodeTimeout(Milliseconds(99'999'999)), "99999999m");
  EXPECT_EQ(EncodeTimeout(Milliseconds(100'000'000)), "100000S");
}

}  // namespace
}  // namespace rutile::rpc
