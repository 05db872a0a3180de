#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "base/mutex.h"
#include "store/region_marks.h"

namespace rutile::store {

// The marks of a region as its engine has them, for readers who would look them up in every
// snapshot and nearly always find the same. They are of a version, which a change of them makes odd
// before it begins and even when it is in the engine: a snapshot that was taken between two looks
// at the same even version has the marks of that version.
//
// Thread-safe; one thread at a time changes.
class MarksCache {
 public:
  // Around the write of the engine.
  void BeginChange() { ++version_; }
  void EndChange() { ++version_; }

  // For a snapshot that is about to be taken, and that was: see above.
  std::uint64_t version() const { return version_.load(); }
  static bool IsStable(std::uint64_t before, std::uint64_t after) {
    return before == after && before % 2 == 0;
  }

  // Nothing: nobody has remembered any of that version.
  std::optional<RegionMarks> Find(std::uint64_t version) const {
    MutexLock lock(mutex_);
    if (known_version_ != version) return std::nullopt;
    return known_;
  }
  // What a snapshot of that version has.
  void Remember(std::uint64_t version, const RegionMarks& marks) {
    MutexLock lock(mutex_);
    known_version_ = version;
    known_ = marks;
  }

 private:
  std::atomic<std::uint64_t> version_ = 0;
  mutable Mutex mutex_;
  std::optional<std::uint64_t> known_version_ GUARDED_BY(mutex_) = {};
  RegionMarks known_ GUARDED_BY(mutex_) = {};
};

}  // namespace rutile::store
