#include "rpc/peer_transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>

#include "rpc/testing.h"

namespace rutile::rpc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class ManualClock final : public Clock {
 public:
  Instant Now() const override { return now_; }
  std::uint64_t WallMillis() const override { return 0; }
  void Advance(Duration by) { now_ += by; }

 private:
  Instant now_ = Instant() + Seconds(1000);
};

// Keeps delayed tasks until the test runs them.
class ManualExecutor final : public Executor {
 public:
  void Post(Task task) override { task(); }  // Whoever posts holds no lock.
  void PostAfter(Duration delay, Task task) override { delayed_.Put({delay, std::move(task)}); }
  // Waits for the next delayed task, runs it and returns its delay.
  Duration RunNext() {
    auto [delay, task] = delayed_.Take();
    task();
    return delay;
  }

 private:
  Inbox<std::pair<Duration, Task>> delayed_;
};

// A store with a transport and a server of its own.
class Node {
 public:
  Node(std::uint64_t id, std::uint64_t cluster, std::size_t queue_bytes = 64u << 20)
      : transport_(
            PeerTransportOptions{
                .cluster = ClusterId(cluster),
                .self = StoreId(id),
                .queue_bytes = queue_bytes,
                .log = [this](std::string_view line) { logged_.Put(std::string(line)); }},
            clock_, executor_, std::make_unique<SeededRandom>(id),
            [](const std::string& address) { return NewChannel(address); }) {
    transport_.Start([this](StoreId from, std::string_view message) {
      received_.Put(ToString(from) + ":" + std::string(message));
    });
  }
  ~Node() { server_.reset(); }

  // Listens on `port`, or on any with 0.
  void Listen(int port = 0) {
    Methods methods;
    transport_.Register(methods);
    server_ = LoopServer::Start(ServerOptions{.listen = "127.0.0.1:" + std::to_string(port)},
                                std::move(methods))
                  .value();
  }
  void StopListening() { server_.reset(); }
  std::string address() const { return LocalAddress(*server_); }

  ManualClock clock_;
  ManualExecutor executor_;
  Inbox<std::string> received_;
  Inbox<std::string> logged_;
  PeerTransport transport_;
  std::unique_ptr<Server> server_;
};

TEST(PeerTransport, DeliversInOrderInBothDirections) {
  Node a(1, 9);
  Node b(2, 9);
  a.Listen();
  b.Listen();
  a.transport_.SetAddress(StoreId(2), b.address());
  b.transport_.SetAddress(StoreId(1), a.address());
  constexpr int kMessages = 3000;
  for (int i = 0; i < kMessages; ++i) {
    a.transport_.Send(StoreId(2), std::to_string(i));
    b.transport_.Send(StoreId(1), std::to_string(-i));
  }
  for (int i = 0; i < kMessages; ++i) {
    ASSERT_EQ(b.received_.Take(), "1:" + std::to_string(i));
    ASSERT_EQ(a.received_.Take(), "2:" + std::to_string(-i));
  }
  const PeerTransport::Counters counters = a.transport_.counters();
  EXPECT_EQ(counters.sent, static_cast<std::uint64_t>(kMessages));
  EXPECT_EQ(counters.streams_opened, 1u);
  EXPECT_LT(counters.batches, counters.sent);  // What came during a write went out together.
  EXPECT_EQ(counters.dropped_full + counters.dropped_lost + counters.dropped_unknown, 0u);
}

TEST(PeerTransport, LargeMessagesArriveWhole) {
  Node a(1, 9);
  Node b(2, 9);
  b.Listen();
  a.transport_.SetAddress(StoreId(2), b.address());
  const std::string large(5 << 20, 'm');  // More than a batch.
  for (int i = 0; i < 3; ++i) a.transport_.Send(StoreId(2), large);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(b.received_.Take().size(), large.size() + 2);
}

