#include "bench/load/h2_client.h"

#include <optional>

#include "proto/kvrpcpb.pb.h"
#include "proto/tikvpb.pb.h"
#include "rpc/testing.h"

namespace rutile::bench {
namespace {

using kvrpcpb::RawGetRequest;
using kvrpcpb::RawGetResponse;

constexpr char kGet[] = "/tikvpb.Tikv/RawGet";
constexpr char kStream[] = "/tikvpb.Tikv/BatchCommands";

// Answers each message of a stream with the values that were put.
class EchoHandler final : public rpc::TypedStreamHandler<tikvpb::BatchCommandsRequest> {
 public:
  explicit EchoHandler(std::shared_ptr<rpc::StreamSender> sender) : sender_(std::move(sender)) {}
  void OnTyped(const tikvpb::BatchCommandsRequest& request) override {
    if (request.requests_size() == 0) return sender_->Finish(Status(Code::kNotFound, "enough"));
    tikvpb::BatchCommandsResponse response;
    for (int i = 0; i < request.requests_size(); ++i) {
      response.add_request_ids(request.request_ids(i));
      response.add_responses()->mutable_rawget()->set_value(request.requests(i).rawput().value());
    }
    sender_->Send(response);
  }
  void OnHalfClosed() override { sender_->Finish(Status()); }
  void OnClosed(const Status&) override {}

