#include "raft/raft_core.h"

#include <algorithm>
#include <utility>

#include "base/buggify.h"
#include "base/check.h"
#include "base/probe.h"

namespace rutile::raft {
namespace {

// std::optional clears all memory of what it makes of nothing, which takes longer than the rest.
struct NewWrite {
  operator LogWrite() const {  // NOLINT(google-explicit-constructor)
    LogWrite write;
    return write;
  }
};

}  // namespace

Raft::Core::Core(const Options& options, Start start, Random& random, Instant now)
    : options_(options),
      random_(random),
      now_(now),
      tail_(std::move(start.tail)),
      hard_state_(start.hard_state),
      submitted_state_(start.hard_state),
      // Before a restart votes may have been refused by a promise that is forgotten now.
      refuse_votes_until_(start.fresh ? now : now + options.vote_refusal),
      forwarded_(random.Next() >> 1) {
  RUTILE_CHECK(!options_.id.IsZero());
  RUTILE_CHECK(options_.heartbeat_ticks > 0);
  RUTILE_CHECK(options_.heartbeat_ticks < options_.election_ticks);
  RUTILE_CHECK(options_.lease < options_.vote_refusal);
  RUTILE_CHECK(options_.max_inflight_messages > 0 && options_.max_inflight_bytes > 0);
  RUTILE_CHECK(tail_.last().term <= hard_state_.term, "the log is ahead of the hard state");
  RUTILE_CHECK(start.configuration.IsValid(), ToString(start.configuration));

  // As long as its place is right it does not matter that older ones are not known: nothing is cut
  // below what was applied.
  configurations_.emplace_back(LogId{*tail_.TermAt(tail_.applied()), tail_.applied()},
                               std::move(start.configuration));
  const Index resident = tail_.first_resident();
  if (resident <= tail_.last().index) {
    NoteConfigurations(tail_.Read(resident.Prev(), tail_.last().index, SIZE_MAX)->entries);
  }
  ResetElectionTimer();
  CheckInvariants();
  if (options_.observer != nullptr) options_.observer->OnStart(View(), hard_state_);
}

void Raft::Core::Begin(Instant now, const CoreInput& input, Effects& effects) {
  RUTILE_CHECK(now >= now_, "time went back");
  now_ = now;
  out_ = &effects;
  if (options_.observer != nullptr && !poisoned()) options_.observer->OnInput(View(), input);
  if (options_.quiet && !poisoned()) WakeFor(input);
}

CoreView Raft::Core::View() const {
  return {.id = id(),
          .term = term(),
          .vote = hard_state_.vote,
          .impaired = IsImpaired(),
          .role = role_,
          .leader = leader_,
          .base = tail_.base(),
          .last = tail_.last(),
          .applied = tail_.applied(),
          .applying = tail_.applying(),
          .committed = tail_.committed(),
          .durable = tail_.durable(),
          .submitted = tail_.submitted(),
          .first_resident = tail_.first_resident(),
          .resident_bytes = tail_.resident_bytes(),
          .apply_before_durable = options_.apply_before_durable,
          .configuration = &configuration(),
          .base_configuration = &configurations_.front().second,
          .tail = &tail_};
}

void Raft::Core::TellProgress(PeerId peer, const Progress& progress) const {
  if (options_.observer == nullptr) return;
  options_.observer->OnProgress(View(), peer, progress.match(), progress.next());
}

void Raft::Core::Finish() {
  if (poisoned()) {
    // Only what tells the host; nothing that the broken state would say to others.
    fresh_->clear();
    *out_ = {.reads = std::move(out_->reads), .state_changed = true, .poisoned = *poisoned_};
    if (options_.observer != nullptr) options_.observer->OnFinish(View(), *out_);
    return;
  }
  if (IsImpaired()) NoteMended();
  TakeWrite();
  TellRoom();
  for (auto& [message, covers] : *fresh_) Settle(std::move(message), covers);
  const std::size_t page_bytes =
      RUTILE_BUGGIFY("buggify raft: one entry is handed out") ? 0 : options_.max_hand_out_bytes;
  tail_.HandOut({.is_leader = role_ == Role::kLeader,
                 .term = term(),
                 .before_durable = options_.apply_before_durable,
                 .max_bytes = page_bytes},
                out_->committed);
  NotePressure();
  RUTILE_SOMETIMES(tail_.applying() > tail_.durable(), "raft: handed out before it is durable");
  CheckInvariants();
  if (options_.observer != nullptr) options_.observer->OnFinish(View(), *out_);
}

void Raft::Core::TakeWrite() {
  hard_state_.commit = tail_.committed();
  const bool new_state = hard_state_.term != submitted_state_.term ||
                         hard_state_.vote != submitted_state_.vote ||
                         hard_state_.impaired_until != submitted_state_.impaired_until;
  if (!new_state && !tail_.HasWrite()) return;
  const bool reset = tail_.reset_pending();
  LogWrite& write = out_->write.emplace(NewWrite());
  tail_.TakeWrite(term(), write.log);
  // A new commit index alone is not worth a write: it rides along.
  if (hard_state_ != submitted_state_) {
    write.hard_state = submitted_state_ = hard_state_;
  }
  if (new_state || reset) state_write_ = write.log.mark.write;
}

void Raft::Core::Promise(Message&& message, Index covers) {
  fresh_->emplace_back(std::move(message), covers);
}

void Raft::Core::DropPromises() {
  promises_.DropAll();
  fresh_->clear();
}

void Raft::Core::Settle(Message&& message, Index covers) {
  RUTILE_CHECK(covers <= tail_.last().index, ToString(message));
  // What it acknowledges is in the newest write at the latest, or on disk.
  const bool log_waits = covers > tail_.durable();
  const WriteNumber write = log_waits ? tail_.issued_write() : state_write_;
  if (write <= tail_.durable_write() && !log_waits) return Send(std::move(message));
  promises_.Hold(std::move(message), {.term = term(),
                                      .epoch = tail_.epoch(),
                                      .index = log_waits ? covers : Index(),
                                      .write = write});
}

Effects Raft::Core::OnDurable(Instant now, const Mark& mark) {
  return Run(now, {.kind = CoreInput::Kind::kDurable, .mark = &mark}, [&] {
    RUTILE_SOMETIMES(mark.epoch < tail_.epoch(), "raft: a write is acknowledged after a cut");
    RUTILE_SOMETIMES(mark.term < term(), "raft: a write of an older term is acknowledged");
    const bool moved = tail_.OnDurable(mark);
    writing_.DoneUpTo(tail_.durable_write().value());
    promises_.Release(id(), tail_, out_->messages);
    if (own_vote_pending_ && state_write_ <= tail_.durable_write()) {
      own_vote_pending_ = false;
      Tell(CoreChange::kOwnVote);
      RecordVote(id(), true);
    }
    if (moved && role_ == Role::kLeader) {
      Tell(CoreChange::kOwnDurable);
      MaybeCommit();
      SendToWitnesses();
    }
  });
}

Effects Raft::Core::OnApplied(Instant now, Index index) {
  return Run(now, {.kind = CoreInput::Kind::kApplied, .index = index}, [&] {
    // After a reset completions of what was handed out before it are still on their way.
    RUTILE_SOMETIMES(index <= tail_.applied(), "raft: applied before a reset is told after it");
    if (index > tail_.applied() && index <= tail_.applying()) tail_.OnApplied(index);
    applying_.DoneUpTo(tail_.applied().value());
  });
}

void Raft::Core::CompactTo(Index index) {
  tail_.CompactTo(std::min({index, tail_.applied(), tail_.durable()}));
  // The newest configuration at or below base is the one in force there.
  while (configurations_.size() > 1 && configurations_[1].first.index <= tail_.base().index) {
    configurations_.erase(configurations_.begin());
  }
  if (options_.observer != nullptr) options_.observer->OnLetGo(View());
}

std::size_t Raft::Core::Evict(std::size_t keep_bytes) {
  const std::size_t freed = tail_.Evict(keep_bytes);
  if (freed > 0 && options_.observer != nullptr) options_.observer->OnLetGo(View());
  return freed;
}

bool Raft::Core::HasCommittedInTerm() const {
  return role_ == Role::kLeader && tail_.TermAt(tail_.committed()) == std::optional(term());
}

Message Raft::Core::Make(MessageType type, PeerId to) const {
  Message message;
  message.type = type;
  message.from = id();
  message.to = to;
  message.term = term();
  return message;
}

Message& Raft::Core::Send(MessageType type, PeerId to) {
  Message& message = out_->messages.emplace_back();
  message.type = type;
  message.from = id();
  message.to = to;
  message.term = term();
  return message;
}

void Raft::Core::Poison(std::string why) {
  if (poisoned()) return;
  if (role_ == Role::kLeader) LeaveLeadership();
  AbandonForwarded();
  role_ = Role::kFollower;
  leader_ = PeerId();
  votes_ = {};
  own_vote_pending_ = false;
  DropPromises();
  quiet_ = false;
  poisoned_ = std::move(why) + ": " + DebugString();
}

void Raft::Core::CheckInvariants() const {
  const bool leads = role_ == Role::kLeader;
  RUTILE_CHECK(tail_.last().term <= term(), DebugString());
  RUTILE_CHECK(submitted_state_.term <= term(), DebugString());
  RUTILE_CHECK(leads == (leader_ == id()), DebugString());
  RUTILE_CHECK(leads || (peers_.empty() && transferee_.IsZero()), DebugString());
  RUTILE_CHECK(role_ != Role::kCandidate || hard_state_.vote == id(), DebugString());
  RUTILE_CHECK(!IsImpaired() || role_ == Role::kFollower, DebugString());
  RUTILE_CHECK(!quiet_ || leads || role_ == Role::kFollower, DebugString());
  RUTILE_CHECK(!own_vote_pending_ || role_ == Role::kCandidate, DebugString());
  RUTILE_CHECK(!configurations_.empty());
  for (const auto& [peer, progress] : peers_) {
    RUTILE_CHECK(progress.match() <= tail_.last().index, DebugString());
    progress.CheckInvariants();
  }
}

std::vector<PeerStatus> Raft::Core::Peers() const {
  std::vector<PeerStatus> all;
  all.reserve(peers_.size());
  for (const auto& [peer, progress] : peers_) {
    all.push_back({.id = peer,
                   .match = progress.match(),
                   .next = progress.next(),
                   .state = std::string(ToString(progress.state())),
                   // Nobody answers a quiet leader.
                   .active = quiet_ ? IsLive(peer) : progress.active(),
                   .lately_active = quiet_ ? IsLive(peer) : progress.lately_active(),
                   .paused = !progress.CanSend(window()),
                   .inflight = progress.inflight(),
                   .priority = progress.priority(),
                   .applied = progress.applied(),
                   .room = progress.room()});
  }
  return all;
}

Index Raft::Core::LowestMatch() const {
  if (role_ != Role::kLeader) return Index();
  Index lowest = tail_.last().index;
  for (const auto& [peer, progress] : peers_) lowest = std::min(lowest, progress.match());
  return lowest;
}

std::string Raft::Core::DebugString() const {
  std::string text = "peer " + ToString(id()) + " " + std::string(raft::ToString(role_)) +
                     (quiet_ ? " quiet" : "") + " leader " + ToString(leader_) + " " +
                     raft::ToString(hard_state_) + " " + raft::ToString(configuration()) + " log " +
                     tail_.DebugString();
  for (const auto& [peer, progress] : peers_) {
    text += " [" + ToString(peer) + " " + std::string(raft::ToString(progress.state())) +
            " match " + ToString(progress.match()) + " next " + ToString(progress.next()) + "]";
  }
  return text;
}

}  // namespace rutile::raft
