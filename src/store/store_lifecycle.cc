// How replicas come to a running store, and how they leave it.
//
// What makes it safe that a replica goes and another of the same region comes:
//   - the order on disk: the tombstone, with all that the engine has of the replica, in one batch
//     that is flushed; then the log; then files. A crash before the first leaves the replica whole
//     (it finds out again that it was removed); a crash after it leaves what the next start cleans
//     by the tombstone.
//   - nothing of the replica is at work any more when that begins (Replica::OnRetired), so no write
//     of its can come behind the end of its log or of its data.
//   - it keeps its place in the map until the end, so a later peer meets nothing of it.
//   - the tombstone refuses messages to it for ever, and ids of peers only grow.

#include <set>
#include <utility>

#include "base/probe.h"
#include "codec/keys.h"
#include "store/store.h"

namespace rutile::store {
namespace {

// What a leader or a candidate sends to a member of its group that may not exist yet.
bool MayCreate(raft::MessageType type) {
  return type == raft::MessageType::kAppend || type == raft::MessageType::kHeartbeat ||
         type == raft::MessageType::kPreVote || type == raft::MessageType::kVote;
}

}  // namespace

void Store::ReceiveStray(StoreId from, Replica* replica, RaftEnvelope envelope) {
  const raft::Message& message = envelope.message;
  if (!MayCreate(message.type) || message.to.IsZero()) return;
  if (replica == nullptr) return CreateReplica(from, std::move(envelope));
  if (message.to < replica->self()) {
    RUTILE_SOMETIMES(true, "store: a message for a peer that was here before another");
    return TellWhatIsKnown(from, envelope.region, message.from);
  }
  // A group has one peer on a store at a time: whoever speaks to a later one has applied the
  // removal of this one. The message comes again when there is room for its receiver.
  RUTILE_SOMETIMES(true, "store: a message for a later peer retires the one that is here");
  replica->Retire();
}

void Store::CreateReplica(StoreId from, RaftEnvelope envelope) {
  const RegionId region = envelope.region;
  const PeerId self = envelope.message.to;
  std::shared_ptr<Replica> created;
  bool buried = false;
  {
    MutexLock lock(mutex_);
    if (stopped_ || !started_ || replicas_.contains(region)) return;
    const auto tombstone = tombstones_.find(region);
    buried = tombstone != tombstones_.end() && self <= tombstone->second.peer;
    if (!buried) {
      Result<std::shared_ptr<Replica>> opened = OpenReplica({.id = region}, self, nullptr);
      if (!opened.ok()) return OnFailure(opened.status());
      created = std::move(opened).value();
      replicas_.emplace(region, created);
    }
  }
  if (buried) {
    RUTILE_SOMETIMES(true, "store: a tombstone refuses a message");
    return TellWhatIsKnown(from, region, envelope.message.from);
  }
  RUTILE_SOMETIMES(true, "store: a message creates a replica");
  RUTILE_LOG(parts_.logger, kInfo, "a replica waits for its first snapshot",
             {"region", ToString(region)}, {"peer", ToString(self)});
  created->Start();
  created->OnMessage(from, std::move(envelope.message));
}

void Store::TellWhatIsKnown(StoreId to, RegionId region, PeerId peer) {
  Region known;
  if (const std::optional<GateState> gate = Gate(region)) known = *gate->region;
  if (known.IsWaiting()) {
    MutexLock lock(mutex_);
    const auto tombstone = tombstones_.find(region);
    if (tombstone != tombstones_.end()) known = tombstone->second.last;
  }
  if (!known.IsWaiting()) SendNews(to, peer, known);
}

void Store::AnswerQuery(StoreId from, const MembershipQuery& query) {
  TellWhatIsKnown(from, query.region, query.peer);
}

void Store::SendNews(StoreId to, PeerId peer, const Region& region) {
  parts_.transport.Send(to, Encode(MembershipNews{.to = peer, .region = region}));
}

void Store::AskMembers(RegionId region, PeerId self, const std::vector<StoreId>& stores) {
  // Those it knows may all be gone from the group; after a restart in waiting it knows nobody.
  std::set<StoreId> all(stores.begin(), stores.end());
  if (observer_.known_stores) {
    for (const StoreId store : observer_.known_stores()) all.insert(store);
  }
  for (const StoreId store : all) {
    if (store == options_.id) continue;
    parts_.transport.Send(store, Encode(MembershipQuery{.region = region, .peer = self}));
  }
}

void Store::OnRetired(RegionId region, PeerId self, const Region& applied, const Region& last) {
  const std::shared_ptr<Replica> replica = Find(region);
  if (replica == nullptr) return;  // The store has stopped: the next start goes on.
  const Ending ending{
      .self = self,
      // One that only waited has nothing to forget, and may be wanted again.
      .buried = !applied.IsWaiting() || last.HasRemoved(self),
      .last = last,
      .ranges = applied.IsWaiting() ? std::vector<DataRange>() : replica->machine().Ranges()};
  parts_.executors.background->Post([this, region, ending] { DestroyReplica(region, ending); });
}

void Store::DestroyReplica(RegionId region, const Ending& ending) {
  sender_->Forget(region);
  garbage_filter_->Forget(region);
  if (ending.buried) {
    const Tombstone tombstone{.peer = ending.self, .last = ending.last};
    engine::WriteBatch batch;
    batch.Put(engine::Family::kMeta, codec::TombstoneKey(region), EncodeTombstone(tombstone));
    batch.Delete(engine::Family::kMeta, codec::RegionKey(region));
    batch.Delete(engine::Family::kMeta, codec::AppliedKey(region));
    for (const DataRange& range : ending.ranges) {
      batch.DeleteRange(range.family, range.begin, range.end);
    }
    Status status = parts_.engine.Write(batch);
    if (status.ok()) status = parts_.engine.Flush();
    if (!status.ok()) {
      return OnFailure(std::move(status).WithContext("end of region " + ToString(region)));
    }
  }
  CleanLog(region, ending.self, [this, region, ending] {
    parts_.executors.background->Post(
        [this, region, ending] { FinishDestruction(region, ending); });
  });
}

void Store::CleanLog(RegionId region, PeerId self, Task done) {
  logs_->WriterOf(region).Submit({.region = region, .peer = self, .clean = true}, std::move(done));
}

void Store::FinishDestruction(RegionId region, const Ending& ending) {
  if (Status status = receiver_->Forget(region); !status.ok()) {
    return OnFailure(std::move(status).WithContext("end of region " + ToString(region)));
  }
  std::shared_ptr<Replica> gone;
  {
    MutexLock lock(mutex_);
    if (ending.buried) tombstones_[region] = {.peer = ending.self, .last = ending.last};
    const auto found = replicas_.find(region);
    if (found == replicas_.end()) return;
    gone = std::move(found->second);
    replicas_.erase(found);
  }
  RUTILE_LOG(parts_.logger, kInfo, "a replica was destroyed", {"region", ToString(region)},
             {"peer", ToString(ending.self)});
  // Whoever has found it before may hold it for a moment longer.
}

}  // namespace rutile::store
