#pragma once

#include "engine/rocks/rocks_engine.h"

namespace rocksdb {
struct ColumnFamilyOptions;
struct Options;
}  // namespace rocksdb

namespace rutile::engine {

// Fills in all of RocksDB's options that the engine does not leave at their defaults.
void ConfigureRocks(const RocksOptions& options, rocksdb::Options* out);

// What one family has otherwise than all others.
void ConfigureFamily(Family family, rocksdb::ColumnFamilyOptions* out);

}  // namespace rutile::engine
