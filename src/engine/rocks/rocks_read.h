#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "engine/kv_engine.h"

namespace rocksdb {
class ColumnFamilyHandle;
class DB;
class Snapshot;
}  // namespace rocksdb

namespace rutile::engine {

// One family of an open database: what reading needs. All three outlive it.
struct RocksFamily {
  rocksdb::DB& db;
  rocksdb::ColumnFamilyHandle* handle = nullptr;
  const std::string& directory;  // For messages.
};

// These read `snapshot`, or, when it is null, this moment.
Result<std::optional<std::string>> GetFromRocks(const RocksFamily& family,
                                                const rocksdb::Snapshot* snapshot,
                                                std::string_view key);
std::unique_ptr<Iterator> NewRocksIterator(const RocksFamily& family,
                                           const rocksdb::Snapshot* snapshot, Bounds bounds);
// Snapshot::NewVersionCursor(); `writes` is kWrite, which ConfigureFamily() prepares for it.
std::unique_ptr<Cursor> NewRocksVersionCursor(const RocksFamily& writes,
                                              const rocksdb::Snapshot* snapshot);

// The greatest key of the family; nothing when it is empty.
Result<std::optional<std::string>> LastKeyInRocks(const RocksFamily& family);

}  // namespace rutile::engine
