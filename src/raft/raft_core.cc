#include "raft/raft_core.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace rutile::raft {

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

  configurations_.emplace_back(tail_.base(), std::move(start.configuration));
  for (auto& [index, configuration] : start.later_configurations) {
    const std::optional<Term> term = tail_.TermAt(index);
    if (!term)
      continue;  // Behind base after a local reset: the caller gave the one in force there.
    configurations_.emplace_back(LogId{*term, index}, std::move(configuration));
  }
  const Index resident = tail_.first_resident();
  if (resident <= tail_.last().index) {
    NoteConfigurations(tail_.Read(resident.Prev(), tail_.last().index, SIZE_MAX)->entries);
  }
  ResetElectionTimer();
  out_ = {};
  CheckInvariants();
}

void Raft::Core::Begin(Instant now) {
  RUTILE_CHECK(now >= now_, "time went back");
  now_ = now;
  out_ = {};
  fresh_.clear();
}

Effects Raft::Core::Finish() {
  if (poisoned()) {
    // Only what tells the host; nothing that the broken state would say to others.
    Effects last{.reads = std::move(out_.reads), .state_changed = true, .poisoned = poisoned_};
    out_ = {};
    return last;
  }
  TakeWrite();
  for (auto& [message, covers] : fresh_) Settle(std::move(message), covers);
  fresh_.clear();
  out_.committed = tail_.HandOut({.is_leader = role_ == Role::kLeader,
                                  .term = term(),
                                  .before_durable = options_.apply_before_durable,
                                  .max_bytes = options_.max_hand_out_bytes});
  CheckInvariants();
  return std::exchange(out_, {});
}

void Raft::Core::TakeWrite() {
  hard_state_.commit = tail_.committed();
  const bool new_state =
      hard_state_.term != submitted_state_.term || hard_state_.vote != submitted_state_.vote;
  if (!new_state && !tail_.HasWrite()) return;
  const bool reset = tail_.reset_pending();
  LogWrite write{.log = tail_.TakeWrite(term())};
  // A new commit index alone is not worth a write: it rides along.
  if (hard_state_ != submitted_state_) {
    write.hard_state = submitted_state_ = hard_state_;
  }
  if (new_state || reset) state_write_ = write.log.mark.write;
  out_.write = std::move(write);
}

void Raft::Core::Promise(Message message, Index covers) {
  fresh_.emplace_back(std::move(message), covers);
}

void Raft::Core::Settle(Message message, Index covers) {
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
  Begin(now);
  if (poisoned()) return {};
  const bool moved = tail_.OnDurable(mark);
  promises_.Release(tail_, out_.messages);
  if (own_vote_pending_ && state_write_ <= tail_.durable_write()) {
    own_vote_pending_ = false;
    RecordVote(id(), true);
  }
  if (moved && role_ == Role::kLeader) MaybeCommit();
  return Finish();
}

Effects Raft::Core::OnApplied(Instant now, Index index) {
  Begin(now);
  if (poisoned()) return {};
  // After a reset completions of what was handed out before it are still on their way.
  if (index > tail_.applied() && index <= tail_.applying()) tail_.OnApplied(index);
  return Finish();
}

void Raft::Core::CompactTo(Index index) {
  tail_.CompactTo(std::min({index, tail_.applied(), tail_.durable()}));
  // The newest configuration at or below base is the one in force there.
  while (configurations_.size() > 1 && configurations_[1].first.index <= tail_.base().index) {
    configurations_.erase(configurations_.begin());
  }
}

void Raft::Core::NoteConfigurations(const std::vector<Entry>& entries) {
  const std::size_t before = configurations_.size();
  while (configurations_.size() > 1 && !tail_.Contains(configurations_.back().first)) {
    configurations_.pop_back();
  }
  bool changed = configurations_.size() != before;
  for (const Entry& entry : entries) {
    if (entry.type != EntryType::kConfig || entry.id.index <= tail_.base().index) continue;
    if (entry.id.index <= configurations_.back().first.index) continue;
    std::optional<Configuration> configuration = DecodeConfiguration(entry.payload.view());
    if (!configuration) return Poison("undecodable configuration at " + ToString(entry.id));
    configurations_.emplace_back(entry.id, *std::move(configuration));
    changed = true;
  }
  if (changed) ConfigurationChanged();
}

void Raft::Core::ConfigurationChanged() {
  out_.state_changed = true;
  if (role_ == Role::kLeader) SyncPeers();
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

void Raft::Core::Poison(std::string why) {
  if (poisoned()) return;
  if (role_ == Role::kLeader) LeaveLeadership();
  AbandonForwarded();
  role_ = Role::kFollower;
  leader_ = PeerId();
  votes_.clear();
  own_vote_pending_ = false;
  promises_.DropAll();
  poisoned_ = std::move(why) + ": " + DebugString();
}

void Raft::Core::CheckInvariants() const {
  const bool leads = role_ == Role::kLeader;
  RUTILE_CHECK(tail_.last().term <= term(), DebugString());
  RUTILE_CHECK(submitted_state_.term <= term(), DebugString());
  RUTILE_CHECK(leads == (leader_ == id()), DebugString());
  RUTILE_CHECK(leads || (peers_.empty() && transferee_.IsZero()), DebugString());
  RUTILE_CHECK(role_ != Role::kCandidate || hard_state_.vote == id(), DebugString());
  RUTILE_CHECK(!own_vote_pending_ || role_ == Role::kCandidate, DebugString());
  RUTILE_CHECK(!configurations_.empty());
  for (const auto& [peer, progress] : peers_) {
    RUTILE_CHECK(progress.match() <= tail_.last().index, DebugString());
    progress.CheckInvariants();
  }
}

std::vector<PeerStatus> Raft::Core::Peers() const {
  std::vector<PeerStatus> all;
  for (const auto& [peer, progress] : peers_) {
    all.push_back({.id = peer,
                   .match = progress.match(),
                   .next = progress.next(),
                   .state = std::string(ToString(progress.state())),
                   .active = progress.active(),
                   .inflight = progress.inflight()});
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
                     " leader " + ToString(leader_) + " " + raft::ToString(hard_state_) + " " +
                     raft::ToString(configuration()) + " log " + tail_.DebugString();
  for (const auto& [peer, progress] : peers_) {
    text += " [" + ToString(peer) + " " + std::string(raft::ToString(progress.state())) +
            " match " + ToString(progress.match()) + " next " + ToString(progress.next()) + "]";
  }
  return text;
}

}  // namespace rutile::raft
