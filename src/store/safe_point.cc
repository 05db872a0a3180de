#include "store/safe_point.h"

#include <optional>
#include <string>

#include "codec/keys.h"

namespace rutile::store {

Result<RegionMarks> MarksOf(const ReadView& view) {
  RUTILE_ASSIGN_OR_RETURN(
      const std::optional<std::string> bytes,
      view.snapshot.Get(engine::Family::kMeta, codec::SafePointKey(view.region.id)));
  if (!bytes) return RegionMarks();
  return DecodeMarks(*bytes);
}

Result<mvcc::Timestamp> SafePointOf(const ReadView& view) {
  RUTILE_ASSIGN_OR_RETURN(const RegionMarks marks, MarksOf(view));
  return marks.safe_point;
}

}  // namespace rutile::store
