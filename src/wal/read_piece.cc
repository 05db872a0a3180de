#include "wal/read_piece.h"

#include <optional>
#include <string>
#include <utility>

#include "wal/entry_block.h"
#include "wal/finding.h"

namespace rutile::wal {

Result<Entries> ReadPiece(const Segment& segment, RegionId region, const Piece& piece) {
  RUTILE_ASSIGN_OR_RETURN(std::string read, segment.file->ReadAt(piece.offset, piece.block_bytes));
  const Bytes block(std::move(read));
  const Index first(piece.first.value() - piece.skip);
  std::optional<Entries> entries;
  if (VerifyBlock(block.view(), region, first, segment.signature)) {
    entries = DecodeBlock(block, piece.skip, piece.first, piece.term, piece.count);
  }
  if (!entries) {
    return CorruptionAt(
        segment.path, piece.offset,
        "entries of region " + ToString(region) + " from " + ToString(first) + " do not verify");
  }
  return *std::move(entries);
}

}  // namespace rutile::wal
