#include "store/region.h"

#include <algorithm>

#include "codec/integers.h"
#include "codec/keys.h"

namespace rutile::store {
namespace {

// The format byte is 1 plus these.
constexpr std::uint8_t kFormat = 1;
constexpr std::uint8_t kJoint = 1;
constexpr std::uint8_t kHasLastPeer = 2;  // last_peer follows the peers.

}  // namespace

const Peer* Region::PeerOn(StoreId store) const {
  for (const Peer& peer : peers) {
    if (peer.store == store) return &peer;
  }
  return nullptr;
}

const Peer* Region::FindPeer(PeerId peer_id) const {
  for (const Peer& peer : peers) {
    if (peer.id == peer_id) return &peer;
  }
  return nullptr;
}

PeerId Region::LastPeer() const {
  PeerId last = last_peer;
  for (const Peer& peer : peers) last = std::max(last, peer.id);
  return last;
}

std::string EncodeRegion(const Region& region) {
  std::string out;
  const bool has_last_peer = !region.last_peer.IsZero();
  codec::PutFixed8(&out, static_cast<std::uint8_t>(kFormat + (region.joint ? kJoint : 0) +
                                                   (has_last_peer ? kHasLastPeer : 0)));
  codec::PutVarint(&out, region.id.value());
  codec::PutBytes(&out, region.start_key);
  codec::PutBytes(&out, region.end_key);
  codec::PutVarint(&out, region.epoch.conf_version);
  codec::PutVarint(&out, region.epoch.version);
  codec::PutVarint(&out, region.peers.size());
  for (const Peer& peer : region.peers) {
    codec::PutVarint(&out, peer.id.value());
    codec::PutVarint(&out, peer.store.value());
    codec::PutFixed8(&out, static_cast<std::uint8_t>(peer.role));
  }
  if (has_last_peer) codec::PutVarint(&out, region.last_peer.value());
  return out;
}

Result<Region> DecodeRegion(std::string_view bytes) {
  codec::Reader reader(bytes);
  const std::uint8_t format = reader.Fixed8();
  if (format < kFormat || format > kFormat + kJoint + kHasLastPeer) {
    return Status(Code::kCorruption, "region descriptor: unknown format " + std::to_string(format) +
                                         ", expected 1 to 4");
  }
  const std::uint8_t flags = format - kFormat;
  Region region;
  region.joint = (flags & kJoint) != 0;
  region.id = RegionId(reader.Varint());
  region.start_key = reader.Bytes();
  region.end_key = reader.Bytes();
  region.epoch.conf_version = reader.Varint();
  region.epoch.version = reader.Varint();
  const std::uint64_t count = reader.Varint();
  for (std::uint64_t i = 0; i < count && reader.ok(); ++i) {
    Peer peer;
    peer.id = PeerId(reader.Varint());
    peer.store = StoreId(reader.Varint());
    const std::uint8_t role = reader.Fixed8();
    if (role > static_cast<std::uint8_t>(PeerRole::kLeavingVoter)) {
      return Status(Code::kCorruption, "region descriptor: unknown peer role");
    }
    peer.role = static_cast<PeerRole>(role);
    region.peers.push_back(peer);
  }
  if ((flags & kHasLastPeer) != 0) region.last_peer = PeerId(reader.Varint());
  if (!reader.Done()) return Status(Code::kCorruption, "region descriptor: wrong length");
  return region;
}

std::string ToString(const RegionEpoch& epoch) {
  return std::to_string(epoch.conf_version) + "." + std::to_string(epoch.version);
}

std::string ToString(const Region& region) {
  std::string out = "region " + ToString(region.id) + " epoch " + ToString(region.epoch) + " peers";
  for (const Peer& peer : region.peers) {
    out += " " + ToString(peer.id) + "/" + ToString(peer.store);
    switch (peer.role) {
      case PeerRole::kVoter: break;
      case PeerRole::kLearner: out += "L"; break;
      case PeerRole::kIncomingVoter: out += "I"; break;
      case PeerRole::kDemotingVoter: out += "D"; break;
      case PeerRole::kLeavingVoter: out += "X"; break;
    }
  }
  if (region.joint) out += " joint";
  return out;
}

engine::Bounds BoundsOf(const Region& region) {
  return {.lower = codec::DataKey(region.start_key), .upper = codec::DataEndKey(region.end_key)};
}

}  // namespace rutile::store
