#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/random.h"
#include "base/status.h"
#include "base/task.h"
#include "base/time.h"

namespace rutile {

// Time as the node sees it. No code outside env/posix reads a clock by any other road.
//
// Safe for use from any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  // Never goes back.
  virtual Instant Now() const = 0;
  // Milliseconds since the Unix epoch. May jump either way. For the timestamp oracle's physical
  // part, expiry of keys and for people; never for a timeout.
  virtual std::uint64_t WallMillis() const = 0;
};

// Runs tasks one at a time, in the order in which they were posted. One Executor is one logical
// thread: what runs on it needs no lock against what else runs on it.
//
// All are safe from any thread. Post and PostAfter never block or run the task inline. After the
// owner has shut an executor down, tasks posted to it are destroyed without being run.
class Executor {
 public:
  virtual ~Executor() = default;
  virtual void Post(Task task) = 0;
  // As Post; but an idle executor may run the task before this returns, on the caller's thread,
  // which saves a hand-off. The caller holds no lock that the task could want.
  virtual void Dispatch(Task task) { Post(std::move(task)); }
  // Runs `task` not before `delay` has gone by. Order among delayed tasks is by due time.
  virtual void PostAfter(Duration delay, Task task) = 0;
};

// A file open for positional reading and writing. Used by one executor at a time, except that
// reading is safe beside anything.
class File {
 public:
  virtual ~File() = default;
  // Writes all of `data` at `offset`, growing the file as needed. After an error nothing is known
  // about the bytes of this range.
  virtual Status WriteAt(std::uint64_t offset, std::string_view data) = 0;
  // `*out` becomes up to `size` bytes of the file; fewer only at its end. Memory that it has is
  // used again, which for megabytes costs much less than new memory. After an error it may hold
  // anything.
  virtual Status ReadInto(std::uint64_t offset, std::size_t size, std::string* out) const = 0;
  Result<std::string> ReadAt(std::uint64_t offset, std::size_t size) const {
    std::string out;
    RUTILE_RETURN_IF_ERROR(ReadInto(offset, size, &out));
    return out;
  }
  virtual Result<std::uint64_t> Size() const = 0;
  virtual Status Truncate(std::uint64_t size) = 0;
  // On OK, all data written before survives a power cut (fdatasync). After an error nothing is
  // known about any byte written since the last successful Sync: the caller must stop using the
  // file and must never call Sync again to find out.
  virtual Status Sync() = 0;
};

// Keeps a directory to one process. Released on destruction or when the process dies.
class DirectoryLock {
 public:
  virtual ~DirectoryLock() = default;
};

// The files of one node, below the data directory that the implementation was given; paths are
// relative to it. Blocking: call it only on executors meant for it, never on a region's.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  // Opens an existing file; kNotFound when there is none.
  virtual Result<std::unique_ptr<File>> Open(const std::string& path) = 0;
  // Creates an empty file, or empties the one that is there.
  virtual Result<std::unique_ptr<File>> Create(const std::string& path) = 0;
  virtual Result<std::string> ReadAll(const std::string& path) = 0;
  virtual Status Rename(const std::string& from, const std::string& to) = 0;
  virtual Status Remove(const std::string& path) = 0;
  virtual bool Exists(const std::string& path) = 0;
  // Names (not paths) in `directory`, sorted.
  virtual Result<std::vector<std::string>> List(const std::string& directory) = 0;
  // Creates the directory and its parents; OK when it is there already. What it creates survives a
  // power cut.
  virtual Status CreateDirectories(const std::string& path) = 0;
  // Makes creations, renames and removals in `directory` survive a power cut.
  virtual Status SyncDirectory(const std::string& directory) = 0;
  // kAlreadyExists with the holder's process id in the message when another process has it.
  virtual Result<std::unique_ptr<DirectoryLock>> Lock(const std::string& path) = 0;
  // Bytes that can still be written to the disk below.
  virtual Result<std::uint64_t> FreeBytes() = 0;
};

// Replaces `path` by `contents` in one step that survives a power cut at any moment: either the old
// or the new contents are read afterwards. `directory` is the one that `path` lies in.
Status WriteFileAtomically(FileSystem& files, const std::string& directory, const std::string& name,
                           std::string_view contents);

// Carries messages between stores. May drop, delay, duplicate and reorder; never corrupts, never
// delivers to the wrong store. There is no error to return: silence is the only failure.
class Transport {
 public:
  // Runs on a thread of the transport and must not block; it may send in turn. `message` is valid
  // during the call.
  using Receiver = UniqueFunction<void(StoreId from, std::string_view message)>;

  virtual ~Transport() = default;
  // Called once, before the first message may arrive.
  virtual void Start(Receiver receiver) = 0;
  // Never blocks. A full queue drops the message. Safe from any thread.
  virtual void Send(StoreId to, std::string message) = 0;
};

}  // namespace rutile
