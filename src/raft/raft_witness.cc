// Witnesses: voters that keep what entries there are, and not what they say.
//
// A group of two with data and a witness survives the loss of any one of them at two thirds of the
// cost. What a log means must stay one thing: the entry of an (index, term) is the same on every
// peer. So an entry without its payload is no other entry of that id but a mark that it was there:
// it has a type of its own, is only ever made for a witness (by its leader, and by the witness
// itself), is only ever in the log of a witness, and never leaves it, because a witness never
// leads and serves nothing from its log. Comparing (index, term), which is all that votes and
// appends do, it is as good a voter as others.
//
// Nobody who has kept a stripped log may ever lead, so a peer is a witness or not for life, by its
// id: conf_change.cc refuses to make one of the other.
//
// A witness must not keep others from being elected by entries that nobody can bring any more. So
// it is sent only what another voter with data has on its disk; and when none of them answers, and
// leader and witnesses decide without them, what the leader has on its own. Then whatever a witness
// has, a voter with data has too, or it is committed.
//
// What is committed is on a majority, of which a minority are witnesses (Configuration::IsValid()):
// at least one voter of each quorum has the data. It may be only one: when that one is lost for
// good, the witness, which knows that there was more, refuses its vote to those who have less, and
// the group stands still rather than forget. That is the price of the cheaper voter.

#include <algorithm>

#include "base/probe.h"
#include "raft/quorum.h"
#include "raft/raft_core.h"
#include "raft/witness.h"

namespace rutile::raft {

void StripData(LogSlice& slice) {
  for (Entry& entry : slice.entries) {
    if (entry.type != EntryType::kNormal) continue;
    entry.type = EntryType::kStripped;
    entry.payload = Bytes();
  }
}

bool Raft::Core::TakeAsKept(LogSlice& slice) const {
  if (options_.witness) {
    StripData(slice);
    return true;
  }
  const bool whole = std::none_of(slice.entries.begin(), slice.entries.end(),
                                  [](const Entry& e) { return e.type == EntryType::kStripped; });
  RUTILE_SOMETIMES(!whole, "raft: entries without data for a peer that is no witness");
  return whole;
}

bool Raft::Core::DecidesWithWitnesses() const {
  return CountVotes(configuration(), [this](PeerId peer) {
           return std::optional(peer == id() || configuration().IsWitness(peer));
         }) == VoteResult::kWon;
}

Index Raft::Core::SendLimit(PeerId to) const {
  const Configuration& all = configuration();
  if (all.witnesses.empty() || !all.IsWitness(to)) return tail_.last().index;
  Index limit = alone_ && DecidesWithWitnesses() ? tail_.durable() : Index();
  for (const auto& [other, peer] : peers_) {
    if (all.IsVoter(other) && !all.IsWitness(other)) limit = std::max(limit, peer.match());
  }
  return std::min(limit, tail_.last().index);
}

// Before the leader forgets who has answered since it last looked.
void Raft::Core::NoteWhoHasData() {
  const Configuration& all = configuration();
  if (all.witnesses.empty()) return;
  alone_ = std::none_of(peers_.begin(), peers_.end(), [&all](const Peer& peer) {
    return all.IsVoter(peer.first) && !all.IsWitness(peer.first) && peer.second.active();
  });
  SendToWitnesses();
}

void Raft::Core::SendToWitnesses() {
  if (configuration().witnesses.empty() || role_ != Role::kLeader) return;
  for (auto& [to, peer] : peers_) {
    if (configuration().IsWitness(to)) SendAppends(to, peer);
  }
}

bool Raft::Core::MayLead(PeerId peer) const {
  // Not a voter that is about to lose its vote: it would have to make way in turn.
  const PeerIds& voters = configuration().voters;
  return std::binary_search(voters.begin(), voters.end(), peer) && !configuration().IsWitness(peer);
}

}  // namespace rutile::raft
