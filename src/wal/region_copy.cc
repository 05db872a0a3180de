#include "wal/region_copy.h"

#include <iterator>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "codec/crc32c.h"
#include "codec/integers.h"
#include "wal/entry_block.h"
#include "wal/read_piece.h"
#include "wal/recovery.h"

namespace rutile::wal {
namespace {

constexpr std::string_view kMagic = "RutileRL";
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kPrefixBytes = 16;  // Magic, version, checksum.

Status Damaged(std::uint64_t offset, const std::string& what) {
  return Status(Code::kCorruption, "at offset " + std::to_string(offset) + ": " + what +
                                       "; export the region again, or take another copy of the "
                                       "file");
}

void PutLogId(std::string* out, const LogId& id) {
  codec::PutVarint(out, id.index.value());
  codec::PutVarint(out, id.term.value());
}

Status ReadEntries(codec::Reader& reader, std::uint64_t file_bytes, LogSlice* slice) {
  const std::uint64_t count = reader.Varint();
  Index index = slice->prev.index;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t at = file_bytes - reader.rest().size();
    Entry& entry = slice->entries.emplace_back();
    index = index.Next();
    entry.id = {.term = Term(reader.Varint()), .index = index};
    const std::optional<EntryType> type = EntryTypeOf(reader.Fixed8());
    entry.payload = Bytes::Copy(reader.Bytes());
    if (!reader.ok()) return Damaged(at, "entry " + ToString(index) + " is cut short");
    if (!type) return Damaged(at, "entry " + ToString(index) + " is of an unknown type");
    entry.type = *type;
  }
  return Status();
}

}  // namespace

std::string EncodeRegionCopy(const RegionCopy& copy) {
  std::string body;
  codec::PutFixed64(&body, 0);
  codec::PutVarint(&body, copy.region.value());
  codec::PutVarint(&body, copy.peer.value());
  codec::PutVarint(&body, copy.mark_term.value());
  codec::PutVarint(&body, copy.mark_epoch);
  PutLogId(&body, copy.slice.prev);
  codec::PutBytes(&body, copy.state);
  codec::PutVarint(&body, copy.slice.entries.size());
  for (const Entry& entry : copy.slice.entries) {
    codec::PutVarint(&body, entry.id.term.value());
    codec::PutFixed8(&body, static_cast<std::uint8_t>(entry.type));
    codec::PutBytes(&body, entry.payload.view());
  }
  std::string size;
  codec::PutFixed64(&size, kPrefixBytes + body.size());
  body.replace(0, size.size(), size);
  std::string out(kMagic);
  codec::PutFixed32(&out, kVersion);
  codec::PutFixed32(&out, codec::Crc32c(body));
  return out + body;
}

Result<RegionCopy> DecodeRegionCopy(std::string_view bytes) {
  codec::Reader reader(bytes);
  if (reader.Raw(kMagic.size()) != kMagic) {
    return Damaged(0, "this is not an exported log of a region");
  }
  const std::uint32_t version = reader.Fixed32();
  const std::uint32_t crc = reader.Fixed32();
  if (!reader.ok()) return Damaged(bytes.size(), "the file is cut short");
  if (version != kVersion) {
    return Status(Code::kFailedPrecondition, "at offset 8: written in format " +
                                                 std::to_string(version) + ", this build knows " +
                                                 std::to_string(kVersion) +
                                                 " only: use the newer build");
  }
  const std::string_view body = reader.rest();
  const std::uint64_t size = reader.Fixed64();
  if (!reader.ok() || size > bytes.size()) {
    return Damaged(bytes.size(),
                   "the file is cut short; it had " + std::to_string(size) + " bytes");
  }
  if (codec::Crc32c(body) != crc) return Damaged(12, "the file does not verify");
  RegionCopy copy;
  copy.region = RegionId(reader.Varint());
  copy.peer = PeerId(reader.Varint());
  copy.mark_term = Term(reader.Varint());
  copy.mark_epoch = reader.Varint();
  copy.slice.prev.index = Index(reader.Varint());
  copy.slice.prev.term = Term(reader.Varint());
  copy.state = reader.Bytes();
  RUTILE_RETURN_IF_ERROR(ReadEntries(reader, bytes.size(), &copy.slice));
  if (!reader.Done() || copy.region.IsZero() || !copy.slice.Validate()) {
    return Damaged(kPrefixBytes, "the file verifies and contradicts itself");
  }
  return copy;
}

Result<RegionCopy> CopyRegion(FileSystem& files, const std::string& directory, RegionId region) {
  const LogVisitor visitor{.on_finding = StopAtDamage};
  RUTILE_ASSIGN_OR_RETURN(const Recovered log, ReadLog(files, directory, visitor));
  const RegionIndex* const index = log.index.Find(region);
  if (index == nullptr) {
    return Status(Code::kNotFound, "the log has no region " + ToString(region) +
                                       "; `rutile wal stats` lists those that it has");
  }
  RegionCopy copy{.region = region,
                  .peer = index->peer,
                  .mark_term = index->mark_term,
                  .mark_epoch = index->mark_epoch,
                  .slice = {.prev = index->base},
                  .state = index->state};
  std::uint64_t bytes = 0;
  for (const Piece& piece : index->pieces) {
    RUTILE_ASSIGN_OR_RETURN(Entries entries,
                            ReadPiece(*log.segments.at(piece.segment), region, piece));
    for (const Entry& entry : entries) bytes += entry.payload.size();
    if (bytes > kMaxCopyBytes) {
      return Status(Code::kResourceExhausted,
                    "the log of region " + ToString(region) + " has more than " +
                        std::to_string(kMaxCopyBytes) +
                        " bytes of entries, which cannot be put back in one step; copy the whole "
                        "data directory instead");
    }
    std::move(entries.begin(), entries.end(), std::back_inserter(copy.slice.entries));
  }
  return copy;
}

Status ImportRegion(FileSystem& files, const Options& options, const RegionCopy& copy,
                    bool replace) {
  {
    // Before the log is opened, so that a refusal leaves every byte as it was.
    const LogVisitor visitor{.on_finding = StopAtDamage};
    RUTILE_ASSIGN_OR_RETURN(const Recovered log, ReadLog(files, options.directory, visitor));
    if (const RegionIndex* const known = log.index.Find(copy.region);
        known != nullptr && !replace) {
      return Status(Code::kAlreadyExists,
                    "the log has region " + ToString(copy.region) + " already, of peer " +
                        ToString(known->peer) + ", (" + ToString(known->base) + ", " +
                        ToString(known->last) +
                        "]; with --replace it is given up for the one in the file");
    }
  }
  Options wide = options;
  wide.max_record_bytes = kMaxCopyBytes;
  RUTILE_ASSIGN_OR_RETURN(const Wal::Opened opened, Wal::Open(files, wide));
  // One batch, which is what is there whole or not at all.
  const RegionWrite gone{.region = copy.region, .peer = copy.peer, .clean = true};
  RUTILE_RETURN_IF_ERROR(opened.wal->Write({gone,
                                            {.region = copy.region,
                                             .peer = copy.peer,
                                             .term = copy.mark_term,
                                             .epoch = copy.mark_epoch,
                                             .slice = copy.slice,
                                             .state = copy.state}}));
  return opened.wal->Sync();
}

}  // namespace rutile::wal
