#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/status.h"
#include "base/task.h"
#include "raft/conf_change.h"
#include "raft/raft.h"
#include "store/region.h"
#include "store/region_error.h"

namespace rutile::store {

// What becomes of one peer of a region.
struct MemberStep {
  enum class Kind : std::uint8_t {
    kAddLearner,  // `peer` is new: its id is above all that the region ever had, and its store has
                  // none of the region's peers.
    kPromote,     // A learner becomes a voter.
    kDemote,      // A voter becomes a learner.
    kRemove,
  };
  Kind kind = Kind::kAddLearner;
  Peer peer = {};  // Without a store, except for kAddLearner.

  friend bool operator==(const MemberStep&, const MemberStep&) = default;
};

// How a change of members ended. An OK status: it is applied on the leader. (Several steps then
// still take the leaving of the joint configuration, which the group does by itself.) Of the
// statuses kUnavailable is worth another try, kFailedPrecondition says what makes no sense.
using ChangeOutcome = std::variant<Status, RegionError>;
using ChangeDone = UniqueFunction<void(ChangeOutcome)>;

// What a group's leader knows that decides whether a change may be made now.
struct LeaderView {
  PeerId self = {};
  std::vector<raft::PeerStatus> peers = {};  // All but itself.
  Index configuration_since = {};
  Index catch_up_mark = {};
};
LeaderView ViewOf(const raft::Raft& leader);

// The change of configuration that `steps`, all of them or none, are for the group of `region` as
// its leader sees it. One step is made at once, several by a joint configuration.
//
// Stricter than Raft, so that nothing can get stuck or come back:
//   - a new peer begins as a learner, and is promoted when its log has come to where the group's
//     configuration is from: nobody has a vote before it has data, so a snapshot never waits for a
//     commit that waits for the snapshot;
//   - and when it keeps up (Raft::catch_up_mark()); nor do voters go without which those that are
//     left have no majority that answers and keeps up. A group would stand still until its slowest
//     member has caught up, or for ever;
//   - ids only grow, so whoever knows a later one knows that an earlier one is gone;
//   - a store gets a new peer only after the removal of its last one is applied.
Result<raft::ConfigurationChange> PlanChange(const Region& region,
                                             const std::vector<MemberStep>& steps,
                                             const LeaderView& view);

std::string ToString(const MemberStep& step);  // "learner 1003 on store 4", "remove 101"

}  // namespace rutile::store
