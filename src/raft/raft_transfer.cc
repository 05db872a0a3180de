// Leadership transfer: Raft 3.10.
//
// The order to campaign lets its receiver's voters pass over their promise to this leader, and it
// may arrive at any time later. So the lease ends when a transfer begins, comes back (with a new
// round) if it is given up before the order was sent, and not in this term once it was.

#include "base/probe.h"
#include "raft/raft_core.h"

namespace rutile::raft {

Effects Raft::Core::TransferLeadership(Instant now, PeerId to) {
  return Run(now, {.kind = CoreInput::Kind::kTransfer}, [&] {
    const Progress* peer = FindPeer(to);
    if (role_ != Role::kLeader || peer == nullptr || !MayLead(to)) return;
    if (transferee_ != to) BeginTransfer(to);
  });
}

void Raft::Core::BeginTransfer(PeerId to) {
  transferee_ = to;
  transfer_ticks_ = 0;
  rounds_.ForgetLease();
  out_->state_changed = true;
  SendAppends(to, *FindPeer(to));
  MaybeOrderTransfer();
}

bool Raft::Core::IsWarm(const Progress& peer) const {
  return peer.applied().Plus(kCloseEntries) >= tail_.committed();
}

void Raft::Core::MaybeOrderTransfer() {
  const Progress* peer = transferee_.IsZero() ? nullptr : FindPeer(transferee_);
  // A match is durable, so the new leader cannot lose what the old one had.
  if (peer == nullptr || peer->match() != tail_.last().index) return;
  // One that has much to apply would serve nobody until it has, nor could anybody else.
  RUTILE_SOMETIMES(!IsWarm(*peer), "raft: a transfer waits for what is not applied");
  if (!IsWarm(*peer)) return;
  RUTILE_SOMETIMES(transfer_ordered_, "raft: a second order to campaign in one term");
  transfer_ordered_ = true;
  Send(Make(MessageType::kTimeoutNow, transferee_));
}

void Raft::Core::TickTransfer() {
  if (transferee_.IsZero()) return;
  if (++transfer_ticks_ >= options_.election_ticks) EndTransfer();
}

void Raft::Core::EndTransfer() {
  RUTILE_SOMETIMES(role_ == Role::kLeader, "raft: a transfer of leadership is given up");
  transferee_ = PeerId();
  rounds_.ForgetLease();
  out_->state_changed = true;
}

void Raft::Core::HandleTimeoutNow(const Message& message) {
  RUTILE_SOMETIMES(message.from != leader_, "raft: an order to campaign from who leads no more");
  if (role_ != Role::kFollower || message.from != leader_) return;
  if (MayCampaign()) BecomeCandidate(true);
}

}  // namespace rutile::raft
