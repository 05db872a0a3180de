#include "store/replica.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

#include "base/buggify.h"
#include "base/check.h"
#include "base/probe.h"
#include "store/membership.h"
#include "store/peer_message.h"

namespace rutile::store {
namespace {

// What waits for disk or engine is a tenth of a second's work or more.
constexpr Duration kBusyBackoff = Milliseconds(100);
// Of a completion that is told late on purpose.
constexpr Duration kBuggifyDelay = Milliseconds(20);
// A log that was late is not trusted before it has been in time for so long.
constexpr Duration kLogCalm = Seconds(10);
constexpr std::int32_t kLateLogPriority = std::numeric_limits<std::int32_t>::min() + 1;
// Enough to see what a change of leaders made of a log.
constexpr std::size_t kShownTerms = 8;

std::vector<raft::TermRun> NewestTerms(const raft::LogTail& tail) {
  std::vector<raft::TermRun> terms;
  LogId end = tail.last();
  while (end.index > tail.base().index && terms.size() < kShownTerms) {
    const LogId before = end.term == Term()
                             ? tail.base()
                             : tail.FindAgreement({Term(end.term.value() - 1), end.index});
    terms.push_back({before.index.Next(), end.term});
    end = before;
  }
  std::reverse(terms.begin(), terms.end());
  return terms;
}

raft::HardState HardStateOf(const wal::RegionLog& log) {
  // Nothing is stored before the first vote; all first members begin in the term of their base.
  if (log.state.empty()) return {.term = log.last.term};
  Result<raft::HardState> state = DecodeHardState(log.state);
  // Recovery verified the record's checksum: a blob that does not decode was written by a bug.
  RUTILE_CHECK(state.ok(), state.status().ToString());
  return state.value();
}

}  // namespace

raft::Options Replica::RaftOptions(const ReplicaOptions& options, PeerId self,
                                   raft::Observer* observer) {
  return {.id = self,
          .election_ticks = options.election_ticks,
          .heartbeat_ticks = options.heartbeat_ticks,
          .lease = options.lease_reads ? options.lease : Duration::zero(),
          .vote_refusal = options.vote_refusal,
          .max_inflight_messages = options.max_inflight_messages,
          .max_inflight_bytes = options.max_inflight_bytes,
          .max_append_bytes = options.max_append_bytes,
          .max_hand_out_bytes = options.max_apply_batch_bytes,
          .max_uncommitted_bytes = options.max_uncommitted_bytes,
          .max_backlog_bytes = options.max_backlog_bytes,
          .apply_before_durable = options.apply_before_durable,
          .quiet = options.quiet_groups,
          .priority = options.leader_priority,
          .observer = observer};
}

raft::Raft::Start Replica::RaftStart(const Region& region, const Recovered& recovered) {
  raft::Raft::Start start;
  start.hard_state = HardStateOf(recovered.log);
  start.configuration = ConfigurationOf(region);
  start.fresh = recovered.fresh;
  raft::LogTail::Recovered tail;
  tail.base = recovered.log.base;
  for (const wal::TermRun& run : recovered.log.runs) tail.runs.push_back({run.start, run.term});
  tail.resident = recovered.resident;
  tail.committed = start.hard_state.commit;
  // A snapshot that is still to be installed counts as applied: nothing below it will be handed
  // out, and what is handed out waits behind the install.
  tail.applied = recovered.install_pending ? recovered.log.base : recovered.applied;
  start.tail = raft::LogTail::Recover(std::move(tail));
  return start;
}

Replica::Replica(const ReplicaOptions& options, const Parts& parts, Host& host, Region region,
                 PeerId self, std::uint64_t seed, const Recovered& recovered,
                 std::unique_ptr<StateMachine> machine)
    : options_(options),
      parts_(parts),
      host_(host),
      region_id_(region.id),
      self_(self),
      // Placement's few small writes must not wait for those of clients.
      admission_({.writes = options.max_waiting_writes,
                  .write_bytes = options.max_waiting_write_bytes,
                  .reads = options.max_waiting_reads},
                 region.id < kFirstUserRegion ? nullptr : &parts.log_memory),
      region_(std::make_shared<const Region>(std::move(region))),
      random_(seed),
      raft_(RaftOptions(options, self, parts.observer), RaftStart(*region_, recovered), random_,
            parts.clock.Now()),
      flushed_applied_(recovered.applied.index),
      impaired_(raft_.hard_state().impaired_until.has_value()),
      gate_(GateState{.region = region_, .self = self}),
      apply_({.region = *region_,
              .max_batch_bytes = options.max_apply_batch_bytes,
              .clock = &parts.clock,
              .metrics = &parts.log_metrics,
              .filter = &parts.garbage_filter},
             parts.engine, parts.files, parts.apply_executor, std::move(machine), recovered.applied,
             ApplyCallbacks()) {
  if (recovered.install_pending) installing_ = recovered.log.base;
  addresses_.Learn(*region_);
  addresses_.Learn(recovered.resident);
}

std::shared_ptr<Replica> Replica::Create(const ReplicaOptions& options, const Parts& parts,
                                         Host& host, Region region, PeerId self, std::uint64_t seed,
                                         const Recovered& recovered,
                                         std::unique_ptr<StateMachine> machine) {
  auto replica = std::make_shared<Replica>(options, parts, host, std::move(region), self, seed,
                                           recovered, std::move(machine));
  replica->apply_.SetOwner(replica);
  if (recovered.install_pending) {
    replica->apply_.PushInstall(recovered.log.base);
    replica->apply_.MayInstall();
  }
  return replica;
}

Replica::~Replica() = default;

ApplyQueue::Callbacks Replica::ApplyCallbacks() {
  return {.on_applied =
              [this](Index index) {
                bool post = false;
                {
                  MutexLock lock(mutex_);
                  post = !applied_.has_value();
                  applied_ = index;
                }
                if (!post) return;
                if (RUTILE_BUGGIFY("buggify store: it takes long to hear of what is applied")) {
                  return parts_.executor.PostAfter(kBuggifyDelay,
                                                   WhileAlive([this] { FlushApplied(); }));
                }
                parts_.executor.Post(WhileAlive([this] { FlushApplied(); }));
              },
          .on_region =
              [this](const Region& changed) {
                MutexLock lock(mutex_);
                new_region_ = std::make_shared<const Region>(changed);
              },
          .on_failure = [this](const Status& status) { host_.OnFailure(status); }};
}

void Replica::Start() {
  parts_.executor.Post(WhileAlive([this] {
    heard_leader_ = parts_.clock.Now();
    next_collect_ = parts_.clock.Now() + options_.log_collect_every;
    TellLiveness();
    Tick();
  }));
}

void Replica::Tick() {
  if (retired_) return;
  ticks_ = !raft_.is_quiet();
  if (!ticks_) return;  // Until Handle() finds it awake.
  parts_.executor.PostAfter(options_.tick, WhileAlive([this] { Tick(); }));
  HeedLogMemory();
  WatchLog();
  const Instant now = parts_.clock.Now();  // After all that tells the core a time.
  Handle(raft_.Tick(now));
  Unpark();
  AskIfSilent();
  if (now < next_collect_ && !RUTILE_BUGGIFY("buggify store: the log is collected early")) return;
  next_collect_ = now + options_.log_collect_every;
  CollectLog();
}

void Replica::WatchLog() {
  if (options_.late_log == Duration::zero()) return;
  const Instant now = parts_.clock.Now();
  const Duration wait = parts_.log_writer.LongestWait();
  if (wait >= options_.late_log) log_late_until_ = now + kLogCalm;
  const bool late = now < log_late_until_;
  if (late == log_is_late_) return;
  log_is_late_ = late;
  RUTILE_SOMETIMES(late && raft_.is_leader(), "store: a leader's own log is late");
  if (raft_.is_leader()) {
    RUTILE_LOG(parts_.logger, kWarn,
               late ? "this store's log is late: the leader hands over to whoever has kept up"
                    : "this store's log is in time again, and its replica still leads",
               {"region", ToString(region_id_)}, {"term", ToString(raft_.term())},
               {"last", ToString(raft_.tail().last())},
               {"durable", ToString(raft_.tail().durable())},
               {"waits_ms", std::to_string(ToMilliseconds(wait))});
  }
  Handle(raft_.SetPriority(now, late ? kLateLogPriority : options_.leader_priority));
}

// --- What comes in.

void Replica::Write(WriteRequest request) {
  std::string reason;
  std::optional<Admitted> admitted =
      admission_.AdmitWrite(request.payload.size(), request.priority, &reason);
  if (RUTILE_BUGGIFY("buggify store: a write is refused")) admitted.reset();
  if (!admitted) {
    return request.done(
        RegionError(ServerIsBusy{.reason = std::move(reason), .backoff = kBusyBackoff}));
  }
  request.admitted = std::move(*admitted);
  Enqueue(std::move(request));
}

void Replica::Read(ReadRequest request) {
  std::string reason;
  std::optional<Admitted> admitted = admission_.AdmitRead(request.priority, &reason);
  if (RUTILE_BUGGIFY("buggify store: a read is refused")) admitted.reset();
  if (!admitted) {
    return request.Refuse(
        RegionError(ServerIsBusy{.reason = std::move(reason), .backoff = kBusyBackoff}));
  }
  request.admitted = std::move(*admitted);
  Enqueue(std::move(request));
}

void Replica::Enqueue(WriteRequest request) {
  std::vector<WriteRequest> refused;
  bool post = false;
  {
    MutexLock lock(mutex_);
    post = !closed_ && incoming_writes_.empty();
    (closed_ ? refused : incoming_writes_).push_back(std::move(request));
  }
  for (WriteRequest& late : refused) late.done(RegionError(RegionNotFound{region_id_}));
  if (!post) return;
  if (const Duration pause = parts_.log_memory.Pause(); pause > Duration::zero()) {
    RUTILE_SOMETIMES(true, "store: writes gather for want of memory");
    parts_.log_memory.NotePause();
    return parts_.executor.PostAfter(pause, WhileAlive([this] { FlushWrites(); }));
  }
  // Alone, it goes at once; with others under way, more may gather until the executor gets to it.
  if (undecided_.load(std::memory_order_relaxed) == 0) {
    parts_.executor.Dispatch(WhileAlive([this] { FlushWrites(); }));
  } else {
    parts_.executor.Post(WhileAlive([this] { FlushWrites(); }));
  }
}

void Replica::OnMessage(StoreId from, raft::Message message) {
  parts_.executor.Dispatch(WhileAlive([this, from, message = std::move(message)]() mutable {
    if (!Takes(message)) return;
    Hear(from, message);
    if (!message.slice.empty()) HeedLogMemory();
    if (message.type == raft::MessageType::kReadIndex && message.context) {
      // As close to the core's own answer as this: see raft::Message::context.
      *message.context = AnswerQuestions(*message.context);
    }
    const PeerId sender = message.from;
    Handle(raft_.Step(parts_.clock.Now(), std::move(message)));
    if (sender == raft_.leader()) heard_leader_ = parts_.clock.Now();
  }));
}

void Replica::TransferLeadership(PeerId to) {
  parts_.executor.Post(WhileAlive([this, to] {
    if (!retired_) Handle(raft_.TransferLeadership(parts_.clock.Now(), to));
  }));
}

void Replica::OnStoreLiveness(StoreId store, bool live) {
  parts_.executor.Post(WhileAlive([this, store, live] {
    const Peer* peer = region_->PeerOn(store);
    if (peer == nullptr || retired_) return;
    Handle(raft_.OnPeerLiveness(parts_.clock.Now(), peer->id, live));
  }));
}

void Replica::TellLiveness() {
  if (!options_.quiet_groups) return;
  for (const Peer& peer : region_->peers) {
    if (peer.id == self_) continue;
    const bool live = host_.IsLive(peer.store);
    Handle(raft_.OnPeerLiveness(parts_.clock.Now(), peer.id, live));
  }
}

void Replica::CollectIfQuiet() {
  parts_.executor.Post(WhileAlive([this] {
    if (raft_.is_quiet() && !retired_) CollectLog();
  }));
}

void Replica::OnSnapshotSent(PeerId to, LogId id, bool sent) {
  parts_.executor.Post(WhileAlive([this, to, id, sent] {
    if (!retired_) Handle(raft_.OnSnapshotSent(parts_.clock.Now(), to, id, sent));
  }));
}

NotLeader Replica::NotLeaderError() const {
  NotLeader error{.region = region_id_, .leader = {}};
  const PeerId leader = raft_.leader();
  if (leader != PeerId() && leader != self_) {
    if (const Peer* peer = region_->FindPeer(leader)) error.leader = *peer;
  }
  return error;
}

std::optional<RegionError> Replica::Refusal(const std::optional<RegionEpoch>& epoch,
                                            PeerId peer) const {
  if (retired_ || region_->IsWaiting()) return RegionNotFound{region_id_};
  if (peer != PeerId() && peer != self_) return MismatchPeerId{.requested = peer, .actual = self_};
  if (epoch && *epoch != region_->epoch) return EpochNotMatch{{*region_}};
  return std::nullopt;
}

void Replica::FlushWrites() {
  std::vector<WriteRequest> requests;
  {
    MutexLock lock(mutex_);
    requests.swap(incoming_writes_);
  }
  std::vector<Bytes> payloads;
  std::vector<Proposal> accepted;
  for (WriteRequest& request : requests) {
    std::optional<RegionError> error = Refusal(request.epoch, request.peer);
    if (!error && !raft_.is_leader()) {
      if (MayPark()) {
        RUTILE_SOMETIMES(true, "store: a write waits for a leader to be known");
        parked_writes_.push_back(std::move(request));
        continue;
      }
      error = NotLeaderError();
    }
    if (!error && request.term != Term() && request.term != raft_.term()) {
      RUTILE_SOMETIMES(true, "store: a write for an older term of this leader");
      error = StaleCommand{};
    }
    if (!error && request.payload.size() > options_.max_entry_bytes) {
      error = RaftEntryTooLarge{.region = region_id_,
                                .entry_bytes = request.payload.size(),
                                .limit_bytes = options_.max_entry_bytes};
    }
    if (error) {
      request.done(std::move(*error));
      continue;
    }
    payloads.push_back(
        parts_.log_memory.Keep(std::move(request.payload), std::move(request.admitted.log_memory)));
    accepted.push_back({.done = std::move(request.done), .admitted = std::move(request.admitted)});
  }
  if (payloads.empty()) return;

  HeedLogMemory();
  const Instant now = parts_.clock.Now();
  auto [outcome, effects] = raft_.Propose(now, std::move(payloads));
  if (const auto* proposed = std::get_if<raft::Proposed>(&outcome)) {
    LogId id = proposed->id;
    for (Proposal& proposal : accepted) {
      proposal.id = id;
      proposal.since = now;
      proposals_.push_back(std::move(proposal));
      id.index = id.index.Next();
    }
    undecided_.store(proposals_.size(), std::memory_order_relaxed);
  } else {
    const bool busy = std::get<raft::ProposeError>(outcome) == raft::ProposeError::kBusy;
    RUTILE_SOMETIMES(!busy, "store: a write comes during a transfer of leadership");
    for (Proposal& proposal : accepted) {
      if (busy) {
        proposal.done(RegionError(ServerIsBusy{
            .reason =
                "too many bytes wait to be committed or applied in region " + ToString(region_id_),
            .backoff = kBusyBackoff}));
      } else {
        proposal.done(RegionError(NotLeaderError()));
      }
    }
  }
  Handle(std::move(effects));
}

bool Replica::MayPark() {
  if (raft_.leader() != PeerId() || raft_.poisoned()) return false;
  const std::size_t parked = parked_writes_.size() + parked_reads_.size();
  if (parked >= options_.max_parked_requests) return false;
  if (parked == 0) parked_until_ = parts_.clock.Now() + options_.park_time;
  return parts_.clock.Now() < parked_until_;
}

void Replica::Unpark() {
  if (parked_writes_.empty() && parked_reads_.empty()) return;
  std::vector<WriteRequest> writes;
  std::vector<ReadRequest> reads;
  if (raft_.leader() == PeerId() && parts_.clock.Now() < parked_until_) return;
  writes.swap(parked_writes_);
  reads.swap(parked_reads_);
  RUTILE_SOMETIMES(raft_.leader() == PeerId(), "store: nobody came to lead in time");
  if (raft_.leader() == PeerId()) {
    for (WriteRequest& write : writes) write.done(RegionError(NotLeaderError()));
    for (ReadRequest& read : reads) read.Refuse(NotLeaderError());
    return;
  }
  // By way of the executor: this may be in the middle of carrying out effects.
  for (WriteRequest& write : writes) Enqueue(std::move(write));
  for (ReadRequest& read : reads) Enqueue(std::move(read));
}

void Replica::FlushDurable() {
  raft::Mark mark;
  {
    MutexLock lock(mutex_);
    mark = *durable_;
    durable_.reset();
  }
  if (retired_) return MaybeRetired();
  Handle(raft_.OnDurable(parts_.clock.Now(), mark));
}

void Replica::FlushApplied() {
  Index index;
  std::shared_ptr<const Region> region;
  {
    MutexLock lock(mutex_);
    index = *applied_;
    applied_.reset();
    region = std::exchange(new_region_, nullptr);
  }
  if (retired_) return;
  const bool changed = region != nullptr;
  if (changed) {
    region_ = std::move(region);
    addresses_.Learn(*region_);
    addresses_.Forget(*region_);
  }
  if (installing_ && installing_->index <= index) installing_.reset();
  applied_at_.emplace_back(parts_.engine.WrittenSequence(), index);
  // An install reports the snapshot's index, which the tail has counted as applied all along.
  if (index > raft_.tail().applied()) {
    Handle(raft_.OnApplied(parts_.clock.Now(), index));
  } else {
    PublishGate();
  }
  if (changed) {
    TellLiveness();
    host_.OnStateChanged(*this);
  }
  ServeReads();
  if (changed && region_->HasRemoved(self_)) BeginRetirement();
}

// --- What goes out.

void Replica::Handle(raft::Effects effects) {
  if (effects.state_changed) {
    if (!raft_.is_leader()) OnLeadershipLost(effects.committed.last().index);
  }
  NoteForwardedReads(effects.messages);
  if (effects.install) ++installs_;
  // Before any message: what leaves may let another peer lead.
  PublishGate();
  SendMessages(effects.messages);
  if (effects.write) SubmitWrite(std::move(*effects.write), effects.install.has_value());
  if (effects.install) {
    installing_ = effects.install->id;
    apply_.PushInstall(effects.install->id);
  }
  if (!effects.committed.empty()) HandOut(std::move(effects.committed));
  for (raft::ReadReady& ready : effects.reads) OnReadReady(std::move(ready));
  for (const raft::ColdRead& read : effects.cold_reads) StartColdRead(read);
  for (const raft::SnapshotWanted& wanted : effects.snapshots) WantSnapshot(wanted.to_peer);
  if (!effects.poisoned.empty()) {
    RUTILE_LOG(parts_.logger, kError, "replica is poisoned: it takes no further part in its region",
               {"region", ToString(region_id_)}, {"peer", ToString(self_)},
               {"reason", effects.poisoned});
    poisoned_.store(true, std::memory_order_relaxed);
    host_.OnReplicaStopped(*this);
  }
  if (effects.state_changed) {
    host_.OnStateChanged(*this);
    NoteMended();
    Unpark();
  }
  NoteCachedLog();
  if (!raft_.is_quiet() && !ticks_) {
    RUTILE_SOMETIMES(true, "store: a quiet region wakes");
    ticks_ = true;
    heard_leader_ = parts_.clock.Now();  // Nobody had to speak until now.
    parts_.executor.PostAfter(options_.tick, WhileAlive([this] { Tick(); }));
  }
}

void Replica::PublishGate() {
  GateState state{.region = region_,
                  .self = self_,
                  .term = raft_.term(),
                  .is_leader = raft_.is_leader() && !retired_,
                  .leader = retired_ ? PeerId() : raft_.leader(),
                  .lease_until = {},
                  .generation = Generation(),
                  .whole = !installing_ && !retired_};
  const raft::LogTail& tail = raft_.tail();
  // The state machine has what earlier leaders acknowledged once it has applied something of this
  // leader's term (Raft 6.4).
  if (state.is_leader && tail.TermAt(tail.applied()) == state.term) {
    state.lease_until = raft_.LeaseUntil();
  }
  // What is committed becomes known to followers, and through them to their readers, before it is
  // applied here. Nobody but a reader can tell, so it matters only where followers serve reads.
  const bool ready = followers_read_ != state.term || tail.applied() == tail.committed();
  gate_.Publish(std::move(state), ready);
}

void Replica::SubmitWrite(raft::LogWrite write, bool installs) {
  wal::RegionWrite out{.region = region_id_,
                       .peer = self_,
                       .term = write.log.mark.term,
                       .epoch = write.log.mark.epoch.value(),
                       .reset = write.log.reset,
                       .cut = write.log.cut,
                       .slice = std::move(write.log.slice)};
  if (write.hard_state) out.state = EncodeHardState(*write.hard_state);
  {
    MutexLock lock(mutex_);
    ++log_writes_;
  }
  parts_.log_writer.Submit(
      std::move(out), WhileAlive([this, installs, mark = write.log.mark] {
        if (installs) apply_.MayInstall();
        bool post = false;
        {
          MutexLock lock(mutex_);
          --log_writes_;
          post = !durable_.has_value();
          // Writes become durable in order, so the newest mark speaks for all before it.
          durable_ = mark;
        }
        if (!post) return;
        if (RUTILE_BUGGIFY("buggify store: it takes long to hear of a durable write")) {
          return parts_.executor.PostAfter(kBuggifyDelay, WhileAlive([this] { FlushDurable(); }));
        }
        parts_.executor.Post(WhileAlive([this] { FlushDurable(); }));
      }));
}

void Replica::SendMessages(const raft::Messages& messages) {
  for (const raft::Message& message : messages) {
    if (RUTILE_BUGGIFY("buggify store: a message to a peer is dropped")) continue;
    if (const std::optional<Peer> peer = addresses_.Find(message.to)) {
      if (!message.slice.empty()) parts_.log_metrics.appends.Add();
      host_.SendRaft(region_id_, *peer, message);
    }
  }
}

void Replica::HandOut(LogSlice committed) {
  std::vector<Proposal> proposals;
  const Index last = committed.last().index;
  while (!proposals_.empty() && proposals_.front().id.index <= last) {
    Proposal proposal = std::move(proposals_.front());
    proposals_.pop_front();
    const Index first = committed.prev.index.Next();
    const bool here = proposal.id.index >= first &&
                      committed.entries[proposal.id.index.DistanceFrom(first)].id == proposal.id;
    if (here) {
      proposals.push_back(std::move(proposal));
    } else {
      // Another entry was committed in its place: it will never be.
      proposal.done(RegionError(StaleCommand{}));
    }
  }
  undecided_.store(proposals_.size(), std::memory_order_relaxed);
  if (!proposals.empty()) {
    const Instant now = parts_.clock.Now();
    for (const Proposal& proposal : proposals) {
      parts_.log_metrics.commit_time.Observe(now - proposal.since);
    }
  }
  apply_.PushEntries(std::move(committed), std::move(proposals));
}

void Replica::StartColdRead(const raft::ColdRead& read) {
  parts_.log_metrics.cold_reads.Add();
  parts_.background.Post(WhileAlive([this, read] {
    Result<LogSlice> slice = parts_.wal.Read(region_id_, read.prev.index, read.to, read.max_bytes);
    if (!slice.ok()) {
      RUTILE_LOG(parts_.logger, kWarn, "cannot read the log for a peer that is behind",
                 {"region", ToString(region_id_)}, {"prev", ToString(read.prev)},
                 {"error", slice.status().ToString()});
    }
    parts_.executor.Post(WhileAlive(
        [this, read, found = slice.ok() ? std::move(slice).value() : LogSlice{}]() mutable {
          if (!found.empty()) parts_.log_metrics.cold_answers.Add();
          if (!retired_) Handle(raft_.OnColdRead(parts_.clock.Now(), read, std::move(found)));
        }));
  }));
}

void Replica::WantSnapshot(PeerId to) {
  if (const std::optional<Peer> peer = addresses_.Find(to)) {
    return host_.SendSnapshot(region_id_, self_, *peer, raft_.term());
  }
  // It is asked for again; the core must not wait for what nobody sends.
  OnSnapshotSent(to, {}, false);
}

void Replica::OnLeadershipLost(Index decided) {
  // These entries may still be committed by whoever leads now.
  std::deque<Proposal> undecided;
  while (!proposals_.empty() && proposals_.back().id.index > decided) {
    undecided.push_front(std::move(proposals_.back()));
    proposals_.pop_back();
  }
  RUTILE_SOMETIMES(!undecided.empty(), "store: leadership is lost with writes undecided");
  undecided_.store(proposals_.size(), std::memory_order_relaxed);
  for (Proposal& proposal : undecided) {
    proposal.done(
        RegionError(Undetermined{.reason = "leadership of region " + ToString(region_id_) +
                                           " was lost before the write was decided"}));
  }
}

void Replica::CollectLog() {
  const bool all = RUTILE_BUGGIFY("buggify store: all that may be evicted is");
  parts_.log_memory.NoteEvicted(raft_.Evict(all ? 0 : options_.cached_log_bytes));
  NoteCachedLog();
  const std::uint64_t durable_sequence = parts_.engine.DurableSequence();
  while (!applied_at_.empty() && applied_at_.front().first <= durable_sequence) {
    flushed_applied_ = std::max(flushed_applied_, applied_at_.front().second);
    applied_at_.pop_front();
  }
  const raft::LogTail& tail = raft_.tail();
  const std::uint64_t last = tail.last().index.value();
  Index keep_from(last - std::min(last, options_.kept_log_entries));
  if (raft_.is_leader()) keep_from = std::max(keep_from, raft_.LowestMatch());
  const Index target = std::min({flushed_applied_, keep_from, tail.durable(), tail.applied()});
  if (target <= tail.base().index) return;
  raft_.CompactTo(target);
  {
    MutexLock lock(mutex_);
    ++log_writes_;
  }
  parts_.log_writer.Submit({.region = region_id_,
                            .peer = self_,
                            .term = raft_.term(),
                            .epoch = tail.epoch().value(),
                            .slice = {.prev = tail.last(), .entries = {}},
                            .compact = tail.base()},
                           WhileAlive([this] {
                             bool idle = false;
                             {
                               MutexLock lock(mutex_);
                               idle = --log_writes_ == 0 && awaits_log_;
                             }
                             // The core needs no answer; a retirement may wait for it.
                             if (idle) parts_.executor.Post(WhileAlive([this] { MaybeRetired(); }));
                           }));
}

void Replica::CollectStatus(UniqueFunction<void(std::optional<ReplicaStatus>)> done) {
  parts_.executor.Post([this, weak = weak_from_this(), done = std::move(done)]() mutable {
    const auto alive = weak.lock();
    if (alive == nullptr || retired_) return done(std::nullopt);
    const raft::LogTail& tail = raft_.tail();
    done(ReplicaStatus{
        .region = *region_,
        .self = self_,
        .leader = raft_.leader(),
        .role = raft_.role(),
        .term = raft_.term(),
        .base = tail.base().index,
        .applied = tail.applied(),
        .committed = tail.committed(),
        .durable = tail.durable(),
        .last = tail.last().index,
        .terms = NewestTerms(tail),
        .applying = tail.applying(),
        .submitted = tail.submitted(),
        .first_resident = tail.first_resident(),
        .resident_bytes = tail.resident_bytes(),
        .log_segments = parts_.wal.SegmentsSince(region_id_),
        .peers = raft_.Peers(),
        .quiet = raft_.is_quiet(),
        .impaired_until = raft_.hard_state().impaired_until
                              ? std::optional(raft_.hard_state().impaired_until->index)
                              : std::nullopt,
        .poisoned = raft_.poisoned() ? "see the log" : "",
        .waiting_writes = admission_.writes(),
        .waiting_write_bytes = admission_.write_bytes(),
        .waiting_reads = admission_.reads()});
  });
}

}  // namespace rutile::store
