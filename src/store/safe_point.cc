#include "store/safe_point.h"

#include <cstdint>
#include <optional>

#include "codec/integers.h"
#include "codec/keys.h"

namespace rutile::store {

std::string EncodeSafePoint(mvcc::Timestamp safe_point) {
  std::string bytes;
  codec::PutBigEndian64(&bytes, safe_point.value());
  return bytes;
}

Result<mvcc::Timestamp> SafePointOf(const ReadView& view) {
  RUTILE_ASSIGN_OR_RETURN(
      const std::optional<std::string> bytes,
      view.snapshot.Get(engine::Family::kMeta, codec::SafePointKey(view.region.id)));
  if (!bytes) return mvcc::Timestamp();
  if (bytes->size() != sizeof(std::uint64_t)) {
    return Status(Code::kCorruption, "the safe point of region " + ToString(view.region.id) +
                                         " has " + std::to_string(bytes->size()) + " bytes");
  }
  return mvcc::Timestamp(codec::DecodeBigEndian64(bytes->data()));
}

}  // namespace rutile::store
