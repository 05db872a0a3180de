#include "store/peer_addresses.h"

#include <set>

#include "store/membership.h"

namespace rutile::store {

void PeerAddresses::Learn(const Region& region) {
  for (const Peer& peer : region.peers) Learn(peer.id, peer.store);
}

void PeerAddresses::Learn(const LogSlice& slice) {
  for (const Entry& entry : slice.entries) {
    if (entry.type != EntryType::kConfig) continue;
    for (const Peer& peer : NewPeersOf(entry.payload.view())) Learn(peer.id, peer.store);
  }
}

void PeerAddresses::Learn(PeerId peer, StoreId store) {
  if (!peer.IsZero() && !store.IsZero()) stores_[peer] = store;
}

void PeerAddresses::Forget(const Region& region) {
  std::erase_if(stores_, [&](const auto& known) { return region.HasRemoved(known.first); });
}

std::optional<Peer> PeerAddresses::Find(PeerId peer) const {
  const auto found = stores_.find(peer);
  if (found == stores_.end()) return std::nullopt;
  return Peer{.id = peer, .store = found->second};
}

std::vector<StoreId> PeerAddresses::Stores() const {
  std::set<StoreId> stores;
  for (const auto& [peer, store] : stores_) stores.insert(store);
  return {stores.begin(), stores.end()};
}

}  // namespace rutile::store
