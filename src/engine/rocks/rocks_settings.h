#pragma once

#include "engine/rocks/rocks_engine.h"

namespace rocksdb {
struct Options;
}

namespace rutile::engine {

// Fills in all of RocksDB's options that the engine does not leave at their defaults; the same for
// every family.
void ConfigureRocks(const RocksOptions& options, rocksdb::Options* out);

}  // namespace rutile::engine
