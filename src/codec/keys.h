#pragma once

#include <string>
#include <string_view>

#include "base/ids.h"

namespace rutile::codec {

// The layout of the key-value engine's keys; docs/formats/keys.md.
//
//   families default, lock, write:  'z' + user's key
//   family meta:
//     'P' ...                  placement's state
//     'R' u64be(region) 'a'    applied position of a region
//     'R' u64be(region) 'd'    descriptor of a region
//     'R' u64be(region) 's'    up to where garbage of a region may have been collected
//     'R' u64be(region) 't'    the last peer of a region that was destroyed here
//     'S' 'i'                  identity of the node

// Of a user's key. Keys of users sort as they do without the prefix.
std::string DataKey(std::string_view user_key);
// The exclusive end of a range that ends before `user_key`; an empty one means the end of all keys.
std::string DataEndKey(std::string_view user_key);
// The user's key in what DataKey built. Requires such a key.
std::string_view UserKey(std::string_view data_key);

std::string RegionKey(RegionId region);
std::string AppliedKey(RegionId region);
std::string SafePointKey(RegionId region);
std::string TombstoneKey(RegionId region);
// [begin, end) of all descriptors, applied positions, safe points and tombstones.
std::string RegionKeysBegin();
std::string RegionKeysEnd();
// The region of a key between those, if it is that of a descriptor; zero otherwise.
RegionId RegionOfDescriptorKey(std::string_view key);
// The same for that of a tombstone.
RegionId RegionOfTombstoneKey(std::string_view key);

std::string PlacementKey(std::string_view name);
std::string PlacementKeysBegin();
std::string PlacementKeysEnd();

std::string NodeIdentityKey();

}  // namespace rutile::codec
