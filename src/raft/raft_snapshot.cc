// Followers that need what is compacted: Raft 7.

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/probe.h"
#include "raft/raft_core.h"

namespace rutile::raft {
namespace {

// At a million entries a second it is reached in three hundred thousand years.
constexpr std::uint64_t kLastIndex = std::uint64_t{1} << 63;

}  // namespace

void Raft::Core::WantSnapshot(PeerId to, Progress& peer) {
  if (!peer.active()) {
    RUTILE_SOMETIMES(true, "raft: a snapshot waits for a sign of life");
    // Nobody may be there. Its next sign of life asks again.
    if (peer.state() != Progress::State::kSnapshot) peer.Pause();
    return;
  }
  peer.BecomeSnapshot();
  peer.set_told_commit(tail_.base().index);  // By the snapshot, at least.
  out_->snapshots.push_back(
      {.to_peer = to, .at_least = tail_.base().index, .witness = configuration().IsWitness(to)});
}

Effects Raft::Core::OnSnapshotSent(Instant now, PeerId to_peer, LogId id, bool sent) {
  return Run(now, {.kind = CoreInput::Kind::kSnapshotSent}, [&] {
    Progress* peer = FindPeer(to_peer);
    if (peer == nullptr) return;
    RUTILE_SOMETIMES(!sent, "raft: the host gives a snapshot up");
    peer->set_asked_at(rounds_.sent());
    peer->OnSnapshotSent(sent ? std::min(id.index, tail_.last().index) : Index());
  });
}

void Raft::Core::HandleSnapshot(const Message& message) {
  if (!message.snapshot || !message.snapshot->configuration.IsValid()) return;
  const SnapshotMeta& meta = *message.snapshot;
  // No entry is of a later term than its leader, and a log must be able to go on behind it.
  if (meta.id.term > message.term || meta.id.index.value() > kLastIndex) return;
  // It says nothing of who leads: its sender may have lost leadership while it was on its way. A
  // candidate has said what its log is, and must not change it under the voters.
  RUTILE_SOMETIMES(role_ == Role::kCandidate, "raft: a snapshot comes to a candidate");
  if (role_ == Role::kLeader || role_ == Role::kCandidate) return;
  RUTILE_SOMETIMES(meta.id.index <= tail_.committed(), "raft: a snapshot is older than the log");

  if (meta.id.index > tail_.committed()) {
    if (tail_.Contains(meta.id)) {
      RUTILE_SOMETIMES(true, "raft: a snapshot of what the log has");
      // The log has come there by itself. What follows may have been acknowledged and must stay.
      tail_.CommitTo(meta.id.index);
    } else {
      RUTILE_SOMETIMES(tail_.last().index > meta.id.index,
                       "raft: a snapshot replaces a longer log");
      // Asking for pre-votes was another log's business, and perhaps another configuration's.
      if (role_ == Role::kPreCandidate) BecomeFollower(term(), leader_);
      tail_.Reset(meta.id);
      applying_.Clear();  // Of the state machine that is replaced.
      configurations_.clear();
      configurations_.emplace_back(meta.id, meta.configuration);
      ConfigurationChanged();
      out_->install = meta;
    }
  }
  // An older snapshot tells nothing new; the leader is told where this log is, so that it gets on.
  const PeerId to = leader_.IsZero() ? message.from : leader_;
  Message reply = Make(MessageType::kAppendReply, to);
  reply.match = tail_.committed();
  const Index promised = reply.match;
  Promise(std::move(reply), promised);
}

}  // namespace rutile::raft
