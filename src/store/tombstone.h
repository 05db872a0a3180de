#pragma once

#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/status.h"
#include "store/region.h"

namespace rutile::store {

// What a store keeps of a region whose replica it has destroyed. Durable before anything of the
// replica goes, and for good: a message that was on its way for a year must not bring back a peer
// that has forgotten its votes (docs/design/store.md).
struct Tombstone {
  PeerId peer = {};  // No peer of the region up to this one will ever live here again.
  Region last = {};  // The last that was applied here, or was told; without peers if nothing was.

  friend bool operator==(const Tombstone&, const Tombstone&) = default;
};

// The stored form; docs/formats/region.md.
std::string EncodeTombstone(const Tombstone& tombstone);
Result<Tombstone> DecodeTombstone(std::string_view bytes);

}  // namespace rutile::store
