// Linearizable reads without writing to the log: Raft 6.4.

#include <utility>

#include "base/probe.h"
#include "raft/quorum.h"
#include "raft/raft_core.h"

namespace rutile::raft {

Effects Raft::Core::ReadIndex(Instant now, ReadId id, Rare<std::string> context) {
  if (poisoned()) return {.reads = {{.id = id}}};
  return Run(now, {.kind = CoreInput::Kind::kReadIndex}, [&] {
    if (options_.witness) {
      out_->reads.push_back({.id = id});  // It has nothing to serve.
    } else if (role_ == Role::kLeader) {
      AddRead({.from = this->id(), .id = id, .index = {}, .context = std::move(context)});
      StartWantedRound();
    } else if (leader_.IsZero()) {
      RUTILE_SOMETIMES(true, "raft: a read while no leader is known");
      out_->reads.push_back({.id = id});
    } else {
      Message message = Make(MessageType::kReadIndex, leader_);
      message.read = forwarded_.Add(id, options_.election_ticks);
      message.context = std::move(context);
      Send(std::move(message));
    }
  });
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

void Raft::Core::AddRead(ReadRounds::Read read) {
  if (!HasCommittedInTerm()) {
    // What was committed before this term is not known yet.
    RUTILE_SOMETIMES(true, "raft: a read before the term's first commit");
    early_reads_.push_back(std::move(read));
  } else if (LeaseIsValid()) {
    AnswerRead(std::move(read), tail_.committed());
  } else {
    RUTILE_SOMETIMES(read.from != id(), "raft: a follower's read waits for a round");
    read.index = tail_.committed();
    rounds_.Add(std::move(read));
  }
}

void Raft::Core::AnswerRead(ReadRounds::Read read, Index index) {
  if (read.from == id()) {
    out_->reads.push_back({.id = read.id, .index = index, .context = std::move(read.context)});
    return;
  }
  Message reply = Make(MessageType::kReadIndexReply, read.from);
  reply.read = read.id;
  reply.read_index = index;
  reply.context = std::move(read.context);
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
  for (ReadRounds::Read& read : rounds_.Confirm(round)) {
    const Index index = read.index;
    AnswerRead(std::move(read), index);
  }
  StartWantedRound();
}

void Raft::Core::HandleReadIndex(Message& message) {
  ReadRounds::Read read{
      .from = message.from, .id = message.read, .index = {}, .context = std::move(message.context)};
  RUTILE_SOMETIMES(role_ != Role::kLeader, "raft: a read forwarded to who does not lead");
  if (role_ != Role::kLeader) return AnswerRead(std::move(read), Index());
  AddRead(std::move(read));
  StartWantedRound();
}

void Raft::Core::HandleReadIndexReply(Message& message) {
  // Whoever it came from: the number was never used for another question.
  if (const std::optional<ReadId> id = forwarded_.Take(message.read)) {
    out_->reads.push_back(
        {.id = *id, .index = message.read_index, .context = std::move(message.context)});
  }
}

// Others see the term change, or lose patience, by themselves.
void Raft::Core::AbandonReads() {
  for (ReadRounds::Read& read : rounds_.Abandon()) {
    RUTILE_SOMETIMES(true, "raft: leadership is lost in a read's round");
    if (read.from == id()) AnswerRead(std::move(read), Index());
  }
  for (ReadRounds::Read& read : std::exchange(early_reads_, {})) {
    if (read.from == id()) AnswerRead(std::move(read), Index());
  }
}

void Raft::Core::AbandonForwarded() {
  for (ReadId id : forwarded_.Abandon()) out_->reads.push_back({.id = id});
}

}  // namespace rutile::raft
