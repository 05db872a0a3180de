#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "env/posix/posix_files.h"

namespace rutile::cmd {

// Of all `rutile wal` commands; each uses some.
struct WalFlags {
  std::string data = {};
  std::string name = {};  // Empty: any node's.
  std::uint64_t region = 0;
  std::uint64_t from = 0;
  std::uint64_t to = UINT64_MAX;
  std::string segment = {};
  bool payload = false;
  bool json = false;
  std::string out = {};
  std::string in = {};
  bool replace = false;
  bool accept_data_loss = false;
};

// The data directory of a node that does not run, kept from running while this lives.
struct StoppedNode {
  std::unique_ptr<posix::PosixFileSystem> files = {};
  std::unique_ptr<DirectoryLock> lock = {};
  // Of the streams of its log, below the data directory: those that it has on record, or where the
  // record cannot be read those that are there.
  std::vector<std::string> logs = {};

  // Changes nothing but the lock's file.
  static Result<StoppedNode> Open(
      const std::string& data,
      posix::PosixFileSystem::Access access = posix::PosixFileSystem::Access::kRead);
};

// Each returns the exit code.
int WalVerify(const WalFlags& flags);
int WalDump(const WalFlags& flags);
int WalStats(const WalFlags& flags);
int WalExport(const WalFlags& flags);
int WalImport(const WalFlags& flags);

}  // namespace rutile::cmd
