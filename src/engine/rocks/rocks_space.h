#pragma once

#include <atomic>
#include <memory>

namespace rocksdb {
class FileSystem;
}

namespace rutile::engine {

// Whether writes wait for space. Shared by an engine and its file system.
using MayWait = std::shared_ptr<std::atomic<bool>>;

// A file system on top of `base` on which a write that does not fit waits, while `may_wait` is
// true, until it does: flushes and compactions of a full disk stand still instead of failing, which
// would end the process, and go on by themselves when somebody has made room. RocksDB's own way, to
// fail and to resume, is not open to an engine without a log.
//
// Looks first and writes then: what others take in between makes the write fail all the same.
std::shared_ptr<rocksdb::FileSystem> NewPatientFileSystem(
    const std::shared_ptr<rocksdb::FileSystem>& base, MayWait may_wait);

}  // namespace rutile::engine
