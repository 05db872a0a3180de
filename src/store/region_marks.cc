#include "store/region_marks.h"

#include "codec/integers.h"

namespace rutile::store {
namespace {

constexpr std::size_t kTimestampBytes = sizeof(std::uint64_t);
constexpr std::size_t kFlashbackBytes = kTimestampBytes + 1 + sizeof(std::uint64_t);

}  // namespace

std::string EncodeMark(mvcc::Timestamp mark) {
  std::string bytes;
  codec::PutBigEndian64(&bytes, mark.value());
  return bytes;
}

Result<mvcc::Timestamp> DecodeMark(std::string_view bytes) {
  if (bytes.size() != kTimestampBytes) {
    return Status(Code::kCorruption, "the bytes are no timestamp");
  }
  return mvcc::Timestamp(codec::DecodeBigEndian64(bytes.data()));
}

std::string EncodeFlashback(const FlashbackState& state) {
  std::string bytes = EncodeMark(state.start);
  codec::PutFixed8(&bytes, static_cast<std::uint8_t>(state.stage));
  codec::PutBigEndian64(&bytes, state.request);
  return bytes;
}

Result<FlashbackState> DecodeFlashback(std::string_view bytes) {
  if (bytes.size() == kFlashbackBytes) {
    const auto stage = static_cast<FlashbackState::Stage>(bytes[kTimestampBytes]);
    if (stage <= FlashbackState::Stage::kFinished) {
      return FlashbackState{
          .start = mvcc::Timestamp(codec::DecodeBigEndian64(bytes.data())),
          .stage = stage,
          .request = codec::DecodeBigEndian64(bytes.data() + kTimestampBytes + 1)};
    }
  }
  return Status(Code::kCorruption, "the bytes are no state of a flashback");
}

std::optional<RegionError> RefusedBy(const FlashbackState& state, RegionId region,
                                     mvcc::Timestamp flashback) {
  if (flashback.IsZero()) {
    if (!state.in_progress()) return std::nullopt;
    return FlashbackInProgress{.region = region, .start = state.start.value()};
  }
  if (state.in_progress() && state.start == flashback) return std::nullopt;
  return FlashbackNotPrepared{.region = region};
}

std::string EncodeMarks(const RegionMarks& marks) {
  std::string bytes = EncodeMark(marks.safe_point);
  if (marks.flashback != FlashbackState()) bytes += EncodeFlashback(marks.flashback);
  return bytes;
}

Result<RegionMarks> DecodeMarks(std::string_view bytes) {
  if (bytes.size() < kTimestampBytes) {
    return Status(Code::kCorruption,
                  "the safe point of a region has " + std::to_string(bytes.size()) + " bytes");
  }
  RegionMarks marks{.safe_point = mvcc::Timestamp(codec::DecodeBigEndian64(bytes.data()))};
  bytes.remove_prefix(kTimestampBytes);
  if (bytes.empty()) return marks;
  RUTILE_ASSIGN_OR_RETURN(marks.flashback, DecodeFlashback(bytes));
  return marks;
}

}  // namespace rutile::store
