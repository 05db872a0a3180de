// Leadership transfer: Raft 3.10.
//
// The order to campaign lets its receiver's voters pass over their promise to this leader, and it
// may arrive at any time later. So the lease ends when a transfer begins, comes back (with a new
// round) if it is given up before the order was sent, and not in this term once it was.

#include "raft/raft_core.h"

namespace rutile::raft {

Effects Raft::Core::TransferLeadership(Instant now, PeerId to) {
  Begin(now);
  if (poisoned()) return {};
  Progress* peer = FindPeer(to);
  if (role_ != Role::kLeader || peer == nullptr || !configuration().IsVoter(to)) return Finish();
  if (transferee_ == to) return Finish();
  transferee_ = to;
  transfer_ticks_ = 0;
  rounds_.ForgetLease();
  out_.state_changed = true;
  SendAppends(to, *peer);
  MaybeOrderTransfer();
  return Finish();
}

void Raft::Core::MaybeOrderTransfer() {
  const Progress* peer = transferee_.IsZero() ? nullptr : FindPeer(transferee_);
  // A match is durable, so the new leader cannot lose what the old one had.
  if (peer == nullptr || peer->match() != tail_.last().index) return;
  transfer_ordered_ = true;
  Send(Make(MessageType::kTimeoutNow, transferee_));
}

void Raft::Core::TickTransfer() {
  if (transferee_.IsZero()) return;
  if (++transfer_ticks_ >= options_.election_ticks) EndTransfer();
}

void Raft::Core::EndTransfer() {
  transferee_ = PeerId();
  rounds_.ForgetLease();
  out_.state_changed = true;
}

void Raft::Core::HandleTimeoutNow(const Message& message) {
  if (role_ != Role::kFollower || message.from != leader_) return;
  if (configuration().IsVoter(id())) BecomeCandidate(true);
}

}  // namespace rutile::raft
