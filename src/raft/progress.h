#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "raft/ring_queue.h"
#include "raft/types.h"

namespace rutile::raft {

// What a leader knows of one follower, and how much it may send.
//
//   kProbe      where the logs agree is not known: one append at a time, and the next only after
//               an answer of any kind
//   kReplicate  appends follow each other without waiting, within a window
//   kSnapshot   what the follower needs is compacted: nothing is sent until it, or the host, tells
//
// What it says that it takes bounds the window further. kProbe goes on with empty appends when that
// is nothing.
//
// Laws: match < next; the follower's log is, or was (OnLost), durable and ours up to match; every
// state is left by an answer, a heartbeat's answer or the host's report, so that none can last for
// ever.
class Progress {
 public:
  enum class State : std::uint8_t { kProbe, kReplicate, kSnapshot };

  struct Window {
    std::size_t messages = 0;
    std::size_t bytes = 0;
  };

  // A follower of whom nothing is known, to be probed at `next`.
  explicit Progress(Index next) : next_(next) {}

  Index match() const { return match_; }
  Index next() const { return next_; }
  State state() const { return state_; }
  std::size_t inflight() const { return inflight_.size(); }
  std::size_t inflight_bytes() const { return inflight_bytes_; }

  // Whether an append with entries may be sent now.
  bool CanSend(const Window& window) const;

  // An append up to `last` of so many bytes left. Not for the empty appends that only ask.
  void OnSent(Index last, std::size_t bytes);
  // The follower has our log durably up to `match`; our log begins after `base`. Late and repeated
  // answers are harmless.
  void OnAccepted(Index match, Index base);
  // The follower has not what we took to be the entry at `rejected`; the logs agree at `agreement`
  // at most. Returns false for an answer that is out of date.
  bool OnRejected(Index rejected, Index agreement);
  // The follower has lost what it had acknowledged beyond `agreement`, or had when it said so.
  void OnLost(Index agreement);
  // It lives, and has not answered what it was asked: a probe may be repeated.
  void OnSignOfLife() { probe_sent_ = false; }
  // What is on its way may be lost.
  void OnUnreachable();

  void BecomeSnapshot();
  // The snapshot up to `index` was sent, or (zero) was given up: probe, after the next sign of
  // life.
  void OnSnapshotSent(Index index);

  // One read of cold entries at a time; nothing is sent meanwhile.
  bool reading() const { return reading_; }
  void set_reading(bool reading) { reading_ = reading; }
  // Lets the next attempt wait for a sign of life. kProbe only.
  void Pause();

  // The commit index that it was told last, by an append or a heartbeat that may be lost.
  Index told_commit() const { return told_commit_; }
  void set_told_commit(Index commit) { told_commit_ = commit; }

  // Has answered since the leader last looked (CheckQuorum).
  bool active() const { return active_; }
  void set_active(bool active) { active_ = active; }
  void OnLookedAt() { was_active_ = std::exchange(active_, false); }
  // Since the leader looked for the last time but one: just after it has looked, nobody is active.
  bool lately_active() const { return active_ || was_active_; }
  // The newest heartbeat round when it was last sent something to answer, or given up on.
  Round asked_at() const { return asked_at_; }
  void set_asked_at(Round round) { asked_at_ = round; }
  // The newest heartbeat round that it has answered.
  Round answered_round() const { return answered_round_; }
  void OnRoundAnswered(Round round);

  // How far it has applied, and how many bytes of entries it takes, by its newest answer. Answers
  // come out of order: neither is more than a hint.
  Index applied() const { return applied_; }
  std::uint64_t room() const { return room_; }
  void NoteStanding(Index applied, std::uint64_t room) {
    applied_ = applied;
    room_ = room;
  }
  // Has stopped its clock in the newest round that proposed it.
  bool agreed() const { return agreed_; }
  void set_agreed(bool agreed) { agreed_ = agreed; }
  // As it has told; see Raft::SetPriority().
  std::int32_t priority() const { return priority_; }
  void set_priority(std::int32_t priority) { priority_ = priority; }

  void CheckInvariants() const;

 private:
  struct InFlight {
    Index last = {};
    std::size_t bytes = 0;
  };

  void BecomeProbe(Index next);
  void ClearWindow();

  State state_ = State::kProbe;
  bool probe_sent_ = false;  // kProbe: the one append is on its way.
  bool reading_ = false;
  bool active_ = false;
  bool was_active_ = false;
  bool agreed_ = false;
  std::int32_t priority_ = 0;
  Index match_ = {};
  Index next_ = {};
  Index told_commit_ = {};
  Index applied_ = {};
  std::uint64_t room_ = kAnyRoom;
  Round asked_at_ = {};
  Round answered_round_ = {};
  RingQueue<InFlight, 1> inflight_ = {};  // kReplicate only; `last` rises.
  std::size_t inflight_bytes_ = 0;
};

std::string_view ToString(Progress::State state);

}  // namespace rutile::raft
