#include "wal/recovery.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace rutile::wal {
namespace {

class LogReader {
 public:
  LogReader(FileSystem& files, std::string directory, const LogVisitor& visitor)
      : files_(files), directory_(std::move(directory)), visitor_(visitor) {}

  Result<Recovered> Run() {
    RUTILE_ASSIGN_OR_RETURN(std::vector<std::uint64_t> numbers, ListDirectory());
    if (numbers.empty()) {
      // Numbers will start from 1 again, so no file with bytes of an earlier segment 1 may be left.
      std::swap(out_.leftovers, out_.spares);
      return std::move(out_);
    }
    RUTILE_RETURN_IF_ERROR(ScanNewest(numbers));
    if (out_.segments.empty()) return std::move(out_);
    RUTILE_RETURN_IF_ERROR(OpenOlder(numbers));
    RUTILE_RETURN_IF_ERROR(ReplayOlder());
    RUTILE_RETURN_IF_ERROR(ReplayNewest());
    RUTILE_RETURN_IF_ERROR(CheckRegions());
    return std::move(out_);
  }

 private:
  const Segment& newest() const { return *out_.segments.rbegin()->second; }
  std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  Status Report(FindingKind kind, const std::string& path, std::uint64_t offset,
                std::string_view what) const {
    return visitor_.on_finding(
        {.kind = kind, .path = path, .offset = offset, .what = std::string(what)});
  }

  Result<std::vector<std::uint64_t>> ListDirectory() {
    std::vector<std::uint64_t> numbers;
    RUTILE_ASSIGN_OR_RETURN(std::vector<std::string> names, files_.List(directory_));
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) {
      if (const auto number = NumberIn(name, kLogSuffix)) {
        numbers.push_back(*number);
      } else if (NumberIn(name, kSpareSuffix) || NumberIn(name, kNewSuffix)) {
        out_.spares.push_back(name);
      } else if (name != "lost+found") {
        RUTILE_RETURN_IF_ERROR(
            Report(FindingKind::kForeignFile, Path(name), 0, "a file that is not the log's"));
      }
    }
    return numbers;
  }

  // `*out` stays empty when the segment cannot be read and the visitor accepts that.
  Status OpenSegment(std::uint64_t number, std::shared_ptr<Segment>* out) {
    auto segment = std::make_shared<Segment>();
    segment->path = Path(FileName(number, kLogSuffix));
    Result<std::unique_ptr<File>> file = files_.Open(segment->path);
    if (!file.ok()) return Unreadable(segment->path, 0, file.status());
    segment->file = std::move(file).value();
    const Result<std::string> block = segment->file->ReadAt(0, kPageBytes);
    if (!block.ok()) return Unreadable(segment->path, 0, block.status());
    const Result<SegmentHeader> header = DecodeSegmentHeader(block.value());
    if (!header.ok()) {
      const bool damaged = header.status().code() == Code::kCorruption;
      return Report(damaged ? FindingKind::kBadHeader : FindingKind::kNewerFormat, segment->path, 0,
                    header.status().message());
    }
    segment->header = header.value();
    segment->signature = SignatureOf(number);
    if (segment->header.segment != number) {
      return Report(FindingKind::kBadHeader, segment->path, 0,
                    "the file is segment " + std::to_string(segment->header.segment) +
                        " by its header, not by its name");
    }
    const Result<std::uint64_t> size = segment->file->Size();
    if (!size.ok()) return Unreadable(segment->path, 0, size.status());
    if (size.value() < segment->header.bytes) {
      RUTILE_RETURN_IF_ERROR(Report(
          FindingKind::kShortFile, segment->path, size.value(),
          "the file was cut short; it had " + std::to_string(segment->header.bytes) + " bytes"));
    }
    *out = std::move(segment);
    return Status();
  }

  Status Unreadable(const std::string& path, std::uint64_t offset, const Status& why) const {
    return Report(FindingKind::kUnreadable, path, offset, why.message());
  }