 private:
  const std::shared_ptr<rpc::StreamSender> sender_;
};

// A server that gives keys back as values; "fail" fails, "hang" is never answered.
std::unique_ptr<rpc::Server> StartEcho(std::vector<rpc::Done>* hanging = nullptr) {
  rpc::Methods methods;
  methods.Handle<RawGetRequest, RawGetResponse>(
      kGet, [hanging](const RawGetRequest& request, RawGetResponse* response, rpc::Done done) {
        if (request.key() == "fail") return done(Status(Code::kResourceExhausted, "no more"));
        if (request.key() == "hang") return hanging->push_back(std::move(done));
        response->set_value(request.key());
        done();
      });
  methods.HandleStream<tikvpb::BatchCommandsRequest>(
      kStream, [](const std::string&, std::shared_ptr<rpc::StreamSender> sender) {
        return std::make_unique<EchoHandler>(std::move(sender));
      });
  return rpc::StartLocal(std::move(methods));
}

std::string EncodedGet(const std::string& key) {
  RawGetRequest request;
  request.set_key(key);
  return request.SerializeAsString();
}

struct Answered {
  Status status;
  std::string value;
};

Answered Get(H2Client& client, const std::string& address, const std::string& key,
             std::string_view path = kGet) {
  std::optional<Answered> answered;
  client.To(address).Call(path, EncodedGet(key), [&](const Status& status, std::string_view bytes) {
    RawGetResponse response;
    EXPECT_TRUE(response.ParseFromString(std::string(bytes)));
    answered = Answered{status, response.value()};
  });
  EXPECT_FALSE(answered.has_value());  // Never from within.
  while (!answered) client.Poll(Seconds(1));
  return *answered;
}

TEST(H2Client, ManyCallsAtOnceOnFewConnections) {
  const auto server = StartEcho();
  H2Client client({.connections = 3});
  int answered = 0;
  // Some larger than a frame, and all of them together larger than a window of flow control.
  for (int i = 0; i < 500; ++i) {
    const std::string key = std::to_string(i) + std::string(i % 7 == 0 ? 40'000 : 10, 'k');
    client.To(rpc::LocalAddress(*server))
        .Call(kGet, EncodedGet(key),
              [&answered, key](const Status& status, std::string_view bytes) {
                RawGetResponse response;
                EXPECT_TRUE(status.ok()) << status.ToString();
                EXPECT_TRUE(response.ParseFromString(std::string(bytes)));
                EXPECT_EQ(response.value(), key);
                ++answered;
              });
  }
  while (answered < 500) client.Poll(Seconds(1));
}

TEST(H2Client, CallsMayStartFromCallbacks) {
  const auto server = StartEcho();
  H2Client client({});
  H2Peer& peer = client.To(rpc::LocalAddress(*server));
  int left = 200;
  std::function<void(const Status&, std::string_view)> next = [&](const Status& status,
                                                                  std::string_view) {
    EXPECT_TRUE(status.ok()) << status.ToString();
    if (--left > 0) peer.Call(kGet, EncodedGet("again"), next);
  };
  peer.Call(kGet, EncodedGet("first"), next);
  while (left > 0) client.Poll(Seconds(1));
}

TEST(H2Client, ErrorsOfTheServerComeWithTheirCodeAndMessage) {
  const auto server = StartEcho();
  H2Client client({});
  const std::string address = rpc::LocalAddress(*server);
  const Answered failed = Get(client, address, "fail");
  EXPECT_EQ(failed.status.code(), Code::kResourceExhausted);
  EXPECT_EQ(failed.status.message(), "no more");
  EXPECT_EQ(Get(client, address, "x", "/tikvpb.Tikv/Nothing").status.code(), Code::kUnimplemented);
  EXPECT_EQ(Get(client, address, "fine").value, "fine");
}

TEST(H2Client, SilenceEndsWithTheTimeout) {
  std::vector<rpc::Done> hanging;
  const auto server = StartEcho(&hanging);
  H2Client client({.call_timeout = Milliseconds(100)});
  const std::string address = rpc::LocalAddress(*server);
  EXPECT_EQ(Get(client, address, "hang").status.code(), Code::kDeadlineExceeded);
  H2Client patient({});
  EXPECT_EQ(Get(patient, address, "fine").value, "fine");
  server->Stop(Duration(0));
}

TEST(H2Client, NobodyThereAndBackAgain) {
  auto server = StartEcho();
  const std::string address = rpc::LocalAddress(*server);
  H2Client client({});
  EXPECT_EQ(Get(client, address, "one").value, "one");
  server->Stop(Duration(0));
  server.reset();
  EXPECT_EQ(Get(client, address, "two").status.code(), Code::kUnavailable);
  EXPECT_EQ(Get(client, address, "three").status.code(), Code::kUnavailable);
  EXPECT_EQ(Get(client, "no colon", "four").status.code(), Code::kUnavailable);
  server = StartEcho();
  EXPECT_EQ(Get(client, rpc::LocalAddress(*server), "five").value, "five");
}

struct Collected final : H2StreamEvents {
  void OnMessage(std::string_view message) override {
    tikvpb::BatchCommandsResponse response;
    EXPECT_TRUE(response.ParseFromString(std::string(message)));
    for (int i = 0; i < response.request_ids_size(); ++i) {
      sizes[response.request_ids(i)] = response.responses(i).rawget().value().size();
    }
  }
  void OnClosed(const Status& status) override { closed = status; }

  std::map<std::uint64_t, std::size_t> sizes = {};
  std::optional<Status> closed = {};
};

TEST(H2Client, AStreamCarriesMessagesBothWaysUntilItsEnd) {
  const auto server = StartEcho();
  H2Client client({});
  Collected collected;
  const H2Stream stream = client.To(rpc::LocalAddress(*server)).OpenStream(kStream, &collected);
  const auto send = [&](std::uint64_t id, std::size_t bytes) {
    tikvpb::BatchCommandsRequest request;
    request.add_request_ids(id);
    request.add_requests()->mutable_rawput()->set_value(std::string(bytes, 'v'));
    stream.Send(request.SerializeAsString());
  };
  for (std::uint64_t id = 1; id <= 20; ++id) send(id, id * 10'000);
  while (collected.sizes.size() < 20) client.Poll(Seconds(1));
  send(21, 1);  // After a pause.
  while (collected.sizes.size() < 21) client.Poll(Seconds(1));
  for (const auto& [id, size] : collected.sizes) EXPECT_EQ(size, id == 21 ? 1 : id * 10'000);
  EXPECT_FALSE(collected.closed.has_value());
  stream.Send("");
  while (!collected.closed) client.Poll(Seconds(1));
  EXPECT_EQ(collected.closed->code(), Code::kNotFound);
  EXPECT_EQ(collected.closed->message(), "enough");
}

TEST(H2Client, TimersRunInTheirOrder) {
  H2Client client({});
  std::string order;
  client.RunAfter(Milliseconds(4), [&] { order += 'c'; });
  client.RunAfter(Milliseconds(2), [&] {
    order += 'b';
    client.RunAfter(Duration(0), [&] { order += 'B'; });
  });
  client.RunAfter(Duration(0), [&] { order += 'a'; });
  const Instant begin = client.Now();
  while (order.size() < 4) client.Poll(Seconds(1));
  EXPECT_GE(client.Now() - begin, Milliseconds(4));
  EXPECT_EQ(order.front(), 'a');
  EXPECT_LT(order.find('b'), order.find('B'));
  EXPECT_LT(order.find('b'), order.find('c'));
}

}  // namespace
}  // namespace rutile::bench
