#pragma once

#include <cstdint>
#include <optional>

#include "base/ids.h"

namespace rutile::placement {

// A point in the cluster's order of transactions: 46 bits of milliseconds since 1970 and 18 bits of
// a counter, as the protocol has it.
struct Timestamp {
  std::uint64_t physical_ms = 0;
  std::uint64_t logical = 0;

  static constexpr unsigned kLogicalBits = 18;
  static constexpr std::uint64_t kMaxLogical = (std::uint64_t{1} << kLogicalBits) - 1;
  std::uint64_t Compose() const { return (physical_ms << kLogicalBits) | logical; }

  friend auto operator<=>(const Timestamp&, const Timestamp&) = default;
};

// Hands out timestamps that never repeat and never go back, over all leaders and restarts.
//
// The promise rests on a bound that is replicated before any timestamp below it is given: whoever
// leads next begins above it. Within a term the oracle only moves on. A pure state machine: the
// owner brings the wall clock, replicates bounds and calls Grant only while it holds a lease, or
// for requests that were there before a majority confirmed it as the leader.
class TimestampOracle {
 public:
  // How far ahead of the clock a bound is asked for, in milliseconds. Larger means fewer writes,
  // and a larger jump after a change of leader.
  static constexpr std::uint64_t kWindowMs = 3000;

  // Leadership of `term` begins; all bounds of earlier terms are known: `replicated_bound_ms` is
  // the highest. Nothing is granted until a bound of this term is replicated.
  void Begin(Term term, std::uint64_t replicated_bound_ms);
  // The bound that has to be replicated now, if any: there is none, or it draws near. The answer is
  // not repeated until OnBound or OnBoundFailed.
  std::optional<std::uint64_t> BoundWanted(std::uint64_t wall_ms);
  void OnBound(Term term, std::uint64_t bound_ms);
  void OnBoundFailed(Term term);

  // The last of `count` successive timestamps that are all new; they share their physical part.
  // Nothing: the bound is reached, ask again after OnBound. Requires 1 <= count <= kMaxLogical.
  std::optional<Timestamp> Grant(Term term, std::uint32_t count, std::uint64_t wall_ms);

  Term term() const { return term_; }

 private:
  Term term_ = {};
  Timestamp last_ = {};         // The highest granted, or below which nothing is granted.
  std::uint64_t bound_ms_ = 0;  // Granted timestamps have a physical part below it; 0: none yet.
  bool asked_ = false;
};

}  // namespace rutile::placement
