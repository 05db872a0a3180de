#include "cmd/shell_history.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <utility>

namespace rutile::cmd {
namespace {

// All of `text`, to a file that only its user can read. 0, or what went wrong.
int WriteFile(const std::string& path, int flags, const std::string& text) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);
  if (fd < 0) return errno;
  // In one piece, so that lines of two shells do not mix.
  const ssize_t written = ::write(fd, text.data(), text.size());
  const int error = written < 0 ? errno : std::cmp_less(written, text.size()) ? ENOSPC : 0;
  ::close(fd);
  return error;
}

}  // namespace

std::string ShellHistory::DefaultPath() {
  const char* home = std::getenv("HOME");
  return home == nullptr || *home == '\0' ? "" : std::string(home) + "/.rutile_history";
}

Status ShellHistory::Failed(const std::string& what) const {
  return Status(Code::kIoError, path_ + ": the history cannot be " + what + ": " +
                                    std::strerror(errno) + "; --history names another file");
}

Result<std::vector<std::string>> ShellHistory::Load() {
  std::vector<std::string> lines;
  if (path_.empty() || ::access(path_.c_str(), F_OK) != 0) return lines;
  std::ifstream in(path_);
  if (!in) return Failed("read");
  for (std::string line; std::getline(in, line);) lines.push_back(std::move(line));
  if (!in.eof()) return Failed("read");
  if (lines.size() > kKeptLines) {
    const bool is_much = lines.size() > 2 * kKeptLines;
    lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(kKeptLines));
    if (is_much) RUTILE_RETURN_IF_ERROR(Rewrite(lines));
  }
  if (!lines.empty()) last_ = lines.back();
  return lines;
}

bool ShellHistory::IsWanted(const std::string& line) const {
  return !line.empty() && line.front() != ' ' && line != last_ && line.size() <= kLongestLine;
}

Status ShellHistory::Add(const std::string& line) {
  last_ = line;
  if (path_.empty()) return {};
  errno = WriteFile(path_, O_APPEND, line + "\n");
  return errno == 0 ? Status() : Failed("written");
}

Status ShellHistory::Rewrite(const std::vector<std::string>& lines) const {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  const std::string next = path_ + ".new";
  errno = WriteFile(next, O_TRUNC, text);
  if (errno != 0 || std::rename(next.c_str(), path_.c_str()) != 0) return Failed("written");
  return {};
}

}  // namespace rutile::cmd
