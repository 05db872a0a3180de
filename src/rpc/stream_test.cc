#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "proto/tikvpb.pb.h"
#include "rpc/testing/ends.h"

namespace rutile::rpc {
namespace {

using ::testing::HasSubstr;
using tikvpb::BatchCommandsRequest;
using tikvpb::BatchCommandsResponse;

constexpr char kStream[] = "/tikvpb.Tikv/BatchCommands";

BatchCommandsRequest RequestOf(std::uint64_t id, std::size_t bytes = 0) {
  BatchCommandsRequest request;
  request.add_request_ids(id);
  request.add_requests()->mutable_rawput()->set_value(std::string(bytes, 'v'));
  return request;
}

// A server's end that answers each message with its ids and its bytes.
class EchoHandler : public TypedStreamHandler<BatchCommandsRequest> {
 public:
  EchoHandler(std::shared_ptr<StreamSender> sender, Inbox<Status>* closed)
      : sender_(std::move(sender)), closed_(closed) {}
  void OnTyped(const BatchCommandsRequest& request) override {
    BatchCommandsResponse response;
    for (int i = 0; i < request.request_ids_size(); ++i) {
      response.add_request_ids(request.request_ids(i));
      response.add_responses()->mutable_rawget()->set_value(request.requests(i).rawput().value());
    }
    sender_->Send(response);
  }
  void OnHalfClosed() override { sender_->Finish(Status()); }
  void OnClosed(const Status& status) override { closed_->Put(status); }

 protected:
  const std::shared_ptr<StreamSender> sender_;
  Inbox<Status>* const closed_;
};

struct ClientSide {
  Inbox<std::pair<std::uint64_t, std::size_t>> received;  // Id and bytes.
  Inbox<Status> closed;
};

class ClientHandler final : public TypedStreamHandler<BatchCommandsResponse> {
 public:
  explicit ClientHandler(ClientSide* side) : side_(side) {}
  void OnTyped(const BatchCommandsResponse& response) override {
    for (int i = 0; i < response.request_ids_size(); ++i) {
      side_->received.Put({response.request_ids(i), response.responses(i).rawget().value().size()});
    }
  }
  void OnClosed(const Status& status) override { side_->closed.Put(status); }

 private:
  ClientSide* const side_;
};

class StreamTest : public ::testing::TestWithParam<Ends> {
 protected:
  ~StreamTest() override {
    channel_.reset();
    server_.reset();
  }
  void ServeEcho(ServerOptions options = {}) {
    Serve(
        [this](const std::string&, std::shared_ptr<StreamSender> sender) {
          return std::make_unique<EchoHandler>(std::move(sender), &server_closed_);
        },
        std::move(options));
  }
  void Serve(StreamFactory factory, ServerOptions options = {}) {
    Methods methods;
    methods.HandleStream<BatchCommandsRequest>(kStream, std::move(factory));
    server_ = StartLocal(GetParam(), std::move(methods), std::move(options));
    channel_ = ConnectLocal(GetParam(), *server_);
  }
  std::shared_ptr<StreamSender> Open(ClientSide* side) {
    return channel_->OpenStream(kStream, BatchCommandsResponse::default_instance(),
                                std::make_unique<ClientHandler>(side));
  }

