#include "store/store.h"

#include <algorithm>
#include <utility>

#include "base/buggify.h"
#include "base/probe.h"

namespace rutile::store {
namespace {

constexpr Duration kMaintainEvery = Seconds(5);
// A disk takes well under the reserve in this time.
constexpr Duration kWatchDiskEvery = Seconds(1);

// `marks_before`: the version of the region's marks before the snapshot was taken.
ReadView ViewOf(Replica& replica, const engine::Snapshot& snapshot, const Region& region,
                std::uint64_t marks_before) {
  ReadView view{.snapshot = snapshot, .region = region};
  if (MarksCache::IsStable(marks_before, replica.marks().version())) {
    view.marks = &replica.marks();
    view.marks_version = marks_before;
  }
  return view;
}

bool Grows(const Command& command) {
  return std::any_of(command.mutations.begin(), command.mutations.end(), [](const Mutation& m) {
    return m.kind == Mutation::Kind::kPut ||
           (m.kind == Mutation::Kind::kCompareAndSwap && !m.swap_deletes);
  });
}

}  // namespace

Store::Store(Options options, Parts parts, std::unique_ptr<wal::LogStreams> logs, Observer observer)
    : options_(std::move(options)),
      parts_(std::move(parts)),
      observer_(std::move(observer)),
      logs_(std::move(logs)),
      disk_(options_.replica.disk_reserve_bytes),
      log_memory_(options_.replica.log_memory_bytes),
      garbage_filter_(std::make_shared<GarbageFilter>(parts_.engine)) {
  parts_.engine.SetFilter(garbage_filter_);
  log_memory_.SetOnPressure(
      [this] { parts_.executors.regions[0]->Post([this] { RelieveLogMemory(); }); });
  logs_->Start(
      parts_.executors.log, parts_.clock, options_.log_writer,
      [this](const Status& status) { OnFailure(status); }, observer_.on_log_batch);
  beat_ = std::make_unique<NodeBeat>(
      NodeBeat::Options{.interval = options_.replica.tick * options_.replica.heartbeat_ticks,
                        .timeout = options_.replica.vote_refusal},
      NodeBeat::Parts{
          .clock = parts_.clock,
          .executors = parts_.executors.regions,
          .send = [this](StoreId to, const Beat& beat) { parts_.transport.Send(to, Encode(beat)); },
          .on_change = [this](StoreId store, bool live) { OnLiveness(store, live); }},
      parts_.random.Next());
  sender_ = std::make_unique<SnapshotSender>(
      options_.replica, parts_.engine, parts_.clock, *parts_.executors.background,
      parts_.random.Next() >> 1,
      [this](StoreId to, std::string message) { parts_.transport.Send(to, std::move(message)); },
      [this](RegionId region, PeerId to, LogId id, bool sent) {
        if (const auto replica = Find(region)) replica->OnSnapshotSent(to, id, sent);
      });
  receiver_ = std::make_unique<SnapshotReceiver>(
      options_.replica, parts_.files, parts_.clock,
      [this](StoreId to, std::string message) { parts_.transport.Send(to, std::move(message)); },
      [this](const SnapshotPart& part) { ReceiveSnapshot(part); });
}

Store::~Store() { parts_.engine.SetFilter(nullptr); }

Result<std::unique_ptr<Store>> Store::Open(Options options, Parts parts,
                                           wal::LogStreams::Opened opened,
                                           const std::vector<Region>& initial, Observer observer) {
  std::unique_ptr<Store> store(
      new Store(std::move(options), std::move(parts), std::move(opened.logs), std::move(observer)));
  RUTILE_RETURN_IF_ERROR(store->Recover(opened.regions, initial));
  store->ObserveDisk();
  return store;
}

void Store::Start() {
  parts_.transport.Start([this](StoreId from, std::string_view bytes) { Receive(from, bytes); });
  MutexLock lock(mutex_);
  started_ = true;
  for (auto& [id, replica] : replicas_) {
    GreetPeersOf(*replica->gate().region);
    replica->Start();
    // Removed before the process ended, and not destroyed yet.
    if (replica->gate().region->HasRemoved(replica->self())) replica->Retire();
  }
  if (options_.replica.quiet_groups) beat_->Start();
  parts_.executors.background->PostAfter(kMaintainEvery, [this] { Maintain(); });
  parts_.executors.background->PostAfter(kWatchDiskEvery, [this] { WatchDisk(); });
}

void Store::Stop() {
  beat_->Stop();
  MutexLock lock(mutex_);
  stopped_ = true;
}

std::shared_ptr<Replica> Store::Find(RegionId region) const {
  MutexLock lock(mutex_);
  if (stopped_) return nullptr;
  const auto found = replicas_.find(region);
  return found == replicas_.end() ? nullptr : found->second;
}

std::optional<std::uint64_t> Store::RecordsChanged(RegionId region) const {
  const std::shared_ptr<Replica> replica = Find(region);
  if (replica == nullptr) return std::nullopt;
  return replica->records_changed();
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
      return done(RegionError(NotIn(region, mutation.key)));
    }
  }
  // Only on the leader: others have better advice than to wait for this disk.
  if (gate && gate->is_leader && disk_.refuses_growth() && Grows(command)) {
    return done(RegionError(DiskFull{.store = options_.id, .reason = disk_.reason()}));
  }
  WritePayload(header, EncodeCommand(command), std::move(done));
}

