// Followers that need what is compacted: Raft 7.

#include <algorithm>
#include <utility>

#include "raft/raft_core.h"

namespace rutile::raft {

void Raft::Core::WantSnapshot(PeerId to, Progress& peer) {
  if (!peer.active()) {
    // Nobody may be there. Its next sign of life asks again.
    if (peer.state() != Progress::State::kSnapshot) peer.Pause();
    return;
  }
  peer.BecomeSnapshot();
  out_.snapshots.push_back({.to_peer = to, .at_least = tail_.base().index});
}

Effects Raft::Core::OnSnapshotSent(Instant now, PeerId to_peer, LogId id, bool sent) {
  Begin(now);
  if (poisoned()) return {};
  if (Progress* peer = FindPeer(to_peer)) {
    peer->set_asked_at(rounds_.sent());
    peer->OnSnapshotSent(sent ? std::min(id.index, tail_.last().index) : Index());
  }
  return Finish();
}

void Raft::Core::HandleSnapshot(const Message& message) {
  if (!message.snapshot || !message.snapshot->configuration.IsValid()) return;
  const SnapshotMeta& meta = *message.snapshot;
  // It says nothing of who leads: its sender may have lost leadership while it was on its way. A
  // candidate has said what its log is, and must not change it under the voters.
  if (role_ == Role::kLeader || role_ == Role::kCandidate) return;

  if (meta.id.index > tail_.committed()) {
    if (tail_.Contains(meta.id)) {
      // The log has come there by itself. What follows may have been acknowledged and must stay.
      tail_.CommitTo(meta.id.index);
    } else {
      tail_.Reset(meta.id);
      configurations_.clear();
      configurations_.emplace_back(meta.id, meta.configuration);
      ConfigurationChanged();
      out_.install = meta;
    }
  }
  // An older snapshot tells nothing new; the leader is told where this log is, so that it gets on.
  const PeerId to = leader_.IsZero() ? message.from : leader_;
  Message reply = Make(MessageType::kAppendReply, to);
  reply.match = tail_.committed();
  Promise(std::move(reply), reply.match);
}

}  // namespace rutile::raft
