#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "engine/kv_engine.h"

namespace rutile::store {

// Groups below this id are the system's own; requests of users do not reach them.
inline constexpr RegionId kPlacementRegion{1};
inline constexpr RegionId kFirstUserRegion{2};

// Tells a client whether what it knows of a region is still true: `conf_version` grows with every
// change of members, `version` with every split and merge.
struct RegionEpoch {
  std::uint64_t conf_version = 0;
  std::uint64_t version = 0;

  friend bool operator==(const RegionEpoch&, const RegionEpoch&) = default;
};

// The numbers are those of the protocol, except for the last, which it has not.
enum class PeerRole : std::uint8_t {
  kVoter = 0,
  kLearner = 1,
  // In a joint configuration only:
  kIncomingVoter = 2,  // Votes on the new side.
  kDemotingVoter = 3,  // Votes on the old side, and becomes a learner.
  kLeavingVoter = 4,   // Votes on the old side, and goes.
};

// One replica of a region, and where it lives.
struct Peer {
  PeerId id = {};
  StoreId store = {};
  PeerRole role = PeerRole::kVoter;

  friend bool operator==(const Peer&, const Peer&) = default;
};

// A range of keys and its replicas. Borders are the bytes that clients compare with: plain for raw
// keys, memory-comparable for transactional ones.
struct Region {
  RegionId id = {};
  std::string start_key = {};  // Inclusive; empty is the lowest.
  std::string end_key = {};    // Exclusive; empty is no end.
  RegionEpoch epoch = {};
  std::vector<Peer> peers = {};
  bool joint = false;  // Which the roles alone do not tell, if only learners change.
  // The highest id that any peer of this region ever had; zero if that is one of `peers`. Ids only
  // grow, so a peer that is not above it and not among `peers` was removed, for good.
  PeerId last_peer = {};

  bool Contains(std::string_view key) const {
    return key >= start_key && (end_key.empty() || key < end_key);
  }
  const Peer* PeerOn(StoreId store) const;
  const Peer* FindPeer(PeerId id) const;
  // See last_peer; never zero for a region with peers.
  PeerId LastPeer() const;
  // Whether `peer` was one and will never be one again.
  bool HasRemoved(PeerId peer) const { return peer <= LastPeer() && FindPeer(peer) == nullptr; }
  // A replica that was created by a message and waits for its first snapshot knows no peers.
  bool IsWaiting() const { return peers.empty(); }

  friend bool operator==(const Region&, const Region&) = default;
};

// The stored form; docs/formats/region.md.
std::string EncodeRegion(const Region& region);
Result<Region> DecodeRegion(std::string_view bytes);

std::string ToString(const RegionEpoch& epoch);
std::string ToString(const Region& region);

// All that the region has, in families of data.
engine::Bounds BoundsOf(const Region& region);

}  // namespace rutile::store
