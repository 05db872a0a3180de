#include "env/posix/posix_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace rutile::posix {
namespace {

Code CodeOf(int error) {
  switch (error) {
    case ENOENT: return Code::kNotFound;
    case EEXIST: return Code::kAlreadyExists;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE: return Code::kResourceExhausted;
    case EACCES:
    case EPERM:
    case EROFS: return Code::kFailedPrecondition;
    default: return Code::kIoError;
  }
}

const char* Advice(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT: return "; free space on this disk or move the data directory to a larger one";
    case EMFILE: return "; raise the limit of open files (ulimit -n)";
    case EACCES:
    case EPERM: return "; give the user that runs this process the right to it";
    case EROFS: return "; the file system is mounted read-only, look at the kernel's log";
    case EIO: return "; the disk is failing, look at the kernel's log";
    default: return "";
  }
}

Status Error(const char* what, const std::string& path, int error) {
  return Status(CodeOf(error),
                std::string(what) + " " + path + ": " + std::strerror(error) + Advice(error));
}

// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

Result<Descriptor> OpenDescriptor(const std::string& path, int flags) {
  while (true) {
    const int fd = ::open(path.c_str(), flags | O_CLOEXEC, 0644);
    if (fd >= 0) return Descriptor(fd);
    if (errno != EINTR) return Error("open", path, errno);
  }
}

Status SyncFullDirectory(const std::string& full) {
  RUTILE_ASSIGN_OR_RETURN(const Descriptor descriptor,
                          OpenDescriptor(full, O_RDONLY | O_DIRECTORY));
  if (::fsync(descriptor.get()) != 0) return Error("fsync", full, errno);
  return {};
}

// Of a path without a slash at its end.
std::string ParentOf(const std::string& full) {
  const std::size_t slash = full.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : full.substr(0, slash);
}

class PosixFile final : public File {
 public:
  PosixFile(Descriptor descriptor, std::string path)
      : descriptor_(std::move(descriptor)), path_(std::move(path)) {}

  Status WriteAt(std::uint64_t offset, std::string_view data) override {
    while (!data.empty()) {
      const ssize_t n =
          ::pwrite(descriptor_.get(), data.data(), data.size(), static_cast<off_t>(offset));
      if (n < 0) {
        if (errno == EINTR) continue;
        return Error("write", path_, errno);
      }
      offset += static_cast<std::uint64_t>(n);
      data.remove_prefix(static_cast<std::size_t>(n));
    }
    return {};
  }

  Status ReadInto(std::uint64_t offset, std::size_t size, std::string* out) const override {
    out->resize(size);
    std::size_t done = 0;
    while (done < size) {
      const ssize_t n = ::pread(descriptor_.get(), out->data() + done, size - done,
                                static_cast<off_t>(offset + done));
      if (n < 0) {
        if (errno == EINTR) continue;
        return Error("read", path_, errno);
      }
      if (n == 0) break;
      done += static_cast<std::size_t>(n);
    }
    out->resize(done);
    return {};
  }

  Result<std::uint64_t> Size() const override {
    struct stat info {};
    if (::fstat(descriptor_.get(), &info) != 0) return Error("stat", path_, errno);
    return static_cast<std::uint64_t>(info.st_size);
  }

  Status Truncate(std::uint64_t size) override {
    while (::ftruncate(descriptor_.get(), static_cast<off_t>(size)) != 0) {
      if (errno != EINTR) return Error("truncate", path_, errno);
    }
    return {};
  }

  Status Sync() override {
    // No retry, not even on EINTR: a second call may report success for what the first one lost.
    if (::fdatasync(descriptor_.get()) != 0) return Error("fdatasync", path_, errno);
    return {};
  }

 private:
  const Descriptor descriptor_;
  const std::string path_;
};

class PosixLock final : public DirectoryLock {
 public:
  explicit PosixLock(Descriptor descriptor) : descriptor_(std::move(descriptor)) {}

 private:
  const Descriptor descriptor_;  // Closing it releases the lock.
};

}  // namespace

Result<std::unique_ptr<File>> PosixFileSystem::Open(const std::string& path) {
  RUTILE_ASSIGN_OR_RETURN(Descriptor descriptor,
                          OpenDescriptor(Full(path), access_ == Access::kRead ? O_RDONLY : O_RDWR));
  return std::unique_ptr<File>(new PosixFile(std::move(descriptor), Full(path)));
}

