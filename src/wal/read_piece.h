#pragma once

#include "base/log_slice.h"
#include "base/status.h"
#include "wal/region_index.h"
#include "wal/segment_files.h"

namespace rutile::wal {

// The entries of one piece, read from its segment and verified. kCorruption names file and offset.
Result<Entries> ReadPiece(const Segment& segment, RegionId region, const Piece& piece);

}  // namespace rutile::wal
