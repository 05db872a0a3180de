#pragma once

#include <array>

#include "base/status.h"
#include "engine/kv_engine.h"
#include "engine/rocks/rocks_read.h"

namespace rocksdb {
class WriteBatch;
}

namespace rutile::engine {

// From this many keys on, a DeleteRange becomes one of RocksDB's.
inline constexpr std::size_t kRangeTombstoneKeys = 64;

// By Family's number. `db` outlives it.
using RocksHandles = std::array<rocksdb::ColumnFamilyHandle*, kAllFamilies.size()>;

// Appends `batch` to `converted`, in order. Reads the database for a DeleteRange, which therefore
// must not run beside another thread's writes into its range.
Status ConvertBatch(const WriteBatch& batch, rocksdb::DB& db, const RocksHandles& handles,
                    const std::string& directory, rocksdb::WriteBatch* converted);

}  // namespace rutile::engine