  // Its headers tell which segments are part of the log, so it is read first and replayed last.
  Status ScanNewest(const std::vector<std::uint64_t>& numbers) {
    std::shared_ptr<Segment> segment;
    for (auto number = numbers.rbegin(); number != numbers.rend() && !segment; ++number) {
      RUTILE_RETURN_IF_ERROR(OpenSegment(*number, &segment));
    }
    if (!segment) return Status();
    const std::uint64_t number = segment->header.segment;
    out_.segments.emplace(number, segment);
    Result<std::string> image = segment->file->ReadAt(0, segment->header.bytes);
    if (!image.ok()) {
      RUTILE_RETURN_IF_ERROR(Unreadable(segment->path, 0, image.status()));
      out_.end.first_live = segment->header.first_live;
    } else {
      out_.newest_image = std::move(image).value();
      const LogVisitor keep{.on_finding = visitor_.on_finding,
                            .on_batch = [&](const Segment&, const ScannedBatch& batch) {
                              newest_batches_.push_back(batch);
                              return Status();
                            }};
      RUTILE_ASSIGN_OR_RETURN(out_.end,
                              ScanSegment(*segment, out_.newest_image, std::nullopt, keep));
    }
    if (out_.end.first_live == 0 || out_.end.first_live > number) {
      out_.end.first_live = numbers.front();
      return Report(FindingKind::kBadHeader, segment->path, 0,
                    "it says that it is not part of the log itself");
    }
    return Status();
  }

  Status OpenOlder(const std::vector<std::uint64_t>& numbers) {
    const std::uint64_t newest_number = newest().header.segment;
    std::uint64_t expected = out_.end.first_live;
    for (const std::uint64_t number : numbers) {
      if (number > newest_number) break;
      if (number < out_.end.first_live) {
        out_.leftovers.push_back(FileName(number, kLogSuffix));
        RUTILE_RETURN_IF_ERROR(Report(FindingKind::kLeftover, Path(FileName(number, kLogSuffix)), 0,
                                      "a segment that is not part of the log any more"));
        continue;
      }
      if (number != expected) RUTILE_RETURN_IF_ERROR(ReportMissing(expected, number));
      expected = number + 1;
      if (number == newest_number) continue;
      std::shared_ptr<Segment> segment;
      RUTILE_RETURN_IF_ERROR(OpenSegment(number, &segment));
      if (segment) out_.segments[number] = std::move(segment);
    }
    return Status();
  }

  Status ReportMissing(std::uint64_t first, std::uint64_t next) const {
    std::string what = "the file is missing";
    if (next - first > 1) what += ", and all up to " + FileName(next - 1, kLogSuffix);
    return Report(FindingKind::kMissingSegment, Path(FileName(first, kLogSuffix)), 0, what);
  }

  Status Apply(const Segment& segment, const ScannedBatch& batch) {
    if (visitor_.on_batch) RUTILE_RETURN_IF_ERROR(visitor_.on_batch(segment, batch));
    std::uint64_t block = batch.payload_offset;
    auto holed = batch.holed.begin();
    for (std::size_t i = 0; i < batch.items.size(); ++i) {
      const Item& item = batch.items[i];
      const std::uint64_t at = std::exchange(block, block + item.block_bytes);
      if (holed != batch.holed.end() && *holed == i) {
        out_.index.MarkLost(segment.header.segment, at);
        ++holed;
      }
      if (IsBeyondBelief(item)) continue;
      if (Status status = out_.index.Apply(item, segment.header.segment, at); !status.ok()) {
        out_.contradicted.insert(item.region);
        RUTILE_RETURN_IF_ERROR(
            Report(FindingKind::kContradiction, segment.path, batch.offset, status.message()));
      }
    }
    return Status();
  }

  // After a contradiction only a record with which the region begins anew can be understood.
  bool IsBeyondBelief(const Item& item) {
    if (!out_.contradicted.contains(item.region)) return false;
    const RegionIndex* known = out_.index.Find(item.region);
    const bool anew = item.clean || item.reset || known == nullptr || known->peer != item.peer;
    if (anew) out_.contradicted.erase(item.region);
    return !anew;
  }

