#pragma once

#include <cstdint>
#include <map>
#include <memory>
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
  SegmentEnd end = {};                      // Of the newest segment. It is synced up to there.
  std::vector<std::string> spares = {};     // Names of files to adopt.
  std::vector<std::string> leftovers = {};  // Names of files that hold nothing any more.
};

// Reads the log in `options.directory` back. Changes nothing on disk but that it syncs the newest
// segment: what was read may have come from the page cache of a process that was killed.
Result<Recovered> Recover(FileSystem& files, const Options& options);

}  // namespace rutile::wal
