#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace rutile::wal {

// What reading a log may come upon.
enum class FindingKind : std::uint8_t {
  // Of the directory.
  kForeignFile,     // A file that is not the log's.
  kMissingSegment,  // One or more in a row.
  kLeftover,        // A segment that the log had given up before a crash.
  // Of one segment's file and header.
  kUnreadable,  // The system does not give the bytes.
  kNewerFormat,
  kBadHeader,
  kShortFile,
  // Of one place in a segment.
  kMissingBatch,
  kBrokenBatch,
  kHoledBatch,  // It is known whose entries it has, and some of them do not verify.
  kMisplacedBatch,
  kTornTail,    // What a crash left behind the end of the log; it was never acknowledged.
  kUnsearched,  // So much damage in one segment that the rest of it was not looked at.
  // Of what the records say together.
  kWrongSequence,     // A segment does not continue the one before.
  kContradiction,     // A record does not follow from those before it.
  kIncompleteRegion,  // Entries between a region's base and last are nowhere.
};

struct Finding {
  FindingKind kind = {};
  std::string path = {};
  std::uint64_t offset = 0;
  std::string what = {};

  // With it the log is not all that it was. Otherwise a start puts it in order.
  bool IsDamage() const { return kind != FindingKind::kTornTail && kind != FindingKind::kLeftover; }
  // With it no log opens: nobody knows what is missing. Damage without this costs entries that are
  // known (RegionLog::lost), and their region's peers have them.
  bool StopsNode() const { return IsDamage() && kind != FindingKind::kHoledBatch; }
};

// "broken-batch": for people and scripts.
std::string_view Name(FindingKind kind);
// "broken-batch wal/0000000000000001.log at offset 4096: <what>; do: <remedy>"
std::string ToString(const Finding& finding);
// What a person should do about it.
std::string_view Remedy(const Finding& finding);
// As the error with which a node does not start: where, what and what to do. Requires IsDamage().
Status ToStatus(const Finding& finding);
// Damage to what was durable.
Status CorruptionAt(const std::string& path, std::uint64_t offset, std::string_view finding);

}  // namespace rutile::wal
