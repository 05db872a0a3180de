#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "engine/kv_engine.h"

namespace rocksdb {
class Env;
}

namespace rutile::engine {

struct RocksOptions {
  // A path of the process, created when missing. RocksDB works on files of its own accord, not
  // through env's FileSystem.
  std::string directory = {};
  // Blocks of files, their indexes and filters. Filled as they are read.
  std::size_t block_cache_bytes = std::size_t{64} << 20;
  // What one family may gather in memory before all are flushed. Beyond three times as much in
  // all families together, flushing starts too; a full one being written, memory is up to twice
  // that. Finding the place of a key in it is half of what applying costs, and grows as the buffer
  // outgrows the processor's caches: measured, 16 MiB against 64 saves 15 % of a put.
  std::size_t write_buffer_bytes = std::size_t{16} << 20;
  // Threads that flush and compact.
  int background_jobs = 3;
  // Of table files. The rest of the process needs descriptors too.
  int max_open_files = 512;
  // Where the files are; the process's own file system when null. Must outlive the engine.
  rocksdb::Env* env = nullptr;
};

// The engine on RocksDB. Starts RocksDB's threads; closing does not flush.
//
// RocksDB's log is off for every write, and one flush takes the memory of all families and becomes
// visible on disk in one step: a crash goes back to the end of the last such flush. Flushes happen
// by themselves when buffers are full.
//
// A DeleteRange of less than 64 keys is carried out as single deletions. A larger one is one record
// that every read of keys near it has to compare with until compaction is through: good for
// dropping a region's data, not for a path that runs often. Either way it first looks at what is
// in the range.
//
// After an error in the background (flush or compaction) every write fails, as after one that a
// write itself met: nothing is retried. Reads go on. A disk without space is no error: flushes wait
// for room, and writes for flushes once the buffers are full.
Result<std::unique_ptr<KvEngine>> OpenRocksEngine(const RocksOptions& options);

}  // namespace rutile::engine
