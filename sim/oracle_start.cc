// What a restart must find.

#include <algorithm>

#include "base/probe.h"
#include "sim/oracle_group.h"

namespace rutile::sim {

void GroupOracle::OnStart(const raft::CoreView& view, const raft::HardState& hard_state) {
  Replica& replica = At(view.id);
  if (MayBeginAnew(replica, view, hard_state)) {
    replica = Replica();
    std::erase_if(votes_, [&](const auto& vote) { return vote.first.first == view.id; });
  }
  if (replica.known) {
    CheckRestart(replica, view, hard_state);
  } else if (committed_.empty() && view.base.index > history_begin_) {
    history_begin_ = committed_end_ = view.base.index;  // Where all first members begin.
  }
  Adopt(replica, view);
  replica.disk_state = replica.submitted_state = hard_state;
  if (view.committed > committed_end_ && committed_.empty()) {
    // Looked at only from now on, when the group has a history already.
    history_begin_ = committed_end_ = view.committed;
  }
  replica.committed = view.committed;
  CheckCursors(replica, view);
  CheckMembership(replica, view);
}

// A replica that was created for a member that there never was, and dropped again, may have
// forgotten its votes: it had nothing all the time, and in no configuration that anybody ever had
// did it vote.
bool GroupOracle::MayBeginAnew(const Replica& replica, const raft::CoreView& view,
                               const raft::HardState& hard_state) const {
  const bool has_nothing = replica.known && replica.memory.last() == LogId{} &&
                           replica.disk.last() == LogId{} && view.last == LogId{} &&
                           hard_state == raft::HardState{};
  return has_nothing && !voters_.contains(view.id);
}

// From here on memory and disk are what was found.
void GroupOracle::Adopt(Replica& replica, const raft::CoreView& view) {
  TwinLog found;
  found.Reset(view.base);
  const Index resident = view.first_resident;
  for (Index i = view.base.index.Next(); i <= view.last.index; i = i.Next()) {
    const std::optional<Term> term = view.tail->TermAt(i);
    if (!term) {
      Problem("L7", view.id, "no term at " + ToString(i) + " after a restart");
      break;
    }
    TwinItem item{.entry = {.id = {*term, i}}, .number = next_number_++};
    // What was there before the restart tells what is not in memory now.
    const TwinItem* before = replica.disk.Find(i);
    if (before != nullptr && before->entry.id == item.entry.id) {
      item.entry = before->entry;
      item.hash = before->hash;
    } else if (const auto seen = entries_.find(item.entry.id); seen != entries_.end()) {
      // Dropped from the log, though the disk did not hear of it before the restart.
      item.hash = seen->second.hash;
    }
    found.Append(std::move(item));
  }
  if (resident <= view.last.index) {
    const auto slice = view.tail->Read(resident.Prev(), view.last.index, SIZE_MAX);
    LogId before = slice ? slice->prev : LogId();
    TwinLog filled;
    filled.Reset(view.base);
    for (Index i = view.base.index.Next(); i < resident; i = i.Next()) {
      filled.Append(*found.Find(i));
    }
    for (const Entry& entry : slice ? slice->entries : Entries()) {
      TwinItem item{.entry = CopyOf(entry), .hash = HashOf(entry), .number = next_number_++};
      Register(view.id, before, item);
      before = entry.id;
      filled.Append(std::move(item));
    }
    found = std::move(filled);
  }
  replica.known = true;
  replica.memory = found;
  replica.disk = std::move(found);
  replica.flights.clear();
  replica.configurations.assign(1, {view.base, *view.base_configuration});
  NoteVoters(*view.base_configuration);
  for (Index i = view.base.index.Next(); i <= view.last.index; i = i.Next()) {
    const TwinItem* item = replica.memory.Find(i);
    if (item != nullptr) NoteConfiguration(replica, item->entry);
  }
  replica.term = view.term;
  replica.vote = view.vote;
  replica.role = view.role;
  replica.applying = view.applying;
  replica.applied = view.applied;
  replica.durable = view.durable;
}

bool GroupOracle::Recovers(const Replica& replica, const raft::CoreView& view,
                           const raft::HardState& hard_state) const {
  if (hard_state.term != replica.disk_state.term || hard_state.vote != replica.disk_state.vote) {
    return false;
  }
  // A state machine that was ahead of the log: it starts anew at what was applied.
  const bool anew = view.base == view.last && view.applied == view.base.index;
  if (anew && MayBeCommitted(view.base) && !replica.disk.Contains(view.base)) return true;
  if (view.last != replica.disk.last()) return false;
  // Equal ids at two places are equal logs between; of each term that is there one is enough.
  const Index from = std::max(view.base.index, replica.disk.base().index);
  for (Index i = view.last.index; i > from; i = i.Prev()) {
    const TwinItem* item = replica.disk.Find(i);
    if (item == nullptr || view.tail->TermAt(i) != std::optional(item->entry.id.term)) return false;
  }
  return true;
}

// The disk has lost entries, and the replica knows that: what it has is a beginning of what it had,
// or begins anew at what was applied.
bool GroupOracle::RecoversInPart(Replica& replica, const raft::CoreView& view,
                                 const raft::HardState& hard_state) const {
  const LogId last = replica.disk.last();
  if (!hard_state.impaired_until || *hard_state.impaired_until < last || last <= view.last) {
    return false;
  }
  if (hard_state.term != replica.disk_state.term || hard_state.vote != replica.disk_state.vote) {
    return false;
  }
  if (!replica.disk.Contains(view.last)) return false;
  const Index from = std::max(view.base.index, replica.disk.base().index);
  for (Index i = view.last.index; i > from; i = i.Prev()) {
    const TwinItem* item = replica.disk.Find(i);
    if (item == nullptr || view.tail->TermAt(i) != std::optional(item->entry.id.term)) return false;
  }
  for (Index i = view.last.index.Next(); i <= last.index; i = i.Next()) {
    if (const TwinItem* item = replica.disk.Find(i)) replica.lost.insert(item->entry.id);
  }
  RUTILE_SOMETIMES(true, "sim: a replica starts without what its disk has lost");
  return true;
}

// The disk holds all writes up to one of those that were on their way, and at least those whose
// completion was told.
void GroupOracle::CheckRestart(Replica& replica, const raft::CoreView& view,
                               const raft::HardState& hard_state) {
  const auto found = [&] {
    return Recovers(replica, view, hard_state) || RecoversInPart(replica, view, hard_state);
  };
  bool recovers = found();
  while (!recovers && !replica.flights.empty()) {
    Land(replica, replica.flights.front());
    replica.flights.pop_front();
    recovers = found();
  }
  if (!recovers) {
    Problem("R1", view.id,
            "found after a restart: log " + ToString(view.base) + " to " + ToString(view.last) +
                ", " + raft::ToString(hard_state) + "; written: log " +
                ToString(replica.disk.base()) + " to " + ToString(replica.disk.last()) + ", " +
                raft::ToString(replica.disk_state));
  }
  if (view.applied < replica.compacted) {
    Problem("L9", view.id,
            "the log was dropped up to " + ToString(replica.compacted) +
                ", the state machine is at " + ToString(view.applied));
  }
  if (view.committed > committed_end_) {
    Problem("L6", view.id,
            ToString(view.committed) + " is stored as committed, nobody has committed beyond " +
                ToString(committed_end_));
  }
}

}  // namespace rutile::sim
