#pragma once

#include "node/node.h"
#include "rpc/methods.h"

namespace rutile::rpc {

// What Rutile's own tools ask a node: its state as JSON (docs/operations/status.md).
class NodeService {
 public:
  // `node` outlives the service, which outlives the server.
  explicit NodeService(node::Node& node) : node_(node) {}

  void Register(Methods* methods);

 private:
  node::Node& node_;
};

}  // namespace rutile::rpc