void Store::WritePayload(const RequestHeader& header, std::string payload, WriteDone done) {
  if (header.store != StoreId() && header.store != options_.id) {
    return done(RegionError(StoreNotMatch{.requested = header.store, .actual = options_.id}));
  }
  const std::shared_ptr<Replica> replica = Find(header.region);
  if (replica == nullptr) return done(RegionError(RegionNotFound{header.region}));
  replica->Write({.payload = std::move(payload),
                  .epoch = header.epoch,
                  .peer = header.peer,
                  .term = header.term,
                  .priority = header.priority,
                  .done = std::move(done)});
}

std::optional<RegionError> Store::Mismatch(const RequestHeader& header, const GateState& gate) {
  if (gate.region->IsWaiting()) return RegionNotFound{header.region};
  if (header.peer != PeerId() && header.peer != gate.self) {
    return MismatchPeerId{.requested = header.peer, .actual = gate.self};
  }
  if (header.epoch && *header.epoch != gate.region->epoch) return EpochNotMatch{{*gate.region}};
  return std::nullopt;
}

void Store::Read(const RequestHeader& header, Reader reader, std::string question) {
  const auto refuse = [&reader](const RegionError& error) { reader(nullptr, &error); };
  if (header.store != StoreId() && header.store != options_.id) {
    return refuse(StoreNotMatch{.requested = header.store, .actual = options_.id});
  }
  const std::shared_ptr<Replica> replica =
      header.region < kFirstUserRegion ? nullptr : Find(header.region);
  if (replica == nullptr) return refuse(RegionNotFound{header.region});
  // This order matters: see ReadGate.
  const Term ready = replica->ready_term();
  const std::uint64_t marks = replica->marks().version();
  std::unique_ptr<const engine::Snapshot> snapshot;
  if (ready != Term()) snapshot = parts_.engine.GetSnapshot();
  const GateState gate = replica->gate();
  if (const auto error = Mismatch(header, gate)) return refuse(*error);
  const bool term_fits = header.term == Term() || header.term == gate.term;
  if (snapshot && term_fits && LeaseHolds(gate, ready)) {
    const ReadView view = ViewOf(*replica, *snapshot, *gate.region, marks);
    return reader(&view, nullptr);
  }
  ServeRead(*replica, header, std::move(reader), std::move(question));
}

bool Store::ReadHere(const RequestHeader& header, Reader& reader) {
  if (header.store != StoreId() && header.store != options_.id) return false;
  const std::shared_ptr<Replica> replica =
      header.region < kFirstUserRegion ? nullptr : Find(header.region);
  if (replica == nullptr) return false;
  const GateState before = replica->gate();
  const std::uint64_t marks = replica->marks().version();
  const auto snapshot = parts_.engine.GetSnapshot();
  const GateState gate = replica->gate();
  if (!before.whole || !gate.whole || before.generation != gate.generation) return false;
  if (Mismatch(header, gate)) return false;
  const ReadView view = ViewOf(*replica, *snapshot, *gate.region, marks);
  reader(&view, nullptr);
  return true;
}

