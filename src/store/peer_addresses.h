#pragma once

#include <map>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "base/log_slice.h"
#include "store/region.h"

namespace rutile::store {

// On which store each peer of a group lives, as far as one replica knows. Its descriptor is what it
// has applied; the core acts by configurations that are only appended, and answers whoever asks for
// a vote or sends entries, who may be members of something newer still (Raft 4.1). So this also
// takes what configuration entries and senders say. A peer never moves, so nothing here is wrong.
class PeerAddresses {
 public:
  void Learn(const Region& region);
  // The peers that configuration entries of `slice` introduce.
  void Learn(const LogSlice& slice);
  void Learn(PeerId peer, StoreId store);
  // Whoever was not a peer of `region`, nor will be, is let go.
  void Forget(const Region& region);

  std::optional<Peer> Find(PeerId peer) const;
  // Each store once, in order.
  std::vector<StoreId> Stores() const;

 private:
  std::map<PeerId, StoreId> stores_;
};

}  // namespace rutile::store
