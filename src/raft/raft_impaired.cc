// A peer whose disk has lost entries that it had acknowledged, and knows which: what a write said
// is gone, when it was written and what for is not. The host has cut the log before the first of
// them, and says up to where it was: HardState::impaired_until.
//
// Others may count on what was lost. So an impaired peer gives no vote and never campaigns: every
// leader is elected by a majority of peers that hold what they have acknowledged. All else goes on.
// It takes entries and acknowledges what its disk has, answers rounds and keeps the terms that it
// knows, because none of that says anything of what it lost. docs/design/raft.md has the argument.
//
// It is whole again when its disk's log is as new as the lost one, in the order by which votes
// compare logs. Up to where its leader has committed is not enough: this peer may have acknowledged
// more to the very same leader, who may count it whenever its own disk is ready.
//
// A leader takes what it hears from an impaired peer for what it is, and goes back below what that
// peer had acknowledged. It goes forth again by any answer, an old one too: then it is wrong about
// what the peer has, says too much, and is set right by the next rejection. For that it asks again
// with each beat, whatever it believes, for as long as the peer says that it is impaired.

#include "base/probe.h"
#include "raft/raft_core.h"

namespace rutile::raft {

// Before the write is taken: votes wait for the one that says so.
void Raft::Core::NoteMended() {
  const Index durable = tail_.durable();
  if (LogId{tail_.TermAt(durable).value_or(Term()), durable} < *hard_state_.impaired_until) return;
  RUTILE_SOMETIMES(true, "raft: an impaired peer has got back what it had lost");
  hard_state_.impaired_until.reset();
  out_->state_changed = true;
}

}  // namespace rutile::raft
