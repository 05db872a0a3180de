#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace rutile::cmd {

// The lines that were typed at a shell, kept in a file from one start to the next: the newest
// kKeptLines and some older ones. It is for its user's eyes only. Shells that run at the same time
// add to the same file.
class ShellHistory {
 public:
  static constexpr std::size_t kKeptLines = 1000;
  static constexpr std::size_t kLongestLine = 4096;

  // Empty `path`: nothing is kept.
  explicit ShellHistory(std::string path) : path_(std::move(path)) {}

  // What was kept, the oldest first. kIoError when the file is there and cannot be read.
  Result<std::vector<std::string>> Load();
  // Whether `line` is kept: not what is empty, begins with a space, repeats the line before or is
  // too long.
  bool IsWanted(const std::string& line) const;
  // Keeps `line`. kIoError when it cannot be written.
  Status Add(const std::string& line);

  // In the user's home; empty when he has none.
  static std::string DefaultPath();

 private:
  Status Rewrite(const std::vector<std::string>& lines) const;
  Status Failed(const std::string& what) const;

  const std::string path_;
  std::string last_ = {};
};

}  // namespace rutile::cmd