Result<std::unique_ptr<File>> PosixFileSystem::Create(const std::string& path) {
  RUTILE_ASSIGN_OR_RETURN(Descriptor descriptor,
                          OpenDescriptor(Full(path), O_RDWR | O_CREAT | O_TRUNC));
  return std::unique_ptr<File>(new PosixFile(std::move(descriptor), Full(path)));
}

Result<std::string> PosixFileSystem::ReadAll(const std::string& path) {
  RUTILE_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, Open(path));
  RUTILE_ASSIGN_OR_RETURN(const std::uint64_t size, file->Size());
  return file->ReadAt(0, size);
}

Status PosixFileSystem::Rename(const std::string& from, const std::string& to) {
  if (::rename(Full(from).c_str(), Full(to).c_str()) != 0) {
    return Error("rename", Full(from) + " to " + Full(to), errno);
  }
  return {};
}

Status PosixFileSystem::Remove(const std::string& path) {
  if (::unlink(Full(path).c_str()) != 0) return Error("remove", Full(path), errno);
  return {};
}

bool PosixFileSystem::Exists(const std::string& path) {
  return ::access(Full(path).c_str(), F_OK) == 0;
}

Result<std::vector<std::string>> PosixFileSystem::List(const std::string& directory) {
  DIR* stream = ::opendir(Full(directory).c_str());
  if (stream == nullptr) return Error("list", Full(directory), errno);
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(stream)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  ::closedir(stream);
  std::sort(names.begin(), names.end());
  return names;
}

Status PosixFileSystem::CreateDirectories(const std::string& path) {
  const std::string full = Full(path);
  for (std::size_t end = full.find('/', 1);; end = full.find('/', end + 1)) {
    const std::string part = full.substr(0, end);
    if (::mkdir(part.c_str(), 0755) == 0) {
      RUTILE_RETURN_IF_ERROR(SyncFullDirectory(ParentOf(part)));
    } else if (errno != EEXIST) {
      return Error("create directory", part, errno);
    }
    if (end == std::string::npos) return {};
  }
}

Status PosixFileSystem::SyncDirectory(const std::string& directory) {
  return SyncFullDirectory(Full(directory));
}

Result<std::unique_ptr<DirectoryLock>> PosixFileSystem::Lock(const std::string& path) {
  const std::string full = Full(path);
  Result<Descriptor> opened = OpenDescriptor(full, O_RDWR | O_CREAT);
  const bool may_only_read =
      access_ == Access::kRead && opened.status().code() == Code::kFailedPrecondition;
  if (may_only_read) {
    opened = OpenDescriptor(full, O_RDONLY);
    if (opened.status().code() == Code::kNotFound) {
      return std::unique_ptr<DirectoryLock>(new PosixLock(Descriptor(-1)));
    }
  }
  RUTILE_RETURN_IF_ERROR(opened.status());
  Descriptor descriptor = std::move(opened).value();
  if (::flock(descriptor.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return Error("lock", full, errno);
    char holder[32] = {};
    const ssize_t n = ::pread(descriptor.get(), holder, sizeof(holder) - 1, 0);
    return Status(Code::kAlreadyExists,
                  root_ + " is in use by process " +
                      (n > 0 ? std::string(holder, static_cast<std::size_t>(n)) : "(unknown)") +
                      "; stop that process or give another data directory");
  }
  if (may_only_read) return std::unique_ptr<DirectoryLock>(new PosixLock(std::move(descriptor)));
  const std::string pid = std::to_string(::getpid());
  if (::ftruncate(descriptor.get(), 0) != 0 ||
      ::pwrite(descriptor.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    return Error("write", full, errno);
  }
  return std::unique_ptr<DirectoryLock>(new PosixLock(std::move(descriptor)));
}

Result<std::uint64_t> PosixFileSystem::FreeBytes() {
  struct statvfs info {};
  if (::statvfs(root_.c_str(), &info) != 0) return Error("statvfs", root_, errno);
  return std::uint64_t{info.f_bavail} * info.f_frsize;
}

}  // namespace rutile::posix
