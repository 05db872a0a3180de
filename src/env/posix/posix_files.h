#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "env/env.h"

namespace rutile::posix {

// The files below one directory of the machine. Messages name the full path, what the system said
// and, where there is something to do about it, what.
class PosixFileSystem final : public FileSystem {
 public:
  // kRead opens files without asking for the right to write them, so that it works where there is
  // none: whoever only looks at a directory.
  enum class Access : std::uint8_t { kChange, kRead };

  // Paths are taken below `root`, which need not exist yet.
  explicit PosixFileSystem(std::string root, Access access = Access::kChange)
      : root_(std::move(root)), access_(access) {}

  Result<std::unique_ptr<File>> Open(const std::string& path) override;
  Result<std::unique_ptr<File>> Create(const std::string& path) override;
  Result<std::string> ReadAll(const std::string& path) override;
  Status Rename(const std::string& from, const std::string& to) override;
  Status Remove(const std::string& path) override;
  bool Exists(const std::string& path) override;
  Result<std::vector<std::string>> List(const std::string& directory) override;
  Status CreateDirectories(const std::string& path) override;
  Status SyncDirectory(const std::string& directory) override;
  // With kRead, where nothing can be written: the lock does not name this process, and is none
  // where there is no file to lock, since no process can run on such a directory.
  Result<std::unique_ptr<DirectoryLock>> Lock(const std::string& path) override;
  Result<std::uint64_t> FreeBytes() override;

  const std::string& root() const { return root_; }

 private:
  std::string Full(const std::string& path) const { return root_ + "/" + path; }

  const std::string root_;
  const Access access_;
};

}  // namespace rutile::posix
