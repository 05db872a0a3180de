#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "store/region.h"

namespace rutile::placement {

// Where a region is, as far as its leader has said.
struct Route {
  store::Region region = {};
  std::optional<store::Peer> leader = {};  // Nothing: nobody has claimed it yet.
  Term term = {};                          // In which `leader` led.

  friend bool operator==(const Route&, const Route&) = default;
};

// The map from keys to regions, learned from reports that may come late, twice and out of order. A
// pure value; the owner guards it.
class RouteTable {
 public:
  // Takes a report in. Returns false when it is older than what is known here. Regions that a newer
  // one overlaps are forgotten.
  bool Report(Route route);

  // The route of the region that holds `key`; of the one before that; of a region.
  std::optional<Route> Find(std::string_view key) const;
  std::optional<Route> FindBefore(std::string_view key) const;
  std::optional<Route> Find(RegionId region) const;
  // Routes from the one that holds `start` on, in the order of keys, until `limit` (0: all) are
  // found or `end` (empty: none) is reached.
  std::vector<Route> Scan(std::string_view start, std::string_view end, std::size_t limit) const;
  std::size_t size() const { return by_start_.size(); }

 private:
  std::map<std::string, Route, std::less<>> by_start_;
};

}  // namespace rutile::placement
