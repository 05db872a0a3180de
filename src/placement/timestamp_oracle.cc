#include "placement/timestamp_oracle.h"

#include <algorithm>

#include "base/check.h"
#include "base/probe.h"

namespace rutile::placement {

void TimestampOracle::Begin(Term term, std::uint64_t replicated_bound_ms) {
  RUTILE_CHECK(term > term_, "a term begins once");
  term_ = term;
  // Everything granted by anybody so far lies below this.
  last_ = std::max(last_, Timestamp{replicated_bound_ms, 0});
  bound_ms_ = 0;
  asked_ = false;
}

std::optional<std::uint64_t> TimestampOracle::BoundWanted(std::uint64_t wall_ms) {
  if (term_ == Term() || asked_) return std::nullopt;
  const std::uint64_t now_ms = std::max(wall_ms, last_.physical_ms);
  RUTILE_SOMETIMES(wall_ms + kWindowMs < last_.physical_ms, "placement: the clock is far behind");
  if (now_ms + kWindowMs / 2 < bound_ms_) return std::nullopt;
  asked_ = true;
  return now_ms + kWindowMs;
}

void TimestampOracle::OnBound(Term term, std::uint64_t bound_ms) {
  if (term != term_) return;
  asked_ = false;
  bound_ms_ = std::max(bound_ms_, bound_ms);
}

void TimestampOracle::OnBoundFailed(Term term) {
  if (term == term_) asked_ = false;
}

std::optional<Timestamp> TimestampOracle::Grant(Term term, std::uint32_t count,
                                                std::uint64_t wall_ms) {
  RUTILE_CHECK(count >= 1 && count <= Timestamp::kMaxLogical);
  if (term != term_) return std::nullopt;
  Timestamp next = last_;
  // The clock may stand still or go back: then only the counter moves on.
  if (wall_ms > next.physical_ms) next = {wall_ms, 0};
  if (next.logical + count > Timestamp::kMaxLogical) next = {next.physical_ms + 1, 0};
  next.logical += count;
  if (next.physical_ms >= bound_ms_) return std::nullopt;
  last_ = next;
  return next;
}

}  // namespace rutile::placement
