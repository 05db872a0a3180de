#include "store/store.h"

#include <algorithm>
#include <set>
#include <utility>

#include "codec/keys.h"
#include "store/apply_queue.h"
#include "store/kv_state_machine.h"
#include "store/snapshot_file.h"

namespace rutile::store {
namespace {

constexpr Duration kMaintainEvery = Seconds(5);

// The entries after `from` up to `last`, payload and all; none when there is nothing in between.
Result<LogSlice> ReadEnd(wal::Wal& wal, RegionId region, Index from, LogId last) {
  LogSlice all;
  all.prev = last;
  for (Index prev = from; prev < last.index; prev = all.last().index) {
    RUTILE_ASSIGN_OR_RETURN(LogSlice slice,
                            wal.Read(region, prev, last.index, std::size_t{64} << 20));
    if (prev == from) {
      all = std::move(slice);
    } else {
      std::move(slice.entries.begin(), slice.entries.end(), std::back_inserter(all.entries));
    }
  }
  return all;
}

}  // namespace

Store::Store(Options options, Parts parts, std::unique_ptr<wal::Wal> wal, Observer observer)
    : options_(std::move(options)),
      parts_(std::move(parts)),
      observer_(std::move(observer)),
      wal_(std::move(wal)) {
  log_writer_ = std::make_unique<wal::LogWriter>(
      *wal_, *parts_.executors.log, parts_.clock, options_.log_writer,
      [this](const Status& status) { OnFailure(status); }, std::move(observer_.on_log_batch));
  sender_ = std::make_unique<SnapshotSender>(
      options_.replica, parts_.engine, parts_.clock, *parts_.executors.background,
      parts_.random.Next() >> 1,
      [this](StoreId to, std::string message) { parts_.transport.Send(to, std::move(message)); },
      [this](RegionId region, PeerId to, LogId id, bool sent) {
        if (Replica* replica = Find(region)) replica->OnSnapshotSent(to, id, sent);
      });
  receiver_ = std::make_unique<SnapshotReceiver>(
      options_.replica, parts_.files, parts_.clock,
      [this](RegionId region, PeerId to, std::string message) {
        Replica* replica = Find(region);
        if (replica == nullptr) return;
        if (const Peer* peer = replica->gate().region->FindPeer(to)) {
          parts_.transport.Send(peer->store, std::move(message));
        }
      },
      [this](const SnapshotPart& part) { ReceiveSnapshot(part); });
}

Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::Open(Options options, Parts parts, wal::Wal::Opened opened,
                                           const std::vector<Region>& initial, Observer observer) {
  std::unique_ptr<Store> store(
      new Store(std::move(options), std::move(parts), std::move(opened.wal), std::move(observer)));
  RUTILE_RETURN_IF_ERROR(store->Recover(std::move(opened.regions), initial));
  return store;
}

Result<std::vector<Region>> Store::LoadRegions(const std::vector<Region>& initial) {
  std::map<RegionId, Region> regions;
  const std::unique_ptr<const engine::Snapshot> snapshot = parts_.engine.GetSnapshot();
  const std::unique_ptr<engine::Iterator> iterator = snapshot->NewIterator(
      engine::Family::kMeta, {.lower = codec::RegionKeysBegin(), .upper = codec::RegionKeysEnd()});
  for (iterator->Seek(codec::RegionKeysBegin()); iterator->Valid(); iterator->Next()) {
    const RegionId id = codec::RegionOfDescriptorKey(iterator->key());
    if (id == RegionId()) continue;
    RUTILE_ASSIGN_OR_RETURN(Region region, DecodeRegion(iterator->value()));
    regions.emplace(id, std::move(region));
  }
  RUTILE_RETURN_IF_ERROR(iterator->status());

  engine::WriteBatch batch;
  for (const Region& region : initial) {
    if (regions.contains(region.id) || region.PeerOn(options_.id) == nullptr) continue;
    batch.Put(engine::Family::kMeta, codec::RegionKey(region.id), EncodeRegion(region));
    regions.emplace(region.id, region);
  }
  if (!batch.empty()) {
    // Descriptors must not be lost while their logs are kept.
    RUTILE_RETURN_IF_ERROR(parts_.engine.Write(batch));
    RUTILE_RETURN_IF_ERROR(parts_.engine.Flush());
  }
  std::vector<Region> all;
  for (auto& [id, region] : regions) all.push_back(std::move(region));
  return all;
}

Status Store::Recover(std::map<RegionId, wal::RegionLog> logs, const std::vector<Region>& initial) {
  RUTILE_ASSIGN_OR_RETURN(const std::vector<Region> regions, LoadRegions(initial));
  std::set<std::string> needed;
  MutexLock lock(mutex_);
  for (const Region& region : regions) {
    const auto log = logs.find(region.id);
    RUTILE_ASSIGN_OR_RETURN(std::unique_ptr<Replica> replica,
                            OpenReplica(region, log == logs.end() ? nullptr : &log->second));
    needed.insert(SnapshotFile(parts_.files, region.id, replica->raft().tail().base()).path());
    replicas_.emplace(region.id, std::move(replica));
  }
  return receiver_->RemoveLeftovers(needed);
}

Result<std::unique_ptr<Replica>> Store::OpenReplica(const Region& region,
                                                    const wal::RegionLog* log) {
  const Peer* self = region.PeerOn(options_.id);
  if (self == nullptr) {
    return Status(Code::kCorruption,
                  "store " + ToString(options_.id) + " is not a member of " + ToString(region));
  }
  std::unique_ptr<StateMachine> machine;
  if (options_.machine_of) machine = options_.machine_of(region);
  if (machine == nullptr) machine = std::make_unique<KvStateMachine>(region);
  RUTILE_RETURN_IF_ERROR(machine->Load(parts_.engine));

  Replica::Recovered recovered;
  RUTILE_ASSIGN_OR_RETURN(const std::optional<std::string> applied,
                          parts_.engine.Get(engine::Family::kMeta, codec::AppliedKey(region.id)));
  if (applied) {
    RUTILE_ASSIGN_OR_RETURN(recovered.applied, DecodeApplied(*applied));
  }
  if (log == nullptr && applied) {
    return Status(Code::kCorruption,
                  "region " + ToString(region.id) + ": the data are at " +
                      ToString(recovered.applied) +
                      " and there is no log of it; put back all of the data directory as it was");
  }
  recovered.fresh = log == nullptr && !applied;
  if (log != nullptr) {
    if (log->peer != self->id) {
      return Status(Code::kCorruption, "the log of region " + ToString(region.id) +
                                           " belongs to peer " + ToString(log->peer) +
                                           ", its descriptor names " + ToString(self->id));
    }
    recovered.log = *log;
    if (log->base.index > recovered.applied.index) {
      const SnapshotFile file(parts_.files, region.id, log->base);
      if (!file.Exists()) {
        return Status(Code::kCorruption,
                      "region " + ToString(region.id) + ": the log begins after " +
                          ToString(log->base) + ", the data ends at " +
                          ToString(recovered.applied) + " and " + file.path() +
                          " is missing; put back all of the data directory as it was");
      }
      recovered.install_pending = true;
    }
    const Index from = std::max(log->base.index, recovered.applied.index);
    RUTILE_ASSIGN_OR_RETURN(recovered.resident, ReadEnd(*wal_, region.id, from, log->last));
  }
  const std::size_t lane = region.id.value();
  const Executors& executors = parts_.executors;
  return std::make_unique<Replica>(
      options_.replica,
      Replica::Parts{.clock = parts_.clock,
                     .files = parts_.files,
                     .engine = parts_.engine,
                     .log_writer = *log_writer_,
                     .wal = *wal_,
                     .executor = *executors.regions[lane % executors.regions.size()],
                     .apply_executor = *executors.apply[lane % executors.apply.size()],
                     .background = *executors.background,
                     .logger = parts_.logger},
      static_cast<Replica::Host&>(*this), region, self->id, parts_.random.Next(),
      std::move(recovered), std::move(machine));
}

void Store::Start() {
  parts_.transport.Start([this](StoreId from, std::string_view bytes) { Receive(from, bytes); });
  MutexLock lock(mutex_);
  for (auto& [id, replica] : replicas_) replica->Start();
  parts_.executors.background->PostAfter(kMaintainEvery, [this] { Maintain(); });
}

void Store::Stop() {
  MutexLock lock(mutex_);
  stopped_ = true;
}

Replica* Store::Find(RegionId region) const {
  MutexLock lock(mutex_);
  if (stopped_) return nullptr;
  const auto found = replicas_.find(region);
  return found == replicas_.end() ? nullptr : found->second.get();
}

// --- Requests.

void Store::Write(const RequestHeader& header, Command command, WriteDone done) {
  if (header.region < kFirstUserRegion) return done(RegionError(RegionNotFound{header.region}));
  const std::optional<GateState> gate = Gate(header.region);
  if (gate) {
    command.epoch = gate->region->epoch;
    for (const Mutation& mutation : command.mutations) {
      const Region& region = *gate->region;
      const bool end_inside = mutation.kind != Mutation::Kind::kDeleteRange ||
                              region.end_key.empty() ||
                              (!mutation.value.empty() && mutation.value <= region.end_key);
      if (region.Contains(mutation.key) && end_inside) continue;
      // A stale epoch explains the key better than the key does.
      if (header.epoch && *header.epoch != region.epoch) break;
      return done(RegionError(KeyNotInRegion{.region = region.id,
                                             .key = mutation.key,
                                             .start_key = region.start_key,
                                             .end_key = region.end_key}));
    }
  }
  WritePayload(header, EncodeCommand(command), std::move(done));
}

void Store::WritePayload(const RequestHeader& header, std::string payload, WriteDone done) {
  if (header.store != StoreId() && header.store != options_.id) {
    return done(RegionError(StoreNotMatch{.requested = header.store, .actual = options_.id}));
  }
  Replica* replica = Find(header.region);
  if (replica == nullptr) return done(RegionError(RegionNotFound{header.region}));
  replica->Write({.payload = std::move(payload),
                  .epoch = header.epoch,
                  .peer = header.peer,
                  .term = header.term,
                  .done = std::move(done)});
}

void Store::Read(const RequestHeader& header, Reader reader) {
  const auto refuse = [&reader](const RegionError& error) { reader(nullptr, &error); };
  if (header.store != StoreId() && header.store != options_.id) {
    return refuse(StoreNotMatch{.requested = header.store, .actual = options_.id});
  }
  Replica* replica = header.region < kFirstUserRegion ? nullptr : Find(header.region);
  if (replica == nullptr) return refuse(RegionNotFound{header.region});
  // The snapshot first, the lease after it: see ReadGate.
  const std::unique_ptr<const engine::Snapshot> snapshot = parts_.engine.GetSnapshot();
  const GateState gate = replica->gate();
  if (header.peer != PeerId() && header.peer != gate.self) {
    return refuse(MismatchPeerId{.requested = header.peer, .actual = gate.self});
  }
  if (header.epoch && *header.epoch != gate.region->epoch) {
    return refuse(EpochNotMatch{{*gate.region}});
  }
  const bool term_fits = header.term == Term() || header.term == gate.term;
  if (options_.replica.lease_reads && term_fits && gate.lease_until &&
      parts_.clock.Now() < *gate.lease_until) {
    const ReadView view{.snapshot = *snapshot, .region = *gate.region};
    return reader(&view, nullptr);
  }
  ServeRead(*replica, header, std::move(reader));
}

void Store::ServeRead(Replica& replica, const RequestHeader& header, Reader reader) {
  replica.Read({.epoch = header.epoch,
                .peer = header.peer,
                .from_follower = header.from_follower,
                .done = [this, &replica,
                         reader = std::move(reader)](std::optional<RegionError> error) mutable {
                  if (error) return reader(nullptr, &*error);
                  parts_.executors.background->Post(
                      [this, &replica, reader = std::move(reader)]() mutable {
                        const auto snapshot = parts_.engine.GetSnapshot();
                        const auto region = replica.gate().region;
                        const ReadView view{.snapshot = *snapshot, .region = *region};
                        reader(&view, nullptr);
                      });
                }});
}

void Store::CatchUp(RegionId region, UniqueFunction<void(std::optional<RegionError>)> done) {
  Replica* replica = Find(region);
  if (replica == nullptr) return done(RegionNotFound{region});
  const GateState gate = replica->gate();
  if (options_.replica.lease_reads && gate.lease_until && parts_.clock.Now() < *gate.lease_until) {
    return done(std::nullopt);
  }
  replica->Read({.from_follower = true,
                 .done = [this, done = std::move(done)](std::optional<RegionError> error) mutable {
                   parts_.executors.background->Post(
                       [error = std::move(error), done = std::move(done)]() mutable {
                         done(std::move(error));
                       });
                 }});
}

std::optional<GateState> Store::Gate(RegionId region) const {
  const Replica* replica = Find(region);
  if (replica == nullptr) return std::nullopt;
  return replica->gate();
}

std::vector<GateState> Store::Gates() const {
  std::vector<GateState> gates;
  MutexLock lock(mutex_);
  for (const auto& [id, replica] : replicas_) gates.push_back(replica->gate());
  return gates;
}

void Store::TransferLeadership(RegionId region, PeerId to) {
  if (Replica* replica = Find(region)) replica->TransferLeadership(to);
}

void Store::CollectStatus(UniqueFunction<void(std::vector<ReplicaStatus>)> done) {
  struct Gathering {
    Mutex mutex;
    std::size_t missing = 0;
    std::vector<ReplicaStatus> found;
    UniqueFunction<void(std::vector<ReplicaStatus>)> done;
  };
  auto gathering = std::make_shared<Gathering>();
  gathering->done = std::move(done);
  std::vector<Replica*> replicas;
  {
    MutexLock lock(mutex_);
    for (const auto& [id, replica] : replicas_) replicas.push_back(replica.get());
  }
  gathering->missing = replicas.size();
  if (replicas.empty()) return gathering->done({});
  for (Replica* replica : replicas) {
    replica->CollectStatus([gathering](ReplicaStatus status) {
      bool last = false;
      {
        MutexLock lock(gathering->mutex);
        gathering->found.push_back(std::move(status));
        last = --gathering->missing == 0;
      }
      if (!last) return;
      std::sort(
          gathering->found.begin(), gathering->found.end(),
          [](const ReplicaStatus& a, const ReplicaStatus& b) { return a.region.id < b.region.id; });
      gathering->done(std::move(gathering->found));
    });
  }
}

// --- Messages.

void Store::SendDatagram(StoreId to, const Datagram& datagram) {
  parts_.transport.Send(to, Encode(datagram));
}

void Store::SendRaft(RegionId region, const Peer& to, const raft::Message& message) {
  parts_.transport.Send(to.store, Encode(RaftEnvelope{.region = region, .message = message}));
}

void Store::Receive(StoreId from, std::string_view bytes) {
  Result<PeerMessage> decoded = DecodePeerMessage(bytes);
  if (!decoded.ok()) {
    RUTILE_LOG(parts_.logger, kWarn, "a message from another store was dropped",
               {"from", ToString(from)}, {"error", decoded.status().ToString()});
    return;
  }
  PeerMessage message = std::move(decoded).value();
  if (auto* envelope = std::get_if<RaftEnvelope>(&message)) {
    // Snapshots come as parts; the order to install one is given only here.
    if (envelope->message.type == raft::MessageType::kSnapshot) return;
    if (Replica* replica = Find(envelope->region)) {
      replica->OnMessage(std::move(envelope->message));
    }
  } else if (auto* part = std::get_if<SnapshotPart>(&message)) {
    const Replica* replica = Find(part->region);
    if (replica == nullptr || replica->self() != part->to) return;
    parts_.executors.background->Post([this, part = std::move(*part)] { receiver_->OnPart(part); });
  } else if (auto* reply = std::get_if<SnapshotPartReply>(&message)) {
    parts_.executors.background->Post([this, reply = *reply] { sender_->OnReply(reply); });
  } else if (observer_.on_datagram) {
    observer_.on_datagram(from, std::get<Datagram>(message));
  }
}

void Store::ReceiveSnapshot(const SnapshotPart& part) {
  Replica* replica = Find(part.region);
  if (replica == nullptr) return;
  raft::Message message;
  message.type = raft::MessageType::kSnapshot;
  message.from = part.from;
  message.to = part.to;
  message.term = part.term;
  message.snapshot = part.meta;
  replica->OnMessage(std::move(message));
}

void Store::SendSnapshot(RegionId region, PeerId from, const Peer& to, Term term,
                         const raft::Configuration& configuration) {
  Replica* replica = Find(region);
  if (replica == nullptr) return;
  SnapshotSender::Request request{.region = region,
                                  .from = from,
                                  .to = to,
                                  .term = term,
                                  .configuration = configuration,
                                  .ranges = replica->machine().Ranges()};
  parts_.executors.background->Post(
      [this, request = std::move(request)]() mutable { sender_->Start(std::move(request)); });
}

void Store::OnFailure(const Status& status) { observer_.on_failure(status); }

void Store::OnStateChanged(const Replica& replica) {
  if (observer_.on_region_changed) observer_.on_region_changed(replica);
}

void Store::Maintain() {
  parts_.executors.background->PostAfter(kMaintainEvery, [this] { Maintain(); });
  // Regions hold on to old log because the engine has not flushed what they applied.
  if (wal_->PinningRegions().empty()) return;
  if (Status status = parts_.engine.Flush(); !status.ok()) {
    OnFailure(std::move(status).WithContext("flush of the key-value engine"));
  }
}

}  // namespace rutile::store
