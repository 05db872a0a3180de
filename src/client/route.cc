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

}  // namespace

std::optional<Route> RouteCache::Find(std::string_view key) const {
  MutexLock lock(mutex_);
  const auto it = Holder(by_start_, key);
  if (it == by_start_.end()) return std::nullopt;
  return it->second;
}

void RouteCache::Put(Route route) {
  MutexLock lock(mutex_);
  // Whatever the new region overlaps is out of date.
  auto it = by_start_.upper_bound(route.start_key);
  if (it != by_start_.begin() && std::prev(it)->second.Contains(route.start_key)) --it;
  while (it != by_start_.end() && (route.end_key.empty() || it->first < route.end_key)) {
    it = by_start_.erase(it);
  }
  std::string start = route.start_key;
  by_start_.insert_or_assign(std::move(start), std::move(route));
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
