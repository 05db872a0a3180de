// Elections: Raft 5.2, 5.4.1, pre-vote (9.6), and votes refused for the sake of a leader's lease
// (6.4.1).

#include <algorithm>
#include <utility>

#include "base/buggify.h"
#include "base/probe.h"
#include "raft/quorum.h"
#include "raft/raft_core.h"

namespace rutile::raft {

bool Raft::Core::IsSoleVoter() const {
  const Configuration& all = configuration();
  return !all.IsJoint() && all.voters.size() == 1 && all.voters.front() == id();
}

// Raft 4.2.2: whoever loses its vote by an entry that is not known to be committed may be the only
// one who has it, and the others cannot outvote a log that they do not have. It campaigns, though
// its own vote does not count, and makes way once it has committed the entry.
bool Raft::Core::MayCampaign() const {
  if (options_.witness || IsImpaired()) return false;
  for (auto at = configurations_.rbegin(); at != configurations_.rend(); ++at) {
    if (at->second.IsVoter(id())) return true;
    if (at->first.index <= tail_.committed()) return false;
  }
  return false;
}

bool Raft::Core::RefusesVotes() const {
  return role_ == Role::kLeader || now_ < refuse_votes_until_;
}

void Raft::Core::TickFollower() {
  for (ReadId id : forwarded_.Tick()) out_->reads.push_back({.id = id});
  ++ticks_;
  ++leaderless_ticks_;
  if (!MayCampaign()) return;
  if (IsSoleVoter()) {
    // Nobody to wait for, as soon as this is known to be committed: until then a leader that takes
    // its own vote away may still read under a lease that counts on this peer. As a candidate it
    // only waits for its disk.
    const bool settled = configuration_since() <= tail_.committed();
    const bool may = settled || now_ >= refuse_votes_until_;
    if (role_ != Role::kCandidate && may) BecomeCandidate(false);
    return;
  }
  // Its own vote, too, is refused while a lease may run that counts on this peer: ticks may have
  // come in a burst.
  if (ticks_ >= timeout_ + Deference() && now_ >= refuse_votes_until_) BecomePreCandidate();
}

Effects Raft::Core::Campaign(Instant now) {
  return Run(now, {.kind = CoreInput::Kind::kCampaign}, [this] {
    if (role_ != Role::kLeader && MayCampaign()) BecomeCandidate(false);
  });
}

void Raft::Core::HandlePreVote(const Message& message) {
  RUTILE_SOMETIMES(RefusesVotes(), "raft: a pre-vote is refused while a leader lives");
  if (RefusesVotes()) return;
  if (RUTILE_BUGGIFY("buggify raft: a pre-vote is not answered")) return;
  const bool outranked = Outranks(message);
  const bool granted =
      !IsImpaired() && !outranked && message.term > term() && message.last_log >= tail_.last();
  Message reply = Make(MessageType::kPreVoteReply, message.from);
  reply.granted = granted;
  reply.rejected = outranked;
  // A refusal teaches our term; a grant says for which it is. Neither binds us.
  if (granted) reply.term = message.term;
  Promise(std::move(reply), Index());
  if (outranked && role_ == Role::kFollower) BecomePreCandidate();
}

void Raft::Core::HandlePreVoteReply(const Message& message) {
  if (role_ != Role::kPreCandidate) return;
  // Stands back, though it may have a majority: whoever refuses campaigns already.
  if (message.rejected && MayDefer()) return BecomeFollower(term(), PeerId());
  RecordVote(message.from, message.granted);
}

// Asked by whoever believes in a newer configuration than ours: neither the candidate nor we need
// be voters in the one that we know (Raft 4.1).
void Raft::Core::HandleVote(const Message& message) {
  const bool free =
      hard_state_.vote == message.from || (hard_state_.vote.IsZero() && leader_.IsZero());
  const bool granted = !IsImpaired() && free && message.last_log >= tail_.last();
  RUTILE_SOMETIMES(free && !granted && !IsImpaired(), "raft: a candidate's log is behind");
  RUTILE_SOMETIMES(!free && !hard_state_.vote.IsZero(), "raft: the vote of this term is given");
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
  RUTILE_SOMETIMES(result == VoteResult::kLost, "raft: an election is lost");
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
