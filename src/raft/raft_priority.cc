// Elections by priority: who of those that could lead is wanted to.
//
// What was learnt elsewhere: a refusal of votes for priority's sake (as in TiKV's library) can keep
// a group without a leader for as long as the preferred voter lives and cannot win, because it does
// not reach a majority; so votes know nothing of priority here, only pre-votes do, and only for a
// bounded time without a leader. And a leader that hands over to one that cannot keep leadership
// would do nothing else, so each handover makes the pause before the next one longer.
//
// Nothing here is needed for safety, or relied on by it.

#include <algorithm>

#include "base/probe.h"
#include "raft/raft_core.h"

namespace rutile::raft {
namespace {

// For so many election timeouts without a leader the lower let the higher go first.
constexpr int kDeference = 3;
// Of the pause between handovers, in election timeouts; doubles from one to this.
constexpr int kLongestPause = 64;

}  // namespace

bool Raft::Core::MayDefer() const {
  return leaderless_ticks_ < kDeference * options_.election_ticks;
}

// What a voter waits beyond its timeout, in ticks: longer than chance can make the timeout of the
// one that it waits for.
int Raft::Core::Deference() const {
  const bool defers = options_.priority < preferred_ && MayDefer();
  RUTILE_SOMETIMES(defers && ticks_ >= timeout_, "raft: a voter waits for one of higher priority");
  return defers ? std::max(1, options_.election_ticks / 2) : 0;
}

// Whether this peer, rather than the candidate, should lead, could win, and would try: then it says
// so and tries at once.
bool Raft::Core::Outranks(const Message& candidate) const {
  const bool tries = role_ == Role::kFollower || role_ == Role::kPreCandidate;
  const bool outranks = tries && candidate.priority < options_.priority && MayDefer() &&
                        MayCampaign() && tail_.last() >= candidate.last_log;
  RUTILE_SOMETIMES(outranks, "raft: a candidate of lower priority is told to stand back");
  return outranks;
}

Effects Raft::Core::SetPriority(Instant now, std::int32_t priority) {
  // Others hear of it with the next round.
  return Run(now, {.kind = CoreInput::Kind::kPriority}, [&] { options_.priority = priority; });
}

// Who would follow this leader: before the leader forgets who has answered since it last looked.
void Raft::Core::NotePriorities() {
  preferred_ = kNobody;
  for (PeerId voter : configuration().voters) {
    const Progress* peer = FindPeer(voter);
    if (peer != nullptr && peer->active() && MayLead(voter))
      preferred_ = std::max(preferred_, peer->priority());
  }
}

void Raft::Core::MaybeHandOver() {
  if (preferred_ <= options_.priority || !transferee_.IsZero() || !HasCommittedInTerm()) return;
  if (handover_ticks_ < handover_pause_) return;
  for (PeerId voter : configuration().voters) {
    const Progress* peer = FindPeer(voter);
    if (peer == nullptr || !peer->active() || peer->priority() != preferred_) continue;
    if (peer->state() != Progress::State::kReplicate || !MayLead(voter)) continue;
    if (peer->match().Plus(kCloseEntries) < tail_.last().index || !IsWarm(*peer)) continue;
    RUTILE_SOMETIMES(true, "raft: leadership is handed to a voter of higher priority");
    // Long after the last one this is a new story.
    const int longest = kLongestPause * options_.election_ticks;
    const int pause = handover_ticks_ >= 2 * longest ? 0 : handover_pause_;
    handover_pause_ = std::clamp(2 * pause, options_.election_ticks, longest);
    handover_ticks_ = 0;
    return BeginTransfer(voter);
  }
}

}  // namespace rutile::raft