bool Store::LeaseHolds(const GateState& gate, Term ready) const {
  if (RUTILE_BUGGIFY("buggify store: a lease is not used")) return false;
  return options_.replica.lease_reads && gate.term == ready && gate.lease_until &&
         parts_.clock.Now() < *gate.lease_until;
}

void Store::ServeRead(Replica& replica, const RequestHeader& header, Reader reader,
                      std::string question) {
  ReadRequest request{.epoch = header.epoch,
                      .peer = header.peer,
                      .from_follower = header.from_follower,
                      .priority = header.priority,
                      .question = question};
  // The replica holds the request, so the request must not hold the replica.
  request.done = [this, weak = replica.weak_from_this(), header, reader = std::move(reader),
                  question = std::move(question)](std::optional<RegionError> error,
                                                  std::string answer) mutable {
    if (error) return reader(nullptr, &*error);
    const std::shared_ptr<Replica> alive = weak.lock();
    ConfirmedRead read{.asked = weak,
                       .header = header,
                       .generation = alive == nullptr ? 0 : alive->gate().generation,
                       .question = std::move(question),
                       .answer = std::move(answer)};
    parts_.executors.background->Post(
        [this, read = std::move(read), reader = std::move(reader)]() mutable {
          ServeConfirmed(std::move(read), std::move(reader));
        });
  };
  replica.Read(std::move(request));
}

void Store::ServeConfirmed(ConfirmedRead read, Reader reader) {
  const RequestHeader& header = read.header;
  const std::shared_ptr<Replica> replica = read.asked.lock();
  if (replica == nullptr) {
    const RegionError error = RegionNotFound{header.region};
    return reader(nullptr, &error);
  }
  const std::uint64_t marks = replica->marks().version();
  const auto snapshot = parts_.engine.GetSnapshot();
  const GateState gate = replica->gate();
  // Under another leader this replica may have applied what that leader has not, and does not know
  // that it is read here; or the snapshot is of data that were just being replaced, or destroyed.
  RUTILE_SOMETIMES(gate.generation != read.generation, "store: the leader changed before a read");
  if (gate.generation != read.generation) {
    return ServeRead(*replica, header, std::move(reader), std::move(read.question));
  }
  ReadView view = ViewOf(*replica, *snapshot, *gate.region, marks);
  view.answer = read.answer;
  reader(&view, nullptr);
}

void Store::CatchUp(RegionId region, UniqueFunction<void(std::optional<RegionError>)> done) {
  const std::shared_ptr<Replica> replica = Find(region);
  if (replica == nullptr) return done(RegionNotFound{region});
  const Term ready = replica->ready_term();
  if (ready != Term() && LeaseHolds(replica->gate(), ready)) return done(std::nullopt);
  replica->Read({.from_follower = true,
                 .done = [this, done = std::move(done)](std::optional<RegionError> error,
                                                        const std::string&) mutable {
                   parts_.executors.background->Post(
                       [error = std::move(error), done = std::move(done)]() mutable {
                         done(std::move(error));
                       });
                 }});
}

std::optional<GateState> Store::Gate(RegionId region) const {
  const std::shared_ptr<Replica> replica = Find(region);
  if (replica == nullptr) return std::nullopt;
  return replica->gate();
}

std::vector<GateState> Store::Gates() const {
  std::vector<GateState> gates;
  MutexLock lock(mutex_);
  gates.reserve(replicas_.size());
  for (const auto& [id, replica] : replicas_) gates.push_back(replica->gate());
  return gates;
}

void Store::TransferLeadership(RegionId region, PeerId to) {
  if (const auto replica = Find(region)) replica->TransferLeadership(to);
}

