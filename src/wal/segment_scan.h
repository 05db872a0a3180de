#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "wal/format.h"

namespace rutile::wal {

struct ScannedBatch {
  std::uint64_t offset = 0;
  BatchHeader header = {};
  std::vector<Item> items = {};
  // Of the first block; the others follow it in the order of the items.
  std::uint64_t payload_offset = 0;
};

struct SegmentEnd {
  std::uint64_t end = 0;            // Where the log ends in this segment.
  std::uint64_t next_sequence = 0;  // Of the batch that would stand there.
  std::uint64_t first_live = 0;     // The newest that a header of this segment names.
  std::uint64_t batches = 0;
  // What was begun behind `end` and is void. Zero when nothing was.
  std::uint64_t dropped_bytes = 0;
};

// Walks the batches of one segment and decides at each place by the recovery table. Verifies
// everything: headers, items and payload. `image` is the file's content (for a sealed segment at
// least up to `sealed_end`), `path` is for messages. `on_batch` sees each batch that is kept, in
// order; its failure ends the walk.
Result<SegmentEnd> ScanSegment(const std::string& path, const SegmentHeader& header,
                               std::string_view image, std::optional<std::uint64_t> sealed_end,
                               const std::function<Status(const ScannedBatch&)>& on_batch);

// Damage to what was durable: says where, what and what to do.
Status CorruptionAt(const std::string& path, std::uint64_t offset, std::string_view finding);

}  // namespace rutile::wal
