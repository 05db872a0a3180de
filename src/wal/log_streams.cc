#include "wal/log_streams.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "base/probe.h"
#include "wal/region_copy.h"

namespace rutile::wal {
namespace {

// What is read of a region at once while it moves.
constexpr std::size_t kReadBytes = std::size_t{16} << 20;

// What recovery found in one stream.
using Found = std::map<RegionId, RegionLog>;

Status Missing(const std::string& directory) {
  return Status(Code::kCorruption,
                directory +
                    ": this node keeps a part of its log here, and there is none; mount the disk "
                    "that it was on, or put back all of the data directory as it was");
}

// Files of a stream that was given up. They hold nothing: all regions had moved before the record
// said that the stream is gone.
Status RemoveFiles(FileSystem& files, const std::string& directory) {
  Result<std::vector<std::string>> names = files.List(directory);
  if (names.status().code() == Code::kNotFound) return {};
  RUTILE_RETURN_IF_ERROR(names.status());
  if (names.value().empty()) return {};
  const std::string below = directory + "/";
  for (const std::string& name : names.value()) {
    if (name == "lost+found") continue;
    RUTILE_RETURN_IF_ERROR(files.Remove(below + name));
  }
  return files.SyncDirectory(directory);
}

bool HasFiles(FileSystem& files, const std::string& directory) {
  const Result<std::vector<std::string>> names = files.List(directory);
  return names.ok() && std::any_of(names.value().begin(), names.value().end(),
                                   [](const std::string& name) { return name != "lost+found"; });
}

// The region's whole log as one write. It must fit into one batch, which is there whole or not at
// all: so of two copies that a crash has left each is as good as the other.
Result<RegionWrite> WholeLog(Wal& wal, RegionId region, const RegionLog& log) {
  if (log.lost) {
    return Status(Code::kCorruption,
                  log.lost->path + " at offset " + std::to_string(log.lost->offset) +
                      ": entries of region " + ToString(region) +
                      " are lost, which cannot move to another stream; start with as many streams "
                      "as before, and the region asks its peers for them");
  }
  RegionWrite write{.region = region, .peer = log.peer, .term = log.last.term};
  write.slice.prev = log.base;
  std::size_t bytes = 0;
  while (write.slice.last().index < log.last.index) {
    RUTILE_ASSIGN_OR_RETURN(LogSlice slice,
                            wal.Read(region, write.slice.last().index, log.last.index, kReadBytes));
    for (const Entry& entry : slice.entries) bytes += entry.payload.size();
    if (bytes > kMaxCopyBytes) {
      return Status(Code::kResourceExhausted,
                    "the log of region " + ToString(region) + " has more than " +
                        std::to_string(kMaxCopyBytes) +
                        " bytes of entries and cannot move to another stream; start with as many "
                        "streams as before until it is shorter");
    }
    std::move(slice.entries.begin(), slice.entries.end(), std::back_inserter(write.slice.entries));
  }
  if (!log.state.empty()) write.state = log.state;
  return write;
}

// Streams as they are found, more than there are to be while the number falls.
class Mover {
 public:
  Mover(std::vector<std::unique_ptr<Wal>>& wals, std::vector<Found>& found, std::size_t wanted)
      : wals_(wals), found_(found), wanted_(wanted) {}

  // Every region is durably at home before it goes anywhere else; until then nothing is appended.
  Status Run() {
    std::vector<std::pair<std::size_t, RegionId>> away;
    std::vector<bool> written(wals_.size(), false);
    for (std::size_t from = 0; from < wals_.size(); ++from) {
      for (const auto& [region, log] : found_[from]) {
        const std::size_t home = HomeOf(region, wanted_);
        if (home == from) continue;
        away.emplace_back(from, region);
        if (found_[home].contains(region)) {
          RUTILE_SOMETIMES(true,
                           "wal: a crash came between a region's move and the end of its old log");
          continue;
        }
        RUTILE_ASSIGN_OR_RETURN(RegionWrite write, WholeLog(*wals_[from], region, log));
        RUTILE_RETURN_IF_ERROR(wals_[home]->Write({std::move(write)}));
        found_[home].emplace(region, log);
        written[home] = true;
      }
    }
    RUTILE_SOMETIMES(!away.empty(), "wal: regions move to other streams");
    RUTILE_RETURN_IF_ERROR(SyncThose(written));
    written.assign(wals_.size(), false);
    for (const auto& [from, region] : away) {
      const PeerId peer = found_[from].at(region).peer;
      RUTILE_RETURN_IF_ERROR(
          wals_[from]->Write({RegionWrite{.region = region, .peer = peer, .clean = true}}));
      found_[from].erase(region);
      written[from] = true;
    }
    return SyncThose(written);
  }