void Store::ChangeMembers(const RequestHeader& header, std::vector<MemberStep> steps,
                          ChangeDone done) {
  if (header.store != StoreId() && header.store != options_.id) {
    return done(RegionError(StoreNotMatch{.requested = header.store, .actual = options_.id}));
  }
  if (header.region < kFirstUserRegion) {
    // Placement's members are who clients are told to ask; they are those the cluster began with.
    return done(Status(Code::kFailedPrecondition,
                       "region " + ToString(header.region) + " keeps the members it began with"));
  }
  const std::shared_ptr<Replica> replica = Find(header.region);
  if (replica == nullptr) return done(RegionError(RegionNotFound{header.region}));
  replica->ChangeMembers({.steps = std::move(steps),
                          .epoch = header.epoch,
                          .peer = header.peer,
                          .done = std::move(done)});
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
  std::vector<std::shared_ptr<Replica>> replicas;
  {
    MutexLock lock(mutex_);
    for (const auto& [id, replica] : replicas_) replicas.push_back(replica);
  }
  gathering->missing = replicas.size();
  if (replicas.empty()) return gathering->done({});
  for (const auto& replica : replicas) {
    replica->CollectStatus([gathering](std::optional<ReplicaStatus> status) {
      bool last = false;
      {
        MutexLock lock(gathering->mutex);
        if (status) gathering->found.push_back(*std::move(status));
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
  Result<PeerMessage> decoded = DecodePeerMessage(bytes, &log_memory_);
  if (!decoded.ok()) {
    RUTILE_LOG(parts_.logger, kWarn, "a message from another store was dropped",
               {"from", ToString(from)}, {"error", decoded.status().ToString()});
    return;
  }
  PeerMessage message = std::move(decoded).value();
  if (auto* envelope = std::get_if<RaftEnvelope>(&message)) {
    // Snapshots come as parts; the order to install one is given only here.
    if (envelope->message.type == raft::MessageType::kSnapshot) return;
    const std::shared_ptr<Replica> replica = Find(envelope->region);
    if (replica != nullptr && replica->self() == envelope->message.to) {
      replica->OnMessage(from, std::move(envelope->message));
    } else {
      ReceiveStray(from, replica.get(), std::move(*envelope));
    }
  } else if (auto* part = std::get_if<SnapshotPart>(&message)) {
    parts_.executors.background->Post(
        [this, from, part = std::move(*part)] { ReceivePart(from, part); });
  } else if (auto* reply = std::get_if<SnapshotPartReply>(&message)) {
    parts_.executors.background->Post([this, reply = *reply] { sender_->OnReply(reply); });
  } else if (const auto* beat = std::get_if<Beat>(&message)) {
    beat_->OnBeat(from, *beat);
  } else if (const auto* query = std::get_if<MembershipQuery>(&message)) {
    AnswerQuery(from, *query);
  } else if (auto* news = std::get_if<MembershipNews>(&message)) {
    const std::shared_ptr<Replica> replica = Find(news->region.id);
    if (replica != nullptr && replica->self() == news->to) replica->OnNews(std::move(news->region));
  } else if (const auto* datagram = std::get_if<Datagram>(&message)) {
    if (observer_.on_datagram) observer_.on_datagram(from, *datagram);
    for (const auto& watcher : watchers()) watcher->OnDatagram(from, *datagram);
  }
}

// On the background executor, as what destroys a replica is: no part comes in between.
void Store::ReceivePart(StoreId from, const SnapshotPart& part) {
  const std::shared_ptr<Replica> replica = Find(part.region);
  if (replica != nullptr && replica->self() == part.to) receiver_->OnPart(from, part);
}

void Store::ReceiveSnapshot(const SnapshotPart& part) {
  const std::shared_ptr<Replica> replica = Find(part.region);
  if (replica == nullptr) return;
  raft::Message message;
  message.type = raft::MessageType::kSnapshot;
  message.from = part.from;
  message.to = part.to;
  message.term = part.term;
  message.snapshot = part.meta;
  replica->OnMessage(StoreId(), std::move(message));
}

void Store::SendSnapshot(RegionId region, PeerId from, const Peer& to, Term term) {
  const std::shared_ptr<Replica> replica = Find(region);
  if (replica == nullptr) return;
  SnapshotSender::Request request{.region = region,
                                  .from = from,
                                  .to = to,
                                  .term = term,
                                  .ranges = replica->machine().Ranges()};
  parts_.executors.background->Post(
      [this, request = std::move(request)]() mutable { sender_->Start(std::move(request)); });
}

void Store::OnFailure(const Status& status) { observer_.on_failure(status); }

void Store::GreetPeersOf(const Region& region) {
  for (const Peer& peer : region.peers) {
    if (peer.store != options_.id) beat_->Greet(peer.store);
  }
}

void Store::OnLiveness(StoreId store, bool live) {
  RUTILE_LOG(parts_.logger, kInfo, live ? "another store lives" : "another store is silent",
             {"store", ToString(store)});
  MutexLock lock(mutex_);
  for (auto& [id, replica] : replicas_) {
    // By the gate's region, which may be a little older than the replica's own.
    if (replica->gate().region->PeerOn(store) != nullptr) replica->OnStoreLiveness(store, live);
  }
}

void Store::OnStateChanged(const Replica& replica) {
  GreetPeersOf(replica.region());
  if (observer_.on_region_changed) observer_.on_region_changed(replica);
  for (const auto& watcher : watchers()) watcher->OnRegionChanged(replica.region().id);
}

void Store::OnReplicaStopped(const Replica& replica) {
  beat_->NoteTrouble();
  for (const auto& watcher : watchers()) watcher->OnRegionChanged(replica.region().id);
}

void Store::Watch(std::weak_ptr<Watcher> watcher) {
  MutexLock lock(mutex_);
  watchers_.push_back(std::move(watcher));
}

void Store::AdmitReadsBy(std::weak_ptr<ReadAdmission> admission) {
  MutexLock lock(mutex_);
  read_admission_ = std::move(admission);
}

std::string Store::AdmitRead(RegionId region, std::string_view question) {
  std::shared_ptr<ReadAdmission> admission;
  {
    MutexLock lock(mutex_);
    admission = read_admission_.lock();
  }
  return admission == nullptr ? std::string() : admission->Admit(region, question);
}

std::vector<std::shared_ptr<Store::Watcher>> Store::watchers() const {
  std::vector<std::shared_ptr<Watcher>> living;
  MutexLock lock(mutex_);
  for (const std::weak_ptr<Watcher>& watcher : watchers_) {
    if (auto lives = watcher.lock()) living.push_back(std::move(lives));
  }
  return living;
}

void Store::Maintain() {
  parts_.executors.background->PostAfter(kMaintainEvery, [this] { Maintain(); });
  // Regions hold on to old log because the engine has not flushed what they applied, or because
  // they are quiet.
  const std::map<RegionId, Index> pinning = logs_->PinningRegions();
  const bool pinned = !pinning.empty();
  RUTILE_SOMETIMES(pinned, "store: the engine is flushed for the sake of the log");
  if (!pinned && !RUTILE_BUGGIFY("buggify store: the engine is flushed early")) return;
  if (Status status = parts_.engine.Flush(); !status.ok()) {
    OnFailure(std::move(status).WithContext("flush of the key-value engine"));
  }
  for (const auto& [region, index] : pinning) {
    if (const auto replica = Find(region)) replica->CollectIfQuiet();
  }
}

void Store::WatchDisk() {
  parts_.executors.background->PostAfter(kWatchDiskEvery, [this] { WatchDisk(); });
  ObserveDisk();
}

void Store::ObserveDisk() {
  if (!disk_.Observe(parts_.files.FreeBytes(), logs_->space())) return;
  RUTILE_SOMETIMES(disk_.refuses_growth(), "store: a disk is full");
  RUTILE_SOMETIMES(!disk_.refuses_growth(), "store: a full disk has room again");
  if (disk_.refuses_growth()) {
    RUTILE_LOG(parts_.logger, kWarn, "writes that need space are refused",
               {"reason", disk_.reason()});
  } else {
    RUTILE_LOG(parts_.logger, kInfo, "writes that need space are taken again",
               {"free_bytes", std::to_string(disk_.free_bytes())});
  }
}

}  // namespace rutile::store
