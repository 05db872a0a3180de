#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "wal/finding.h"
#include "wal/format.h"
#include "wal/segment_files.h"

namespace rutile::wal {

struct ScannedBatch {
  std::uint64_t offset = 0;
  BatchHeader header = {};
  std::vector<Item> items = {};
  // Of those, by place: whose block does not verify. They rise.
  std::vector<std::size_t> holed = {};
  // Of the first block; the others follow it in the order of the items.
  std::uint64_t payload_offset = 0;
  // The blocks. Points into the image: valid only while the batch is visited.
  std::string_view payload = {};
};

struct SegmentEnd {
  std::uint64_t end = 0;            // Where the log ends in this segment.
  std::uint64_t next_sequence = 0;  // Of the batch that would stand there.
  std::uint64_t first_live = 0;     // The newest that a header of this segment names.
  std::uint64_t batches = 0;
  // What was begun behind `end` and is void. Zero when nothing was.
  std::uint64_t dropped_bytes = 0;
  // No batch that was durable is missing before `end`.
  bool whole = true;
};

// Who reads a log.
struct LogVisitor {
  // When it answers OK, reading goes on as well as it can behind what was found; otherwise reading
  // ends with its answer.
  std::function<Status(const Finding&)> on_finding;
  // Sees each batch that is part of the log, in order; its failure ends the reading. May be empty.
  std::function<Status(const Segment&, const ScannedBatch&)> on_batch = nullptr;
};
// For `on_finding` of those who can only use a log that is whole.
Status StopAtDamage(const Finding& finding);

// Walks the batches of one segment and decides at each place by the recovery table. Verifies
// everything: headers, items and payload. `image` is the file's content: what there is of it up to
// `sealed_end`, or up to the size that the segment's header names. Behind damage that the visitor
// accepts the walk goes on with the next batch whose header verifies.
Result<SegmentEnd> ScanSegment(const Segment& segment, std::string_view image,
                               std::optional<std::uint64_t> sealed_end, const LogVisitor& visitor);

}  // namespace rutile::wal
