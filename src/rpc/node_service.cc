#include "rpc/node_service.h"

#include <string>
#include <utility>

#include "proto/rutile/node.pb.h"

namespace rutile::rpc {

void NodeService::Register(Methods* methods) {
  methods->Handle<StatusRequest, StatusResponse>(
      "/rutile.Node/Status",
      [this](const StatusRequest& /*request*/, StatusResponse* response, Done done) {
        node_.CollectStatus([response, done = std::move(done)](std::string json) mutable {
          response->set_json(std::move(json));
          done();
        });
      });
}

}  // namespace rutile::rpc
