#include "cmd/read_file.h"

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <memory>

namespace rutile::cmd {

Result<std::string> ReadFile(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             std::fclose);
  const auto failed = [&] {
    return Status(Code::kInvalidArgument,
                  path + ": the file cannot be read: " + std::strerror(errno));
  };
  if (!file) return failed();
  std::string bytes;
  std::string chunk(std::size_t{1} << 20, '\0');
  while (const std::size_t n = std::fread(chunk.data(), 1, chunk.size(), file.get())) {
    bytes.append(chunk, 0, n);
  }
  if (std::ferror(file.get()) != 0) return failed();
  return bytes;
}

}  // namespace rutile::cmd
