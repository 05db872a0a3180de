#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "env/env.h"
#include "wal/format.h"
#include "wal/wal.h"

namespace rutile::wal {

// One file of the log. The header and the file never change; `retired` is set before the file is
// given up, so that a reader that finds foreign bytes knows why.
struct Segment {
  SegmentHeader header = {};
  std::string path = {};
  std::unique_ptr<File> file = {};
  std::uint32_t signature = 0;
  std::atomic<bool> retired = false;
};

// Makes segments out of spare files, and spare files out of segments. Belongs to one executor.
//
// A new file is written full of zeroes, synced, and only then used: syncing an overwrite is about
// twice as fast as syncing a file that grows. That costs as much as writing a segment, so it is
// done in small steps ahead of need.
class SegmentFiles {
 public:
  SegmentFiles(FileSystem& files, const Options& options) : files_(files), options_(options) {}

  std::string Path(const std::string& name) const { return options_.directory + "/" + name; }

  // Takes over a ".spare" or ".new" file found in the directory; removes it when it is of no use.
  Status Adopt(const std::string& name);
  // A segment that is not part of the log any more becomes a spare file, or goes when there are
  // enough. Durable only after SyncDirectory(): until then neither Begin() nor Adopt() may follow.
  Status Retire(std::uint64_t segment, std::uint64_t bytes);
  Status SyncDirectory();

  // Whether a spare file of this size is ready.
  bool Ready(std::uint64_t bytes) const;
  // Makes at least `bytes` more of the next spare file, when spares are wanting.
  // kResourceExhausted: no space; nothing that exists is touched by that.
  Status Prefill(std::uint64_t bytes);
  // How much there is of the spare file in the making.
  std::uint64_t prefilled() const { return filling_ ? filling_->done : 0; }
  bool wants_spare() const;
  // Has a spare of at least `bytes` ready afterwards. Errors as Prefill.
  Status Prepare(std::uint64_t bytes);

  // Turns the spare that Prepare() made ready into the segment that `header` describes
  // (header.bytes is filled in). When it returns OK the segment survives a power cut. Any error is
  // final: the file may or may not have its new name.
  Result<std::shared_ptr<Segment>> Begin(SegmentHeader header);

  std::size_t spares() const { return spares_.size(); }
  // Written by Prefill and Begin since the start.
  std::uint64_t written_bytes() const { return written_bytes_; }
  std::uint64_t syncs() const { return syncs_; }

 private:
  struct Spare {
    std::string name;
    std::uint64_t bytes = 0;
  };
  // A file that is being written full of zeroes.
  struct Filling {
    std::string name;
    std::unique_ptr<File> file;
    std::uint64_t bytes = 0;
    std::uint64_t done = 0;
  };

  Status StartFilling(std::uint64_t bytes);
  Status Fill(std::uint64_t bytes);
  void AbandonFilling();

  FileSystem& files_;
  const Options options_;
  std::deque<Spare> spares_;
  std::optional<Filling> filling_;
  std::uint64_t next_new_ = 1;  // For names of new files.
  std::uint64_t written_bytes_ = 0;
  std::uint64_t syncs_ = 0;
};

}  // namespace rutile::wal
