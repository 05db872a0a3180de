#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "mvcc/types.h"
#include "store/region_error.h"

namespace rutile::store {

// How far a region is with being brought back to what it was.
struct FlashbackState {
  enum class Stage : std::uint8_t {
    kNone = 0,
    kBegun = 1,     // Nobody else reads or writes any more; there may be locks.
    kPrepared = 2,  // There are none.
    kFinished = 3,  // All is as ever.
  };
  mvcc::Timestamp start = {};  // Of the flashback.
  Stage stage = Stage::kNone;
  // kFinished: the digest of the request by which it was. Who did not hear of it asks again.
  std::uint64_t request = 0;

  bool in_progress() const { return stage == Stage::kBegun || stage == Stage::kPrepared; }
  // Whether a read at `at` shows what it would show without the flashback.
  bool admits_read(mvcc::Timestamp at) const { return !in_progress() || at < start; }

  friend bool operator==(const FlashbackState&, const FlashbackState&) = default;
};

// A timestamp as a command holds it: a safe point, or the start of a flashback. kCorruption for
// what is none.
std::string EncodeMark(mvcc::Timestamp mark);
Result<mvcc::Timestamp> DecodeMark(std::string_view bytes);

// Likewise.
std::string EncodeFlashback(const FlashbackState& state);
Result<FlashbackState> DecodeFlashback(std::string_view bytes);

// Why a command, or a request for one, is refused: of the flashback that started at `flashback`, or
// of anybody else where that is zero.
std::optional<RegionError> RefusedBy(const FlashbackState& state, RegionId region,
                                     mvcc::Timestamp flashback);

// What is replicated with a region's data and stands beside them, in one record: see safe_point.h,
// and above.
struct RegionMarks {
  mvcc::Timestamp safe_point = {};
  FlashbackState flashback = {};
};
std::string EncodeMarks(const RegionMarks& marks);
Result<RegionMarks> DecodeMarks(std::string_view bytes);

}  // namespace rutile::store
