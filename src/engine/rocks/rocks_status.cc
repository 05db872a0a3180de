#include "engine/rocks/rocks_status.h"

#include <rocksdb/status.h>

#include <string>

namespace rutile::engine {
namespace {

Code CodeOf(const rocksdb::Status& status) {
  if (status.IsCorruption()) return Code::kCorruption;
  if (status.IsIOError() || status.IsIOFenced()) return Code::kIoError;
  if (status.IsInvalidArgument() || status.IsNotSupported()) return Code::kFailedPrecondition;
  if (status.IsNotFound() || status.IsPathNotFound()) return Code::kNotFound;
  if (status.IsShutdownInProgress() || status.IsBusy() || status.IsTryAgain()) {
    return Code::kUnavailable;
  }
  return Code::kInternal;
}

}  // namespace

Status FromRocks(const rocksdb::Status& status, std::string_view directory) {
  if (status.ok()) return {};
  const std::string where(directory);
  if (status.IsNoSpace()) {
    return Status(Code::kResourceExhausted,
                  "no space left on the disk of " + where +
                      ": free some space or enlarge the disk, then start the node again (" +
                      status.ToString() + ")");
  }
  return Status(CodeOf(status), "RocksDB in " + where + ": " + status.ToString());
}

}  // namespace rutile::engine
