#include "wal/recovery.h"

#include <algorithm>
#include <utility>

namespace rutile::wal {
namespace {

class Recovery {
 public:
  Recovery(FileSystem& files, const Options& options) : files_(files), options_(options) {}

  Result<Recovered> Run() {
    RUTILE_ASSIGN_OR_RETURN(std::vector<std::uint64_t> numbers, ListDirectory());
    if (numbers.empty()) {
      // Numbers will start from 1 again, so no file with bytes of an earlier segment 1 may be left.
      std::swap(out_.leftovers, out_.spares);
      return std::move(out_);
    }
    RUTILE_RETURN_IF_ERROR(ScanNewest(numbers.back()));
    RUTILE_RETURN_IF_ERROR(OpenOlder(numbers));
    RUTILE_RETURN_IF_ERROR(ReplayOlder());
    RUTILE_RETURN_IF_ERROR(ReplayNewest());
    if (Status status = out_.index.CheckComplete(); !status.ok()) {
      return CorruptionAt(newest().path, out_.end.end, status.message());
    }
    return std::move(out_);
  }

 private:
  const Segment& newest() const { return *out_.segments.rbegin()->second; }
  std::string Path(const std::string& name) const { return options_.directory + "/" + name; }

  Result<std::vector<std::uint64_t>> ListDirectory() {
    std::vector<std::uint64_t> numbers;
    RUTILE_ASSIGN_OR_RETURN(std::vector<std::string> names, files_.List(options_.directory));
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) {
      if (const auto number = NumberIn(name, kLogSuffix)) {
        numbers.push_back(*number);
      } else if (NumberIn(name, kSpareSuffix) || NumberIn(name, kNewSuffix)) {
        out_.spares.push_back(name);
      } else if (name != "lost+found") {
        return Status(Code::kFailedPrecondition,
                      "the log's directory holds a file that is not the log's: " + Path(name) +
                          "; move it elsewhere and start again");
      }
    }
    return numbers;
  }

  Result<std::shared_ptr<Segment>> OpenSegment(std::uint64_t number) {
    auto segment = std::make_shared<Segment>();
    segment->path = Path(FileName(number, kLogSuffix));
    RUTILE_ASSIGN_OR_RETURN(segment->file, files_.Open(segment->path));
    RUTILE_ASSIGN_OR_RETURN(const std::string block, segment->file->ReadAt(0, kPageBytes));
    const Result<SegmentHeader> header = DecodeSegmentHeader(block);
    if (!header.ok()) {
      if (header.status().code() == Code::kCorruption) {
        return CorruptionAt(segment->path, 0, header.status().message());
      }
      return header.status().WithContext(segment->path);
    }
    segment->header = header.value();
    segment->signature = SignatureOf(number);
    if (segment->header.segment != number) {
      return CorruptionAt(segment->path, 0,
                          "the file is segment " + std::to_string(segment->header.segment) +
                              " by its header, not by its name");
    }
    RUTILE_ASSIGN_OR_RETURN(const std::uint64_t size, segment->file->Size());
    if (size < segment->header.bytes) {
      return CorruptionAt(
          segment->path, size,
          "the file was cut short; it had " + std::to_string(segment->header.bytes) + " bytes");
    }
    return segment;
  }

  // Its headers tell which segments are part of the log, so it is read first and replayed last.
  Status ScanNewest(std::uint64_t number) {
    RUTILE_ASSIGN_OR_RETURN(const std::shared_ptr<Segment> segment, OpenSegment(number));
    RUTILE_ASSIGN_OR_RETURN(const std::string image,
                            segment->file->ReadAt(0, segment->header.bytes));
    RUTILE_ASSIGN_OR_RETURN(out_.end, ScanSegment(segment->path, segment->header, image,
                                                  std::nullopt, [&](const ScannedBatch& batch) {
                                                    newest_batches_.push_back(batch);
                                                    return Status();
                                                  }));
    if (out_.end.first_live == 0 || out_.end.first_live > number) {
      return CorruptionAt(segment->path, 0, "it says that it is not part of the log itself");
    }
    // What was read may be only in the system's cache: after a failed sync it counts there as
    // written, and no later sync brings it to the disk. Writing it again does.
    RUTILE_RETURN_IF_ERROR(
        segment->file->WriteAt(0, std::string_view(image).substr(0, out_.end.end))
            .WithContext("write of " + segment->path));
    RUTILE_RETURN_IF_ERROR(segment->file->Sync().WithContext("sync of " + segment->path));
    out_.segments.emplace(number, segment);
    return Status();
  }

  Status OpenOlder(const std::vector<std::uint64_t>& numbers) {
    std::uint64_t expected = out_.end.first_live;
    for (const std::uint64_t number : numbers) {
      if (number < out_.end.first_live) {
        out_.leftovers.push_back(FileName(number, kLogSuffix));
        continue;
      }
      if (number != expected) {
        return CorruptionAt(Path(FileName(expected, kLogSuffix)), 0, "the file is missing");
      }
      ++expected;
      if (out_.segments.contains(number)) continue;
      RUTILE_ASSIGN_OR_RETURN(out_.segments[number], OpenSegment(number));
    }
    return Status();
  }

  Status Apply(const Segment& segment, const ScannedBatch& batch) {
    std::uint64_t block = batch.payload_offset;
    for (const Item& item : batch.items) {
      if (Status status = out_.index.Apply(item, segment.header.segment, block); !status.ok()) {
        return CorruptionAt(segment.path, batch.offset, status.message());
      }
      block += item.block_bytes;
    }
    return Status();
  }

  Status ReplayOlder() {
    std::uint64_t sequence = 0;
    for (auto it = out_.segments.begin(); std::next(it) != out_.segments.end(); ++it) {
      const Segment& segment = *it->second;
      RUTILE_RETURN_IF_ERROR(CheckSequence(segment, sequence));
      const std::uint64_t end = std::next(it)->second->header.previous_end;
      RUTILE_ASSIGN_OR_RETURN(const std::string image,
                              segment.file->ReadAt(0, std::min(end, segment.header.bytes)));
      RUTILE_ASSIGN_OR_RETURN(
          const SegmentEnd scanned,
          ScanSegment(segment.path, segment.header, image, end,
                      [&](const ScannedBatch& batch) { return Apply(segment, batch); }));
      sequence = scanned.next_sequence;
    }
    return CheckSequence(newest(), sequence);
  }

  static Status CheckSequence(const Segment& segment, std::uint64_t sequence) {
    if (sequence == 0 || sequence == segment.header.first_batch) return Status();
    return CorruptionAt(segment.path, 0,
                        "it begins with batch " + std::to_string(segment.header.first_batch) +
                            ", the one before ends with batch " + std::to_string(sequence - 1));
  }

  Status ReplayNewest() {
    for (const ScannedBatch& batch : newest_batches_) {
      RUTILE_RETURN_IF_ERROR(Apply(newest(), batch));
    }
    return Status();
  }

  FileSystem& files_;
  const Options& options_;
  Recovered out_;
  std::vector<ScannedBatch> newest_batches_;
};

}  // namespace

Result<Recovered> Recover(FileSystem& files, const Options& options) {
  return Recovery(files, options).Run();
}

}  // namespace rutile::wal
