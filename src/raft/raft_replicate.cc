// How a leader brings its log to the others, and commits: Raft 5.3, 5.4.2.

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raft/quorum.h"
#include "raft/raft_core.h"

namespace rutile::raft {

std::pair<std::variant<Proposed, ProposeError>, Effects> Raft::Core::Propose(
    Instant now, std::vector<Bytes> payloads) {
  RUTILE_CHECK(!payloads.empty());
  if (poisoned()) return {ProposeError::kPoisoned, Effects()};
  if (role_ != Role::kLeader) return {ProposeError::kNotLeader, Effects()};
  if (!transferee_.IsZero()) return {ProposeError::kTransferring, Effects()};
  if (uncommitted_bytes_ >= options_.max_uncommitted_bytes) {
    return {ProposeError::kBusy, Effects()};
  }
  Begin(now);
  const Proposed proposed{.id = {term(), tail_.last().index.Next()}};
  for (Bytes& payload : payloads) {
    uncommitted_bytes_ += Entry::kOverheadBytes + payload.size();
    tail_.AppendOwn(term(), EntryType::kNormal, std::move(payload));
  }
  // Before our own disk has them: it is one vote among others, and counts itself when it has.
  BroadcastAppend();
  return {proposed, Finish()};
}

Progress* Raft::Core::FindPeer(PeerId id) {
  const auto it =
      std::lower_bound(peers_.begin(), peers_.end(), id,
                       [](const Peer& peer, PeerId wanted) { return peer.first < wanted; });
  return it != peers_.end() && it->first == id ? &it->second : nullptr;
}

// Whoever is new is probed at the end of the log; who is not a member any more is forgotten, so
// that nothing is left for the next who comes with its id.
void Raft::Core::SyncPeers() {
  std::vector<Peer> peers;
  for (PeerId member : configuration().Members()) {
    if (member == id()) continue;
    Progress* known = FindPeer(member);
    peers.emplace_back(member,
                       known != nullptr ? std::move(*known) : Progress(tail_.last().index.Next()));
  }
  peers_ = std::move(peers);
}

void Raft::Core::BroadcastAppend() {
  out_.messages.reserve(out_.messages.size() + peers_.size());
  for (auto& [to, peer] : peers_) SendAppends(to, peer);
}

void Raft::Core::SendAppends(PeerId to, Progress& peer) {
  while (peer.next() <= tail_.last().index && peer.CanSend(window())) {
    if (!SendAppend(to, peer)) return;
  }
}

bool Raft::Core::SendAppend(PeerId to, Progress& peer) {
  const Index prev = peer.next().Prev();
  const std::optional<Term> prev_term = tail_.TermAt(prev);
  if (!prev_term) {
    WantSnapshot(to, peer);
    return false;
  }
  std::optional<LogSlice> slice = tail_.Read(prev, tail_.last().index, options_.max_append_bytes);
  if (!slice) {
    // Evicted, hence durable: the host reads it back. Up to where memory takes over.
    peer.set_reading(true);
    out_.cold_reads.push_back({.to_peer = to,
                               .term = term(),
                               .prev = {*prev_term, prev},
                               .to = tail_.first_resident().Prev(),
                               .max_bytes = options_.max_append_bytes});
    return false;
  }
  SendSlice(to, peer, *std::move(slice));
  return true;
}

void Raft::Core::SendSlice(PeerId to, Progress& peer, LogSlice slice) {
  std::size_t bytes = 0;
  for (const Entry& entry : slice.entries) bytes += entry.size_bytes();
  if (!slice.empty() || peer.state() == Progress::State::kProbe) {
    peer.OnSent(slice.last().index, bytes);
  }
  peer.set_asked_at(rounds_.sent());
  Message message = Make(MessageType::kAppend, to);
  message.slice = std::move(slice);
  message.commit = tail_.committed();
  Send(std::move(message));
}

// Asks whether all that was sent has arrived: the answer acknowledges it, or says what is missing.
void Raft::Core::SendEmptyAppend(PeerId to, Progress& peer) {
  const Index prev = peer.next().Prev();
  const std::optional<Term> prev_term = tail_.TermAt(prev);
  // Compacted while it was on its way, or lost.
  if (!prev_term) return WantSnapshot(to, peer);
  SendSlice(to, peer, {.prev = {*prev_term, prev}});
}

void Raft::Core::Nudge(PeerId to, Progress& peer) {
  peer.OnSignOfLife();
  switch (peer.state()) {
    case Progress::State::kSnapshot: return;
    case Progress::State::kProbe:
      if (peer.CanSend(window())) SendAppend(to, peer);
      return;
    case Progress::State::kReplicate:
      if (peer.match() == tail_.last().index || peer.reading()) return;
      if (peer.next() <= tail_.last().index && peer.CanSend(window())) {
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
  if (message.rejected) {
    if (!peer->OnRejected(message.match, AgreementWith(message.hint))) return;
  } else {
    if (message.match > tail_.last().index) return;  // Nobody can have what we have not.
    peer->OnAccepted(message.match, tail_.base().index);
    MaybeCommit();
  }
  SendAppends(message.from, *peer);
  MaybeOrderTransfer();
}

// Where our log and that of a peer with `hint` in it agree at most. In one step over each term that
// only one of them has (Raft 5.3, end).
Index Raft::Core::AgreementWith(LogId hint) const {
  const LogId agreement = tail_.FindAgreement(hint);
  const bool found = agreement.index <= hint.index && agreement.term <= hint.term;
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
  if (reached <= tail_.committed() || tail_.TermAt(reached) != std::optional(term())) return;
  const bool first = !HasCommittedInTerm();
  uncommitted_bytes_ -= tail_.BytesBetween(tail_.committed(), reached);
  tail_.CommitTo(reached);
  if (!first) return;
  // Now this leader knows of all that was committed before it, and may answer (Raft 6.4).
  for (ReadRounds::Read& read : std::exchange(early_reads_, {})) AddRead(read);
  StartWantedRound();
}

Effects Raft::Core::OnColdRead(Instant now, const ColdRead& read, LogSlice slice) {
  Begin(now);
  Progress* peer = FindPeer(read.to_peer);
  // Another term: of another leadership, whose reads are none of ours.
  if (poisoned() || role_ != Role::kLeader || read.term != term() || peer == nullptr ||
      !peer->reading()) {
    return poisoned() ? Effects() : Finish();
  }
  peer->set_reading(false);
  if (peer->state() == Progress::State::kSnapshot) return Finish();
  if (slice.empty()) {
    peer->Pause();
    peer->set_asked_at(rounds_.sent());
    return Finish();
  }
  // A leader's log only grows in its term, so what is on disk is what it had asked for; but a read
  // by bare index is never believed.
  const bool wanted = slice.prev == read.prev && slice.prev.index == peer->next().Prev() &&
                      slice.Validate() && tail_.Contains(slice.prev) &&
                      tail_.Contains(slice.last());
  if (wanted) SendSlice(read.to_peer, *peer, std::move(slice));
  SendAppends(read.to_peer, *peer);
  return Finish();
}

Effects Raft::Core::OnUnreachable(Instant now, PeerId peer) {
  Begin(now);
  if (poisoned()) return {};
  if (Progress* progress = FindPeer(peer)) {
    progress->OnUnreachable();
    progress->set_asked_at(rounds_.sent());
  }
  return Finish();
}

}  // namespace rutile::raft
