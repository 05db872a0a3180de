#pragma once

#include "node/node.h"
#include "rpc/services/methods.h"

namespace rutile {
class ChangeMembersRequest;
class ChangeMembersResponse;
}  // namespace rutile

namespace rutile::rpc {

// What Rutile's own tools ask of a node: its state as JSON (docs/operations/status.md), and changes
// of the members of the regions that it leads.
class NodeService {
 public:
  // `node` outlives the service, which outlives the server.
  explicit NodeService(node::Node& node) : node_(node) {}

  void Register(Methods* methods);

 private:
  void ChangeMembers(const ChangeMembersRequest& request, ChangeMembersResponse* response,
                     Done done);

  node::Node& node_;
};

}  // namespace rutile::rpc
