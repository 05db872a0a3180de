// How a leader brings its log to the others, and commits: Raft 5.3, 5.4.2.

#include <algorithm>
#include <utility>

#include "base/buggify.h"
#include "base/check.h"
#include "base/probe.h"
#include "raft/quorum.h"
#include "raft/raft_core.h"
#include "raft/witness.h"

namespace rutile::raft {

ProposeResult Raft::Core::Propose(Instant now, std::span<Bytes> payloads) {
  RUTILE_CHECK(!payloads.empty());
  ProposeResult result;
  if (const std::optional<ProposeError> error = Obstacle()) {
    result.outcome = *error;
    return result;
  }
  result.outcome = Proposed{.id = {term(), tail_.last().index.Next()}};
  Run(now, {.kind = CoreInput::Kind::kPropose}, result.effects, [&] {
    for (Bytes& payload : payloads) {
      uncommitted_bytes_ += Entry::kOverheadBytes + payload.size();
      tail_.AppendOwn(term(), EntryType::kNormal, std::move(payload));
      Tell(CoreChange::kOwnEntry);
    }
    // Before our own disk has them: it is one vote among others, and counts itself when it has.
    BroadcastAppend();
  });
  return result;
}

std::optional<ProposeError> Raft::Core::Obstacle() const {
  if (poisoned()) return ProposeError::kPoisoned;
  if (role_ != Role::kLeader) return ProposeError::kNotLeader;
  if (!transferee_.IsZero()) return ProposeError::kTransferring;
  if (IsBusy()) return ProposeError::kBusy;
  return std::nullopt;
}

Progress* Raft::Core::FindPeer(PeerId id) {
  for (Peer& peer : peers_) {  // They are few.
    if (peer.first == id) return &peer.second;
  }
  return nullptr;
}

void Raft::Core::BroadcastAppend() {
  out_->messages.reserve(out_->messages.size() + peers_.size());
  for (auto& [to, peer] : peers_) SendAppends(to, peer);
}

void Raft::Core::SendAppends(PeerId to, Progress& peer) {
  while (peer.next() <= SendLimit(to) && peer.CanSend(window())) {
    if (!SendAppend(to, peer)) return;
  }
}

bool Raft::Core::SendAppend(PeerId to, Progress& peer) {
  const Index limit = SendLimit(to);
  if (peer.room() == 0 ||
      peer.next() > limit.Next()) {  // A probe; it takes no entries, or none yet.
    SendEmptyAppend(to, peer);
    return false;
  }
  const Index prev = peer.next().Prev();
  const std::optional<Term> prev_term = tail_.TermAt(prev);
  if (!prev_term) {
    WantSnapshot(to, peer);
    return false;
  }
  const std::size_t most = std::min<std::uint64_t>(options_.max_append_bytes, peer.room());
  const std::size_t max_bytes = RUTILE_BUGGIFY("buggify raft: an append of one entry") ? 0 : most;
  LogSlice slice;
  if (!tail_.ReadInto(slice, prev, limit, max_bytes)) {
    // Evicted, hence durable: the host reads it back. Up to where memory takes over.
    peer.set_reading(true);
    out_->cold_reads.push_back({.to_peer = to,
                                .term = term(),
                                .prev = {*prev_term, prev},
                                .to = std::min(limit, tail_.first_resident().Prev()),
                                .max_bytes = most});
    return false;
  }
  SendSlice(to, peer, std::move(slice));
  return true;
}

void Raft::Core::SendSlice(PeerId to, Progress& peer, LogSlice&& slice) {
  if (configuration().IsWitness(to)) StripData(slice);
  std::size_t bytes = 0;
  for (const Entry& entry : slice.entries) bytes += entry.size_bytes();
  if (!slice.empty() || peer.state() == Progress::State::kProbe) {
    peer.OnSent(slice.last().index, bytes);
  }
  peer.set_asked_at(rounds_.sent());
  quiet_round_ = Round();  // Who has agreed to it is woken by this.
  Message& message = Send(MessageType::kAppend, to);
  message.slice = std::move(slice);
  message.commit = tail_.committed();
  peer.set_told_commit(message.commit);
}

// Asks whether all that was sent has arrived: the answer acknowledges it, or says what is missing.
void Raft::Core::SendEmptyAppend(PeerId to, Progress& peer) {
  const Index prev = peer.next().Prev();
  const std::optional<Term> prev_term = tail_.TermAt(prev);
  // Compacted while it was on its way, or lost.
  if (!prev_term) return WantSnapshot(to, peer);
  SendSlice(to, peer, {.prev = {*prev_term, prev}});
}

void Raft::Core::Nudge(PeerId to, Progress& peer, bool impaired) {
  peer.OnSignOfLife();
  switch (peer.state()) {
    case Progress::State::kSnapshot: return;
    case Progress::State::kProbe:
      if (peer.CanSend(window())) SendAppend(to, peer);
      return;
    case Progress::State::kReplicate:
      // What an impaired peer is taken to have it may have acknowledged before it lost it.
      if ((peer.match() >= SendLimit(to) && !impaired) || peer.reading()) return;
      if (peer.next() <= SendLimit(to) && peer.CanSend(window())) {
        SendAppends(to, peer);
      } else {
        SendEmptyAppend(to, peer);
      }
      return;
  }
}

void Raft::Core::HandleAppendReply(const Message& message) {
  Progress* peer = FindPeer(message.from);
  if (role_ != Role::kLeader || peer == nullptr) return;
  peer->set_active(true);
  peer->NoteStanding(message.applied, message.room);
  if (message.rejected) {
    const Index agreement = AgreementWith(message.hint);
    if (message.impaired) {
      peer->OnLost(std::min(agreement, message.hint.index));
      TellProgress(message.from, *peer);
    }
    RUTILE_SOMETIMES(message.match <= peer->match(), "raft: an old rejection comes late");
    if (!peer->OnRejected(message.match, agreement)) return;
  } else {
    if (message.match > tail_.last().index) return;  // Nobody can have what we have not.
    peer->OnAccepted(message.match, tail_.base().index);
    TellProgress(message.from, *peer);
    MaybeCommit();
    SendToWitnesses();
    // What it has just acknowledged may be committed already.
    if (options_.announce_commit) AnnounceCommit(message.from, *peer);
  }
  SendAppends(message.from, *peer);
  TellProgress(message.from, *peer);
  MaybeOrderTransfer();
}

// Where our log and that of a peer with `hint` in it agree at most. In one step over each term that
// only one of them has (Raft 5.3, end).
Index Raft::Core::AgreementWith(LogId hint) const {
  const LogId agreement = tail_.FindAgreement(hint);
  const bool found = agreement.index <= hint.index && agreement.term <= hint.term;
  RUTILE_SOMETIMES(!found, "raft: logs that agree on nothing that is kept");
  // Not even base: it needs a snapshot.
  return found ? agreement.index : agreement.index.Prev();
}

void Raft::Core::MaybeCommit() {
  const Index reached(QuorumReached(configuration(), [this](PeerId peer) {
    if (peer == id()) return tail_.durable().value();
    const Progress* progress = FindPeer(peer);
    return progress == nullptr ? std::uint64_t{0} : progress->match().value();
  }));
  // Raft 5.4.2: an entry of an older term may be on a majority and still be replaced.
  RUTILE_SOMETIMES(reached > tail_.committed() && tail_.TermAt(reached) != std::optional(term()),
                   "raft: a quorum has entries of an older term only");
  RUTILE_SOMETIMES(reached > tail_.durable(), "raft: committed before the leader's disk has it");
  if (reached <= tail_.committed() || tail_.TermAt(reached) != std::optional(term())) return;
  const bool first = !HasCommittedInTerm();
  uncommitted_bytes_ -= tail_.BytesBetween(tail_.committed(), reached);
  tail_.CommitTo(reached);
  Tell(CoreChange::kCommitted);
  if (options_.announce_commit) {
    for (auto& [to, peer] : peers_) AnnounceCommit(to, peer);
  }
  if (!first) return;
  // Now this leader knows of all that was committed before it, and may answer (Raft 6.4).
  for (ReadRounds::Read& read : std::exchange(early_reads_, {})) AddRead(std::move(read));
  StartWantedRound();
}

void Raft::Core::AnnounceCommit(PeerId to, Progress& peer) {
  // Beyond what it was sent it can commit nothing.
  const Index useful = std::min(tail_.committed(), peer.next().Prev());
  if (peer.told_commit() >= useful || !peer.CanSend(window())) return;
  if (peer.next() <= SendLimit(to)) {
    SendAppend(to, peer);
  } else {
    SendEmptyAppend(to, peer);
  }
}

Effects Raft::Core::OnColdRead(Instant now, const ColdRead& read, LogSlice slice) {
  return Run(now, {.kind = CoreInput::Kind::kColdRead}, [&] {
    Progress* peer = FindPeer(read.to_peer);
    // Another term: of another leadership, whose reads are none of ours.
    if (role_ != Role::kLeader || read.term != term() || peer == nullptr || !peer->reading()) {
      return;
    }
    peer->set_reading(false);
    if (peer->state() == Progress::State::kSnapshot) return;
    if (slice.empty()) {
      RUTILE_SOMETIMES(true, "raft: a cold read fails");
      peer->Pause();
      peer->set_asked_at(rounds_.sent());
      return;
    }
    // A leader's log only grows in its term, so what is on disk is what it had asked for; but a
    // read by bare index is never believed.
    const bool wanted = slice.prev == read.prev && slice.prev.index == peer->next().Prev() &&
                        slice.Validate() && tail_.Contains(slice.prev) &&
                        tail_.Contains(slice.last());
    RUTILE_SOMETIMES(!wanted, "raft: a cold read comes too late");
    if (wanted) SendSlice(read.to_peer, *peer, std::move(slice));
    SendAppends(read.to_peer, *peer);
  });
}

Effects Raft::Core::OnUnreachable(Instant now, PeerId peer) {
  return Run(now, {.kind = CoreInput::Kind::kUnreachable}, [&] {
    Progress* progress = FindPeer(peer);
    if (progress == nullptr) return;
    progress->OnUnreachable();
    progress->set_asked_at(rounds_.sent());
  });
}

}  // namespace rutile::raft
