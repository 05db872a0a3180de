#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/task.h"
#include "store/admission.h"
#include "store/member_change.h"
#include "store/priority.h"
#include "store/region.h"
#include "store/region_error.h"
#include "store/state_machine.h"

namespace rutile::store {

// A command on its way into the log.
struct WriteRequest {
  std::string payload = {};  // Encoded for the group's state machine.
  // What the client believed; zero or absent parts are not compared.
  std::optional<RegionEpoch> epoch = {};
  PeerId peer = {};
  Term term = {};
  Priority priority = Priority::kNormal;
  WriteDone done = {};
  Admitted admitted = {};  // By the replica.
};

// Where the moment of a linearizable read lies: `done` runs once the state machine holds every
// write that was acknowledged, or shown by another replica, before the question. Runs on the
// replica's executor: it should only post. What it finds holds for an engine snapshot that is taken
// while gate().generation is the same as in `done`.
struct ReadRequest {
  // `answer`: to `question`, if there was one, by the store of the leader that named the moment,
  // at that moment or before.
  using Done = UniqueFunction<void(std::optional<RegionError> error, std::string answer)>;

  std::optional<RegionEpoch> epoch = {};
  PeerId peer = {};
  bool from_follower = false;  // A follower may ask the leader on the reader's behalf.
  Priority priority = Priority::kNormal;
  std::string question = {};  // For the ReadAdmission of the leader's store; or empty.
  Done done = {};
  std::string answer = {};  // Once the replica has it.
  Admitted admitted = {};   // By the replica.

  void Refuse(RegionError error) { done(std::move(error), {}); }
};

// A change of the group's members. The parts that say what the client believed are as in
// WriteRequest. `done` runs on an executor of the replica: it should only post.
struct ChangeRequest {
  std::vector<MemberStep> steps = {};
  std::optional<RegionEpoch> epoch = {};
  PeerId peer = {};
  ChangeDone done = {};
};

}  // namespace rutile::store
