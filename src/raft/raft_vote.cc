// Elections: Raft 5.2, 5.4.1, pre-vote (9.6), and votes refused for the sake of a leader's lease
// (6.4.1).

#include <algorithm>
#include <utility>

#include "raft/quorum.h"
#include "raft/raft_core.h"

namespace rutile::raft {

bool Raft::Core::IsSoleVoter() const {
  const Configuration& all = configuration();
  return !all.IsJoint() && all.voters.size() == 1 && all.voters.front() == id();
}

bool Raft::Core::RefusesVotes() const {
  return role_ == Role::kLeader || now_ < refuse_votes_until_;
}

void Raft::Core::TickFollower() {
  for (ReadId id : forwarded_.Tick()) out_.reads.push_back({.id = id});
  ++ticks_;
  if (!configuration().IsVoter(id())) return;
  if (IsSoleVoter()) {
    // Nobody to wait for. As a candidate it only waits for its disk.
    if (role_ != Role::kCandidate) BecomeCandidate(false);
    return;
  }
  // Its own vote, too, is refused while a lease may run that counts on this peer: ticks may have
  // come in a burst.
  if (ticks_ >= timeout_ && now_ >= refuse_votes_until_) BecomePreCandidate();
}

Effects Raft::Core::Campaign(Instant now) {
  Begin(now);
  if (poisoned()) return {};
  if (role_ != Role::kLeader && configuration().IsVoter(id())) BecomeCandidate(false);
  return Finish();
}

void Raft::Core::HandlePreVote(const Message& message) {
  if (RefusesVotes()) return;
  const bool granted = message.term > term() && message.last_log >= tail_.last();
  Message reply = Make(MessageType::kPreVoteReply, message.from);
  reply.granted = granted;
  // A refusal teaches our term; a grant says for which it is. Neither binds us.
  if (granted) reply.term = message.term;
  Promise(std::move(reply), Index());
}

void Raft::Core::HandlePreVoteReply(const Message& message) {
  if (role_ != Role::kPreCandidate) return;
  RecordVote(message.from, message.granted);
}

// Asked by whoever believes in a newer configuration than ours: neither the candidate nor we need
// be voters in the one that we know (Raft 4.1).
void Raft::Core::HandleVote(const Message& message) {
  const bool free =
      hard_state_.vote == message.from || (hard_state_.vote.IsZero() && leader_.IsZero());
  const bool granted = free && message.last_log >= tail_.last();
  if (granted) {
    hard_state_.vote = message.from;
    ResetElectionTimer();
  }
  Message reply = Make(MessageType::kVoteReply, message.from);
  reply.granted = granted;
  Promise(std::move(reply), Index());
}

void Raft::Core::HandleVoteReply(const Message& message) {
  if (role_ != Role::kCandidate) return;
  RecordVote(message.from, message.granted);
}

void Raft::Core::RecordVote(PeerId from, bool granted) {
  const bool known = std::any_of(votes_.begin(), votes_.end(),
                                 [from](const auto& vote) { return vote.first == from; });
  if (!known) votes_.emplace_back(from, granted);
  CountVotesNow();
}

void Raft::Core::CountVotesNow() {
  const VoteResult result = CountVotes(configuration(), [this](PeerId peer) {
    const auto it = std::find_if(votes_.begin(), votes_.end(),
                                 [peer](const auto& vote) { return vote.first == peer; });
    return it == votes_.end() ? std::nullopt : std::optional(it->second);
  });
  if (result == VoteResult::kLost) return BecomeFollower(term(), PeerId());
  // Requests leave after the own vote is durable, so answers before that are not answers.
  if (result != VoteResult::kWon || own_vote_pending_) return;
  if (role_ == Role::kPreCandidate) {
    BecomeCandidate(false);
  } else {
    BecomeLeader();
  }
}

}  // namespace rutile::raft
