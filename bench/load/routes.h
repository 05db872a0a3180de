#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "bench/load/h2_client.h"

namespace rutile::bench {

// Where the keys of one region are, as placement says it.
struct Route {
  struct Peer {
    std::uint64_t id = 0;
    std::uint64_t store = 0;
  };

  std::uint64_t region = 0;
  std::uint64_t conf_ver = 0;
  std::uint64_t version = 0;
  std::string start = {};
  std::string end = {};  // Empty: no upper end.
  std::vector<Peer> peers = {};
  std::size_t target = 0;  // Of `peers`: who is believed to lead.
};

// The regions of a cluster and the addresses of its stores, from its placement service. Everything
// is read at once: a load generator touches all of it anyway.
//
// Use from the thread of the client.
class Routes {
 public:
  // `endpoints` are asked first, then the members that they name. `client` outlives the routes.
  Routes(H2Client& client, std::vector<std::string> endpoints);

  // Null when unknown. The pointer is valid until the next refresh completes.
  Route* Find(std::string_view key);
  // Null when unknown.
  H2Peer* StoreAt(std::uint64_t store);
  // Reads everything anew; calls made while that is under way join it. On an error the old routes
  // stay. `done` runs from a Poll.
  void Refresh(std::function<void(const Status&)> done);
  // Who leads placement, and of which cluster, as of the last refresh. Null before the first.
  H2Peer* placement() const { return placement_; }
  std::uint64_t cluster() const { return cluster_; }

 private:
  void AskMembers();
  void AskRegions(const std::string& address);
  void AskStores(H2Peer& peer);
  void TryNext(const Status& why);
  void Done(const Status& status);

  H2Client& client_;
  std::vector<std::string> endpoints_;
  std::size_t endpoint_ = 0;  // The one asked now, or that answered last.
  std::size_t failed_ = 0;    // Endpoints that failed in this refresh.
  std::uint64_t cluster_ = 0;
  H2Peer* placement_ = nullptr;
  std::map<std::string, Route, std::less<>> routes_;  // By start key.
  std::map<std::uint64_t, H2Peer*> stores_;
  std::vector<std::function<void(const Status&)>> waiting_;
};

}  // namespace rutile::bench
