#include "wal/entry_block.h"

#include <lz4.h>

#include <algorithm>
#include <utility>

#include "base/probe.h"
#include "codec/crc32c.h"
#include "codec/integers.h"

namespace rutile::wal {
namespace {

constexpr std::size_t kCrcBytes = 4;
// Where the type of the first entry would stand: what follows is compressed.
constexpr std::uint8_t kCompressedMark = 0xFF;
// Less saved than this part of a block is not worth decompressing it for.
constexpr std::size_t kLeastSaved = 16;
// No byte of LZ4's can stand for more than this many (lz4_Block_format.md: a length grows by at
// most 255 with each further byte).
constexpr std::size_t kMostOfAByte = 255;

std::uint32_t BlockCrc(std::string_view body, RegionId region, Index first,
                       std::uint32_t signature) {
  char place[16];
  codec::EncodeFixed64(place, region.value());
  codec::EncodeFixed64(place + 8, first.value());
  return codec::Crc32c(body, codec::Crc32c({place, sizeof place}, signature));
}

// Replaces what stands behind `start` by something smaller, if that can be.
void Compress(std::string* out, std::size_t start) {
  const std::size_t plain = out->size() - start;
  if (plain > LZ4_MAX_INPUT_SIZE) return;
  std::string compressed;
  codec::PutFixed8(&compressed, kCompressedMark);
  codec::PutVarint(&compressed, plain);
  const std::size_t head = compressed.size();
  const std::size_t most = plain - plain / kLeastSaved;
  if (most <= head) return;
  compressed.resize(most);
  const int size = LZ4_compress_default(out->data() + start, compressed.data() + head,
                                        static_cast<int>(plain), static_cast<int>(most - head));
  RUTILE_SOMETIMES(size > 0, "wal: a block is compressed");
  RUTILE_SOMETIMES(size <= 0, "wal: compressing a block would save too little");
  if (size <= 0) return;
  compressed.resize(head + static_cast<std::size_t>(size));
  out->replace(start, plain, compressed);
}

// The bytes behind the checksum of a compressed block, and what they are to become.
struct Compressed {
  std::string_view bytes;
  std::size_t plain_bytes = 0;
};

bool IsCompressed(std::string_view body) {
  return !body.empty() && static_cast<std::uint8_t>(body.front()) == kCompressedMark;
}

// Nothing for a size that no compressor can have had before it: nothing is allocated for that.
std::optional<Compressed> ReadCompressed(std::string_view body) {
  codec::Reader reader(body.substr(1));
  const std::uint64_t plain = reader.Varint();
  const std::string_view rest = reader.rest();
  if (!reader.ok() || plain > LZ4_MAX_INPUT_SIZE || plain / kMostOfAByte > rest.size()) {
    return std::nullopt;
  }
  return Compressed{.bytes = rest, .plain_bytes = static_cast<std::size_t>(plain)};
}

std::optional<Bytes> Decompress(std::string_view body) {
  const std::optional<Compressed> compressed = ReadCompressed(body);
  if (!compressed) return std::nullopt;
  std::string plain(compressed->plain_bytes, '\0');
  const int size = LZ4_decompress_safe(compressed->bytes.data(), plain.data(),
                                       static_cast<int>(compressed->bytes.size()),
                                       static_cast<int>(plain.size()));
  if (size < 0 || static_cast<std::size_t>(size) != plain.size()) return std::nullopt;
  return Bytes(std::move(plain));
}

// The payloads share `block`; the first entry stands at `offset`.
std::optional<Entries> DecodePlain(const Bytes& block, std::size_t offset, std::uint32_t skip,
                                   Index first, Term term, std::uint32_t count) {
  Entries entries;
  codec::Reader reader(block.view().substr(std::min(offset, block.size())));
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

}  // namespace

std::optional<EntryType> EntryTypeOf(std::uint8_t number) {
  if (number > static_cast<std::uint8_t>(EntryType::kConfig)) return std::nullopt;
  return static_cast<EntryType>(number);
}

std::size_t PutBlock(std::string* out, RegionId region, const Entries& entries,
                     std::uint32_t signature, std::size_t compress_from) {
  const std::size_t start = out->size();
  codec::PutFixed32(out, 0);
  const std::size_t body_start = out->size();
  for (const Entry& entry : entries) {
    codec::PutFixed8(out, static_cast<std::uint8_t>(entry.type));
    codec::PutBytes(out, entry.payload.view());
  }
  if (compress_from > 0 && out->size() - body_start >= compress_from) Compress(out, body_start);
  const std::string_view body = std::string_view(*out).substr(body_start);
  codec::EncodeFixed32(out->data() + start,
                       BlockCrc(body, region, entries.front().id.index, signature));
  return out->size() - start;
}

bool VerifyBlock(std::string_view block, RegionId region, Index first, std::uint32_t signature) {
  if (block.size() <= kCrcBytes) return false;
  return codec::DecodeFixed32(block.data()) ==
         BlockCrc(block.substr(kCrcBytes), region, first, signature);
}

std::optional<std::size_t> PlainBytes(std::string_view block) {
  const std::string_view body = block.substr(std::min(kCrcBytes, block.size()));
  if (!IsCompressed(body)) return body.size();
  const std::optional<Compressed> compressed = ReadCompressed(body);
  return compressed ? std::optional(compressed->plain_bytes) : std::nullopt;
}

std::optional<Entries> DecodeBlock(const Bytes& block, std::uint32_t skip, Index first, Term term,
                                   std::uint32_t count) {
  const std::string_view body = block.view().substr(std::min(kCrcBytes, block.size()));
  if (!IsCompressed(body)) return DecodePlain(block, kCrcBytes, skip, first, term, count);
  const std::optional<Bytes> plain = Decompress(body);
  return plain ? DecodePlain(*plain, 0, skip, first, term, count) : std::nullopt;
}

}  // namespace rutile::wal
