#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/mutex.h"

namespace rutile::client {

// A region as the client knows it, and whom it asks.
struct Route {
  struct Peer {
    PeerId id = {};
    StoreId store = {};
  };
  RegionId region = {};
  std::string start_key = {};
  std::string end_key = {};  // Empty: no end.
  std::uint64_t conf_version = 0;
  std::uint64_t version = 0;
  std::vector<Peer> peers = {};
  std::size_t target = 0;  // The peer to ask: the leader, as far as is known.
  bool has_leader = true;  // Else `target` is any.

  bool Contains(std::string_view key) const {
    return key >= start_key && (end_key.empty() || key < end_key);
  }
};

// What the client remembers of regions and of where stores are. Safe from any thread.
class RouteCache {
 public:
  std::optional<Route> Find(std::string_view key) const;
  // In place of all that it overlaps, unless some of that is of a later time: who has told of it
  // may be far behind. Returns whether it has its place. Where it has no leader the last known one
  // is kept.
  bool Put(Route route);
  // Forgets the region that `key` is in.
  void Drop(std::string_view key);
  // Directs further requests to another peer: the one on `leader`, or the next in turn.
  void Redirect(std::string_view key, std::optional<PeerId> leader);

  std::optional<std::string> AddressOf(StoreId store) const;
  void SetAddress(StoreId store, std::string address);

 private:
  mutable Mutex mutex_;
  std::map<std::string, Route, std::less<>> by_start_ GUARDED_BY(mutex_);
  std::map<StoreId, std::string> addresses_ GUARDED_BY(mutex_);
};

}  // namespace rutile::client
