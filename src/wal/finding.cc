#include "wal/finding.h"

namespace rutile::wal {
namespace {

constexpr std::string_view kReplaceNode =
    "check the disk, and leave this node stopped until it can be replaced: its peers go on without "
    "it; a node without peers needs a backup";
constexpr std::string_view kPutBack =
    "if files were copied from another node or another time, put all of the data directory back as "
    "it was; otherwise check the disk, and leave this node stopped until it can be replaced";
constexpr std::string_view kBringBack =
    "check the disk; a node that starts on this log has what it still needs of them brought back "
    "by its peers";

}  // namespace

std::string_view Name(FindingKind kind) {
  switch (kind) {
    case FindingKind::kForeignFile: return "foreign-file";
    case FindingKind::kMissingSegment: return "missing-segment";
    case FindingKind::kLeftover: return "leftover";
    case FindingKind::kUnreadable: return "unreadable";
    case FindingKind::kNewerFormat: return "newer-format";
    case FindingKind::kBadHeader: return "bad-header";
    case FindingKind::kShortFile: return "short-file";
    case FindingKind::kMissingBatch: return "missing-batch";
    case FindingKind::kBrokenBatch: return "broken-batch";
    case FindingKind::kHoledBatch: return "holed-batch";
    case FindingKind::kMisplacedBatch: return "misplaced-batch";
    case FindingKind::kTornTail: return "torn-tail";
    case FindingKind::kUnsearched: return "unsearched";
    case FindingKind::kWrongSequence: return "wrong-sequence";
    case FindingKind::kContradiction: return "contradiction";
    case FindingKind::kIncompleteRegion: return "incomplete-region";
  }
  RUTILE_UNREACHABLE();
}

std::string ToString(const Finding& finding) {
  std::string line(Name(finding.kind));
  line.append(" ").append(finding.path);
  line.append(" at offset ").append(std::to_string(finding.offset));
  line.append(": ").append(finding.what);
  return line.append("; do: ").append(Remedy(finding));
}

std::string_view Remedy(const Finding& finding) {
  switch (finding.kind) {
    case FindingKind::kForeignFile: return "move it elsewhere";
    case FindingKind::kNewerFormat: return "start the newer build";
    case FindingKind::kUnreadable:
      return "mend what the system names, then verify again; a disk that fails is copied first";
    case FindingKind::kLeftover:
    case FindingKind::kTornTail: return "nothing, the next start puts it in order";
    case FindingKind::kMissingSegment:
    case FindingKind::kMisplacedBatch:  // No disk does that by itself.
    case FindingKind::kWrongSequence:
    case FindingKind::kContradiction:
    case FindingKind::kIncompleteRegion: return kPutBack;
    case FindingKind::kHoledBatch: return kBringBack;
    case FindingKind::kBadHeader:
    case FindingKind::kShortFile:
    case FindingKind::kMissingBatch:
    case FindingKind::kBrokenBatch:
    case FindingKind::kUnsearched: return kReplaceNode;
  }
  RUTILE_UNREACHABLE();
}

Status ToStatus(const Finding& finding) {
  RUTILE_CHECK(finding.IsDamage());
  switch (finding.kind) {
    case FindingKind::kForeignFile:
      return Status(Code::kFailedPrecondition,
                    "the log's directory holds a file that is not the log's: " + finding.path +
                        "; move it elsewhere and start again");
    case FindingKind::kNewerFormat:
      return Status(Code::kFailedPrecondition, finding.path + ": " + finding.what);
    case FindingKind::kUnreadable: return Status(Code::kIoError, finding.what);
    default: return CorruptionAt(finding.path, finding.offset, finding.what);
  }
}

Status CorruptionAt(const std::string& path, std::uint64_t offset, std::string_view finding) {
  return Status(
      Code::kCorruption,
      "the log is damaged: " + path + " at offset " + std::to_string(offset) + ": " +
          std::string(finding) +
          ". The node does not start, because what it had acknowledged is not all "
          "there. Check the disk, and leave this node stopped until it can be replaced: its "
          "peers go on without it; a node without peers needs a backup");
}

}  // namespace rutile::wal
