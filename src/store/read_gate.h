#pragma once

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
//
// A reader first takes its engine snapshot and then looks at the gate: if the lease holds at that
// moment, nobody else can have acknowledged a write that the snapshot misses. The replica shuts the
// gate before it sends the message that lets somebody else lead.
struct GateState {
  std::shared_ptr<const Region> region = {};
  PeerId self = {};
  Term term = {};
  bool is_leader = false;
  PeerId leader = {};  // Zero: unknown.
  // Reads are served without a round until then. Nothing: not the leader, or the state machine has
  // not yet caught up with the term's beginning.
  std::optional<Instant> lease_until = {};
};

class ReadGate {
 public:
  explicit ReadGate(GateState initial) : state_(std::move(initial)) {}

  void Publish(GateState state) {
    MutexLock lock(mutex_);
    state_ = std::move(state);
  }
  GateState Get() const {
    MutexLock lock(mutex_);
    return state_;
  }

 private:
  mutable Mutex mutex_;
  GateState state_ GUARDED_BY(mutex_);
};

}  // namespace rutile::store
