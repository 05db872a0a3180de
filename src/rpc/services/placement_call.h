#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "base/ids.h"
#include "base/status.h"
#include "placement/placement.h"
#include "rpc/services/methods.h"

namespace rutile::rpc {

// What all calls of placement's protocol have in common.

// OK when a request that names `asked` is meant for `ours`; 0: the client does not know yet.
inline Status CheckCluster(std::uint64_t asked, ClusterId ours) {
  if (asked == 0 || asked == ours.value()) return {};
  return Status(Code::kFailedPrecondition, "mismatch cluster id, need " + ToString(ours) +
                                               " but got " + std::to_string(asked));
}

// Adds a unary call whose messages have headers: a request for another cluster is refused, and
// every answer says which cluster it is from, as clients insist.
template <class Request, class Response>
void HandlePlacementCall(Methods* methods, ClusterId cluster, std::string name,
                         std::function<void(const Request&, Response*, Done)> handler) {
  methods->Handle<Request, Response>(
      std::move(name), [cluster, handler = std::move(handler)](const Request& request,
                                                               Response* response, Done done) {
        Status status = CheckCluster(request.header().cluster_id(), cluster);
        if (!status.ok()) return done(std::move(status));
        response->mutable_header()->set_cluster_id(cluster.value());
        handler(request, response, std::move(done));
      });
}

// A handler that answers from a state that holds every command answered before the call.
template <class Request, class Response>
std::function<void(const Request&, Response*, Done)> FromView(
    placement::Placement& placement,
    std::function<Status(const Request&, const placement::State&, Response*)> answer) {
  return [&placement, answer = std::move(answer)](const Request& request, Response* response,
                                                  Done done) {
    placement.CurrentView([&request, response, answer, done = std::move(done)](
                              Result<std::shared_ptr<const placement::State>> view) mutable {
      if (!view.ok()) return done(view.status());
      done(answer(request, *view.value(), response));
    });
  };
}

}  // namespace rutile::rpc
