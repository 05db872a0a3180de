#include "raft/raft.h"

#include <utility>

#include "base/check.h"
#include "raft/raft_core.h"

namespace rutile::raft {

std::string_view ToString(Role role) {
  switch (role) {
    case Role::kFollower: return "follower";
    case Role::kPreCandidate: return "pre-candidate";
    case Role::kCandidate: return "candidate";
    case Role::kLeader: return "leader";
  }
  RUTILE_UNREACHABLE();
}

bool Effects::empty() const {
  return !write && messages.empty() && committed.empty() && reads.empty() && cold_reads.empty() &&
         snapshots.empty() && !install && !state_changed && poisoned.empty();
}

Raft::Raft(const Options& options, Start start, Random& random, Instant now)
    : core_(std::make_unique<Core>(options, std::move(start), random, now)) {}

Raft::~Raft() = default;

Effects Raft::Tick(Instant now) { return core_->Tick(now); }

Effects Raft::Step(Instant now, Message&& message) { return core_->Step(now, std::move(message)); }

ProposeResult Raft::Propose(Instant now, std::span<Bytes> payloads) {
  return core_->Propose(now, payloads);
}

std::pair<Result<Proposed>, Effects> Raft::ProposeChange(Instant now,
                                                         const ConfigurationChange& change) {
  return core_->ProposeChange(now, change);
}

Effects Raft::ReadIndex(Instant now, ReadId id, Rare<std::string> context) {
  return core_->ReadIndex(now, id, std::move(context));
}

std::optional<Instant> Raft::LeaseUntil() const { return core_->LeaseUntil(); }

Effects Raft::Campaign(Instant now) { return core_->Campaign(now); }

Effects Raft::TransferLeadership(Instant now, PeerId to) {
  return core_->TransferLeadership(now, to);
}

Effects Raft::SetPriority(Instant now, std::int32_t priority) {
  return core_->SetPriority(now, priority);
}
Effects Raft::SetLimits(Instant now, const Limits& limits) { return core_->SetLimits(now, limits); }
Effects Raft::OnDurable(Instant now, const Mark& mark) { return core_->OnDurable(now, mark); }

Effects Raft::OnApplied(Instant now, Index index) { return core_->OnApplied(now, index); }

Effects Raft::OnColdRead(Instant now, const ColdRead& read, LogSlice slice) {
  return core_->OnColdRead(now, read, std::move(slice));
}

Effects Raft::OnSnapshotSent(Instant now, PeerId to_peer, LogId id, bool sent) {
  return core_->OnSnapshotSent(now, to_peer, id, sent);
}

Effects Raft::OnUnreachable(Instant now, PeerId peer) { return core_->OnUnreachable(now, peer); }

void Raft::CompactTo(Index index) { core_->CompactTo(index); }

std::size_t Raft::Evict(std::size_t keep_bytes) { return core_->Evict(keep_bytes); }

PeerId Raft::id() const { return core_->id(); }
Term Raft::term() const { return core_->term(); }
Role Raft::role() const { return core_->role(); }
PeerId Raft::leader() const { return core_->leader(); }
const HardState& Raft::hard_state() const { return core_->hard_state(); }
const LogTail& Raft::tail() const { return core_->tail(); }
const Configuration& Raft::configuration() const { return core_->configuration(); }
const Configuration& Raft::ConfigurationAt(Index index) const {
  return core_->ConfigurationAt(index);
}
Limits Raft::limits() const { return core_->limits(); }
Index Raft::configuration_since() const { return core_->configuration_since(); }
Index Raft::catch_up_mark() const { return core_->catch_up_mark(); }
bool Raft::HasCommittedInTerm() const { return core_->HasCommittedInTerm(); }
Effects Raft::OnPeerLiveness(Instant now, PeerId peer, bool live) {
  return core_->OnPeerLiveness(now, peer, live);
}
bool Raft::is_quiet() const { return core_->is_quiet(); }
bool Raft::poisoned() const { return core_->poisoned(); }
std::vector<PeerStatus> Raft::Peers() const { return core_->Peers(); }
Index Raft::LowestMatch() const { return core_->LowestMatch(); }
std::string Raft::DebugString() const { return core_->DebugString(); }

}  // namespace rutile::raft
