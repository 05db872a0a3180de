#include "client/route.h"

#include <iterator>
#include <utility>

namespace rutile::client {
namespace {

template <class Routes>
auto Holder(Routes& routes, std::string_view key) {
  auto it = routes.upper_bound(key);
  if (it == routes.begin()) return routes.end();
  --it;
  return it->second.Contains(key) ? it : routes.end();
}

// Of two that overlap.
bool IsOlder(const Route& route, const Route& than) {
  if (route.version != than.version) return route.version < than.version;
  return route.region == than.region && route.conf_version < than.conf_version;
}

void KeepLeader(const Route& known, Route* route) {
  const PeerId leader = known.peers[known.target].id;
  for (std::size_t i = 0; i < route->peers.size(); ++i) {
    if (route->peers[i].id == leader) route->target = i;
  }
}

}  // namespace

std::optional<Route> RouteCache::Find(std::string_view key) const {
  MutexLock lock(mutex_);
  const auto it = Holder(by_start_, key);
  if (it == by_start_.end()) return std::nullopt;
  return it->second;
}

bool RouteCache::Put(Route route) {
  MutexLock lock(mutex_);
  auto first = by_start_.upper_bound(route.start_key);
  if (first != by_start_.begin() && std::prev(first)->second.Contains(route.start_key)) --first;
  auto last = first;
  for (; last != by_start_.end() && (route.end_key.empty() || last->first < route.end_key);
       ++last) {
    if (IsOlder(route, last->second)) return false;
    if (!route.has_leader && last->second.region == route.region) KeepLeader(last->second, &route);
  }
  by_start_.erase(first, last);
  std::string start = route.start_key;
  by_start_.insert_or_assign(std::move(start), std::move(route));
  return true;
}

void RouteCache::Drop(std::string_view key) {
  MutexLock lock(mutex_);
  if (const auto it = Holder(by_start_, key); it != by_start_.end()) by_start_.erase(it);
}

void RouteCache::Redirect(std::string_view key, std::optional<PeerId> leader) {
  MutexLock lock(mutex_);
  const auto it = Holder(by_start_, key);
  if (it == by_start_.end()) return;
  Route& route = it->second;
  route.target = (route.target + 1) % route.peers.size();
  if (!leader) return;
  for (std::size_t i = 0; i < route.peers.size(); ++i) {
    if (route.peers[i].id == *leader) route.target = i;
  }
}

std::optional<std::string> RouteCache::AddressOf(StoreId store) const {
  MutexLock lock(mutex_);
  const auto it = addresses_.find(store);
  if (it == addresses_.end()) return std::nullopt;
  return it->second;
}

void RouteCache::SetAddress(StoreId store, std::string address) {
  MutexLock lock(mutex_);
  addresses_[store] = std::move(address);
}

}  // namespace rutile::client
