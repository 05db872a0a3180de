#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "base/ids.h"
#include "base/status.h"
#include "env/env.h"
#include "wal/segment_scan.h"
#include "wal/wal.h"

namespace rutile::wal {

// Who needs how much of the space that a log takes. Bytes are those of payload blocks.
struct RegionUse {
  RegionLog log = {};
  // Its records contradict each other: the log is not what is said here.
  bool contradicted = false;
  std::uint64_t live_bytes = 0;
  std::uint64_t garbage_bytes = 0;  // Cut, compacted or copied since, in segments that are held.
  std::set<std::uint64_t> segments = {};  // That hold something of it that is needed.
};

struct SegmentSpace {
  std::string path = {};
  std::uint64_t file_bytes = 0;
  std::uint64_t written_bytes = 0;  // Up to where the log ends in it.
  std::uint64_t live_bytes = 0;
  std::uint64_t batches = 0;
};

struct LogUse {
  std::map<RegionId, RegionUse> regions = {};
  std::map<std::uint64_t, SegmentSpace> segments = {};
  std::uint64_t spare_files = 0;
  std::uint64_t spare_bytes = 0;

  std::uint64_t file_bytes() const;  // Spare files are not counted.
  std::uint64_t live_bytes() const;
  // The regions that need the oldest segment.
  std::set<RegionId> Pinning() const;
};

// Measures a log that nobody writes; changes nothing. `on_finding` as in LogVisitor.
Result<LogUse> MeasureLog(FileSystem& files, const std::string& directory,
                          const std::function<Status(const Finding&)>& on_finding);

}  // namespace rutile::wal
