#include "raft/quorum.h"

#include <functional>

namespace rutile::raft {

std::uint64_t MajorityReached(std::span<std::uint64_t> values) {
  if (values.empty()) return 0;
  // In falling order, the value at n/2 is reached by n/2 + 1 of them.
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end(), std::greater<>());
  return *middle;
}

VoteResult MajorityVote(std::size_t voters, std::size_t granted, std::size_t refused) {
  const std::size_t majority = voters / 2 + 1;
  if (granted >= majority) return VoteResult::kWon;
  // Those who have not answered can no longer make a majority.
  if (voters - refused < majority) return VoteResult::kLost;
  return VoteResult::kPending;
}

VoteResult JointVote(VoteResult incoming, VoteResult outgoing) {
  if (incoming == VoteResult::kLost || outgoing == VoteResult::kLost) return VoteResult::kLost;
  if (incoming == VoteResult::kWon && outgoing == VoteResult::kWon) return VoteResult::kWon;
  return VoteResult::kPending;
}

}  // namespace rutile::raft
