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
constexpr std::size_t kCrcBytes = 4;

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

std::uint32_t BlockCrc(std::string_view body, RegionId region, Index first,
                       std::uint32_t signature) {
  std::string place;
  codec::PutFixed64(&place, region.value());
  codec::PutFixed64(&place, first.value());
  return codec::Crc32c(body, codec::Crc32c(place, signature));
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
  if (block <= kCrcBytes || block > std::numeric_limits<std::uint32_t>::max()) return false;
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
  codec::PutFixed32(&fields, kFormatVersion);
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
  if (version != kFormatVersion) {
    return Status(Code::kFailedPrecondition,
                  "written in format " + std::to_string(version) + ", this build knows format " +
                      std::to_string(kFormatVersion) + " only: start the newer build");
  }
  const std::uint32_t signature = reader.Fixed32();
  SegmentHeader header{.segment = reader.Fixed64()};
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

std::optional<std::vector<Item>> DecodeItems(std::string_view items, std::uint32_t count) {
  codec::Reader reader(items);
  std::vector<Item> out;
  for (std::uint32_t i = 0; i < count; ++i) {
    if (!ReadItem(reader, &out.emplace_back())) return std::nullopt;
  }
  if (!reader.Done()) return std::nullopt;
  return out;
}

std::optional<EntryType> EntryTypeOf(std::uint8_t number) {
  if (number > static_cast<std::uint8_t>(EntryType::kConfig)) return std::nullopt;
  return static_cast<EntryType>(number);
}

std::size_t PutBlock(std::string* out, RegionId region, const Entries& entries,
                     std::uint32_t signature) {
  const std::size_t start = out->size();
  codec::PutFixed32(out, 0);
  for (const Entry& entry : entries) {
    codec::PutFixed8(out, static_cast<std::uint8_t>(entry.type));
    codec::PutBytes(out, entry.payload.view());
  }
  const std::string_view body = std::string_view(*out).substr(start + kCrcBytes);
  std::string crc;
  codec::PutFixed32(&crc, BlockCrc(body, region, entries.front().id.index, signature));
  out->replace(start, kCrcBytes, crc);
  return out->size() - start;
}

bool VerifyBlock(std::string_view block, RegionId region, Index first, std::uint32_t signature) {
  if (block.size() <= kCrcBytes) return false;
  return codec::DecodeFixed32(block.data()) ==
         BlockCrc(block.substr(kCrcBytes), region, first, signature);
}

std::optional<Entries> DecodeBlock(const Bytes& block, std::uint32_t skip, Index first, Term term,
                                   std::uint32_t count) {
  Entries entries;
  codec::Reader reader(block.view().substr(std::min(kCrcBytes, block.size())));
  Index index = first;
  for (std::uint64_t i = 0; i < std::uint64_t{skip} + count; ++i) {
    const std::optional<EntryType> type = EntryTypeOf(reader.Fixed8());
    const std::string_view payload = reader.Bytes();
    if (!reader.ok() || !type) return std::nullopt;
    if (i < skip) continue;
    Entry& entry = entries.emplace_back();
    entry.id = {.term = term, .index = index};
    entry.type = *type;
    if (!payload.empty()) {
      entry.payload = block.Slice(static_cast<std::size_t>(payload.data() - block.view().data()),
                                  payload.size());
    }
    index = index.Next();
  }
  return entries;
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
