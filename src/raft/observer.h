#pragma once

#include <cstddef>
#include <cstdint>

#include "raft/log_tail.h"
#include "raft/raft.h"
#include "raft/types.h"

namespace rutile::raft {

// What can be seen of a core from outside. Cursors are copies, so that what looks on can be tested
// with positions that no core would take.
struct CoreView {
  PeerId id = {};
  Term term = {};
  PeerId vote = {};
  bool impaired = false;
  Role role = Role::kFollower;
  PeerId leader = {};
  LogId base = {};
  LogId last = {};
  Index applied = {};
  Index applying = {};
  Index committed = {};
  Index durable = {};
  Index submitted = {};
  Index first_resident = {};
  std::size_t resident_bytes = 0;
  bool apply_before_durable = true;
  const Configuration* configuration = nullptr;  // Never null.
  // The oldest that is known: in force at base, or at what was applied at the start. Never null.
  const Configuration* base_configuration = nullptr;
  const LogTail* tail = nullptr;  // To read from, during the call; never null.
};

// What a core is about to take in. Pointers are valid during the call.
struct CoreInput {
  enum class Kind : std::uint8_t {
    kTick,
    kMessage,
    kPropose,
    kReadIndex,
    kCampaign,
    kTransfer,
    kDurable,
    kApplied,
    kColdRead,
    kSnapshotSent,
    kUnreachable,
    kPriority,
    kLimits,
    kLiveness,
  };
  Kind kind = Kind::kTick;
  const Message* message = nullptr;  // kMessage.
  const Mark* mark = nullptr;        // kDurable.
  Index index = {};                  // kApplied.
};

// What happened inside of one input, in the order in which it happened. What is not named here can
// be told from the views before and after.
enum class CoreChange : std::uint8_t {
  kFollower,          // Role, term or leader were set.
  kPreCandidate,      // Likewise.
  kCandidate,         // Likewise; the vote for itself is not durable yet.
  kLeader,            // Likewise; nothing of the new term is in the log yet.
  kOwnVote,           // The vote for itself is durable, and about to be counted.
  kOwnEntry,          // A leader has appended one entry.
  kOwnConfiguration,  // A leader goes by the configuration that it has just appended.
  kOwnDurable,        // A leader is about to count what its own disk has now.
  kCommitted,         // A leader has committed.
};

// Looks on while one core works: oracles and traces. Production has none.
//
// Calls come from within the core's calls, on its executor, in the order of what happens; the core
// must not be called back, and nothing may be changed.
class Observer {
 public:
  virtual ~Observer() = default;

  // A core was made from what a restart found. Before any other call of its.
  virtual void OnStart(const CoreView& view, const HardState& hard_state) = 0;
  // Before anything is done with `input`. Inputs that are refused at once are left out.
  virtual void OnInput(const CoreView& view, const CoreInput& input) = 0;
  virtual void OnChange(const CoreView& view, CoreChange change) = 0;
  // A leader has learnt something of `peer`: what it counts on there, and what it sends next.
  virtual void OnProgress(const CoreView& view, PeerId peer, Index match, Index next) = 0;
  // The input is dealt with, and this is what the core asks for.
  virtual void OnFinish(const CoreView& view, const Effects& effects) = 0;
  // The log was compacted, or payloads were evicted.
  virtual void OnLetGo(const CoreView& view) = 0;
};

}  // namespace rutile::raft
