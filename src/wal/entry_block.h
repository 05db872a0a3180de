#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/log_slice.h"

// The entries of one item of a batch, as bytes: docs/formats/wal.md, payload blocks. Beside
// format.h this is all that this room knows of bytes.
namespace rutile::wal {

// Nothing for a number that stands for none.
std::optional<EntryType> EntryTypeOf(std::uint8_t number);

// Appends the block and returns its size. Requires an entry. The checksum covers the region and the
// first index too, so that a block is never taken for another's.
//
// A block of `compress_from` bytes or more (0: none) is compressed (LZ4), by itself: reading one
// region's entries never costs the decompression of another's. It stays as it is where that saves
// little.
std::size_t PutBlock(std::string* out, RegionId region, const Entries& entries,
                     std::uint32_t signature, std::size_t compress_from);
bool VerifyBlock(std::string_view block, RegionId region, Index first, std::uint32_t signature);
// What the entries of the block take before they are compressed, types and lengths included.
// Nothing for a block that can not have been written.
std::optional<std::size_t> PlainBytes(std::string_view block);
// `count` entries of one term, the first of them with index `first`, behind `skip` entries that are
// passed over. The payloads share `block`, or what it is decompressed to. Nothing when the block
// does not hold as many.
std::optional<Entries> DecodeBlock(const Bytes& block, std::uint32_t skip, Index first, Term term,
                                   std::uint32_t count);

}  // namespace rutile::wal
