#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "proto/pdpb.pb.h"
#include "rpc/node_testing.h"
#include "rpc/services/placement_service.h"

// What the tests of placement's services share.
namespace rutile::rpc {

// A node's placement behind a port.
struct PlacementServer {
  explicit PlacementServer(TestNode& node)
      : service(node.placement(), node.clock()), cluster(node.placement().cluster()) {
    Methods methods;
    service.Register(&methods);
    server = StartLocal(std::move(methods));
    channel = NewChannel(LocalAddress(*server));
  }
  ~PlacementServer() {
    channel.reset();
    server->Stop(Seconds(60));
  }

  // The answer, which must be one, and say which cluster it is from.
  template <class Response, class Request>
  Response Call(const std::string& method, const Request& request) {
    Response response;
    const Status status = CallAndWait(*channel, method, request, &response);
    EXPECT_TRUE(status.ok()) << method << ": " << status.ToString();
    EXPECT_EQ(response.header().cluster_id(), cluster.value()) << method;
    return response;
  }
  // Why there is no answer.
  template <class Response, class Request>
  Status Refusal(const std::string& method, const Request& request) {
    Response response;
    Status status = CallAndWait(*channel, method, request, &response);
    EXPECT_FALSE(status.ok()) << method;
    return status;
  }

  PlacementService service;
  const ClusterId cluster;
  std::unique_ptr<Server> server;
  std::unique_ptr<Channel> channel;
};

// A cluster of one node that is up.
struct OneNode {
  OneNode() { node.AwaitLeaders(); }

  LocalNet net;
  TestNode node{node::ClusterSpec::Single("n1", "127.0.0.1:20160", "t"), "n1", net};
  PlacementServer server{node};
};

// A client's end of a Tso stream.
class TsoClient {
 public:
  explicit TsoClient(Channel& channel)
      : sender_(channel.OpenStream("/pdpb.PD/Tso", pdpb::TsoResponse::default_instance(),
                                   std::make_unique<Handler>(side_))) {}

  void Ask(std::uint32_t count) {
    pdpb::TsoRequest request;
    request.set_count(count);
    sender_->Send(request);
  }
  void HalfClose() { sender_->Finish(Status()); }
  pdpb::TsoResponse Take() { return side_->received.Take(); }
  Status TakeEnd() { return side_->end.Take(); }

 private:
  struct Side {
    Inbox<pdpb::TsoResponse> received;
    Inbox<Status> end;
  };
  class Handler final : public TypedStreamHandler<pdpb::TsoResponse> {
   public:
    explicit Handler(std::shared_ptr<Side> side) : side_(std::move(side)) {}
    void OnTyped(const pdpb::TsoResponse& response) override { side_->received.Put(response); }
    void OnClosed(const Status& status) override { side_->end.Put(status); }

   private:
    const std::shared_ptr<Side> side_;
  };

  const std::shared_ptr<Side> side_ = std::make_shared<Side>();
  const std::shared_ptr<StreamSender> sender_;
};

}  // namespace rutile::rpc
