#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "base/ids.h"
#include "base/mutex.h"
#include "base/time.h"
#include "store/region.h"

namespace rutile::store {

// What a thread that wants to read a region needs to know of its replica, without asking the
// replica's executor. The replica publishes; readers take a copy.
struct GateState {
  std::shared_ptr<const Region> region = {};
  PeerId self = {};
  Term term = {};
  bool is_leader = false;
  PeerId leader = {};  // Zero: unknown.
  // Reads are served without a round until then. Nothing: not the leader, or the state machine has
  // not yet caught up with the term's beginning.
  std::optional<Instant> lease_until = {};
  // Changes with the term, and when a snapshot begins to replace the data: a read that was
  // confirmed before, and takes its engine snapshot after, must be confirmed again.
  std::uint64_t generation = 0;
  // The engine holds one state of the region, not parts of two.
  bool whole = false;
};

// A reader under the lease takes three steps in this order: ready_term(), its engine snapshot,
// Get(). If ready_term() was not zero, is the term of the state, and the lease of the state holds
// after the snapshot was taken, then the snapshot misses nothing that anybody was told or shown
// before the first step: nobody else can have led since, and what this leader acknowledged, or let
// a follower show, was in the engine. The replica shuts the gate before it sends the message that
// lets somebody else lead.
class ReadGate {
 public:
  explicit ReadGate(GateState initial) : state_(std::move(initial)) {}

  // `ready`: the leader's engine holds all that a reader of any replica may have been shown.
  void Publish(GateState state, bool ready) {
    const std::uint64_t term = ready && state.lease_until ? state.term.value() : 0;
    // Shut first, opened last: whoever sees it open finds at least the state that it was opened
    // with.
    if (term == 0) ready_term_.store(0, std::memory_order_release);
    {
      MutexLock lock(mutex_);
      state_ = std::move(state);
    }
    if (term != 0) ready_term_.store(term, std::memory_order_release);
  }
  // Zero: no read can be served under the lease at once.
  Term ready_term() const { return Term(ready_term_.load(std::memory_order_acquire)); }
  GateState Get() const {
    MutexLock lock(mutex_);
    return state_;
  }

 private:
  std::atomic<std::uint64_t> ready_term_ = 0;
  mutable Mutex mutex_;
  GateState state_ GUARDED_BY(mutex_);
};

}  // namespace rutile::store
