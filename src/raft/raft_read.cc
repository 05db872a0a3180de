// Linearizable reads without writing to the log: Raft 6.4.

#include <utility>

#include "raft/quorum.h"
#include "raft/raft_core.h"

namespace rutile::raft {

Effects Raft::Core::ReadIndex(Instant now, ReadId id) {
  Begin(now);
  if (poisoned()) {
    Effects effects;
    effects.reads.push_back({.id = id});
    return effects;
  }
  if (role_ == Role::kLeader) {
    AddRead({.from = this->id(), .id = id});
    StartWantedRound();
  } else if (leader_.IsZero()) {
    out_.reads.push_back({.id = id});
  } else {
    Message message = Make(MessageType::kReadIndex, leader_);
    message.read = forwarded_.Add(id, options_.election_ticks);
    Send(std::move(message));
  }
  return Finish();
}

std::optional<Instant> Raft::Core::LeaseUntil() const {
  const bool may = HasCommittedInTerm() && transferee_.IsZero() && !transfer_ordered_;
  const std::optional<Instant> start = rounds_.lease_start();
  if (!may || !start || options_.lease <= Duration::zero()) return std::nullopt;
  return *start + options_.lease;
}

bool Raft::Core::LeaseIsValid() const {
  const std::optional<Instant> until = LeaseUntil();
  return until && now_ < *until;
}

void Raft::Core::AddRead(const ReadRounds::Read& read) {
  if (!HasCommittedInTerm()) {
    // What was committed before this term is not known yet.
    early_reads_.push_back(read);
  } else if (LeaseIsValid()) {
    AnswerRead(read, tail_.committed());
  } else {
    rounds_.Add({.from = read.from, .id = read.id, .index = tail_.committed()});
  }
}

void Raft::Core::AnswerRead(const ReadRounds::Read& read, Index index) {
  if (read.from == id()) {
    out_.reads.push_back({.id = read.id, .index = index});
    return;
  }
  Message reply = Make(MessageType::kReadIndexReply, read.from);
  reply.read = read.id;
  reply.read_index = index;
  Send(std::move(reply));
}

void Raft::Core::StartWantedRound() {
  if (rounds_.WantsRound()) BroadcastHeartbeat();
}

void Raft::Core::ConfirmRounds() {
  const Round round(QuorumReached(configuration(), [this](PeerId peer) {
    if (peer == id()) return rounds_.sent().value();
    const Progress* progress = FindPeer(peer);
    return progress == nullptr ? std::uint64_t{0} : progress->answered_round().value();
  }));
  for (const ReadRounds::Read& read : rounds_.Confirm(round)) AnswerRead(read, read.index);
  StartWantedRound();
}

void Raft::Core::HandleReadIndex(const Message& message) {
  const ReadRounds::Read read{.from = message.from, .id = message.read};
  if (role_ != Role::kLeader) return AnswerRead(read, Index());
  AddRead(read);
  StartWantedRound();
}

void Raft::Core::HandleReadIndexReply(const Message& message) {
  // Whoever it came from: the number was never used for another question.
  if (const std::optional<ReadId> id = forwarded_.Take(message.read)) {
    out_.reads.push_back({.id = *id, .index = message.read_index});
  }
}

// Others see the term change, or lose patience, by themselves.
void Raft::Core::AbandonReads() {
  for (const ReadRounds::Read& read : rounds_.Abandon()) {
    if (read.from == id()) AnswerRead(read, Index());
  }
  for (const ReadRounds::Read& read : std::exchange(early_reads_, {})) {
    if (read.from == id()) AnswerRead(read, Index());
  }
}

void Raft::Core::AbandonForwarded() {
  for (ReadId id : forwarded_.Abandon()) out_.reads.push_back({.id = id});
}

}  // namespace rutile::raft
