#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/status.h"

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

enum class PeerRole : std::uint8_t { kVoter = 0, kLearner = 1 };

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

  bool Contains(std::string_view key) const {
    return key >= start_key && (end_key.empty() || key < end_key);
  }
  const Peer* PeerOn(StoreId store) const;
  const Peer* FindPeer(PeerId id) const;

  friend bool operator==(const Region&, const Region&) = default;
};

// The stored form; docs/formats/region.md.
std::string EncodeRegion(const Region& region);
Result<Region> DecodeRegion(std::string_view bytes);

std::string ToString(const RegionEpoch& epoch);
std::string ToString(const Region& region);

}  // namespace rutile::store
