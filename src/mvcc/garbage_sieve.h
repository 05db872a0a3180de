#pragma once

#include <cstdint>

#include "mvcc/types.h"

namespace rutile::mvcc {

// Tells what is garbage among the records of one key: what no transaction sees, or has to know,
// that starts at the safe point or later. See FindGarbage.
//
// Also right, though it finds less, where some of the key's records are missing.
class GarbageSieve {
 public:
  enum class Verdict : std::uint8_t {
    kNeeded,
    kGarbage,
    // The newest version, and a deletion: garbage too, but what it hides must go with it or before.
    kLastDeletion,
  };

  explicit GarbageSieve(Timestamp safe_point) : safe_point_(safe_point) {}

  // The newest record first.
  Verdict Judge(Timestamp commit, const Write& write);

 private:
  Timestamp safe_point_;
  bool has_newest_ = false;  // Of the versions at or below the safe point.
};

// Whether it stands beside the record, in the default family at its start.
bool HasLongValue(const Write& write);

}  // namespace rutile::mvcc
