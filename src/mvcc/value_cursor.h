#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "engine/kv_engine.h"
#include "mvcc/types.h"

namespace rutile::mvcc {

// So many records are passed by steps before one is sought: a step costs a small part of a seek.
inline constexpr int kStepsBeforeSeek = 8;

// Reads long values of keys in their order, up or down, of one snapshot: they stand in that order,
// so the next one is mostly a step away. The first is looked up by itself; who reads only one needs
// no iterator.
//
// Not thread-safe; must not outlive the snapshot.
class ValueCursor {
 public:
  enum class Direction : std::uint8_t { kForward, kBackward };

  // `bounds`: engine keys, which hold all that is asked for.
  ValueCursor(const engine::Snapshot& snapshot, engine::Bounds bounds, Direction direction)
      : snapshot_(snapshot), bounds_(std::move(bounds)), direction_(direction) {}

  // The value that a put wrote which started at `start`. kCorruption: there is none. Keys from
  // LockKey(), each behind the one before in the direction.
  Result<std::string> Load(std::string_view lock_key, Timestamp start);

 private:
  // Moves the iterator to target_, or to where it would be.
  void MoveToTarget();

  const engine::Snapshot& snapshot_;
  engine::Bounds bounds_;
  const Direction direction_;
  bool has_loaded_ = false;
  std::string target_ = {};
  std::unique_ptr<engine::Iterator> values_;  // From the second value on.
};

// Of a put whose value should be in the family of values.
Status MissingValue(Timestamp start);

}  // namespace rutile::mvcc
