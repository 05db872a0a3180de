#pragma once

#include "env/env.h"
#include "placement/placement.h"
#include "rpc/services/methods.h"

namespace rutile::rpc {

// The calls of placement's protocol (PD's) that clients make: members, timestamps, ids, stores,
// routes, safe points, and the corners of neighbouring services that they also use (keyspaces,
// etcd's keys and members).
//
// Every member answers everything but what only the leader can give (timestamps) or write (ids,
// safe points, values): for those another member answers UNAVAILABLE with the words "not leader",
// upon which clients look for the leader. The calls by which a store of another make would join
// (PutStore, heartbeats, splits) are not served: our nodes report by a way of their own.
class PlacementService {
 public:
  // Both outlive the service.
  // `scheme`: of the members' URLs; "https" where connections are encrypted.
  PlacementService(placement::Placement& placement, const Clock& clock, std::string scheme = "http")
      : placement_(placement), clock_(clock), scheme_(std::move(scheme)) {}

  // The service outlives the server.
  void Register(Methods* methods);

 private:
  void RegisterMembers(Methods* methods);
  void RegisterIds(Methods* methods);
  void RegisterStores(Methods* methods);
  void RegisterRoutes(Methods* methods);

  placement::Placement& placement_;
  const Clock& clock_;
  const std::string scheme_;
};

}  // namespace rutile::rpc
