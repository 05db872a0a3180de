#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "raft/types.h"

namespace rutile::raft {

// The arithmetic of majorities, for one set of voters and for joint consensus (Raft 4.3), where a
// decision needs a majority of both. Pure functions.

enum class VoteResult : std::uint8_t { kPending, kWon, kLost };

// The largest value that a majority of `values` has reached. Reorders them. Zero for none.
std::uint64_t MajorityReached(std::span<std::uint64_t> values);
// The outcome among `voters` of which so many have granted and refused.
VoteResult MajorityVote(std::size_t voters, std::size_t granted, std::size_t refused);
// Both must win; either can lose.
VoteResult JointVote(VoteResult incoming, VoteResult outgoing);

namespace internal {

template <class ValueOf>
std::uint64_t ReachedBy(const PeerIds& voters, ValueOf& value_of) {
  // Asked for on every acknowledgement: no allocation, and no clearing.
  std::array<std::uint64_t, 16> few;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  if (voters.size() <= few.size()) {
    std::transform(voters.begin(), voters.end(), few.begin(), value_of);
    return MajorityReached(std::span(few).first(voters.size()));
  }
  std::vector<std::uint64_t> many(voters.size());
  std::transform(voters.begin(), voters.end(), many.begin(), value_of);
  return MajorityReached(many);
}

template <class VoteOf>
VoteResult VoteAmong(const PeerIds& voters, VoteOf& vote_of) {
  std::size_t granted = 0;
  std::size_t refused = 0;
  for (PeerId voter : voters) {
    const std::optional<bool> vote = vote_of(voter);
    if (vote.has_value()) ++(*vote ? granted : refused);
  }
  return MajorityVote(voters.size(), granted, refused);
}

}  // namespace internal

// The largest value that a quorum of `configuration` has reached, where `value_of` (a function from
// PeerId to uint64) says how far each voter is: the index that is committed, the round that is
// answered. Zero when there are no voters.
template <class ValueOf>
std::uint64_t QuorumReached(const Configuration& configuration, ValueOf value_of) {
  const std::uint64_t incoming = internal::ReachedBy(configuration.voters, value_of);
  if (!configuration.IsJoint()) return incoming;
  return std::min(incoming, internal::ReachedBy(configuration.outgoing, value_of));
}

// The outcome of a vote, where `vote_of` (PeerId to optional<bool>) says what each voter answered.
template <class VoteOf>
VoteResult CountVotes(const Configuration& configuration, VoteOf vote_of) {
  const VoteResult incoming = internal::VoteAmong(configuration.voters, vote_of);
  if (!configuration.IsJoint()) return incoming;
  return JointVote(incoming, internal::VoteAmong(configuration.outgoing, vote_of));
}

}  // namespace rutile::raft
