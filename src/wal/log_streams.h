#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "env/env.h"
#include "wal/wal.h"

namespace rutile::wal {

// Where stream number `stream` is kept: the first in `directory` itself, so that a log of one
// stream is what it would be without streams, the others beside it.
std::string StreamDirectory(const std::string& directory, std::size_t stream);
// In which of `streams` a region's entries are: its home.
std::size_t HomeOf(RegionId region, std::size_t streams);

// The logs of one node: one or more streams, each with a directory, a writer and a thread of its
// own, which may be on disks of their own. What is written for a region goes to one of them, its
// home, in the order in which it was submitted; between regions of different streams there is no
// order. A region's home follows from its id and the number of streams, and so changes with that
// number only, at start, when nothing is under way.
//
// Open and Start once each; the rest is safe from any thread.
class LogStreams {
 public:
  // How many streams there were, by the node's record, and how many there are to be.
  struct Count {
    std::size_t recorded = 1;
    std::size_t wanted = 1;
  };
  // Puts the number of streams on record, durably: from then on a log that is missing is missed.
  using Record = std::function<Status(std::size_t)>;
  struct Opened {
    std::unique_ptr<LogStreams> logs;
    std::map<RegionId, RegionLog> regions;  // Of all streams.
    std::uint64_t dropped_tail_bytes = 0;
  };

  // Recovers every stream, and moves the regions that are not at home. The same bounds and errors
  // as Wal::Open; kCorruption also for a stream that is on record and has no directory or files: a
  // disk that was not mounted is not taken for one that is new. After a crash at any place it is
  // called again, with any number.
  static Result<Opened> Open(FileSystem& files, const Options& options, Count count,
                             const Record& record);
  // A log of one stream, without a record.
  static Result<Opened> Open(FileSystem& files, const Options& options) {
    return Open(files, options, {}, nullptr);
  }

  // Gives each stream its writer; `executors` are as many as there are streams. The executors'
  // tasks end before this object does. `on_batch` is called by all of them.
  void Start(const std::vector<Executor*>& executors, const Clock& clock,
             const LogWriter::Options& options,
             const std::function<void(const Status&)>& on_failure,
             const std::function<void(const LogWriter::BatchReport&)>& on_batch);

  // Of the region's home.
  Wal& WalOf(RegionId region) { return *streams_[HomeOf(region, streams_.size())].wal; }
  LogWriter& WriterOf(RegionId region) { return *streams_[HomeOf(region, streams_.size())].writer; }

  // As those of the single log and writer, over all.
  std::map<RegionId, Index> PinningRegions() const;
  std::size_t pending_bytes() const;
  Status space() const;

 private:
  struct Stream {
    std::unique_ptr<Wal> wal;
    std::unique_ptr<LogWriter> writer;  // Goes before its log.
  };
  explicit LogStreams(std::vector<Stream> streams) : streams_(std::move(streams)) {}

  std::vector<Stream> streams_;
};

}  // namespace rutile::wal
