#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "engine/kv_engine.h"

namespace rutile::engine {

// Says which records an engine may leave out when it rewrites them anyway (RocksDB: a compaction).
// What goes so goes without a write: nothing is logged, no replica does the same at the same time,
// and nothing says when, or whether at all. So it must be what nobody misses.
//
// Any thread of the engine, several at a time.
class RecordFilter {
 public:
  // Over some of the durable records of a family, in the order of keys: what stands between two of
  // them may be left out, being in another file or in memory. One thread.
  class Walk {
   public:
    virtual ~Walk() = default;
    virtual bool Drops(std::string_view key, std::string_view value) = 0;
  };

  virtual ~RecordFilter() = default;
  // What was written up to the sequence `seen` is durable, and seen by every snapshot that is open
  // and by all that come. Null: all stay.
  virtual std::unique_ptr<Walk> Begin(Family family, std::uint64_t seen) = 0;
};

}  // namespace rutile::engine
