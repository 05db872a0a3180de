#include "store/region.h"

#include "codec/integers.h"

namespace rutile::store {
namespace {

constexpr std::uint8_t kFormat = 1;

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

std::string EncodeRegion(const Region& region) {
  std::string out;
  codec::PutFixed8(&out, kFormat);
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
  return out;
}

Result<Region> DecodeRegion(std::string_view bytes) {
  codec::Reader reader(bytes);
  if (const std::uint8_t format = reader.Fixed8(); format != kFormat) {
    return Status(Code::kCorruption,
                  "region descriptor: unknown format " + std::to_string(format) + ", expected 1");
  }
  Region region;
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
    if (role > 1) return Status(Code::kCorruption, "region descriptor: unknown peer role");
    peer.role = static_cast<PeerRole>(role);
    region.peers.push_back(peer);
  }
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
    if (peer.role == PeerRole::kLearner) out += "L";
  }
  return out;
}

}  // namespace rutile::store
