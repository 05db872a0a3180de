#include "store/membership.h"

#include <algorithm>
#include <utility>

#include "codec/integers.h"

namespace rutile::store {
namespace {

constexpr std::uint8_t kFormat = 1;

bool Has(const raft::PeerIds& sorted, PeerId id) {
  return std::binary_search(sorted.begin(), sorted.end(), id);
}

PeerRole RoleOf(const raft::Configuration& all, PeerId id) {
  if (Has(all.learners, id)) return PeerRole::kLearner;
  if (!all.IsJoint()) return PeerRole::kVoter;
  if (!Has(all.outgoing, id)) return PeerRole::kIncomingVoter;
  if (Has(all.voters, id)) return PeerRole::kVoter;
  return Has(all.learners_next, id) ? PeerRole::kDemotingVoter : PeerRole::kLeavingVoter;
}

Result<std::vector<Peer>> DecodeNewPeers(std::string_view bytes) {
  std::vector<Peer> peers;
  if (bytes.empty()) return peers;
  codec::Reader reader(bytes);
  const std::uint8_t format = reader.Fixed8();
  const std::uint64_t count = reader.Varint();
  for (std::uint64_t i = 0; i < count && reader.ok(); ++i) {
    Peer peer;
    peer.id = PeerId(reader.Varint());
    peer.store = StoreId(reader.Varint());
    peers.push_back(peer);
  }
  if (format != kFormat || !reader.Done()) {
    return Status(Code::kCorruption, "the new peers of a configuration cannot be read");
  }
  return peers;
}

}  // namespace

raft::Configuration ConfigurationOf(const Region& region) {
  raft::Configuration all;
  for (const Peer& peer : region.peers) {
    if (peer.role == PeerRole::kLearner) {
      all.learners.push_back(peer.id);
      continue;
    }
    const bool comes = peer.role == PeerRole::kIncomingVoter;
    const bool goes = peer.role == PeerRole::kDemotingVoter || peer.role == PeerRole::kLeavingVoter;
    if (!goes) all.voters.push_back(peer.id);
    if (!comes) all.outgoing.push_back(peer.id);
    if (peer.role == PeerRole::kDemotingVoter) all.learners_next.push_back(peer.id);
  }
  if (!region.joint) all.outgoing.clear();
  all.auto_leave = region.joint;
  for (auto* ids : {&all.voters, &all.outgoing, &all.learners, &all.learners_next}) {
    std::sort(ids->begin(), ids->end());
  }
  return all;
}

std::string EncodeNewPeers(const std::vector<Peer>& peers) {
  std::string out;
  codec::PutFixed8(&out, kFormat);
  codec::PutVarint(&out, peers.size());
  for (const Peer& peer : peers) {
    codec::PutVarint(&out, peer.id.value());
    codec::PutVarint(&out, peer.store.value());
  }
  return out;
}

std::vector<Peer> NewPeersOf(std::string_view payload) {
  std::string_view context;
  if (!raft::DecodeConfiguration(payload, &context)) return {};
  Result<std::vector<Peer>> peers = DecodeNewPeers(context);
  return peers.ok() ? std::move(peers).value() : std::vector<Peer>();
}

Result<Region> RegionAfter(const Region& region, std::string_view payload) {
  std::string_view context;
  const auto all = raft::DecodeConfiguration(payload, &context);
  if (!all) return Status(Code::kCorruption, "a configuration cannot be read");
  if (all->IsJoint() && !all->auto_leave) {
    return Status(Code::kCorruption,
                  "a joint configuration of a region that does not leave: " + raft::ToString(*all));
  }
  RUTILE_ASSIGN_OR_RETURN(const std::vector<Peer> added, DecodeNewPeers(context));
  Region after = region;
  after.peers.clear();
  after.joint = all->IsJoint();
  ++after.epoch.conf_version;
  for (const PeerId id : all->Members()) {
    const Peer* known = region.FindPeer(id);
    if (known == nullptr) {
      const auto it = std::find_if(added.begin(), added.end(),
                                   [id](const Peer& peer) { return peer.id == id; });
      if (it == added.end()) {
        return Status(Code::kCorruption, "nobody knows where peer " + ToString(id) + " is");
      }
      known = &*it;
    }
    after.peers.push_back({.id = id, .store = known->store, .role = RoleOf(*all, id)});
  }
  // Of those who are gone now, the highest is remembered.
  after.last_peer = PeerId();
  const PeerId last = std::max(region.LastPeer(), after.LastPeer());
  if (after.LastPeer() < last) after.last_peer = last;
  return after;
}

}  // namespace rutile::store
