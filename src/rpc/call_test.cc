#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "proto/health.pb.h"
#include "proto/kvrpcpb.pb.h"
#include "rpc/health.h"
#include "rpc/testing.h"
#include "rpc/testing/ends.h"

namespace rutile::rpc {
namespace {

using kvrpcpb::RawGetRequest;
using kvrpcpb::RawGetResponse;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::string TextOf(const Status& status) { return status.ToString(); }

// Answers with the key as the value.
void AddEcho(Methods& methods) {
  methods.Handle<RawGetRequest, RawGetResponse>(
      kRawGet, [](const RawGetRequest& request, RawGetResponse* response, Done done) {
        response->set_value(request.key());
        done();
      });
}

class CallTest : public ::testing::TestWithParam<Ends> {
 protected:
  void Serve(Methods methods, ServerOptions options = {}) {
    server_ = StartLocal(GetParam(), std::move(methods), std::move(options));
    channel_ = ConnectLocal(GetParam(), *server_);
  }
  Status Get(const std::string& key, RawGetResponse* response, Duration timeout = Seconds(60)) {
    RawGetRequest request;
    request.set_key(key);
    return CallAndWait(*channel_, kRawGet, request, response, timeout);
  }

  std::unique_ptr<Server> server_;
  std::unique_ptr<Channel> channel_;
};

TEST_P(CallTest, AnswerComesBack) {
  Methods methods;
  AddEcho(methods);
  Serve(std::move(methods));
  for (const std::size_t size : {0u, 1u, 100u, 10'000u, 1'000'000u}) {
    const std::string key(size, 'k');
    RawGetResponse response;
    ASSERT_TRUE(Get(key, &response).ok());
    EXPECT_EQ(response.value(), key);
  }
}

TEST_P(CallTest, AnswerFromAnotherThreadAndManyAtOnce) {
  Inbox<std::pair<std::string, Done>> held;
  Methods methods;
  methods.Handle<RawGetRequest, RawGetResponse>(
      kRawGet, [&held](const RawGetRequest& request, RawGetResponse* response, Done done) {
        response->set_value(request.key());
        held.Put({request.key(), std::move(done)});
      });
  Serve(std::move(methods));
  constexpr int kCalls = 100;
  std::vector<RawGetResponse> responses(kCalls);
  Inbox<int> ended;
  for (int i = 0; i < kCalls; ++i) {
    RawGetRequest request;
    request.set_key(std::to_string(i));
    channel_->CallMessage(kRawGet, request, &responses[static_cast<std::size_t>(i)], Seconds(60),
                          [&ended, i](const Status& status) { ended.Put(status.ok() ? i : -1); });
  }
  std::vector<std::pair<std::string, Done>> calls;
  for (int i = 0; i < kCalls; ++i) calls.push_back(held.Take());
  for (auto& [key, done] : calls) done();
  for (int i = 0; i < kCalls; ++i) EXPECT_GE(ended.Take(), 0);
  for (std::size_t i = 0; i < kCalls; ++i) EXPECT_EQ(responses[i].value(), std::to_string(i));
}

TEST_P(CallTest, StatusOfTheHandlerReachesTheCaller) {
  Methods methods;
  methods.Handle<RawGetRequest, RawGetResponse>(
      kRawGet, [](const RawGetRequest&, RawGetResponse*, Done done) {
        done(Status(Code::kResourceExhausted, "too much at once"));
      });
  Serve(std::move(methods));
  RawGetResponse response;
  const Status status = Get("a", &response);
  EXPECT_EQ(status.code(), Code::kResourceExhausted);
  EXPECT_THAT(TextOf(status), AllOf(HasSubstr("too much at once"), HasSubstr(kRawGet)));
}

TEST_P(CallTest, EncodedCallsAreTheSame) {
  Methods methods;
  AddEcho(methods);
  Serve(std::move(methods));
  RawGetRequest request;
  request.set_key("bytes");
  Inbox<std::pair<Status, std::string>> ended;
  channel_->Call(kRawGet, request.SerializeAsString(), Seconds(60),
                 [&ended](Status status, std::string bytes) {
                   ended.Put({std::move(status), std::move(bytes)});
                 });
  const auto [status, bytes] = ended.Take();
  ASSERT_TRUE(status.ok()) << TextOf(status);
  RawGetResponse response;
  ASSERT_TRUE(response.ParseFromString(bytes));
  EXPECT_EQ(response.value(), "bytes");
}

TEST_P(CallTest, MalformedRequestIsRefusedByName) {
  Methods methods;
  methods.Handle<RawGetRequest, RawGetResponse>(
      kRawGet, [](const RawGetRequest&, RawGetResponse*, Done) { FAIL() << "handled"; });
  Serve(std::move(methods));
  // Field 2, of 100 bytes, of which one is there; and the same across several slices.
  for (const std::string& bytes :
       {std::string("\x12\x64x"), "\x12\xff\xff\x7f" + std::string(200'000, 'x')}) {
    Inbox<Status> ended;
    channel_->Call(kRawGet, bytes, Seconds(60),
                   [&ended](Status status, const std::string&) { ended.Put(std::move(status)); });
    const Status status = ended.Take();
    EXPECT_EQ(status.code(), Code::kInvalidArgument);
    EXPECT_THAT(TextOf(status), HasSubstr("kvrpcpb.RawGetRequest"));
  }
}

TEST_P(CallTest, UnknownCallIsUnimplementedByName) {
  Serve(Methods());
  RawGetResponse response;
  const Status status = Get("a", &response);
  EXPECT_EQ(status.code(), Code::kUnimplemented);
  EXPECT_THAT(TextOf(status), HasSubstr("/tikvpb.Tikv/RawGet is not served"));
}

TEST_P(CallTest, MessageAboveTheLimitIsRefusedAndTheServerGoesOn) {
  Methods methods;
  AddEcho(methods);
  Serve(std::move(methods), ServerOptions{.max_receive_bytes = 1000});
  RawGetResponse response;
  EXPECT_EQ(Get(std::string(1001, 'k'), &response).code(), Code::kResourceExhausted);
  EXPECT_TRUE(Get(std::string(900, 'k'), &response).ok());
}

TEST_P(CallTest, DroppedCallIsAnswered) {
  Methods methods;
  methods.Handle<RawGetRequest, RawGetResponse>(kRawGet,
                                                [](const RawGetRequest&, RawGetResponse*, Done) {});
  Serve(std::move(methods));
  RawGetResponse response;
  EXPECT_EQ(Get("a", &response).code(), Code::kUnavailable);
}

TEST_P(CallTest, DeadlineAndStopDoNotWaitForTheHandler) {
  Inbox<Done> held;
  Methods methods;
  methods.Handle<RawGetRequest, RawGetResponse>(
      kRawGet,
      [&held](const RawGetRequest&, RawGetResponse*, Done done) { held.Put(std::move(done)); });
  Serve(std::move(methods));
  RawGetResponse response;
  EXPECT_EQ(Get("a", &response, Milliseconds(20)).code(), Code::kDeadlineExceeded);
  std::optional<Done> late(held.Take());

  Inbox<Status> ended;
  channel_->CallMessage(kRawGet, RawGetRequest(), &response, Seconds(60),
                        [&ended](Status status) { ended.Put(std::move(status)); });
  std::optional<Done> stopped(held.Take());
  server_->Stop(Duration::zero());
  EXPECT_EQ(ended.Take().code(), Code::kUnavailable);
  (*late)();  // Answers that nobody waits for any more do no harm, even without a server.
  server_.reset();
  (*stopped)();
}

TEST_P(CallTest, NobodyThereIsUnavailableAtOnce) {
  Serve(Methods());
  server_.reset();
  RawGetResponse response;
  const Status status = Get("a", &response);
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_THAT(TextOf(status), HasSubstr("127.0.0.1:"));
}

TEST_P(CallTest, PortInUseNamesTheAddress) {
  Serve(Methods());
  const std::string address = LocalAddress(*server_);
  const auto second = LoopServer::Start(ServerOptions{.listen = address}, Methods());
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), Code::kAlreadyExists);
  EXPECT_THAT(TextOf(second.status()), AllOf(HasSubstr(address), HasSubstr("in use")));

  server_->Stop(Duration::zero());
  EXPECT_TRUE(LoopServer::Start(ServerOptions{.listen = address}, Methods()).ok());
}

TEST(ListenAddress, NonsenseIsRefused) {
  for (const char* address : {"", "host", "127.0.0.1", "127.0.0.1:", ":1", "127.0.0.1:70000",
                              "127.0.0.1:1x", "127.0.0.1:-1", "[::1]"}) {
    const auto server = LoopServer::Start(ServerOptions{.listen = address}, Methods());
    ASSERT_FALSE(server.ok()) << address;
    EXPECT_EQ(server.status().code(), Code::kInvalidArgument) << TextOf(server.status());
    EXPECT_THAT(TextOf(server.status()), HasSubstr(address));
  }
  // An address of documentation, which no machine has.
  const auto foreign = LoopServer::Start(ServerOptions{.listen = "192.0.2.1:0"}, Methods());
  ASSERT_FALSE(foreign.ok());
  EXPECT_EQ(foreign.status().code(), Code::kInvalidArgument) << TextOf(foreign.status());
}

TEST_P(CallTest, HealthFollowsTheNode) {
  namespace health = grpc::health::v1;
  std::atomic<bool> serving{true};
  Methods methods;
  AddEcho(methods);
  RegisterHealth(methods, [&serving] { return serving.load(); });
  Serve(std::move(methods));
  const auto check = [this](const char* service, health::HealthCheckResponse* response) {
    health::HealthCheckRequest request;
    request.set_service(service);
    return CallAndWait(*channel_, "/grpc.health.v1.Health/Check", request, response);
  };
  for (const char* service : {"", "tikvpb.Tikv"}) {
    health::HealthCheckResponse response;
    ASSERT_TRUE(check(service, &response).ok()) << service;
    EXPECT_EQ(response.status(), health::HealthCheckResponse::SERVING);
  }
  health::HealthCheckResponse response;
  EXPECT_EQ(check("pdpb.PD", &response).code(), Code::kNotFound);
  serving = false;
  ASSERT_TRUE(check("", &response).ok());
  EXPECT_EQ(response.status(), health::HealthCheckResponse::NOT_SERVING);
}

INSTANTIATE_TEST_SUITE_P(Wire, CallTest, kAllEnds, EndsName);

}  // namespace
}  // namespace rutile::rpc
