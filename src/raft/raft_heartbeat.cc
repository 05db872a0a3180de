// Heartbeats: they keep followers from campaigning, carry the commit index, count the leader's
// quorum (9.6, CheckQuorum), and their rounds carry reads and the lease (6.4).

#include <algorithm>
#include <utility>

#include "base/probe.h"
#include "raft/quorum.h"
#include "raft/raft_core.h"

namespace rutile::raft {

void Raft::Core::TickLeader() {
  if (++ticks_ >= options_.election_ticks) CheckQuorum();
  if (role_ != Role::kLeader) return;
  NoteIdleTick();
  if (++heartbeat_ticks_ >= options_.heartbeat_ticks) {
    clock_round_ = rounds_.sent().Next();
    BroadcastHeartbeat(ProposesQuiet());
    if (quiet_) return;
  }
  TickTransfer();
}

// A leader that a quorum has not answered for an election timeout makes way: its clients would wait
// for nothing, and who hears only it would refuse to elect another.
void Raft::Core::CheckQuorum() {
  ticks_ = 0;
  const VoteResult result = CountVotes(configuration(), [this](PeerId peer) {
    const Progress* progress = FindPeer(peer);
    return std::optional(peer == id() || (progress != nullptr && progress->active()));
  });
  RUTILE_SOMETIMES(result != VoteResult::kWon, "raft: a leader without a quorum makes way");
  if (result != VoteResult::kWon) return BecomeFollower(term(), PeerId());
  NotePriorities();
  MaybeHandOver();
  NoteWhoHasData();
  // Where a round of catching up has to come to (Raft 4.2.1), in the time to the next check.
  catch_up_mark_ = tail_.committed();
  for (auto& [id, peer] : peers_) peer.OnLookedAt();
}

void Raft::Core::BroadcastHeartbeat(bool quiet) {
  heartbeat_ticks_ = 0;
  const Round round = rounds_.Start(now_);
  quiet_round_ = quiet ? round : Round();
  out_->messages.reserve(out_->messages.size() + peers_.size());
  for (auto& [to, peer] : peers_) {
    Message& message = Send(MessageType::kHeartbeat, to);
    message.round = round;
    // Only as far as its log is known to be ours: beyond that it may hold other entries.
    message.commit = std::min(peer.match(), tail_.committed());
    peer.set_told_commit(message.commit);
    message.priority = preferred_;
    message.quiet = quiet && IsLive(to);
  }
  ConfirmRounds();  // Enough for who decides alone.
  if (quiet) OnQuietProposed(round);
}

void Raft::Core::HandleHeartbeat(const Message& message) {
  if (!HearLeader(message.from)) return;
  const bool missed = message.commit > tail_.last().index;
  RUTILE_SOMETIMES(missed, "raft: a leader counts on what an impaired peer has lost");
  if (missed && !IsImpaired()) {
    // It counts on entries that this peer has acknowledged and does not have: lost data.
    return Poison("acknowledged entries are missing: " + ToString(message));
  }
  // What an impaired peer has kept is a beginning of what it had acknowledged.
  tail_.CommitTo(std::min(message.commit, tail_.last().index));
  preferred_ = message.priority;
  Message reply = Make(MessageType::kHeartbeatReply, message.from);
  reply.round = message.round;
  reply.priority = options_.priority;
  reply.quiet = quiet_ = AgreesToQuiet(message);
  Promise(std::move(reply), Index());
}

void Raft::Core::HandleHeartbeatReply(const Message& message) {
  Progress* peer = FindPeer(message.from);
  if (role_ != Role::kLeader || peer == nullptr || message.round > rounds_.sent()) return;
  peer->set_active(true);
  RUTILE_SOMETIMES(message.round < peer->answered_round(), "raft: an old round's answer is late");
  peer->OnRoundAnswered(message.round);
  peer->set_priority(message.priority);
  peer->NoteStanding(message.applied, message.room);
  ConfirmRounds();
  // Once for each beat of the clock, however many rounds reads send in between.
  if (message.round >= clock_round_ && clock_round_ > peer->asked_at()) {
    Nudge(message.from, *peer, message.impaired);
  }
  MaybeOrderTransfer();
  OnQuietAnswer(message, *peer);
}

}  // namespace rutile::raft
