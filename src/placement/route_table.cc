#include "placement/route_table.h"

#include <iterator>
#include <utility>

namespace rutile::placement {
namespace {

bool Overlap(const store::Region& a, const store::Region& b) {
  return (a.end_key.empty() || b.start_key < a.end_key) &&
         (b.end_key.empty() || a.start_key < b.end_key);
}

// Whether `a` tells of a later time than `b`, both of overlapping ranges.
bool Newer(const Route& a, const Route& b) {
  if (a.region.epoch.version != b.region.epoch.version) {
    return a.region.epoch.version > b.region.epoch.version;
  }
  if (a.region.id != b.region.id) return false;
  if (a.region.epoch.conf_version != b.region.epoch.conf_version) {
    return a.region.epoch.conf_version > b.region.epoch.conf_version;
  }
  return a.term > b.term;
}

}  // namespace

bool RouteTable::Report(Route route) {
  // All that the new range touches must be older.
  auto first = by_start_.upper_bound(route.region.start_key);
  if (first != by_start_.begin()) --first;
  std::vector<decltype(first)> replaced;
  for (auto it = first; it != by_start_.end(); ++it) {
    if (!Overlap(it->second.region, route.region)) {
      if (it->first >= route.region.start_key) break;
      continue;
    }
    if (!Newer(route, it->second)) return false;
    replaced.push_back(it);
  }
  for (const auto it : replaced) by_start_.erase(it);
  std::string start = route.region.start_key;
  by_start_.insert_or_assign(std::move(start), std::move(route));
  return true;
}

std::optional<Route> RouteTable::Find(std::string_view key) const {
  auto it = by_start_.upper_bound(key);
  if (it == by_start_.begin()) return std::nullopt;
  --it;
  if (!it->second.region.Contains(key)) return std::nullopt;
  return it->second;
}

std::optional<Route> RouteTable::FindBefore(std::string_view key) const {
  auto it = by_start_.upper_bound(key);
  if (it == by_start_.begin()) return std::nullopt;
  const auto holder = std::prev(it);
  if (holder == by_start_.begin()) return std::nullopt;
  return std::prev(holder)->second;
}

std::optional<Route> RouteTable::Find(RegionId region) const {
  for (const auto& [start, route] : by_start_) {
    if (route.region.id == region) return route;
  }
  return std::nullopt;
}

std::vector<Route> RouteTable::Scan(std::string_view start, std::string_view end,
                                    std::size_t limit) const {
  std::vector<Route> routes;
  auto it = by_start_.upper_bound(start);
  if (it != by_start_.begin() && std::prev(it)->second.region.Contains(start)) --it;
  for (; it != by_start_.end(); ++it) {
    if (limit != 0 && routes.size() == limit) break;
    if (!end.empty() && it->first >= end) break;
    routes.push_back(it->second);
  }
  return routes;
}

}  // namespace rutile::placement
