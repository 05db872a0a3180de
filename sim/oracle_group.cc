#include "sim/oracle_group.h"

#include <algorithm>

namespace rutile::sim {

using raft::MessageType;

GroupOracle::GroupOracle(std::string name, Report report)
    : name_(std::move(name)), report_(std::move(report)) {}

void GroupOracle::Problem(const char* code, PeerId who, const std::string& what) {
  report_(std::string(code) + ": " + name_ + " peer " + ToString(who) + ": " + what);
}

void GroupOracle::OnInput(const raft::CoreView& view, const raft::CoreInput& input) {
  if (input.kind != raft::CoreInput::Kind::kDurable) return;
  Replica& replica = At(view.id);
  while (!replica.flights.empty() && replica.flights.front().write <= input.mark->write) {
    Land(replica, replica.flights.front());
    replica.flights.pop_front();
  }
}

void GroupOracle::OnChange(const raft::CoreView& view, raft::CoreChange change) {
  Replica& replica = At(view.id);
  if (view.term < replica.term) {
    Problem("V1", view.id,
            "its term goes back from " + ToString(replica.term) + " to " + ToString(view.term));
  }
  replica.term = view.term;
  replica.vote = view.vote;
  replica.role = view.role;
  if (change == raft::CoreChange::kLeader) CheckNewLeader(replica, view);
  if (change == raft::CoreChange::kCommitted && view.role == raft::Role::kLeader) {
    replica.counted = view.committed;
  }
  if (change == raft::CoreChange::kOwnVote) {
    if (replica.disk_state.term != view.term || replica.disk_state.vote != view.id) {
      Problem("V1", view.id, "counts its own vote before it is durable");
    }
    const auto [vote, is_new] = votes_.try_emplace({view.id, view.term}, view.id);
    if (vote->second != view.id) {
      Problem("V1", view.id,
              "counts itself and has voted for " + ToString(vote->second) + " in term " +
                  ToString(view.term));
    }
  }
}

void GroupOracle::OnProgress(const raft::CoreView& view, PeerId peer, Index match, Index next) {
  ++compared_;
  if (next <= match) {
    Problem(
        "P2", view.id,
        "peer " + ToString(peer) + " has match " + ToString(match) + " and next " + ToString(next));
  }
  const Replica& leader = At(view.id);
  const auto found = replicas_.find(peer);
  // Who is in a newer term has perhaps changed its log since it answered.
  if (found == replicas_.end() || found->second.term != view.term) return;
  const TwinItem* item = leader.memory.Find(match);
  const TwinLog& disk = found->second.disk;
  if (item == nullptr || match < disk.base().index) return;
  if (!disk.Contains(item->entry.id) && !found->second.lost.contains(item->entry.id)) {
    Problem("P1", view.id,
            "counts on " + ToString(item->entry.id) + " of peer " + ToString(peer) +
                ", whose disk ends at " + ToString(disk.last()));
  }
}

void GroupOracle::OnFinish(const raft::CoreView& view, const raft::Effects& effects) {
  Replica& replica = At(view.id);
  if (!effects.poisoned.empty()) return;  // It takes no further part, and the monitor tells.
  if (effects.install) TakeInstall(replica, view, *effects.install);
  if (effects.write) TakeWrite(replica, view, *effects.write);
  replica.term = view.term;
  replica.vote = view.vote;
  replica.role = view.role;
  // A commit is judged before the messages that spread it.
  CheckCommit(replica, view);
  replica.counted = Index();
  for (const raft::Message& message : effects.messages) CheckSent(replica, view, message);
  if (!effects.committed.empty()) CheckHandOut(replica, view, effects.committed);
  CheckCursors(replica, view);
  CompareLog(replica, view);
  CheckMembership(replica, view);
}

void GroupOracle::CheckSent(const Replica& replica, const raft::CoreView& view,
                            const raft::Message& message) {
  ++compared_;
  switch (message.type) {
    case MessageType::kVote:
    case MessageType::kVoteReply: return CheckVoteSent(replica, message);
    case MessageType::kAppend:
      CompareSlice(replica, view.id, message.slice, "entries that are sent");
      [[fallthrough]];
    case MessageType::kHeartbeat:
      if (message.commit > view.committed) {
        Problem("CD", view.id, "tells of a commit that is not: " + raft::ToString(message));
      }
      [[fallthrough]];
    case MessageType::kHeartbeatReply:
      if (replica.disk_state.term < message.term) {
        Problem("L4", view.id, "its term is not durable: " + raft::ToString(message));
      }
      return;
    case MessageType::kAppendReply: return CheckAckSent(replica, message);
    case MessageType::kReadIndexReply:
      if (message.read_index > view.committed) {
        Problem("CD", view.id,
                "a read is to wait for what is not committed: " + raft::ToString(message));
      }
      return;
    default: return;
  }
}

void GroupOracle::CheckVoteSent(const Replica& replica, const raft::Message& message) {
  const bool asks = message.type == MessageType::kVote;
  if (!asks && !message.granted) return;
  const PeerId candidate = asks ? message.from : message.to;
  if (replica.disk_state.impaired_until) {
    Problem("V2", message.from, "has lost entries and votes: " + raft::ToString(message));
  }
  if (replica.disk_state.term != message.term || replica.disk_state.vote != candidate) {
    Problem("V1", message.from, "the vote is not durable: " + raft::ToString(message));
  }
  const auto [vote, is_new] = votes_.try_emplace({message.from, message.term}, candidate);
  if (vote->second != candidate) {
    Problem("V1", message.from,
            "has voted for " + ToString(vote->second) + ": " + raft::ToString(message));
  }
}

void GroupOracle::CheckAckSent(const Replica& replica, const raft::Message& message) {
  if (replica.disk_state.term < message.term) {
    Problem("L4", message.from, "its term is not durable: " + raft::ToString(message));
  }
  if (message.rejected) return;
  const Index durable = TwinDurable(replica);
  if (message.match > durable) {
    Problem("L4", message.from,
            "its disk has this log up to " + ToString(durable) + ": " + raft::ToString(message));
  }
}

void GroupOracle::CheckHandOut(Replica& replica, const raft::CoreView& view,
                               const LogSlice& slice) {
  if (slice.prev.index != replica.applying) {
    Problem("SM", view.id,
            "handed out after " + ToString(slice.prev) + ", the last was " +
                ToString(replica.applying));
  }
  CompareSlice(replica, view.id, slice, "entries that are handed out");
  const Index durable = TwinDurable(replica);
  for (const Entry& entry : slice.entries) {
    const Committed* committed = FindCommitted(entry.id.index);
    if (committed == nullptr) {
      Problem("SM", view.id, "handed out and not committed: " + ToString(entry.id));
    } else if (committed->term != entry.id.term || committed->hash != HashOf(entry)) {
      Problem("SM", view.id,
              "handed out " + ToString(entry.id) + ", committed was " +
                  ToString(LogId{committed->term, entry.id.index}));
    }
    const bool may_be_early =
        view.role == raft::Role::kLeader && view.apply_before_durable && entry.id.term == view.term;
    if (entry.id.index > durable && !may_be_early) {
      Problem("L5", view.id, "handed out before its disk has it: " + ToString(entry.id));
    }
  }
  replica.applying = slice.last().index;
}

void GroupOracle::CheckCursors(Replica& replica, const raft::CoreView& view) {
  const bool ordered = view.base.index <= view.applied && view.applied <= view.applying &&
                       view.applying <= view.committed && view.committed <= view.last.index &&
                       view.base.index <= view.durable && view.durable <= view.submitted &&
                       view.submitted <= view.last.index;
  const bool forward = view.applied >= replica.applied && view.applying >= replica.applying &&
                       view.committed >= replica.committed;
  if (!ordered || !forward) {
    Problem("L3", view.id,
            "base " + ToString(view.base) + " applied " + ToString(view.applied) + " applying " +
                ToString(view.applying) + " committed " + ToString(view.committed) + " durable " +
                ToString(view.durable) + " submitted " + ToString(view.submitted) + " last " +
                ToString(view.last) + (forward ? "" : ", and some of them were further"));
  }
  if (view.applying != replica.applying) {
    Problem("SM", view.id,
            "applying is " + ToString(view.applying) + ", handed out was up to " +
                ToString(replica.applying));
  }
  const Index durable = TwinDurable(replica);
  if (view.durable > durable) {
    Problem("L8", view.id,
            "takes " + ToString(view.durable) + " to be durable, its disk has " +
                "this log up to " + ToString(durable));
  }
  if (view.first_resident > std::min(view.durable, view.applying).Next() ||
      view.first_resident <= view.base.index) {
    Problem("L10", view.id,
            "in memory is what follows " + ToString(view.first_resident.Prev()) + ", durable is " +
                ToString(view.durable) + ", handed out " + ToString(view.applying));
  }
  const std::uint64_t resident = view.last.index.Next().value() - view.first_resident.value();
  if (resident <= 8) {
    std::size_t bytes = 0;
    for (Index i = view.first_resident; i <= view.last.index; i = i.Next()) {
      if (const TwinItem* item = replica.memory.Find(i)) bytes += item->entry.size_bytes();
    }
    if (bytes != view.resident_bytes) {
      Problem("L10", view.id,
              std::to_string(view.resident_bytes) + " bytes are said to be in " +
                  "memory, and are " + std::to_string(bytes));
    }
  }
  replica.applied = view.applied;
  replica.durable = view.durable;
}

const GroupOracle::Committed* GroupOracle::FindCommitted(Index index) const {
  if (index <= history_begin_ || index > committed_end_) return nullptr;
  return &committed_[index.DistanceFrom(history_begin_) - 1];
}

bool GroupOracle::IsCommitted(LogId id) const {
  const Committed* committed = FindCommitted(id.index);
  return committed != nullptr && committed->term == id.term;
}

bool GroupOracle::MayBeCommitted(LogId id) const {
  return id.index <= history_begin_ || IsCommitted(id);
}

void GroupOracle::CheckCommit(Replica& replica, const raft::CoreView& view) {
  const Index before = replica.committed;
  for (Index i = before.Next(); i <= view.committed; i = i.Next()) CommitOne(replica, view, i);
  replica.committed = std::max(before, view.committed);
}

void GroupOracle::CommitOne(const Replica& replica, const raft::CoreView& view, Index index) {
  const TwinItem* item = replica.memory.Find(index);
  if (item == nullptr) return;  // Below the base of a snapshot, which TakeInstall() has judged.
  const LogId id = item->entry.id;
  ++compared_;
  if (const Committed* known = FindCommitted(index)) {
    if (known->term != id.term || known->hash != item->hash) {
      Problem("SM", view.id,
              "commits " + ToString(id) + ", committed was " + ToString(LogId{known->term, index}));
    }
    return;
  }
  if (view.role != raft::Role::kLeader && index > replica.counted) {
    Problem("SM", view.id, "takes " + ToString(id) + " to be committed, which no leader has done");
    return;
  }
  if (index == view.committed) CheckQuorum(view, id);
  committed_.push_back({.term = id.term, .hash = item->hash});
  committed_end_ = index;
  LogId& newest = committed_by_[view.term];
  newest = std::max(newest, id);
  if (index != view.committed) return;
  for (const auto& [peer, other] : replicas_) {
    if (other.role != raft::Role::kLeader || other.term <= view.term) continue;
    if (id.index >= other.memory.base().index && !other.memory.Contains(id)) {
      Problem("LC", view.id,
              "commits " + ToString(id) + " in term " + ToString(view.term) +
                  ", which the leader of term " + ToString(other.term) + " lacks");
    }
  }
}

void GroupOracle::CheckQuorum(const raft::CoreView& view, LogId id) {
  if (id.term != view.term) {
    Problem("CD", view.id,
            "commits " + ToString(id) + " of an older term by counting, in term " +
                ToString(view.term));
  }
  const auto count = [&](const raft::PeerIds& voters) {
    return static_cast<std::size_t>(std::count_if(voters.begin(), voters.end(), [&](PeerId voter) {
      const auto found = replicas_.find(voter);
      if (found == replicas_.end()) return false;
      const TwinLog& disk = found->second.disk;
      return id.index < disk.base().index || disk.Contains(id) || found->second.lost.contains(id);
    }));
  };
  const raft::Configuration& all = *view.configuration;
  for (const auto* voters : {&all.voters, &all.outgoing}) {
    const std::size_t durable = count(*voters);
    if (voters->empty() || durable * 2 > voters->size()) continue;
    Problem("CD", view.id,
            "commits " + ToString(id) + ", durable on " + std::to_string(durable) + " of " +
                std::to_string(voters->size()) + " voters");
  }
}

void GroupOracle::CheckNewLeader(const Replica& replica, const raft::CoreView& view) {
  const auto [leader, is_new] = leaders_.try_emplace(view.term, view.id);
  if (leader->second != view.id) {
    Problem("ES", view.id,
            "leads term " + ToString(view.term) + ", as does peer " + ToString(leader->second));
  }
  // By LM the newest that earlier terms have committed stands for all before it.
  const auto later = committed_by_.lower_bound(view.term);
  LogId newest;
  for (auto it = committed_by_.begin(); it != later; ++it) newest = std::max(newest, it->second);
  const LogId base = replica.memory.base();
  if (newest.index > base.index && !replica.memory.Contains(newest)) {
    Problem("LC", view.id,
            "leads term " + ToString(view.term) + " and lacks " + ToString(newest) +
                ", which is committed");
  }
}

void GroupOracle::CheckMembership(const Replica& replica, const raft::CoreView& view) {
  if (replica.configurations.back().second == *view.configuration) return;
  Problem("M1", view.id,
          "acts by " + raft::ToString(*view.configuration) + ", the newest of its log is " +
              raft::ToString(replica.configurations.back().second));
}

}  // namespace rutile::sim
