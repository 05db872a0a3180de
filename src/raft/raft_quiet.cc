// Quiet groups: one that has nothing to do costs no ticks and no messages.
//
// That a leader lives is then known from its node, which the host watches once for all groups. A
// leader that has been idle for an election timeout, and knows that every member whose node lives
// has written and applied all, proposes to go quiet with a heartbeat. A follower that finds the
// same and whose host says that the leader's node lives stops its clock and says so; when all have,
// the leader stops its own. A member whose node is dead is left behind, and is brought up when its
// node lives again.
//
// Nothing is decided by it: terms, votes, promises, leases and commits are as always. A lease ends
// by the clock, so the first read wakes the group. What must hold is that somebody wakes: whoever
// does for another reason than its leader's word says so to the leader, who then tells all; a
// follower whose leader's node dies campaigns as if it had waited out its timeout, which the host
// has done for it. Until the leader's word comes, a woken follower refuses votes as if it had just
// heard it: a stray candidate must not find a group of sleepers who have all forgotten their
// leader.

#include <algorithm>

#include "base/probe.h"
#include "raft/quorum.h"
#include "raft/raft_core.h"

namespace rutile::raft {

bool Raft::Core::IsLive(PeerId peer) const {
  return std::binary_search(live_.begin(), live_.end(), peer);
}

// A leader's. Of members on dead nodes nothing is known, and nothing is asked but that the others
// are a quorum.
bool Raft::Core::HasNothingToDo() const {
  const Index last = tail_.last().index;
  const bool rests = HasCommittedInTerm() && tail_.applied() == last && tail_.durable() == last &&
                     backlog_bytes() == 0 && !configuration().IsJoint() && !unsettled_ &&
                     transferee_.IsZero() && preferred_ <= options_.priority &&
                     !rounds_.HasWaiting() && early_reads_.empty();
  if (!rests) return false;
  const bool all_have = std::all_of(peers_.begin(), peers_.end(), [&](const Peer& peer) {
    const Progress& progress = peer.second;
    if (!IsLive(peer.first)) return true;
    return progress.match() == last && progress.applied() == last && progress.room() == kAnyRoom &&
           progress.state() == Progress::State::kReplicate;
  });
  if (!all_have) return false;
  return CountVotes(configuration(), [this](PeerId peer) {
           return std::optional(peer == id() || IsLive(peer));
         }) == VoteResult::kWon;
}

void Raft::Core::NoteIdleTick() {
  if (!options_.quiet) return;
  idle_ticks_ = HasNothingToDo() ? idle_ticks_ + 1 : 0;
}

bool Raft::Core::ProposesQuiet() const { return idle_ticks_ >= options_.election_ticks; }

void Raft::Core::OnQuietProposed(Round round) {
  RUTILE_SOMETIMES(true, "raft: a leader proposes to go quiet");
  for (auto& [id, peer] : peers_) peer.set_agreed(false);
  if (quiet_round_ == round) MaybeGoQuiet();  // There may be nobody to wait for.
}

void Raft::Core::OnQuietAnswer(const Message& message, Progress& peer) {
  if (!message.quiet || quiet_round_.IsZero() || message.round != quiet_round_) return;
  peer.set_agreed(true);
  MaybeGoQuiet();
}

void Raft::Core::MaybeGoQuiet() {
  if (quiet_round_.IsZero() || !HasNothingToDo()) return;
  const bool agreed = std::all_of(peers_.begin(), peers_.end(), [this](const Peer& peer) {
    return !IsLive(peer.first) || peer.second.agreed();
  });
  if (!agreed) return;
  quiet_ = true;
  RUTILE_SOMETIMES(std::any_of(peers_.begin(), peers_.end(),
                               [this](const Peer& peer) { return !IsLive(peer.first); }),
                   "raft: a group goes quiet while one of its members is down");
}

bool Raft::Core::AgreesToQuiet(const Message& heartbeat) {
  const Index last = tail_.last().index;
  return heartbeat.quiet && options_.quiet && IsLive(leader_) && heartbeat.commit == last &&
         tail_.applied() == last && tail_.durable() == last && backlog_bytes() == 0 &&
         forwarded_.empty() && promises_.size() == 0 && !IsImpaired();
}

// Before the input is dealt with.
void Raft::Core::WakeFor(const CoreInput& input) {
  switch (input.kind) {
    case CoreInput::Kind::kTick:
    case CoreInput::Kind::kDurable:
    case CoreInput::Kind::kApplied:
    case CoreInput::Kind::kSnapshotSent:
    case CoreInput::Kind::kColdRead:
    case CoreInput::Kind::kUnreachable:
    case CoreInput::Kind::kLimits:
    case CoreInput::Kind::kLiveness: return;  // See OnPeerLiveness().
    case CoreInput::Kind::kMessage: {
      // What keeps it quiet, or repeats what made it so.
      const Message& message = *input.message;
      const bool keeps =
          message.quiet && message.term == term() &&
          (message.type == MessageType::kHeartbeat || message.type == MessageType::kHeartbeatReply);
      if (keeps || message.to != id()) return;
      if (message.type == MessageType::kReadIndex) idle_ticks_ = 0;
      break;
    }
    case CoreInput::Kind::kPropose:
    case CoreInput::Kind::kReadIndex:
    case CoreInput::Kind::kCampaign:
    case CoreInput::Kind::kTransfer:
    case CoreInput::Kind::kPriority: idle_ticks_ = 0; break;
  }
  if (!quiet_) return;
  const bool by_leader = input.message != nullptr && input.message->from == leader_;
  WakeUp(false);
  if (role_ == Role::kLeader || by_leader || leader_.IsZero()) return;
  RUTILE_SOMETIMES(true, "raft: a follower wakes its leader");
  refuse_votes_until_ = std::max(refuse_votes_until_, now_ + options_.vote_refusal);
  // Answers no round, and tells that this peer is not quiet.
  Promise(Make(MessageType::kHeartbeatReply, leader_), Index());
}

void Raft::Core::WakeUp(bool leader_is_dead) {
  if (!quiet_) return;
  quiet_ = false;
  idle_ticks_ = 0;
  if (role_ == Role::kLeader) {
    ticks_ = 0;  // Nobody has had to answer meanwhile.
    clock_round_ = rounds_.sent().Next();
    return BroadcastHeartbeat();
  }
  ResetElectionTimer();
  leaderless_ticks_ = 0;
  if (leader_is_dead) ticks_ = options_.election_ticks;
}

Effects Raft::Core::OnPeerLiveness(Instant now, PeerId peer, bool live) {
  return Run(now, {.kind = CoreInput::Kind::kLiveness}, [&] {
    const auto at = std::lower_bound(live_.begin(), live_.end(), peer);
    const bool was = at != live_.end() && *at == peer;
    if (was == live) return;
    if (live) {
      live_.insert(at, peer);
    } else {
      live_.erase(at);
    }
    if (role_ == Role::kLeader) {
      if (FindPeer(peer) == nullptr) return;
      idle_ticks_ = 0;
      quiet_round_ = Round();
      WakeUp(false);
    } else if (peer == leader_ && !live) {
      RUTILE_SOMETIMES(quiet_, "raft: a quiet follower's leader dies");
      WakeUp(true);
    }
  });
}

}  // namespace rutile::raft