TEST(PeerTransport, SurvivesARestartOfTheReceiver) {
  Node a(1, 9);
  Node b(2, 9);
  b.Listen();
  const int port = b.server_->port();
  a.transport_.SetAddress(StoreId(2), b.address());
  a.transport_.Send(StoreId(2), "before");
  EXPECT_EQ(b.received_.Take(), "1:before");

  b.StopListening();
  const Duration first = a.executor_.RunNext();  // The stream was lost, and a pause taken.
  EXPECT_GE(first, Milliseconds(50));
  EXPECT_LE(first, Milliseconds(100));
  Duration last = first;
  for (int attempt = 0; attempt < 6; ++attempt) {  // In vain, at growing intervals.
    a.transport_.Send(StoreId(2), "into the void");
    last = a.executor_.RunNext();
    EXPECT_LE(last, Seconds(1));
  }
  EXPECT_GE(last, Milliseconds(500));

  b.Listen(port);
  a.transport_.Send(StoreId(2), "after");
  EXPECT_EQ(b.received_.Take(), "1:after");
  EXPECT_TRUE(b.received_.empty());
}

TEST(PeerTransport, FullQueueDropsTheNewestWithoutBlocking) {
  // A socket that is listened on and never read from: connections are made, and nothing is said.
  const int silent = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(silent, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(::listen(silent, 8), 0);
  socklen_t size = sizeof(address);
  ASSERT_EQ(::getsockname(silent, reinterpret_cast<sockaddr*>(&address), &size), 0);
  {
    Node a(1, 9, /*queue_bytes=*/500);
    a.transport_.SetAddress(StoreId(2), "127.0.0.1:" + std::to_string(ntohs(address.sin_port)));
    // More than the 64 KiB that HTTP/2 lets go unasked, so that from some message on nothing moves.
    constexpr std::uint64_t kSent = 2000;
    for (std::uint64_t i = 0; i < kSent; ++i) {
      a.transport_.Send(StoreId(2), std::string(100, 'm'));
    }
    const auto counters = a.transport_.counters();
    EXPECT_GT(counters.dropped_full, 1000u);
    // Those that are neither with the stream nor dropped wait: five fit.
    EXPECT_LE(counters.sent + counters.dropped_full, kSent);
    EXPECT_GE(counters.sent + counters.dropped_full, kSent - 5);
  }
  ::close(silent);
}

TEST(PeerTransport, UnknownStoreIsSilence) {
  Node a(1, 9);
  a.transport_.Send(StoreId(7), "hello");
  EXPECT_EQ(a.transport_.counters().dropped_unknown, 1u);
}

TEST(PeerTransport, AnotherClusterIsRefusedAndLoggedOnceAMinute) {
  Node a(1, 9);
  Node b(2, 8);
  b.Listen();
  a.transport_.SetAddress(StoreId(2), b.address());
  a.transport_.Send(StoreId(2), "hello");
  EXPECT_GE(a.executor_.RunNext(), Milliseconds(500));  // No hurry to be refused again.
  EXPECT_THAT(b.logged_.Take(), AllOf(HasSubstr("store 1"), HasSubstr("cluster 9"),
                                      HasSubstr("a node of cluster 8")));
  EXPECT_THAT(a.logged_.Take(), HasSubstr("store 2 refuses our messages"));

  a.transport_.Send(StoreId(2), "hello again");
  a.executor_.RunNext();
  EXPECT_EQ(b.transport_.counters().streams_refused, 2u);
  EXPECT_TRUE(b.logged_.empty());
  EXPECT_TRUE(a.logged_.empty());

  b.clock_.Advance(Seconds(61));
  a.transport_.Send(StoreId(2), "and again");
  a.executor_.RunNext();
  EXPECT_THAT(b.logged_.Take(), HasSubstr("cluster 9"));
  EXPECT_TRUE(b.received_.empty());
}

TEST(PeerTransport, MessagesForAnotherStoreAreRefused) {
  Node a(1, 9);
  Node b(2, 9);
  b.Listen();
  a.transport_.SetAddress(StoreId(3), b.address());
  a.transport_.Send(StoreId(3), "hello");
  EXPECT_THAT(b.logged_.Take(), AllOf(HasSubstr("for store 3"), HasSubstr("to store 2")));
  a.executor_.RunNext();
  EXPECT_TRUE(b.received_.empty());
}

TEST(PeerTransport, DestroyedWhileBusy) {
  Node b(2, 9);
  b.Listen();
  for (int round = 0; round < 20; ++round) {
    Node a(1, 9);
    a.transport_.SetAddress(StoreId(2), b.address());
    for (int i = 0; i < 100; ++i) a.transport_.Send(StoreId(2), std::string(1000, 'm'));
  }
}

}  // namespace
}  // namespace rutile::rpc
