#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/status.h"
#include "env/env.h"
#include "wal/region_index.h"
#include "wal/segment_files.h"
#include "wal/segment_scan.h"
#include "wal/wal.h"

namespace rutile::wal {

struct Recovered {
  LogIndex index = {};
  std::map<std::uint64_t, std::shared_ptr<Segment>> segments = {};  // Contiguous numbers.
  SegmentEnd end = {};                                              // Of the newest segment.
  std::vector<std::string> spares = {};                             // Names of files to adopt.
  std::vector<std::string> leftovers = {};  // Names of files that hold nothing any more.
  // Regions whose records contradict each other, so that `index` is not to be believed about them.
  std::set<RegionId> contradicted = {};
  std::string newest_image = {};  // Of the newest segment.
};

// Reads the log in `directory` and verifies all of it. Changes nothing on disk, and does not keep
// others from changing it: the caller holds the data directory's lock. The one reader for those who
// start on the log and for those who look at it; they differ in what the visitor answers. With a
// visitor that accepts damage, segments that do not open are not in the result.
Result<Recovered> ReadLog(FileSystem& files, const std::string& directory,
                          const LogVisitor& visitor);

// Reads the log in `options.directory` back; damage of which nobody knows what it has taken is an
// error, other damage is in the index. Changes nothing on disk but that
// it writes and syncs the newest segment again: what was read may have come from the page cache of
// a process that was killed.
Result<Recovered> Recover(FileSystem& files, const Options& options);

}  // namespace rutile::wal
