#include "raft/testing/cluster_checker.h"

#include <algorithm>
#include <iterator>
#include <optional>

namespace rutile::raft::testing {

namespace {

void NoteConfiguration(std::map<Index, Configuration>& known, const Entry& entry) {
  if (entry.type != EntryType::kConfig) return;
  std::optional<Configuration> found = DecodeConfiguration(entry.payload.view());
  if (found) known[entry.id.index] = *std::move(found);
}

}  // namespace

bool Disk::Has(LogId id) const {
  if (id.index <= base.index) return true;
  const auto it = log.find(id.index);
  return it != log.end() && it->second.id == id;
}

void ClusterChecker::Violate(const std::string& what) {
  if (violation_.empty()) violation_ = what;
}

void ClusterChecker::OnStart(PeerId node, const Disk& disk, const MachineState& machine) {
  auto& known = configurations_[node];
  known = {{Index(), machine.configuration}};
  // Without the entry that was applied the log begins anew behind it.
  if (!disk.Has(machine.applied)) return;
  for (const auto& [index, entry] : disk.log) NoteConfiguration(known, entry);
}

void ClusterChecker::OnSnapshot(PeerId node, const SnapshotMeta& meta, const MachineState& state) {
  if (meta.configuration == state.configuration) return;
  Violate("S1: the snapshot of " + ToString(node) + " at " + ToString(meta.id) + " says " +
          ToString(meta.configuration) + ", its state machine " + ToString(state.configuration));
}

const Configuration& ClusterChecker::InForce(PeerId node, Index at) const {
  return std::prev(configurations_.at(node).upper_bound(at))->second;
}

void ClusterChecker::OnWrite(PeerId node, const LogSlice& slice, const SnapshotMeta* installed) {
  auto& known = configurations_[node];
  if (installed != nullptr) known = {{Index(), installed->configuration}};
  known.erase(known.upper_bound(slice.prev.index), known.end());
  LogId before = slice.prev;
  for (const Entry& entry : slice.entries) {
    NoteConfiguration(known, entry);
    // A witness says that there was an entry, and after which; not what it says.
    const bool stripped = entry.type == EntryType::kStripped;
    auto& [known_before, payload] =
        entries_.try_emplace(entry.id, before, std::nullopt).first->second;
    if (!payload && !stripped) payload = std::string(entry.payload.view());
    if (known_before != before || (!stripped && *payload != entry.payload.view())) {
      Violate("LM: " + ToString(entry.id) + " of " + ToString(node) + " follows " +
              ToString(before) + ", elsewhere " + ToString(known_before));
    }
    before = entry.id;
  }
}

void ClusterChecker::OnSend(const Message& m, const Disk& disk, const Raft& raft) {
  const bool term_is_durable = disk.hard_state.term >= m.term;
  const bool vote_is_durable = disk.hard_state.term == m.term;
  const bool votes = m.type == MessageType::kVote || m.granted;
  const HardState& state = m.type == MessageType::kPreVote ? raft.hard_state() : disk.hard_state;
  if ((votes || m.type == MessageType::kPreVote) && state.impaired_until) {
    Violate("V2: sent by who is impaired: " + ToString(m));
  }
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
  if (after.witness) return;
  const auto [known, first] = hashes_.try_emplace(entry.id.index, after.hash);
  if (known->second != after.hash) Violate("SM: states differ at " + ToString(entry.id));
}

void ClusterChecker::OnInstall(PeerId node, const MachineState& state) {
  const auto it = hashes_.find(state.applied.index);
  if (!state.witness && it != hashes_.end() && it->second != state.hash) {
    Violate("SM: " + ToString(node) + " installs a wrong state at " + ToString(state.applied));
  }
}

void ClusterChecker::OnStep(const Raft& raft, Instant now,
                            const std::map<PeerId, const Disk*>& disks) {
  if (raft.poisoned()) return;
  CheckCursors(raft);
  CheckLeader(raft);
  CheckCommit(raft, disks);
  CheckMembership(raft);
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
  if (raft.role() != Role::kFollower && raft.configuration().IsWitness(raft.id())) {
    Violate("W2: the witness " + ToString(raft.id()) + " is a " +
            std::string(ToString(raft.role())));
  }
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

void ClusterChecker::CheckCommit(const Raft& raft, const std::map<PeerId, const Disk*>& disks) {
  const LogTail& tail = raft.tail();
  for (Index i = highest_commit_.Next(); i <= tail.committed(); i = i.Next()) {
    const std::optional<Term> term = tail.TermAt(i);
    if (!term) continue;
    const LogId id{*term, i};
    committed_[i] = id;
    // The first to commit is a leader, which goes by the newest in its log, committed or not.
    const Configuration& in_force = InForce(raft.id(), tail.last().index);
    for (const auto* voters : {&in_force.voters, &in_force.outgoing}) {
      const auto copies =
          static_cast<std::size_t>(std::count_if(voters->begin(), voters->end(), [&](PeerId voter) {
            return disks.at(voter)->HadOnce(id);
          }));
      if (voters->empty() || copies * 2 > voters->size()) continue;
      Violate("CD: " + ToString(id) + " is committed and durable on " + std::to_string(copies) +
              " of " + ToString(in_force));
    }
  }
  // Each node's newest committed entry is the one that the first to commit there had.
  const auto it = committed_.find(tail.committed());
  if (it != committed_.end() && !tail.Contains(it->second)) {
    Violate("SM: " + ToString(raft.id()) + " commits something else than " + ToString(it->second));
  }
  highest_commit_ = std::max(highest_commit_, tail.committed());
}

// What the group goes by until the newest configuration is committed, and this one, share a peer in
// any two majorities. What is not in the one may be in the other, so only complements matter.
void ClusterChecker::CheckMembership(const Raft& raft) {
  const Configuration& in_force = InForce(raft.id(), raft.tail().last().index);
  if (raft.configuration() != in_force) {
    return Violate("M1: " + ToString(raft.id()) + " goes by " + ToString(raft.configuration()) +
                   ", its log by " + ToString(in_force));
  }
  const Index since = raft.configuration_since();
  if (!raft.is_leader() || since <= raft.tail().committed()) return;
  if (!neighbours_.emplace(raft.term(), since).second) return;
  const Configuration& before = InForce(raft.id(), raft.tail().committed());
  const Configuration& now = raft.configuration();
  std::set<PeerId> all;
  for (const Configuration* one : {&before, &now}) {
    for (PeerId id : one->Members()) all.insert(id);
  }
  const PeerIds peers(all.begin(), all.end());
  const auto decides = [&](const Configuration& configuration, std::uint64_t mask) {
    for (const auto* voters : {&configuration.voters, &configuration.outgoing}) {
      std::size_t yes = 0;
      for (std::size_t i = 0; i < peers.size(); ++i) {
        const bool votes = std::binary_search(voters->begin(), voters->end(), peers[i]);
        yes += votes && ((mask >> i) & 1) != 0 ? 1u : 0u;
      }
      if (!voters->empty() && yes * 2 <= voters->size()) return false;
    }
    return !configuration.voters.empty();
  };
  const std::uint64_t everybody = (std::uint64_t{1} << peers.size()) - 1;
  for (std::uint64_t mask = 0; mask <= everybody; ++mask) {
    if (!decides(before, mask) || !decides(now, everybody & ~mask)) continue;
    return Violate("M1: " + ToString(before) + " and " + ToString(now) + " can decide apart");
  }
}

void ClusterChecker::CheckCursors(const Raft& raft) {
  const LogTail& t = raft.tail();
  const bool ordered = t.base().index <= t.applied() && t.applied() <= t.applying() &&
                       t.applying() <= t.committed() && t.committed() <= t.last().index &&
                       t.durable() <= t.submitted() && t.submitted() <= t.last().index;
  if (!ordered) Violate("L3: " + raft.DebugString());
}

}  // namespace rutile::raft::testing
