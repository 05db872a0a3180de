#include "store/safe_point.h"

#include <optional>
#include <string>

#include "codec/keys.h"

namespace rutile::store {

namespace {

Result<RegionMarks> LoadMarks(const ReadView& view) {
  RUTILE_ASSIGN_OR_RETURN(
      const std::optional<std::string> bytes,
      view.snapshot.Get(engine::Family::kMeta, codec::SafePointKey(view.region.id)));
  if (!bytes) return RegionMarks();
  return DecodeMarks(*bytes);
}

}  // namespace

Result<RegionMarks> MarksOf(const ReadView& view) {
  if (view.marks == nullptr) return LoadMarks(view);
  if (const auto known = view.marks->Find(view.marks_version)) return *known;
  RUTILE_ASSIGN_OR_RETURN(const RegionMarks marks, LoadMarks(view));
  view.marks->Remember(view.marks_version, marks);
  return marks;
}

Result<mvcc::Timestamp> SafePointOf(const ReadView& view) {
  RUTILE_ASSIGN_OR_RETURN(const RegionMarks marks, MarksOf(view));
  return marks.safe_point;
}

}  // namespace rutile::store