  Status ReplayOlder() {
    std::string image;
    for (auto it = out_.segments.begin(); std::next(it) != out_.segments.end(); ++it) {
      const Segment& segment = *it->second;
      RUTILE_RETURN_IF_ERROR(CheckSequence(segment));
      sequence_ = 0;
      std::optional<std::uint64_t> end;
      const Segment& next = *std::next(it)->second;
      if (next.header.segment == segment.header.segment + 1) end = next.header.previous_end;
      const std::uint64_t bytes =
          std::min(end.value_or(segment.header.bytes), segment.header.bytes);
      if (const Status read = segment.file->ReadInto(0, bytes, &image); !read.ok()) {
        RUTILE_RETURN_IF_ERROR(Unreadable(segment.path, 0, read));
        continue;
      }
      const LogVisitor apply{.on_finding = visitor_.on_finding,
                             .on_batch = [&](const Segment&, const ScannedBatch& batch) {
                               return Apply(segment, batch);
                             }};
      RUTILE_ASSIGN_OR_RETURN(const SegmentEnd scanned, ScanSegment(segment, image, end, apply));
      if (scanned.whole && end) sequence_ = scanned.next_sequence;
    }
    return CheckSequence(newest());
  }

  Status CheckSequence(const Segment& segment) const {
    if (sequence_ == 0 || sequence_ == segment.header.first_batch) return Status();
    return Report(FindingKind::kWrongSequence, segment.path, 0,
                  "it begins with batch " + std::to_string(segment.header.first_batch) +
                      ", the one before ends with batch " + std::to_string(sequence_ - 1));
  }

  Status ReplayNewest() {
    for (const ScannedBatch& batch : newest_batches_) {
      RUTILE_RETURN_IF_ERROR(Apply(newest(), batch));
    }
    return Status();
  }

  Status CheckRegions() {
    for (const auto& [id, region] : out_.index.regions()) {
      if (out_.contradicted.contains(id)) continue;
      const Status status = LogIndex::CheckComplete(id, region);
      if (status.ok()) continue;
      out_.contradicted.insert(id);
      RUTILE_RETURN_IF_ERROR(
          Report(FindingKind::kIncompleteRegion, newest().path, out_.end.end, status.message()));
    }
    return Status();
  }

  FileSystem& files_;
  const std::string directory_;
  const LogVisitor& visitor_;
  Recovered out_;
  std::vector<ScannedBatch> newest_batches_;
  // Of the batch with which the next segment must begin. Zero: nobody knows.
  std::uint64_t sequence_ = 0;
};

}  // namespace

Result<Recovered> ReadLog(FileSystem& files, const std::string& directory,
                          const LogVisitor& visitor) {
  return LogReader(files, directory, visitor).Run();
}

Result<Recovered> Recover(FileSystem& files, const Options& options) {
  const LogVisitor visitor{.on_finding = [](const Finding& finding) {
    return finding.StopsNode() ? ToStatus(finding) : Status();
  }};
  RUTILE_ASSIGN_OR_RETURN(Recovered recovered, ReadLog(files, options.directory, visitor));
  // What was read may be only in the system's cache: after a failed sync it counts there as
  // written, and no later sync brings it to the disk. Writing it again does.
  if (!recovered.segments.empty()) {
    const Segment& newest = *recovered.segments.rbegin()->second;
    const std::string_view image(recovered.newest_image);
    RUTILE_RETURN_IF_ERROR(newest.file->WriteAt(0, image.substr(0, recovered.end.end))
                               .WithContext("write of " + newest.path));
    RUTILE_RETURN_IF_ERROR(newest.file->Sync().WithContext("sync of " + newest.path));
  }
  recovered.newest_image = std::string();
  return recovered;
}

}  // namespace rutile::wal
