#include "store/tombstone.h"

#include "codec/integers.h"

namespace rutile::store {
namespace {

constexpr std::uint8_t kFormat = 1;

}  // namespace

std::string EncodeTombstone(const Tombstone& tombstone) {
  std::string out;
  codec::PutFixed8(&out, kFormat);
  codec::PutVarint(&out, tombstone.peer.value());
  codec::PutBytes(&out, EncodeRegion(tombstone.last));
  return out;
}

Result<Tombstone> DecodeTombstone(std::string_view bytes) {
  codec::Reader reader(bytes);
  if (const std::uint8_t format = reader.Fixed8(); format != kFormat) {
    return Status(Code::kCorruption,
                  "tombstone: unknown format " + std::to_string(format) + ", expected 1");
  }
  Tombstone tombstone;
  tombstone.peer = PeerId(reader.Varint());
  const std::string_view region = reader.Bytes();
  if (!reader.Done()) return Status(Code::kCorruption, "tombstone: wrong length");
  RUTILE_ASSIGN_OR_RETURN(tombstone.last, DecodeRegion(region));
  return tombstone;
}

}  // namespace rutile::store
