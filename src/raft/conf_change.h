#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "raft/types.h"

namespace rutile::raft {

// Changes of a configuration, as functions from one to the next. They know nothing of logs, roles
// or time; Raft::ProposeChange() says when a change may be made. Rules of Raft 4, and the order and
// effect of steps as in etcd's Raft library, so that its tests judge ours.

// What becomes of one peer.
struct ChangeStep {
  enum class Kind : std::uint8_t {
    kAddVoter,    // Or promotes a learner. No effect on a voter.
    kAddLearner,  // Or demotes a voter; at the end of a joint configuration if it votes there.
    kRemove,      // No effect on who is not there.
    kUpdate,      // No effect: only the context, which the host's state machine reads.
    // A voter that keeps no data. A peer is one or not for life: nobody who is a member becomes a
    // witness or ceases to be one but by being removed, and who comes instead has an id of its own.
    kAddWitness,
  };
  Kind kind = Kind::kAddVoter;
  PeerId peer = {};  // Steps of peer zero are passed over.

  friend bool operator==(const ChangeStep&, const ChangeStep&) = default;
};

// How a change is carried out.
enum class Transition : std::uint8_t {
  kAuto,      // At once if it is a single step, else as kImplicit.
  kImplicit,  // By a joint configuration, which whoever leads then leaves by itself.
  kExplicit,  // By a joint configuration, which lasts until it is left by a change without steps.
};

// What an operator wants of a group, as one change: all of its steps, or none.
struct ConfigurationChange {
  Transition transition = Transition::kAuto;
  std::vector<ChangeStep> steps = {};  // In this order. None: leaves the joint configuration.
  std::string context = {};            // Carried in the entry; the core does not look at it.
};

// Each refuses, with kFailedPrecondition and what stands in the way, what Raft 4 does not allow. A
// result is valid, and each of its quorums has a peer in common with each quorum of `from`.

// At most one voter changes, learners freely. Not in a joint configuration.
Result<Configuration> ChangeAtOnce(const Configuration& from, const std::vector<ChangeStep>& steps);
// The voters of `from` become the outgoing ones of a joint configuration.
Result<Configuration> EnterJoint(const Configuration& from, const std::vector<ChangeStep>& steps,
                                 bool auto_leave);
Result<Configuration> LeaveJoint(const Configuration& from);
// One of these three, as `change` asks for.
Result<Configuration> Apply(const Configuration& from, const ConfigurationChange& change);

std::string ToString(const ChangeStep& step);  // "voter 3", "learner 3", "witness 3" ...

}  // namespace rutile::raft
