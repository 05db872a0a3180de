#pragma once

#include <ftw.h>
#include <stdlib.h>
#include <unistd.h>

#include <string>

#include "base/check.h"

namespace rutile::testing {

// A new directory on the machine's disk, removed with all that is in it on destruction.
class TemporaryDirectory {
 public:
  TemporaryDirectory() { RUTILE_CHECK(::mkdtemp(path_.data()) != nullptr, path_); }
  ~TemporaryDirectory() {
    const auto remove = [](const char* path, const struct stat*, int, struct FTW*) {
      return ::remove(path);
    };
    ::nftw(path_.c_str(), remove, 16, FTW_DEPTH | FTW_PHYS);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_ = "/tmp/rutile-test-XXXXXX";
};

}  // namespace rutile::testing
