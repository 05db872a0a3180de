#include "wal/format.h"

#include <array>
#include <limits>

#include "codec/crc32c.h"
#include "codec/integers.h"

namespace rutile::wal {
namespace {

constexpr std::string_view kSegmentMagic = "RutileWL";
constexpr std::uint32_t kBatchMagic = 0x4C574252;  // "RBWL"
constexpr std::size_t kSegmentFieldBytes = 64;     // Of the header block; the rest is zero.

enum ItemFlag : std::uint8_t {
  kReset = 1,
  kCut = 2,
  kClean = 4,
  kCompact = 8,
  kState = 16,
  kEntries = 32,
  kMoved = 64,
};

void PutLogId(std::string* out, const LogId& id) {
  codec::PutVarint(out, id.index.value());
  codec::PutVarint(out, id.term.value());
}

LogId ReadLogId(codec::Reader& reader) {
  const Index index(reader.Varint());
  return {.term = Term(reader.Varint()), .index = index};
}

std::uint32_t BatchHeaderCrc(std::string_view fields, std::uint32_t signature,
                             std::uint64_t offset) {
  std::string place;
  codec::PutFixed64(&place, offset);
  return codec::Crc32c(fields, codec::Crc32c(place, signature));
}

bool ReadItem(codec::Reader& reader, Item* item) {
  item->region = RegionId(reader.Varint());
  item->peer = PeerId(reader.Varint());
  const std::uint8_t flags = reader.Fixed8();
  item->term = Term(reader.Varint());
  item->epoch = reader.Varint();
  item->reset = (flags & kReset) != 0;
  item->cut = (flags & kCut) != 0;
  item->clean = (flags & kClean) != 0;
  item->compact = (flags & kCompact) != 0;
  item->moved = (flags & kMoved) != 0;
  item->base = ReadLogId(reader);
  item->prev = ReadLogId(reader);
  if (item->moved) item->last = ReadLogId(reader);
  if ((flags & kState) != 0) item->state = std::string(reader.Bytes());
  if ((flags & kEntries) == 0) return reader.ok();
  const std::uint64_t runs = reader.Varint();
  // Each run takes two bytes at least: a count that cannot be is refused before it is allocated.
  if (!reader.ok() || runs == 0 || runs > reader.rest().size() / 2) return false;
  item->runs.reserve(runs);
  for (std::uint64_t i = 0; i < runs; ++i) {
    const Term term(reader.Varint());
    const std::uint64_t count = reader.Varint();
    if (count == 0 || count > std::numeric_limits<std::uint32_t>::max()) return false;
    item->runs.push_back({.term = term, .count = static_cast<std::uint32_t>(count)});
  }
  const std::uint64_t block = reader.Varint();
  if (block == 0 || block > std::numeric_limits<std::uint32_t>::max()) return false;
  item->block_bytes = static_cast<std::uint32_t>(block);
  return reader.ok();
}

}  // namespace

std::uint32_t SignatureOf(std::uint64_t segment) {
  // A bijection of 32 bits (the finalizer of MurmurHash3), so that neighbours differ in many bits
  // and no two of four thousand million consecutive segments share a signature.
  auto x = static_cast<std::uint32_t>(segment);
  x ^= x >> 16;
  x *= 0x85EBCA6Bu;
  x ^= x >> 13;
  x *= 0xC2B2AE35u;
  x ^= x >> 16;
  return x;
}

std::string EncodeSegmentHeader(const SegmentHeader& header) {
  std::string fields;
  codec::PutFixed32(&fields, header.version);
  codec::PutFixed32(&fields, SignatureOf(header.segment));
  codec::PutFixed64(&fields, header.segment);
  codec::PutFixed64(&fields, header.bytes);
  codec::PutFixed64(&fields, header.first_batch);
  codec::PutFixed64(&fields, header.previous_end);
  codec::PutFixed64(&fields, header.first_live);
  std::string block(kSegmentMagic);
  codec::PutFixed32(&block, 0);
  codec::PutFixed32(&block, codec::Crc32c(fields));
  block += fields;
  RUTILE_CHECK(block.size() == kSegmentFieldBytes);
  block.resize(kPageBytes, '\0');
  return block;
}

Result<SegmentHeader> DecodeSegmentHeader(std::string_view bytes) {
  if (bytes.size() < kPageBytes) return Status(Code::kCorruption, "the header block is cut short");
  if (bytes.find_first_not_of('\0', kSegmentFieldBytes) < kPageBytes) {
    return Status(Code::kCorruption, "the header block is not padded with zeroes");
  }
  codec::Reader reader(bytes.substr(0, kSegmentFieldBytes));
  const std::string_view magic = reader.Raw(kSegmentMagic.size());
  const std::uint32_t zero = reader.Fixed32();
  const std::uint32_t crc = reader.Fixed32();
  if (magic != kSegmentMagic || zero != 0 || crc != codec::Crc32c(reader.rest())) {
    return Status(Code::kCorruption, "the header does not verify");
  }
  const std::uint32_t version = reader.Fixed32();
  if (version < kOldestFormatVersion || version > kFormatVersion) {
    return Status(Code::kFailedPrecondition,
                  "written in format " + std::to_string(version) + ", this build knows formats " +
                      std::to_string(kOldestFormatVersion) + " to " +
                      std::to_string(kFormatVersion) + " only: start the newer build");
  }
  const std::uint32_t signature = reader.Fixed32();
  SegmentHeader header{.version = version, .segment = reader.Fixed64()};
  header.bytes = reader.Fixed64();
  header.first_batch = reader.Fixed64();
  header.previous_end = reader.Fixed64();
  header.first_live = reader.Fixed64();
  if (signature != SignatureOf(header.segment) || header.bytes <= kFirstBatchOffset) {
    return Status(Code::kCorruption, "the header contradicts itself");
  }
  return header;
}

std::uint64_t BatchHeader::TotalBytes() const {
  const std::uint64_t used = kBatchHeaderBytes + std::uint64_t{items_bytes} + payload_bytes;
  return (used + kBatchAlignment - 1) / kBatchAlignment * kBatchAlignment;
}

std::string EncodeBatchHeader(const BatchHeader& header, std::uint32_t signature,
                              std::uint64_t offset) {
  std::string fields;
  codec::PutFixed32(&fields, header.items_bytes);
  codec::PutFixed32(&fields, header.payload_bytes);
  codec::PutFixed32(&fields, header.items_crc);
  codec::PutFixed32(&fields, header.item_count);
  codec::PutFixed64(&fields, header.sequence);
  codec::PutFixed64(&fields, header.synced_to);
  codec::PutFixed64(&fields, header.first_live);
  std::string out;
  codec::PutFixed32(&out, kBatchMagic ^ signature);
  codec::PutFixed32(&out, BatchHeaderCrc(fields, signature, offset));
  out += fields;
  RUTILE_CHECK(out.size() == kBatchHeaderBytes);
  return out;
}

HeaderState DecodeBatchHeader(std::string_view bytes, std::uint32_t signature, std::uint64_t offset,
                              BatchHeader* out) {
  codec::Reader reader(bytes.substr(0, kBatchHeaderBytes));
  if (reader.Fixed32() != (kBatchMagic ^ signature)) return HeaderState::kForeign;
  if (reader.Fixed32() != BatchHeaderCrc(reader.rest(), signature, offset)) {
    return HeaderState::kDamaged;
  }
  out->items_bytes = reader.Fixed32();
  out->payload_bytes = reader.Fixed32();
  out->items_crc = reader.Fixed32();
  out->item_count = reader.Fixed32();
  out->sequence = reader.Fixed64();
  out->synced_to = reader.Fixed64();
  out->first_live = reader.Fixed64();
  return HeaderState::kValid;
}

std::uint64_t Item::EntryCount() const {
  std::uint64_t count = 0;
  for (const EntryRun& run : runs) count += run.count;
  return count;
}

LogId Item::LastEntry() const {
  if (runs.empty()) return prev;
  return {.term = runs.back().term, .index = prev.index.Plus(EntryCount())};
}

void PutItem(std::string* out, const Item& item) {
  std::uint8_t flags = 0;
  if (item.reset) flags |= kReset;
  if (item.cut) flags |= kCut;
  if (item.clean) flags |= kClean;
  if (item.compact) flags |= kCompact;
  if (item.state) flags |= kState;
  if (!item.runs.empty()) flags |= kEntries;
  if (item.moved) flags |= kMoved;
  codec::PutVarint(out, item.region.value());
  codec::PutVarint(out, item.peer.value());
  codec::PutFixed8(out, flags);
  codec::PutVarint(out, item.term.value());
  codec::PutVarint(out, item.epoch);
  PutLogId(out, item.base);
  PutLogId(out, item.prev);
  if (item.moved) PutLogId(out, item.last);
  if (item.state) codec::PutBytes(out, *item.state);
  if (item.runs.empty()) return;
  codec::PutVarint(out, item.runs.size());
  for (const EntryRun& run : item.runs) {
    codec::PutVarint(out, run.term.value());
    codec::PutVarint(out, run.count);
  }
  codec::PutVarint(out, item.block_bytes);
}

std::size_t MostItemBytes(const Item& item) {
  constexpr std::size_t kVarints = 13;  // All that there can be, but for runs.
  const std::size_t varints = kVarints + 2 * item.runs.size();
  return 1 + varints * codec::kMaxVarintBytes + (item.state ? item.state->size() : 0);
}

std::optional<std::vector<Item>> DecodeItems(std::string_view items, std::uint32_t count) {
  codec::Reader reader(items);
  std::vector<Item> out;
  for (std::uint32_t i = 0; i < count; ++i) {
    if (!ReadItem(reader, &out.emplace_back())) return std::nullopt;
  }
  if (!reader.Done()) return std::nullopt;
  return out;
}

std::string FileName(std::uint64_t number, std::string_view suffix) {
  std::string name(16, '0');
  for (std::size_t i = name.size(); i-- > 0; number >>= 4) {
    name[i] = "0123456789abcdef"[number & 15];
  }
  return name.append(suffix);
}

std::optional<std::uint64_t> NumberIn(std::string_view name, std::string_view suffix) {
  if (name.size() != 16 + suffix.size() || !name.ends_with(suffix)) return std::nullopt;
  std::uint64_t number = 0;
  for (const char c : name.substr(0, 16)) {
    const std::size_t digit = std::string_view("0123456789abcdef").find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    number = number << 4 | digit;
  }
  return number;
}

}  // namespace rutile::wal
