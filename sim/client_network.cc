#include "sim/client_network.h"

#include <google/protobuf/message_lite.h>

#include <memory>
#include <utility>
#include <variant>

#include "base/buggify.h"
#include "base/check.h"
#include "base/probe.h"
#include "base/random.h"
#include "base/time.h"
#include "rpc/services/methods.h"

namespace rutile::sim {
namespace {

// What the caller waits for: the first that is said of a call counts.
class Answer {
 public:
  explicit Answer(client::Channel::Callback done) : done_(std::move(done)) {}
  void Say(Status status, std::string response) {
    if (done_ == nullptr) return;
    std::exchange(done_, nullptr)(std::move(status), std::move(response));
  }

 private:
  client::Channel::Callback done_;
};

// A call in a server: the duty to answer it keeps it alive.
class ServerCall final : public rpc::Done::Call {
 public:
  using Send = std::function<void(Status, std::string)>;

  static void Run(const rpc::Methods& methods, const std::string& name, const std::string& bytes,
                  Send send) {
    const rpc::Methods::Method* const method = methods.Find(name);
    const auto* const unary =
        method != nullptr ? std::get_if<rpc::Methods::Unary>(method) : nullptr;
    RUTILE_CHECK(unary != nullptr, name);
    auto* const call = new ServerCall(*unary, std::move(send));
    RUTILE_CHECK(call->request_->ParseFromString(bytes), name);
    unary->handle(*call->request_, call->response_.get(), rpc::Done(call));
  }

 private:
  ServerCall(const rpc::Methods::Unary& method, Send send)
      : request_(method.request->New()),
        response_(method.response->New()),
        send_(std::move(send)) {}

  void Complete(Status status) override {
    const std::unique_ptr<ServerCall> done(this);
    std::string bytes = status.ok() ? response_->SerializeAsString() : std::string();
    send_(std::move(status), std::move(bytes));
  }

  const std::unique_ptr<rpc::Message> request_;
  const std::unique_ptr<rpc::Message> response_;
  const Send send_;
};

}  // namespace

// What a message passes between clients and nodes, either way.
struct ClientNetwork::Way {
  World& world;
  const Duration longest;
  SeededRandom random;

  // `arrive` runs when the message has come.
  void Pass(std::function<void()> arrive) {
    const auto range = static_cast<std::uint64_t>(longest.count()) + 1;
    world.After(Duration(static_cast<Duration::rep>(random.Below(range))), std::move(arrive));
  }
};

// What one client calls one node by.
class ClientNetwork::NodeChannel final : public client::Channel {
 public:
  NodeChannel(ClientNetwork& network, std::size_t node, std::function<void(StoreId)> on_call)
      : network_(network), node_(node), on_call_(std::move(on_call)) {}

  void Call(std::string method, std::string request, Duration timeout, Callback done) override {
    on_call_(network_.cluster_.store(node_));
    auto answer = std::make_shared<Answer>(std::move(done));
    const std::shared_ptr<Way> way = network_.way_;
    way->world.After(timeout, [answer] {
      answer->Say(Status(Code::kDeadlineExceeded, "no answer came in time"), {});
    });
    // The channel may be gone by then; the network is not. But a node that is taken down after the
    // network still answers what it holds: of the network, that answer needs only the way.
    way->Pass([&network = network_, node = node_, method = std::move(method),
               request = std::move(request), answer, way]() mutable {
      network.Arrive(node, std::move(method), std::move(request),
                     [way, answer](Status status, std::string response) {
                       way->Pass([answer, status = std::move(status),
                                  response = std::move(response)]() mutable {
                         answer->Say(std::move(status), std::move(response));
                       });
                     });
    });
  }

 private:
  ClientNetwork& network_;
  const std::size_t node_;
  const std::function<void(StoreId)> on_call_;
};

ClientNetwork::ClientNetwork(World& world, Cluster& cluster, Duration max_one_way)
    : cluster_(cluster),
      way_(new Way{.world = world, .longest = max_one_way, .random = world.NewRandom()}),
      clock_(world),
      executor_(world, clock_, "clients") {}

void ClientNetwork::Arrive(std::size_t node, std::string method, std::string request, Send send) {
  if (!cluster_.is_up(node)) {
    return send(Status(Code::kUnavailable, "the connection is refused"), {});
  }
  cluster_.requests(node).Post([this, node, method = std::move(method),
                                request = std::move(request), send = std::move(send)]() mutable {
    if (RUTILE_BUGGIFY("buggify sim: a client's connection breaks before its request is read")) {
      return send(Status(Code::kUnavailable, "the connection broke"), {});
    }
    if (RUTILE_BUGGIFY("buggify sim: a client's connection breaks before the answer")) {
      send(Status(Code::kUnavailable, "the connection broke"), {});
    }
    ServerCall::Run(cluster_.services(node), method, request, std::move(send));
  });
}

client::Connect ClientNetwork::Connector(std::function<void(StoreId)> on_call) {
  return [this, on_call = std::move(on_call)](const std::string& address) {
    return std::make_unique<NodeChannel>(*this, cluster_.NodeAt(address), on_call);
  };
}

std::vector<std::string> ClientNetwork::Endpoints(std::size_t first) const {
  std::vector<std::string> endpoints;
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    endpoints.push_back(cluster_.address((first + i) % cluster_.size()));
  }
  return endpoints;
}

}  // namespace rutile::sim
