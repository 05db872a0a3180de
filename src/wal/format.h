#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/small_vector.h"
#include "base/status.h"

// The bytes of the log. docs/formats/wal.md describes them; nothing else in this room knows them,
// but for the blocks of entries (entry_block.h).
namespace rutile::wal {

// What is written. Version 1 had no compressed blocks, and is read.
constexpr std::uint32_t kFormatVersion = 2;
constexpr std::uint32_t kOldestFormatVersion = 1;
// The header block, and the unit in which segments are written: whole pages, so that appending to
// a recycled file never makes the kernel read an old page first.
constexpr std::uint64_t kPageBytes = 4096;
constexpr std::uint64_t kFirstBatchOffset = kPageBytes;
constexpr std::size_t kBatchHeaderBytes = 48;
constexpr std::uint64_t kBatchAlignment = 8;

// Segments are numbered from 1 and no number is ever used twice: checksums are seeded with a value
// made from it, so that what an earlier life of a recycled file left behind never verifies.
std::uint32_t SignatureOf(std::uint64_t segment);

// The first block of a segment. Durable before the file gets its name.
struct SegmentHeader {
  std::uint32_t version = kFormatVersion;
  std::uint64_t segment = 0;
  std::uint64_t bytes = 0;        // Size of the file.
  std::uint64_t first_batch = 0;  // Sequence number of the first batch in it.
  // Where the log ends in the segment before this one. Everything up to there was durable before
  // this header was written; everything behind it is void. Zero when there is none before.
  std::uint64_t previous_end = 0;
  // Segments below this number are not part of the log any more.
  std::uint64_t first_live = 0;

  friend bool operator==(const SegmentHeader&, const SegmentHeader&) = default;
};
std::string EncodeSegmentHeader(const SegmentHeader& header);
// kCorruption when the bytes do not verify; kFailedPrecondition when a newer version wrote them.
Result<SegmentHeader> DecodeSegmentHeader(std::string_view bytes);

struct BatchHeader {
  std::uint32_t items_bytes = 0;
  std::uint32_t payload_bytes = 0;
  std::uint32_t items_crc = 0;
  std::uint32_t item_count = 0;
  std::uint64_t sequence = 0;
  // Everything of this file before this offset was synced when the batch was written.
  std::uint64_t synced_to = 0;
  std::uint64_t first_live = 0;  // As in the segment's header, at the time of the batch.

  // From the first byte of the header to the next batch.
  std::uint64_t TotalBytes() const;
  friend bool operator==(const BatchHeader&, const BatchHeader&) = default;
};
// The header binds itself to the segment (`signature`) and to its place in it.
std::string EncodeBatchHeader(const BatchHeader& header, std::uint32_t signature,
                              std::uint64_t offset);
enum class HeaderState : std::uint8_t {
  kForeign,  // Not begun by this life of the file: zeroes, or what an earlier one left.
  kDamaged,  // Begun, and does not verify.
  kValid,
};
// `bytes` holds at least kBatchHeaderBytes; `out` is set when the answer is kValid.
HeaderState DecodeBatchHeader(std::string_view bytes, std::uint32_t signature, std::uint64_t offset,
                              BatchHeader* out);

// Consecutive entries of one term.
struct EntryRun {
  Term term = {};
  std::uint32_t count = 0;

  friend bool operator==(const EntryRun&, const EntryRun&) = default;
};
// Nearly always one.
using EntryRuns = SmallVector<EntryRun, 1>;

// What a batch says of one region. Every item names the log's two ends, so that the log can be put
// together from any segment on, and so that a record that contradicts the ones before it is found.
struct Item {
  RegionId region = {};
  PeerId peer = {};
  Term term = {};
  std::uint64_t epoch = 0;
  bool reset = false;
  bool cut = false;
  bool clean = false;
  bool compact = false;
  // Copies of entries that are part of the log, written so that an old segment can go. Cuts
  // nothing; `last` is where the region's log ends.
  bool moved = false;
  LogId base = {};  // Of the region's log after this item.
  // The log ends here before the item's entries are appended. For `moved`: what the copies follow.
  LogId prev = {};
  LogId last = {};  // Only for `moved`; elsewhere it follows from prev and runs.
  std::optional<std::string> state = {};
  EntryRuns runs = {};
  std::uint32_t block_bytes = 0;  // Of the payload block; zero without entries.

  std::uint64_t EntryCount() const;
  // The last entry that the item brings, or prev.
  LogId LastEntry() const;
  friend bool operator==(const Item&, const Item&) = default;
};
void PutItem(std::string* out, const Item& item);
// What PutItem appends has no more than this, whatever the numbers in it are.
std::size_t MostItemBytes(const Item& item);
// Nothing when `items` is not exactly `count` items.
std::optional<std::vector<Item>> DecodeItems(std::string_view items, std::uint32_t count);

// What segments are called: sixteen hexadecimal digits, so that names sort as the numbers do, and
// one of three endings.
constexpr std::string_view kLogSuffix = ".log";      // Part of the log.
constexpr std::string_view kSpareSuffix = ".spare";  // Was part of it; ready for reuse.
constexpr std::string_view kNewSuffix = ".new";      // Written full of zeroes, or being so.
std::string FileName(std::uint64_t number, std::string_view suffix);
// Nothing for a name of another form.
std::optional<std::uint64_t> NumberIn(std::string_view name, std::string_view suffix);

}  // namespace rutile::wal
