#pragma once

#include <compare>
#include <string>

#include "base/strong_id.h"

namespace rutile {

using ClusterId = StrongId<struct ClusterIdTag>;
using StoreId = StrongId<struct StoreIdTag>;    // One data directory of one node.
using RegionId = StrongId<struct RegionIdTag>;  // One Raft group.
using PeerId = StrongId<struct PeerIdTag>;      // One member of one Raft group; never reused.

using Term = StrongId<struct TermTag>;
using Index = StrongId<struct IndexTag>;

// Names one entry of a log. Two entries with the same LogId are the same entry (Raft 5.3). The
// order is (term, index), which is the election restriction (Raft 5.4.1).
struct LogId {
  Term term = {};
  Index index = {};

  friend constexpr auto operator<=>(const LogId&, const LogId&) = default;
};

inline std::string ToString(const LogId& id) {
  return ToString(id.index) + "@" + ToString(id.term);
}

}  // namespace rutile