 private:
  Status SyncThose(const std::vector<bool>& written) {
    for (std::size_t i = 0; i < wals_.size(); ++i) {
      if (written[i]) RUTILE_RETURN_IF_ERROR(wals_[i]->Sync());
    }
    return {};
  }

  std::vector<std::unique_ptr<Wal>>& wals_;
  std::vector<Found>& found_;
  const std::size_t wanted_;
};

}  // namespace

std::string StreamDirectory(const std::string& directory, std::size_t stream) {
  return stream == 0 ? directory : directory + "." + std::to_string(stream);
}

std::size_t HomeOf(RegionId region, std::size_t streams) { return region.value() % streams; }

Result<LogStreams::Opened> LogStreams::Open(FileSystem& files, const Options& options, Count count,
                                            const Record& record) {
  RUTILE_CHECK(count.recorded > 0 && count.wanted > 0);
  Opened opened;
  std::vector<std::unique_ptr<Wal>> wals;
  std::vector<Found> found;
  for (std::size_t i = 0; i < std::max(count.recorded, count.wanted); ++i) {
    Options own = options;
    own.directory = StreamDirectory(options.directory, i);
    // A whole region may have to go into one batch.
    own.max_record_bytes = std::max(options.max_record_bytes, kMaxCopyBytes);
    if (i >= count.recorded) {
      RUTILE_RETURN_IF_ERROR(RemoveFiles(files, own.directory));
    } else if (count.recorded > 1 && !HasFiles(files, own.directory)) {
      return Missing(own.directory);
    }
    RUTILE_ASSIGN_OR_RETURN(Wal::Opened one, Wal::Open(files, own));
    opened.dropped_tail_bytes += one.dropped_tail_bytes;
    wals.push_back(std::move(one.wal));
    found.push_back(std::move(one.regions));
  }
  if (count.wanted > count.recorded) RUTILE_RETURN_IF_ERROR(record(count.wanted));
  RUTILE_RETURN_IF_ERROR(Mover(wals, found, count.wanted).Run());
  if (count.wanted < count.recorded) {
    RUTILE_RETURN_IF_ERROR(record(count.wanted));
    wals.resize(count.wanted);
    for (std::size_t i = count.wanted; i < count.recorded; ++i) {
      RUTILE_RETURN_IF_ERROR(RemoveFiles(files, StreamDirectory(options.directory, i)));
    }
  }
  std::vector<Stream> streams;
  streams.reserve(wals.size());
  for (std::unique_ptr<Wal>& wal : wals) streams.push_back({.wal = std::move(wal), .writer = {}});
  for (Found& one : found) opened.regions.merge(one);
  opened.logs.reset(new LogStreams(std::move(streams)));
  return opened;
}

void LogStreams::Start(const std::vector<Executor*>& executors, const Clock& clock,
                       const LogWriter::Options& options,
                       const std::function<void(const Status&)>& on_failure,
                       const std::function<void(const LogWriter::BatchReport&)>& on_batch) {
  RUTILE_CHECK(executors.size() == streams_.size());
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    LogWriter::OnBatch report = nullptr;
    if (on_batch) report = [on_batch](const LogWriter::BatchReport& batch) { on_batch(batch); };
    streams_[i].writer = std::make_unique<LogWriter>(
        *streams_[i].wal, *executors[i], clock, options,
        [on_failure](const Status& status) { on_failure(status); }, std::move(report));
  }
}

std::map<RegionId, Index> LogStreams::PinningRegions() const {
  std::map<RegionId, Index> all;
  for (const Stream& stream : streams_) all.merge(stream.wal->PinningRegions());
  return all;
}

std::size_t LogStreams::pending_bytes() const {
  std::size_t bytes = 0;
  for (const Stream& stream : streams_) bytes += stream.writer->pending_bytes();
  return bytes;
}

Status LogStreams::space() const {
  for (const Stream& stream : streams_) RUTILE_RETURN_IF_ERROR(stream.writer->space());
  return {};
}

}  // namespace rutile::wal
