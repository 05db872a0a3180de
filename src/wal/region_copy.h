#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/log_slice.h"
#include "base/status.h"
#include "env/env.h"
#include "wal/wal.h"

// One region's log out of a node's log and into another; docs/formats/region-log.md is the file in
// between. Of nodes that do not run: the caller holds the data directory's lock.
namespace rutile::wal {

struct RegionCopy {
  RegionId region = {};
  PeerId peer = {};
  // The writer's newest mark, as in RegionWrite.
  Term mark_term = {};
  std::uint64_t mark_epoch = 0;
  LogSlice slice = {};  // All entries; prev is the log's base.
  std::string state = {};

  friend bool operator==(const RegionCopy& a, const RegionCopy& b) {
    return a.region == b.region && a.peer == b.peer && a.mark_term == b.mark_term &&
           a.mark_epoch == b.mark_epoch && a.slice.prev == b.slice.prev &&
           a.slice.entries == b.slice.entries && a.state == b.state;
  }
};

std::string EncodeRegionCopy(const RegionCopy& copy);
// kCorruption when the bytes do not verify, kFailedPrecondition when a newer version wrote them;
// both say where, what and what to do.
Result<RegionCopy> DecodeRegionCopy(std::string_view bytes);

// What is put back is one batch, so that it is there whole or not at all: no more payload than
// this.
constexpr std::size_t kMaxCopyBytes = std::size_t{1} << 30;

// Reads the region's log; changes nothing. kNotFound: there is none. Damage anywhere in the node's
// log is an error: nobody can tell whether a lost batch was this region's. kResourceExhausted: it
// has more than kMaxCopyBytes.
Result<RegionCopy> CopyRegion(FileSystem& files, const std::string& directory, RegionId region);

// Writes the copy into the log in `options.directory`, durably. A crash leaves the log with all of
// it or as it was. kAlreadyExists, and nothing is changed, when the log has the region and not
// `replace`. The caller knows that the replica may so forget what it promised.
Status ImportRegion(FileSystem& files, const Options& options, const RegionCopy& copy,
                    bool replace);

}  // namespace rutile::wal
