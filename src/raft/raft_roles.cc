#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raft/raft_core.h"

namespace rutile::raft {

void Raft::Core::BecomeFollower(Term term, PeerId leader) {
  RUTILE_CHECK(term >= hard_state_.term, DebugString());
  if (role_ == Role::kLeader) LeaveLeadership();
  if (leader != leader_) AbandonForwarded();
  if (term > hard_state_.term) {
    // Term and role change in one step; what was promised in the old term is void.
    hard_state_.term = term;
    hard_state_.vote = PeerId();
    DropPromises();
  }
  role_ = Role::kFollower;
  leader_ = leader;
  quiet_ = false;
  votes_ = {};
  own_vote_pending_ = false;
  out_->state_changed = true;
  ResetElectionTimer();
  Tell(CoreChange::kFollower);
}

void Raft::Core::BecomePreCandidate() {
  RUTILE_CHECK(role_ != Role::kLeader, DebugString());
  AbandonForwarded();
  role_ = Role::kPreCandidate;
  leader_ = PeerId();
  votes_ = {};
  own_vote_pending_ = false;
  out_->state_changed = true;
  ResetElectionTimer();
  Tell(CoreChange::kPreCandidate);
  for (PeerId peer : configuration().Members()) {
    if (peer == id() || !configuration().IsVoter(peer)) continue;
    Message message = Make(MessageType::kPreVote, peer);
    message.term = term().Next();
    message.last_log = tail_.last();
    message.priority = options_.priority;
    Send(std::move(message));
  }
  // Changes nothing that could be lost, so it needs no disk.
  RecordVote(id(), true);
}

void Raft::Core::BecomeCandidate(bool transfer) {
  RUTILE_CHECK(role_ != Role::kLeader, DebugString());
  AbandonForwarded();
  hard_state_.term = term().Next();
  hard_state_.vote = id();
  DropPromises();
  role_ = Role::kCandidate;
  leader_ = PeerId();
  votes_ = {};
  own_vote_pending_ = true;
  out_->state_changed = true;
  ResetElectionTimer();
  Tell(CoreChange::kCandidate);
  // Raft 5.2. The requests, like the own vote, promise that no other vote is given in this term.
  for (PeerId peer : configuration().Members()) {
    if (peer == id() || !configuration().IsVoter(peer)) continue;
    Message message = Make(MessageType::kVote, peer);
    message.last_log = tail_.last();
    message.transfer = transfer;
    Promise(std::move(message), Index());
  }
}

void Raft::Core::BecomeLeader() {
  RUTILE_CHECK(role_ == Role::kCandidate && !own_vote_pending_, DebugString());
  role_ = Role::kLeader;
  leader_ = id();
  votes_ = {};
  out_->state_changed = true;
  ticks_ = 0;
  heartbeat_ticks_ = 0;
  clock_round_ = Round();
  transfer_ordered_ = false;
  leaderless_ticks_ = 0;
  alone_ = false;
  idle_ticks_ = 0;
  quiet_round_ = Round();
  preferred_ = kNobody;
  catch_up_mark_ = tail_.committed();
  uncommitted_bytes_ = tail_.BytesBetween(tail_.committed(), tail_.last().index);
  SyncPeers();
  Tell(CoreChange::kLeader);
  // Raft 5.4.2, 6.4: only an entry of the own term commits what came before it.
  tail_.AppendOwn(term(), EntryType::kEmpty, Bytes());
  Tell(CoreChange::kOwnEntry);
  uncommitted_bytes_ += Entry::kOverheadBytes;
  BroadcastAppend();
}

void Raft::Core::LeaveLeadership() {
  AbandonReads();
  peers_.clear();
  uncommitted_bytes_ = 0;
  transferee_ = PeerId();
  transfer_ordered_ = false;
}

void Raft::Core::ResetElectionTimer() {
  ticks_ = 0;
  const auto spread = static_cast<std::uint64_t>(std::max(1, options_.election_ticks / 2));
  timeout_ = options_.election_ticks + static_cast<int>(random_.Below(spread));
}

bool Raft::Core::HearLeader(PeerId from) {
  if (role_ == Role::kLeader || (!leader_.IsZero() && leader_ != from)) {
    Poison("peer " + ToString(from) + " leads the same term");
    return false;
  }
  if (role_ != Role::kFollower || leader_ != from) BecomeFollower(term(), from);
  ticks_ = 0;
  leaderless_ticks_ = 0;
  // Measured from the receipt, while the leader's lease runs from the sending before it.
  refuse_votes_until_ = now_ + options_.vote_refusal;
  return true;
}

Effects Raft::Core::Tick(Instant now) {
  return Run(now, {.kind = CoreInput::Kind::kTick}, [this] {
    if (quiet_) return;
    ++handover_ticks_;
    if (role_ == Role::kLeader) {
      TickLeader();
    } else {
      TickFollower();
    }
  });
}

Effects Raft::Core::Step(Instant now, Message&& message) {
  return Run(now, {.kind = CoreInput::Kind::kMessage, .message = &message}, [&] {
    if (message.to != id() || message.from == id() || message.from.IsZero()) return;
    if (AdmitTerm(message)) Dispatch(message);
  });
}

// Raft 5.1: whoever sees a higher term steps down; who sends a lower one is told. Returns whether
// the message is to be handled, which is then in this peer's term (or speaks of a future one, for
// pre-votes).
bool Raft::Core::AdmitTerm(const Message& message) {
  switch (message.type) {
    case MessageType::kPreVote: return true;
    case MessageType::kPreVoteReply:
      if (message.granted) return message.term == term().Next();
      break;
    case MessageType::kVote:
      // Raft 6.4.1, 9.6: while there is a leader, nobody is to be unseated, whatever the term.
      if (!message.transfer && message.term >= term() && RefusesVotes()) return false;
      break;
    case MessageType::kSnapshot:
      // What is committed stays so in every term: a snapshot that took longer to send than its
      // leader lasted is as good as any.
      if (message.term < term()) return true;
      break;
    default: break;
  }
  if (message.term < term()) {
    AnswerStale(message);
    return false;
  }
  if (message.term > term()) {
    const bool leads =
        message.type == MessageType::kAppend || message.type == MessageType::kHeartbeat;
    BecomeFollower(message.term, leads ? message.from : PeerId());
  }
  return true;
}

// A leader or candidate of an old term must learn that it is: nobody else may be able to tell it,
// and until then it disturbs or is stuck. Carries nothing but the term.
void Raft::Core::AnswerStale(const Message& message) {
  switch (message.type) {
    case MessageType::kVote: return Promise(Make(MessageType::kVoteReply, message.from), Index());
    case MessageType::kAppend: {
      Message reply = Make(MessageType::kAppendReply, message.from);
      reply.rejected = true;
      reply.match = message.slice.prev.index;
      return Promise(std::move(reply), Index());
    }
    case MessageType::kHeartbeat:
      return Promise(Make(MessageType::kHeartbeatReply, message.from), Index());
    case MessageType::kReadIndex: {
      Message reply = Make(MessageType::kReadIndexReply, message.from);
      reply.read = message.read;
      return Promise(std::move(reply), Index());
    }
    default: return;  // Answers to what is over.
  }
}

void Raft::Core::Dispatch(Message& message) {
  switch (message.type) {
    case MessageType::kPreVote: return HandlePreVote(message);
    case MessageType::kPreVoteReply: return HandlePreVoteReply(message);
    case MessageType::kVote: return HandleVote(message);
    case MessageType::kVoteReply: return HandleVoteReply(message);
    case MessageType::kAppend: return HandleAppend(message);
    case MessageType::kAppendReply: return HandleAppendReply(message);
    case MessageType::kHeartbeat: return HandleHeartbeat(message);
    case MessageType::kHeartbeatReply: return HandleHeartbeatReply(message);
    case MessageType::kSnapshot: return HandleSnapshot(message);
    case MessageType::kTimeoutNow: return HandleTimeoutNow(message);
    case MessageType::kReadIndex: return HandleReadIndex(message);
    case MessageType::kReadIndexReply: return HandleReadIndexReply(message);
  }
}

}  // namespace rutile::raft
