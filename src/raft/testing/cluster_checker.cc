#include "raft/testing/cluster_checker.h"

#include <algorithm>

namespace rutile::raft::testing {

bool Disk::Has(LogId id) const {
  if (id.index <= base.index) return true;
  const auto it = log.find(id.index);
  return it != log.end() && it->second.id == id;
}

void ClusterChecker::Violate(const std::string& what) {
  if (violation_.empty()) violation_ = what;
}

void ClusterChecker::OnWrite(PeerId node, const LogSlice& slice) {
  LogId before = slice.prev;
  for (const Entry& entry : slice.entries) {
    const auto [it, first] =
        entries_.try_emplace(entry.id, std::pair(before, std::string(entry.payload.view())));
    if (it->second.first != before || it->second.second != entry.payload.view()) {
      Violate("LM: " + ToString(entry.id) + " of " + ToString(node) + " follows " +
              ToString(before) + ", elsewhere " + ToString(it->second.first));
    }
    before = entry.id;
  }
}

void ClusterChecker::OnSend(const Message& m, const Disk& disk, const Raft& raft) {
  const bool term_is_durable = disk.hard_state.term >= m.term;
  const bool vote_is_durable = disk.hard_state.term == m.term;
  switch (m.type) {
    case MessageType::kVote:
      if (!vote_is_durable || disk.hard_state.vote != m.from) {
        Violate("V1: sent before the own vote is durable: " + ToString(m));
      }
      break;
    case MessageType::kVoteReply: {
      if (!m.granted) break;
      if (!vote_is_durable || disk.hard_state.vote != m.to) {
        Violate("V1: sent before the vote is durable: " + ToString(m));
      }
      const auto [it, first] = votes_.try_emplace({m.from, m.term}, m.to);
      if (it->second != m.to) Violate("V1: a second vote: " + ToString(m));
      break;
    }
    case MessageType::kAppendReply: {
      if (!term_is_durable) Violate("L4: the term is not durable: " + ToString(m));
      if (m.rejected) break;
      const std::optional<Term> term = raft.tail().TermAt(m.match);
      const bool compacted = m.match < raft.tail().base().index;
      if (!compacted && (!term || !disk.Has({*term, m.match}))) {
        Violate("L4: acknowledged before it is durable: " + ToString(m));
      }
      break;
    }
    case MessageType::kAppend:
    case MessageType::kHeartbeat:
    case MessageType::kHeartbeatReply:
      if (!term_is_durable) Violate("L4: the term is not durable: " + ToString(m));
      break;
    default: break;
  }
}

void ClusterChecker::OnApply(PeerId node, const MachineState& before, const Entry& entry,
                             const MachineState& after) {
  if (entry.id.index != before.applied.index.Next()) {
    Violate("SM: " + ToString(node) + " applies " + ToString(entry.id) + " after " +
            ToString(before.applied));
  }
  const auto it = committed_.find(entry.id.index);
  if (it == committed_.end() || it->second != entry.id) {
    Violate("SM: " + ToString(node) + " applies what is not committed: " + ToString(entry.id));
  }
  const auto [known, first] = hashes_.try_emplace(entry.id.index, after.hash);
  if (known->second != after.hash) Violate("SM: states differ at " + ToString(entry.id));
}

void ClusterChecker::OnInstall(PeerId node, const MachineState& state) {
  const auto it = hashes_.find(state.applied.index);
  if (it != hashes_.end() && it->second != state.hash) {
    Violate("SM: " + ToString(node) + " installs a wrong state at " + ToString(state.applied));
  }
}

void ClusterChecker::OnStep(const Raft& raft, Instant now, const std::vector<const Disk*>& disks) {
  if (raft.poisoned()) return;
  CheckCursors(raft);
  CheckLeader(raft);
  CheckCommit(raft, disks);
  const std::optional<Instant> lease = raft.LeaseUntil();
  if (lease && now < *lease && raft.tail().committed() < highest_commit_) {
    Violate("Q1: the lease of " + ToString(raft.id()) + " serves what is stale");
  }
}

void ClusterChecker::OnRead(PeerId node, Index asked_at, Index answered) {
  if (!answered.IsZero() && answered < asked_at) {
    Violate("Q1: a read of " + ToString(node) + " sees " + ToString(answered) +
            ", committed before it was " + ToString(asked_at));
  }
}

void ClusterChecker::CheckLeader(const Raft& raft) {
  if (!raft.is_leader()) return;
  const auto [it, first] = leaders_.try_emplace(raft.term(), raft.id());
  if (it->second != raft.id()) {
    Violate("ES: term " + ToString(raft.term()) + " is led by " + ToString(it->second) + " and " +
            ToString(raft.id()));
  }
  if (!first) return;
  for (auto at = committed_.upper_bound(raft.tail().base().index); at != committed_.end(); ++at) {
    if (at->second.term < raft.term() && !raft.tail().Contains(at->second)) {
      Violate("LC: the leader of term " + ToString(raft.term()) + " lacks " + ToString(at->second));
    }
  }
}

void ClusterChecker::CheckCommit(const Raft& raft, const std::vector<const Disk*>& disks) {
  const LogTail& tail = raft.tail();
  for (Index i = highest_commit_.Next(); i <= tail.committed(); i = i.Next()) {
    const std::optional<Term> term = tail.TermAt(i);
    if (!term) continue;
    const LogId id{*term, i};
    committed_[i] = id;
    const auto copies = static_cast<std::size_t>(std::count_if(
        disks.begin(), disks.end(), [id](const Disk* disk) { return disk->Has(id); }));
    if (copies < voters_ / 2 + 1) {
      Violate("CD: " + ToString(id) + " is committed and durable on " + std::to_string(copies));
    }
  }
  // Each node's newest committed entry is the one that the first to commit there had.
  const auto it = committed_.find(tail.committed());
  if (it != committed_.end() && !tail.Contains(it->second)) {
    Violate("SM: " + ToString(raft.id()) + " commits something else than " + ToString(it->second));
  }
  highest_commit_ = std::max(highest_commit_, tail.committed());
}

void ClusterChecker::CheckCursors(const Raft& raft) {
  const LogTail& t = raft.tail();
  const bool ordered = t.base().index <= t.applied() && t.applied() <= t.applying() &&
                       t.applying() <= t.committed() && t.committed() <= t.last().index &&
                       t.durable() <= t.submitted() && t.submitted() <= t.last().index;
  if (!ordered) Violate("L3: " + raft.DebugString());
}

}  // namespace rutile::raft::testing
