#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "codec/api_version.h"
#include "placement/placement.h"
#include "store/region.h"

namespace rutile::node {

// The nodes that a cluster begins with. All of them are given the same list, and everything that
// they have to agree on before they have talked follows from it: ids of stores, regions and peers,
// and the cluster's id.
struct ClusterSpec {
  std::vector<placement::Member> members = {};  // Sorted by name; stores are numbered from 1.
  ClusterId id = {};
  // How many of the members, in their order, the region of keys begins on; zero: all.
  std::size_t replicas = 0;
  codec::ApiVersion api = codec::ApiVersion::kV1;

  // "n1=host:port,n2=host:port,...". `token` tells clusters with the same list apart.
  static Result<ClusterSpec> Parse(std::string_view list, std::string_view token,
                                   std::size_t replicas = 0,
                                   codec::ApiVersion api = codec::ApiVersion::kV1);
  // One node on its own; `token` should be different every time.
  static ClusterSpec Single(const std::string& name, const std::string& address,
                            std::string_view token, codec::ApiVersion api = codec::ApiVersion::kV1);

  const placement::Member* Find(std::string_view name) const;
  // The placement group, with a peer on every member, and one region that holds all keys.
  std::vector<store::Region> InitialRegions() const;
};

}  // namespace rutile::node
