#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"

namespace rutile::sim {

// A leader that would answer reads now without asking anybody.
struct LeaseHolder {
  std::size_t node = 0;  // From 0.
  Term term = {};        // In which it leads.
};

// The law of leases (Raft 6.4.1): once a leader has committed, nobody holds a lease of an older
// term. Such a holder does not know of the entry, and would answer reads without it, although the
// writer may have been told. `holders`: all whose lease runs by their own clocks at a moment when a
// leader of `term` has committed. Returns what breaks the law.
std::optional<std::string> OverlappingLease(Term term, const std::vector<LeaseHolder>& holders);

}  // namespace rutile::sim
