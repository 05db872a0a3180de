#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/time.h"
#include "client/connections.h"
#include "env/sim/sim_clock.h"
#include "env/sim/sim_executor.h"
#include "env/sim/world.h"
#include "sim/cluster.h"

namespace rutile::sim {

// The way from clients to the nodes of a cluster: what rpc does over gRPC, in the world. A call
// goes to the services that real servers have, in the same bytes.
//
// Requests and answers take their time. A request to a node that is down is refused; one whose
// process dies meanwhile breaks off, or is never answered. Clients have a machine of their own,
// whose clock shows the time of the world.
class ClientNetwork {
 public:
  // Both outlive it, and no event of the world runs after it is gone.
  ClientNetwork(World& world, Cluster& cluster, Duration max_one_way);
  ClientNetwork(const ClientNetwork&) = delete;
  ClientNetwork& operator=(const ClientNetwork&) = delete;

  // For one client. `on_call` hears which store is called.
  client::Connect Connector(std::function<void(StoreId)> on_call);
  // Of all nodes, beginning with `first`.
  std::vector<std::string> Endpoints(std::size_t first) const;
  const Clock& clock() const { return clock_; }
  Executor& executor() { return executor_; }

 private:
  class NodeChannel;
  struct Way;
  using Send = std::function<void(Status, std::string)>;

  // The request reaches the node; `send` takes what goes back, and counts once.
  void Arrive(std::size_t node, std::string method, std::string request, Send send);

  Cluster& cluster_;
  const std::shared_ptr<Way> way_;
  SimClock clock_;
  SimExecutor executor_;
};

}  // namespace rutile::sim