  Inbox<Status> server_closed_;
  ClientSide client_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Channel> channel_;
};

TEST_P(StreamTest, MessagesGoBothWaysInOrder) {
  ServeEcho();
  const auto sender = Open(&client_);
  constexpr std::uint64_t kMessages = 500;
  for (std::uint64_t id = 0; id < kMessages; ++id) sender->Send(RequestOf(id, id * 20));
  for (std::uint64_t id = 0; id < kMessages; ++id) {
    EXPECT_EQ(client_.received.Take(), std::make_pair(id, std::size_t{id * 20}));
  }
  sender->Finish(Status());
  EXPECT_TRUE(client_.closed.Take().ok());
  EXPECT_TRUE(server_closed_.Take().ok());
  EXPECT_EQ(sender->Send(RequestOf(1)), 0u);  // A no-op by now.
}

TEST_P(StreamTest, WhatWasSentBeforeFinishArrives) {
  Serve([this](const std::string& peer, std::shared_ptr<StreamSender> sender) {
    EXPECT_THAT(peer, HasSubstr("127.0.0.1"));
    for (std::uint64_t id = 0; id < 50; ++id) {
      BatchCommandsResponse response;
      response.add_request_ids(id);
      response.add_responses();
      sender->Send(response);
    }
    sender->Finish(Status(Code::kFailedPrecondition, "enough"));
    return std::make_unique<EchoHandler>(std::move(sender), &server_closed_);
  });
  const auto sender = Open(&client_);
  for (std::uint64_t id = 0; id < 50; ++id) EXPECT_EQ(client_.received.Take().first, id);
  const Status closed = client_.closed.Take();
  EXPECT_EQ(closed.code(), Code::kFailedPrecondition);
  EXPECT_THAT(closed.ToString(), HasSubstr("enough"));
}

TEST_P(StreamTest, MalformedMessageEndsTheStreamWithItsReason) {
  ServeEcho();
  const auto sender = Open(&client_);
  sender->Send(RequestOf(1));
  EXPECT_EQ(client_.received.Take().first, 1u);
  kvrpcpb::RawGetRequest other;  // Its key is where the server looks for numbers, and is none.
  other.set_key("\xff\xff");
  sender->Send(other);
  const Status closed = client_.closed.Take();
  EXPECT_EQ(closed.code(), Code::kInvalidArgument) << closed.ToString();
  EXPECT_THAT(closed.ToString(), HasSubstr("tikvpb.BatchCommandsRequest"));
  EXPECT_EQ(server_closed_.Take().code(), Code::kInvalidArgument);
  EXPECT_TRUE(client_.received.empty());
}

TEST_P(StreamTest, MessageAboveTheLimitEndsTheStream) {
  ServeEcho(ServerOptions{.max_receive_bytes = 1000});
  const auto sender = Open(&client_);
  sender->Send(RequestOf(1, 2000));
  EXPECT_EQ(client_.closed.Take().code(), Code::kResourceExhausted);
  static_cast<void>(server_closed_.Take());  // The handler is released, whatever it was told.
}

TEST_P(StreamTest, CancelReachesTheServer) {
  ServeEcho();
  const auto sender = Open(&client_);
  sender->Send(RequestOf(7));
  EXPECT_EQ(client_.received.Take().first, 7u);
  sender->Finish(Status(Code::kUnavailable, "the client has changed its mind"));
  EXPECT_EQ(client_.closed.Take().code(), Code::kUnavailable);
  EXPECT_EQ(server_closed_.Take().code(), Code::kUnavailable);
}

TEST_P(StreamTest, ChannelMayGoWhileItsStreamIsOpenEvenFromAHandler) {
  ServeEcho();
  const auto sender = Open(&client_);
  sender->Send(RequestOf(1));
  EXPECT_EQ(client_.received.Take().first, 1u);
  Inbox<int> gone;
  BatchCommandsResponse unused;
  channel_->CallMessage("/nowhere.At/All", RequestOf(0), &unused, Seconds(60),
                        [this, &gone](const Status& status) {
                          EXPECT_EQ(status.code(), Code::kUnimplemented);
                          channel_.reset();
                          gone.Put(0);
                        });
  gone.Take();
  sender->Send(RequestOf(2));
  EXPECT_EQ(client_.received.Take().first, 2u);
  sender->Finish(Status());
  EXPECT_TRUE(client_.closed.Take().ok());
  EXPECT_TRUE(server_closed_.Take().ok());
}

TEST_P(StreamTest, StopEndsOpenStreamsWithoutWaiting) {
  ServeEcho();
  const auto sender = Open(&client_);
  sender->Send(RequestOf(7));
  client_.received.Take();
  server_->Stop(Seconds(3600));
  EXPECT_EQ(client_.closed.Take().code(), Code::kUnavailable);
  EXPECT_EQ(server_closed_.Take().code(), Code::kUnavailable);
}

TEST_P(StreamTest, SlowReceiverLosesTheStreamAndSendersNeverBlock) {
  Inbox<std::shared_ptr<StreamSender>> opened;
  Serve(
      [this, &opened](const std::string&, std::shared_ptr<StreamSender> sender) {
        opened.Put(sender);
        return std::make_unique<EchoHandler>(std::move(sender), &server_closed_);
      },
      ServerOptions{.stream_limit_bytes = 8u << 20});

  // A client that is stuck in its first message.
  Inbox<int> entered;
  Inbox<int> release;
  class Stuck final : public TypedStreamHandler<BatchCommandsResponse> {
   public:
    Stuck(Inbox<int>* entered, Inbox<int>* release, Inbox<Status>* closed)
        : entered_(entered), release_(release), closed_(closed) {}
    void OnTyped(const BatchCommandsResponse&) override {
      if (first_) {
        entered_->Put(0);
        release_->Take();
      }
      first_ = false;
    }
    void OnClosed(const Status& status) override { closed_->Put(status); }

   private:
    bool first_ = true;
    Inbox<int>* const entered_;
    Inbox<int>* const release_;
    Inbox<Status>* const closed_;
  };
  const auto client =
      channel_->OpenStream(kStream, BatchCommandsResponse::default_instance(),
                           std::make_unique<Stuck>(&entered, &release, &client_.closed));
  const auto sender = opened.Take();
  BatchCommandsResponse large;
  large.add_request_ids(1);
  large.add_responses()->mutable_rawget()->set_value(std::string(1 << 20, 'v'));
  std::size_t longest = 0;
  sender->Send(large);
  entered.Take();
  while (const std::size_t backlog = sender->Send(large)) longest = std::max(longest, backlog);
  EXPECT_GT(longest, 6u << 20);
  EXPECT_LE(longest, 8u << 20);
  release.Put(0);
  EXPECT_EQ(client_.closed.Take().code(), Code::kResourceExhausted);
  EXPECT_FALSE(server_closed_.Take().ok());
}

TEST_P(StreamTest, ServerStopsReadingWhileItsAnswersWait) {
  // Answers of 64 KiB to each message, from a client that does not read at first.
  ServeEcho(ServerOptions{.stream_pause_bytes = 1u << 20, .stream_limit_bytes = 1u << 30});
  const auto sender = Open(&client_);
  constexpr std::uint64_t kMessages = 300;
  for (std::uint64_t id = 0; id < kMessages; ++id) sender->Send(RequestOf(id, 64 << 10));
  for (std::uint64_t id = 0; id < kMessages; ++id) EXPECT_EQ(client_.received.Take().first, id);
  sender->Finish(Status());
  EXPECT_TRUE(client_.closed.Take().ok());
  EXPECT_TRUE(server_closed_.Take().ok());
}

TEST_P(StreamTest, DrainedIsReportedWhenAllIsWritten) {
  // Whoever gathers while a write is under way: each message is sent from OnDrained of the last.
  class Gatherer final : public EchoHandler {
   public:
    using EchoHandler::EchoHandler;
    void OnTyped(const BatchCommandsRequest&) override { SendNext(); }
    void OnDrained() override {
      if (next_ < 20) SendNext();
    }

   private:
    void SendNext() {
      BatchCommandsResponse response;
      response.add_request_ids(next_++);
      response.add_responses();
      sender_->Send(response);
    }
    std::uint64_t next_ = 0;  // Written by whoever has the turn: one message is under way at most.
  };
  Serve([this](const std::string&, std::shared_ptr<StreamSender> sender) {
    return std::make_unique<Gatherer>(std::move(sender), &server_closed_);
  });
  const auto sender = Open(&client_);
  sender->Send(RequestOf(0));
  for (std::uint64_t id = 0; id < 20; ++id) EXPECT_EQ(client_.received.Take().first, id);
  sender->Finish(Status());
  EXPECT_TRUE(client_.closed.Take().ok());
  EXPECT_TRUE(server_closed_.Take().ok());
}

INSTANTIATE_TEST_SUITE_P(Wire, StreamTest, kAllEnds, EndsName);

}  // namespace
}  // namespace rutile::rpc
