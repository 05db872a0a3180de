#pragma once

#include <array>
#include <map>
#include <string>

#include "base/random.h"
#include "engine/kv_engine.h"

namespace rutile::engine::testing {

// What an engine must contain, as plainly as it can be said.
struct Model {
  std::array<std::map<std::string, std::string>, kAllFamilies.size()> families = {};

  std::map<std::string, std::string>& of(Family family) {
    return families[static_cast<std::size_t>(family)];
  }
  const std::map<std::string, std::string>& of(Family family) const {
    return families[static_cast<std::size_t>(family)];
  }
  void Apply(const WriteBatch& batch);
  friend bool operator==(const Model&, const Model&) = default;
};

// All that the snapshot shows, read forwards.
Model Dump(const Snapshot& snapshot);
Model Dump(const KvEngine& engine);

// Short keys over few bytes, 0x00 and 0xff among them, so that they often meet; sometimes empty.
std::string RandomKey(Random& random);
// Up to `changes` of all kinds in all families.
WriteBatch RandomBatch(Random& random, std::uint64_t changes);

// Moves an iterator of `snapshot` at random within random bounds, beside a walk over `model`.
// Returns what differed, or nothing.
std::string CompareWalk(Random& random, const Snapshot& snapshot, const Model& model);

}  // namespace rutile::engine::testing
