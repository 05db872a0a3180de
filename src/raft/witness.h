#pragma once

#include "raft/types.h"

namespace rutile::raft {

// Makes of `slice` what a witness keeps of it: kNormal entries become kStripped ones without
// payload. All others, which the core itself reads, stay as they are.
void StripData(LogSlice& slice);

}  // namespace rutile::raft
