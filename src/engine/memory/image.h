#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "engine/kv_engine.h"
#include "engine/memory/sorted_map.h"

namespace rutile::engine {

// All that an engine holds at one moment. Copying is cheap.
struct Contents {
  std::array<SortedMap, kAllFamilies.size()> families = {};
  std::uint64_t sequence = 0;  // Of the last write in it.

  SortedMap& of(Family family) { return families[static_cast<std::size_t>(family)]; }
  const SortedMap& of(Family family) const { return families[static_cast<std::size_t>(family)]; }
};

// The stored form of Contents; docs/formats/engine-image.md.
std::string EncodeImage(const Contents& contents);
// kCorruption when the bytes do not verify, kFailedPrecondition when a newer build wrote them.
Result<Contents> DecodeImage(std::string_view image);

}  // namespace rutile::engine
