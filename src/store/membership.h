#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "raft/types.h"
#include "store/region.h"

namespace rutile::store {

// A region's peers as the group's configuration, and back. The descriptor is what was applied; the
// core goes by what was appended, which is ahead of it by one change at most.
//
// A joint configuration of a region always leaves by itself: the descriptor has no place for one
// that does not.

raft::Configuration ConfigurationOf(const Region& region);

// The context of an entry that adds peers: who they are, and where.
std::string EncodeNewPeers(const std::vector<Peer>& peers);
// Of an entry's payload; nothing for what no entry of a region says.
std::vector<Peer> NewPeersOf(std::string_view payload);

// The descriptor after the configuration entry with this payload was applied: conf_version is one
// higher, peers are in the order of their ids. kCorruption for what no entry of a region says: it
// does not decode, names a peer that nobody has introduced, or is joint and does not leave.
Result<Region> RegionAfter(const Region& region, std::string_view payload);

}  // namespace rutile::store
