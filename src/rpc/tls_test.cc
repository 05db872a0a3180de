#include "rpc/wire/tls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "env/testing/temporary_directory.h"
#include "proto/kvrpcpb.pb.h"
#include "rpc/testing.h"
#include "rpc/testing/certificates.h"

namespace rutile::rpc {
namespace {

using kvrpcpb::RawGetRequest;
using kvrpcpb::RawGetResponse;
using ::testing::HasSubstr;
using Side = TlsContext::Side;

class TlsTest : public ::testing::Test {
 protected:
  // Answers with the key as the value.
  void Serve(const client::TlsFiles& files) {
    Methods methods;
    methods.Handle<RawGetRequest, RawGetResponse>(
        kRawGet, [](const RawGetRequest& request, RawGetResponse* response, Done done) {
          response->set_value(request.key());
          done();
        });
    ServerOptions options;
    if (!files.empty()) options.tls = TlsContext::Load(files, Side::kServer).value();
    server_ = StartLocal(std::move(methods), options);
  }
  std::unique_ptr<Channel> Connect(const client::TlsFiles& files,
                                   const std::string& host = "127.0.0.1") {
    ChannelOptions options;
    if (!files.empty()) options.tls = TlsContext::Load(files, Side::kClient).value();
    return NewChannel(host + ":" + std::to_string(server_->port()), options);
  }
  // Asks for `key`, which is what must come back.
  static Status Get(Channel& channel, const std::string& key = "k") {
    RawGetRequest request;
    request.set_key(key);
    RawGetResponse response;
    Status status = CallAndWait(channel, kRawGet, request, &response);
    EXPECT_EQ(response.value(), status.ok() ? key : "");
    return status;
  }
  // Why a client with these files gets no answer.
  std::string Refusal(const client::TlsFiles& files, const std::string& host = "127.0.0.1") {
    const Status status = Get(*Connect(files, host));
    EXPECT_EQ(status.code(), Code::kUnavailable);
    return status.ToString();
  }
  static std::string LoadError(const client::TlsFiles& files, Side side) {
    const auto loaded = TlsContext::Load(files, side);
    EXPECT_EQ(loaded.status().code(), Code::kInvalidArgument);
    return loaded.status().ToString();
  }
  std::string File(const std::string& name, const std::string& text) {
    const std::string path = directory_.path() + "/" + name;
    std::ofstream(path) << text;
    return path;
  }

  rutile::testing::TemporaryDirectory directory_;
  TestAuthority ours_{directory_.path(), "ours"};
  TestAuthority others_{directory_.path(), "others"};
  const client::TlsFiles node_ = ours_.Issue("IP:127.0.0.1");
  const client::TlsFiles user_ = ours_.Issue("DNS:user");
  std::unique_ptr<Server> server_;
};

TEST_F(TlsTest, MessagesOfAnySizeComeThrough) {
  Serve(node_);
  const auto channel = Connect(user_);
  for (const std::size_t size : {0u, 1u, 16'384u, 100'000u, 5'000'000u}) {
    const Status status = Get(*channel, std::string(size, 'k'));
    EXPECT_TRUE(status.ok()) << size << ": " << status.ToString();
  }
}

TEST_F(TlsTest, ManyCallsAtOnceComeThrough) {
  Serve(node_);
  const auto channel = Connect(user_);
  constexpr int kCalls = 200;
  RawGetRequest request;
  request.set_key(std::string(20'000, 'k'));
  std::vector<RawGetResponse> responses(kCalls);
  Inbox<Status> done;
  for (RawGetResponse& response : responses) {
    channel->CallMessage(kRawGet, request, &response, Seconds(60),
                         [&done](Status status) { done.Put(std::move(status)); });
  }
  for (int i = 0; i < kCalls; ++i) EXPECT_TRUE(done.Take().ok());
  for (const RawGetResponse& response : responses) EXPECT_EQ(response.value(), request.key());
}

TEST_F(TlsTest, AServerThatTheClientDoesNotTrustIsRefused) {
  Serve(node_);
  EXPECT_THAT(Refusal({.ca = others_.ca(), .cert = user_.cert, .key = user_.key}),
              HasSubstr("unable to get local issuer certificate"));
  // What this machine trusts has not signed it.
  EXPECT_THAT(Refusal({.cert = user_.cert, .key = user_.key}),
              HasSubstr("unable to get local issuer certificate"));
}

TEST_F(TlsTest, AServerWithAnothersNameIsRefused) {
  Serve(ours_.Issue("DNS:elsewhere"));
  EXPECT_THAT(Refusal(user_), HasSubstr("IP address mismatch"));
  EXPECT_THAT(Refusal(user_, "localhost"), HasSubstr("hostname mismatch"));
  Serve(ours_.Issue("DNS:localhost"));
  EXPECT_TRUE(Get(*Connect(user_, "localhost")).ok());
}

TEST_F(TlsTest, AClientShowsACertificateWhereTheServerHasACA) {
  Serve(node_);
  EXPECT_THAT(Refusal({.ca = ours_.ca()}), HasSubstr("certificate required"));
  client::TlsFiles stranger = others_.Issue("DNS:user");
  stranger.ca = ours_.ca();
  EXPECT_THAT(Refusal(stranger), HasSubstr("unknown ca"));
  EXPECT_TRUE(Get(*Connect(user_)).ok());

  Serve({.cert = node_.cert, .key = node_.key});
  EXPECT_TRUE(Get(*Connect({.ca = ours_.ca()})).ok());
}

TEST_F(TlsTest, WhoSpeaksNoTlsIsRefused) {
  Serve(node_);
  EXPECT_THAT(Refusal({}), HasSubstr("closed the connection"));
  Serve({});
  EXPECT_THAT(Refusal(user_), HasSubstr("seems to speak no TLS"));
  EXPECT_TRUE(Get(*Connect({})).ok());
}

TEST_F(TlsTest, FilesOfNoUseAreNamedWithWhatToDo) {
  const std::string absent = directory_.path() + "/absent";
  const std::string nonsense = File("nonsense", "nonsense\n");
  const auto expect = [](const std::string& error, const std::vector<std::string>& parts) {
    for (const std::string& part : parts) EXPECT_THAT(error, HasSubstr(part));
  };
  expect(LoadError({.ca = absent}, Side::kClient),
         {absent, "No such file or directory", "name a file in PEM"});
  expect(LoadError({.ca = directory_.path()}, Side::kClient),
         {directory_.path(), "Is a directory"});
  expect(LoadError({.ca = nonsense}, Side::kClient), {nonsense, "must hold certificates in PEM"});
  expect(LoadError({.cert = nonsense, .key = node_.key}, Side::kServer),
         {nonsense, "must be in PEM"});
  expect(LoadError({.cert = node_.cert, .key = user_.key}, Side::kServer),
         {user_.key, "key values mismatch", "must be the key to " + node_.cert});
  expect(LoadError({.cert = File("empty", ""), .key = node_.key}, Side::kServer),
         {"the file is empty"});
  expect(LoadError({.cert = node_.cert}, Side::kClient), {node_.cert, "has no key"});
  expect(LoadError({.key = node_.key}, Side::kServer), {node_.key, "has no certificate"});
  expect(LoadError({.ca = ours_.ca()}, Side::kServer), {"needs a certificate"});
}

}  // namespace
}  // namespace rutile::rpc
