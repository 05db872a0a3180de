#pragma once

#include <string_view>

#include "base/status.h"

namespace rocksdb {
class Status;
}

namespace rutile::engine {

// RocksDB's outcome in our words. `directory` is named in what an operator has to act on.
Status FromRocks(const rocksdb::Status& status, std::string_view directory);

}  // namespace rutile::engine
