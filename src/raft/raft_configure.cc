// Changes of configuration: Raft 4.
//
// A configuration is in force from the moment its entry is appended, committed or not (Raft 4.1),
// and goes with the entry when that is cut: who is a member is a function of the log, as all else
// is. In force from apply, as in etcd, a replica's vote would depend on how far it has applied, and
// a leader could not count on what its followers go by.
//
// What makes this safe: neighbours in the log have overlapping majorities (conf_change.h); there is
// at most one configuration that is not committed; and a leader knows of all that may be in the
// log of others before it adds one (an entry of its own term is committed: without this, two
// leaders could each add one to the same old one, and decide apart).
//
// What the leader does by itself - leave a joint configuration, make way when it is not a voter any
// more - follows from the log and its cursors only, in SettleMembership(), so that it needs no
// memory of who asked for what, and outlives every change of leader.

#include <algorithm>
#include <string>
#include <utility>

#include "base/check.h"
#include "raft/conf_change.h"
#include "raft/raft_core.h"

namespace rutile::raft {

Result<Configuration> Raft::Core::Judge(const ConfigurationChange& change) const {
  const auto& [since, current] = configurations_.back();
  if (poisoned()) return Status(Code::kInternal, "the replica is poisoned");
  if (role_ != Role::kLeader) return Status(Code::kUnavailable, "this peer does not lead");
  if (!transferee_.IsZero()) {
    return Status(Code::kUnavailable, "leadership is being handed over");
  }
  if (!HasCommittedInTerm()) {
    return Status(Code::kUnavailable, "no entry of this leader's term is committed yet");
  }
  // Committed would do for the algorithm. The host's state machine prepares the next change by what
  // the last one has made of it.
  if (since.index > tail_.applied()) {
    return Status(Code::kUnavailable,
                  "the change at " + rutile::ToString(since) + " is not applied yet");
  }
  if (IsBusy()) {
    return Status(Code::kResourceExhausted, "too much is proposed and not committed or applied");
  }
  return Apply(current, change);
}

std::pair<Result<Proposed>, Effects> Raft::Core::ProposeChange(Instant now,
                                                               const ConfigurationChange& change) {
  Result<Configuration> next = Judge(change);
  if (!next.ok()) return {next.status(), Effects()};
  const Proposed proposed{.id = {term(), tail_.last().index.Next()}};
  return {proposed, Run(now, {.kind = CoreInput::Kind::kPropose},
                        [&] { AppendConfiguration(next.value(), change.context); })};
}

void Raft::Core::AppendConfiguration(const Configuration& next, std::string_view context) {
  Bytes payload = EncodeConfiguration(next, context);
  uncommitted_bytes_ += Entry::kOverheadBytes + payload.size();
  tail_.AppendOwn(term(), EntryType::kConfig, std::move(payload));
  Tell(CoreChange::kOwnEntry);
  configurations_.emplace_back(tail_.last(), next);
  ConfigurationChanged();
  Tell(CoreChange::kOwnConfiguration);
  BroadcastAppend();
  // Without those who have left, a smaller quorum may have what it takes.
  MaybeCommit();
  ConfirmRounds();
}

void Raft::Core::SettleMembership() {
  const auto& [since, current] = configurations_.back();
  if (current.auto_leave) {
    const bool may = transferee_.IsZero() && HasCommittedInTerm();
    if (may && since.index <= tail_.applied()) {
      AppendConfiguration(LeaveJoint(current).value(), {});
    }
  } else if (since.index <= tail_.committed() && !current.IsVoter(id())) {
    Resign();
  }
}

// Raft 4.2.2. The entry that takes the vote away is committed by the voters that are left. One of
// them is told to campaign at once, so that nobody waits out an election timeout.
void Raft::Core::Resign() {
  BroadcastHeartbeat();  // They hear that it is committed.
  const Peer* best = nullptr;
  for (const Peer& peer : peers_) {
    if (!MayLead(peer.first)) continue;
    if (best == nullptr || peer.second.match() > best->second.match()) best = &peer;
  }
  if (best != nullptr) Send(Make(MessageType::kTimeoutNow, best->first));
  BecomeFollower(term(), PeerId());
}

const Configuration& Raft::Core::ConfigurationAt(Index index) const {
  auto at = configurations_.rbegin();
  while (std::next(at) != configurations_.rend() && at->first.index > index) ++at;
  return at->second;
}

// Reverts what a cut has taken away, then takes what `entries` bring.
void Raft::Core::NoteConfigurations(const Entries& entries) {
  const std::size_t before = configurations_.size();
  while (configurations_.size() > 1 && !tail_.Contains(configurations_.back().first)) {
    configurations_.pop_back();
  }
  bool changed = configurations_.size() != before;
  for (const Entry& entry : entries) {
    if (entry.type != EntryType::kConfig || entry.id.index <= tail_.base().index) continue;
    if (entry.id.index <= configurations_.back().first.index) continue;
    std::optional<Configuration> configuration = DecodeConfiguration(entry.payload.view());
    if (!configuration) return Poison("undecodable configuration at " + rutile::ToString(entry.id));
    configurations_.emplace_back(entry.id, *std::move(configuration));
    changed = true;
  }
  if (changed) ConfigurationChanged();
}

void Raft::Core::ConfigurationChanged() {
  if (out_ != nullptr) out_->state_changed = true;  // None while the core is made.
  if (role_ == Role::kLeader) SyncPeers();
}

// At the begin of leadership and when the configuration changes under it.
//
// Whoever is new is probed with what the leader appends now; who is not a member any more is
// forgotten, so that nothing is left for the next who comes with its id.
void Raft::Core::SyncPeers() {
  // A new leader appends its first entry after this, a change of configuration has.
  const bool at_start = tail_.last().term != term();
  SmallVector<Peer, 0> peers;
  for (PeerId member : configuration().Members()) {
    if (member == id()) continue;
    if (Progress* known = FindPeer(member)) {
      peers.emplace_back(member, std::move(*known));
      continue;
    }
    Progress fresh(at_start ? tail_.last().index.Next() : configurations_.back().first.index);
    // It counts in the next check of the quorum, which it may not have had the time to answer for.
    fresh.set_active(!at_start);
    peers.emplace_back(member, std::move(fresh));
  }
  peers_ = std::move(peers);
  unsettled_ = configuration().auto_leave || !configuration().IsVoter(id());
}

}  // namespace rutile::raft
