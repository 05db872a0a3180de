#include "sim/oracle_lease.h"

namespace rutile::sim {

std::optional<std::string> OverlappingLease(Term term, const std::vector<LeaseHolder>& holders) {
  for (const LeaseHolder& holder : holders) {
    if (holder.term >= term) continue;
    return "Q1: node " + std::to_string(holder.node + 1) + " holds a lease of term " +
           ToString(holder.term) + " while a leader of term " + ToString(term) + " has committed";
  }
  return std::nullopt;
}

}  // namespace rutile::sim
