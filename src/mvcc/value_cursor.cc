#include "mvcc/value_cursor.h"

#include <optional>
#include <utility>

#include "mvcc/keys.h"

namespace rutile::mvcc {

using engine::Family;

Status MissingValue(Timestamp start) {
  return Status(Code::kCorruption,
                "the value of a put that started at " + ToString(start) + " is missing");
}

Result<std::string> ValueCursor::Load(std::string_view lock_key, Timestamp start) {
  target_ = VersionOfLockKey(lock_key, start);
  if (!std::exchange(has_loaded_, true)) {
    RUTILE_ASSIGN_OR_RETURN(std::optional<std::string> value,
                            snapshot_.Get(Family::kDefault, target_));
    if (!value) return MissingValue(start);
    return *std::move(value);
  }
  MoveToTarget();
  if (!values_->Valid()) RUTILE_RETURN_IF_ERROR(values_->status());
  if (!values_->Valid() || values_->key() != target_) return MissingValue(start);
  return std::string(values_->value());
}

void ValueCursor::MoveToTarget() {
  if (values_ == nullptr) {
    values_ = snapshot_.NewIterator(Family::kDefault, std::move(bounds_));
    return values_->Seek(target_);
  }
  for (int steps = 0; values_->Valid() && steps < kStepsBeforeSeek; ++steps) {
    const bool is_forward = direction_ == Direction::kForward;
    const int order = values_->key().compare(target_);
    if (order == 0) return;
    // Behind it already: others' values lie in between, or there is none.
    if (is_forward ? order > 0 : order < 0) break;
    is_forward ? values_->Next() : values_->Prev();
  }
  if (!values_->Valid() || values_->key() != target_) values_->Seek(target_);
}

}  // namespace rutile::mvcc
