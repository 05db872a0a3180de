// How a replica comes to be one among others, and how it ends.

#include <utility>

#include "base/probe.h"
#include "store/replica.h"

namespace rutile::store {
namespace {

// Whoever hears of no leader for so many election timeouts asks whether it is a member still. An
// election takes less when all is well, and asking does no harm when it is not.
constexpr int kSilentTimeouts = 3;

}  // namespace

void Replica::ChangeMembers(ChangeRequest request) {
  parts_.executor.Post(
      WhileAlive([this, request = std::move(request)]() mutable { Change(std::move(request)); }));
}

void Replica::Change(ChangeRequest request) {
  if (std::optional<RegionError> error = Refusal(request.epoch, request.peer)) {
    return request.done(std::move(*error));
  }
  if (!raft_.is_leader()) return request.done(RegionError(NotLeaderError()));
  Result<raft::ConfigurationChange> change = PlanChange(*region_, request.steps, ViewOf(raft_));
  if (!change.ok()) return request.done(change.status());
  auto [proposed, effects] = raft_.ProposeChange(parts_.clock.Now(), change.value());
  if (!proposed.ok()) {
    RUTILE_SOMETIMES(proposed.status().code() == Code::kUnavailable,
                     "store: a change of members has to wait for the last one");
    return request.done(proposed.status());
  }
  for (const MemberStep& step : request.steps) addresses_.Learn(step.peer.id, step.peer.store);
  RUTILE_LOG(parts_.logger, kInfo, "a change of members is proposed",
             {"region", ToString(region_id_)}, {"at", ToString(proposed.value().id)},
             {"now", ToString(raft_.configuration())});
  auto answer = [done = std::move(request.done)](WriteOutcome outcome) mutable {
    if (auto* error = std::get_if<RegionError>(&outcome)) return done(std::move(*error));
    done(Status());
  };
  proposals_.push_back(
      {.id = proposed.value().id, .done = std::move(answer), .since = parts_.clock.Now()});
  undecided_.store(proposals_.size(), std::memory_order_relaxed);
  Handle(std::move(effects));
}

bool Replica::Takes(const raft::Message& message) const {
  if (retired_) return false;
  // A log from its very beginning, without the descriptor that was in force there, is of no use.
  return !region_->IsWaiting() || message.type != raft::MessageType::kAppend ||
         !message.slice.prev.index.IsZero();
}

void Replica::Hear(StoreId from, const raft::Message& message) {
  if (from.IsZero()) return;
  addresses_.Learn(message.from, from);
  if (message.type == raft::MessageType::kAppend) addresses_.Learn(message.slice);
  if (!region_->HasRemoved(message.from)) return;
  switch (message.type) {
    case raft::MessageType::kPreVote:
    case raft::MessageType::kVote:
    case raft::MessageType::kAppend:
    case raft::MessageType::kHeartbeat:
    case raft::MessageType::kReadIndex:
      RUTILE_SOMETIMES(true, "store: a removed peer that does not know is told");
      return host_.SendNews(from, message.from, *region_);
    default: return;
  }
}

void Replica::AskIfSilent() {
  const Instant now = parts_.clock.Now();
  if (raft_.is_leader()) heard_leader_ = now;
  if (now - heard_leader_ < options_.tick * options_.election_ticks * kSilentTimeouts) return;
  heard_leader_ = now;
  host_.AskMembers(region_id_, self_, addresses_.Stores());
}

void Replica::OnNews(Region region) {
  parts_.executor.Post(WhileAlive([this, region = std::move(region)] { TakeNews(region); }));
}

void Replica::TakeNews(const Region& region) {
  if (region.epoch.conf_version > last_news_.epoch.conf_version) last_news_ = region;
  if (retired_) return;
  // Its addition may have been proposed and never committed, or be about to. It has nothing, and
  // nobody counts its votes (PlanChange): whoever wants it sends again, and it is made again.
  const bool has_nothing = region_->IsWaiting() && raft_.tail().last() == LogId{};
  const bool unknown = has_nothing && region.FindPeer(self_) == nullptr;
  if (region.HasRemoved(self_) || unknown) {
    RUTILE_SOMETIMES(!region.HasRemoved(self_), "store: a replica was created for nothing");
    RUTILE_SOMETIMES(region_->IsWaiting(), "store: a peer is removed before it has any data");
    RUTILE_SOMETIMES(raft_.poisoned(), "store: a poisoned replica hears that it was removed");
    return BeginRetirement();
  }
  addresses_.Learn(region);
}

void Replica::Retire() {
  parts_.executor.Post(WhileAlive([this] { BeginRetirement(); }));
}

void Replica::BeginRetirement() {
  if (std::exchange(retired_, true)) return;
  RUTILE_LOG(parts_.logger, kInfo, "a replica is not needed here any more",
             {"region", ToString(region_id_)}, {"peer", ToString(self_)});
  RUTILE_SOMETIMES(raft_.tail().applying() > raft_.tail().applied(),
                   "store: a replica is retired while entries are being applied");
  RUTILE_SOMETIMES(installing_.has_value(),
                   "store: a replica is retired while a snapshot is being installed");
  // A read that was confirmed and has not looked yet must ask again, and then finds nothing.
  ++installs_;
  PublishGate();
  EndRequests();
  host_.OnReplicaStopped(*this);
  apply_.PushStop([this](const Region& region) {
    parts_.executor.Post(WhileAlive([this, region] {
      applied_region_ = region;
      MaybeRetired();
    }));
  });
}

void Replica::EndRequests() {
  OnLeadershipLost(Index());
  const RegionError gone = RegionNotFound{region_id_};
  // What gathers may be due to be looked at when this is no more: writes wait where memory is
  // short.
  std::vector<WriteRequest> writes;
  Reads reads;
  {
    MutexLock lock(mutex_);
    closed_ = true;
    writes.swap(incoming_writes_);
    reads.swap(incoming_reads_);
  }
  for (WriteRequest& write : writes) write.done(gone);
  for (ReadRequest& read : reads) read.Refuse(gone);
  for (WriteRequest& write : std::exchange(parked_writes_, {})) write.done(gone);
  for (ReadRequest& read : std::exchange(parked_reads_, {})) read.Refuse(gone);
  for (auto& [id, asked] : std::exchange(asked_reads_, {})) {
    for (ReadRequest& read : asked) read.Refuse(gone);
  }
  for (auto& [index, confirmed] : std::exchange(waiting_reads_, {})) {
    for (ReadRequest& read : confirmed.reads) read.Refuse(gone);
  }
}

void Replica::NoteMended() {
  if (raft_.hard_state().impaired_until || !impaired_.load(std::memory_order_relaxed)) return;
  impaired_.store(false, std::memory_order_relaxed);
  RUTILE_SOMETIMES(true, "store: a replica has back what its disk had lost");
  RUTILE_LOG(parts_.logger, kInfo, "the replica has back what its disk had lost, and votes again",
             {"region", ToString(region_id_)}, {"peer", ToString(self_)},
             {"term", ToString(raft_.term())}, {"last", ToString(raft_.tail().last())});
}

// Both the log's writes and what is handed out to apply are waited for: what comes after this may
// take their place in the log and in the engine.
void Replica::MaybeRetired() {
  if (!retired_ || told_retired_ || !applied_region_) return;
  {
    MutexLock lock(mutex_);
    awaits_log_ = true;
    if (log_writes_ > 0) return;
  }
  told_retired_ = true;
  const bool told = last_news_.epoch.conf_version > applied_region_->epoch.conf_version;
  host_.OnRetired(region_id_, self_, *applied_region_, told ? last_news_ : *applied_region_);
}

}  // namespace rutile::store
