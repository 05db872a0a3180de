#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/small_vector.h"
#include "base/time.h"
#include "raft/ring_queue.h"
#include "raft/types.h"

namespace rutile::raft {

// The leader's side of linearizable reads (Raft 6.4) and of its lease.
//
// Each heartbeat round has a number of its own. A read rides on a round that is sent after the read
// arrived: an answer to an older round says nothing about the time since. When a quorum has
// answered round r, all reads with rounds up to r may be served, and the lease runs from the
// instant at which r was sent: each of that quorum refuses votes for longer than the lease from a
// later instant on. It owns nothing before its first round or read: most peers do not lead.
class ReadRounds {
 public:
  struct Read {
    PeerId from = {};  // Who asked.
    ReadId id = {};    // The asker's.
    Index index = {};  // The commit index when it arrived: what must be applied to answer.
    Rare<std::string> context = {};  // Goes back to who asked.
  };

  void Add(Read read);
  // Whether a round should be sent now for reads that wait for one. At most one such is on its way:
  // reads that arrive meanwhile share the next.
  bool WantsRound() const;
  // A round is sent at `now`. Reads that wait ride on it.
  Round Start(Instant now);
  // A quorum, this leader counted, has answered `round`. Returns the reads that may be served.
  std::vector<Read> Confirm(Round round);
  Round sent() const { return state_ == nullptr ? Round() : state_->sent; }

  // When the newest round that a quorum answered was sent.
  std::optional<Instant> lease_start() const {
    return state_ == nullptr ? std::nullopt : state_->lease_start;
  }
  bool HasWaiting() const { return state_ != nullptr && !state_->waiting.empty(); }

  // Only rounds that are sent from now on count for the lease.
  void ForgetLease();

  // Leadership ended: returns the reads that will not be served.
  std::vector<Read> Abandon();

 private:
  struct State {
    RingQueue<std::pair<Round, Read>> waiting = {};           // Rounds never fall.
    RingQueue<std::pair<Round, Instant>, 1> unanswered = {};  // Rounds sent, not yet confirmed.
    Round sent = {};
    Round confirmed = {};
    Round carries_reads = {};  // The newest round with reads on it.
    Round lease_after = {};    // Rounds up to here give no lease.
    std::optional<Instant> lease_start = {};
  };

  State& Used();

  std::unique_ptr<State> state_ = {};
};

// The follower's side: questions sent to the leader and not yet answered. They carry numbers that
// are never used twice, so that a late answer to an old question cannot be taken for that to a new
// one with the same id (a stale read).
class ForwardedReads {
 public:
  // `first` is random: numbers must not repeat in the next life of the process either.
  explicit ForwardedReads(std::uint64_t first) : next_(first) {}

  // The number to ask the leader with; the answer is given up `patience` ticks from now.
  ReadId Add(ReadId id, int patience);
  // The caller's id, once.
  std::optional<ReadId> Take(ReadId number);
  // One tick has gone by: returns the questions that are given up.
  std::vector<ReadId> Tick();
  std::vector<ReadId> Abandon();
  bool empty() const { return questions_.empty(); }

 private:
  struct Question {
    ReadId number = {};
    ReadId id = {};
    int ticks_left = 0;
  };

  std::uint64_t next_;
  SmallVector<Question, 0> questions_ = {};  // Numbers rise.
};

}  // namespace rutile::raft
