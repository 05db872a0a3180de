#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/random.h"
#include "base/task.h"
#include "base/time.h"
#include "engine/kv_engine.h"
#include "env/env.h"
#include "raft/raft.h"
#include "store/admission.h"
#include "store/apply_queue.h"
#include "store/log_ages.h"
#include "store/log_memory.h"
#include "store/member_change.h"
#include "store/options.h"
#include "store/peer_addresses.h"
#include "store/read_gate.h"
#include "store/region.h"
#include "store/region_error.h"
#include "store/replica_requests.h"
#include "store/replica_status.h"
#include "store/state_machine.h"
#include "wal/wal.h"

namespace rutile::store {

// One replica of one region: runs a raft::Raft against the node's disk, network and engine.
//
// Everything happens on the replica's executor; calls marked "any thread" post to it.
//
// Lives as long as somebody holds it: the store, and for a call whoever was given it. Its own tasks
// know it weakly: they keep it alive while they run, and do nothing when it is gone. So it ends
// with the store, or when it was retired and the last such call returns.
class Replica : public std::enable_shared_from_this<Replica> {
 public:
  // What a replica uses. All outlive it.
  struct Parts {
    const Clock& clock;
    FileSystem& files;
    engine::KvEngine& engine;
    wal::LogWriter& log_writer;
    wal::Wal& wal;
    Executor& executor;
    Executor& apply_executor;
    Executor& background;
    Logger& logger;
    LogMemory& log_memory;  // Of all regions together, as the next two.
    LogMetrics& log_metrics;
    GarbageFilter& garbage_filter;
    raft::Observer* observer = nullptr;  // Of its core.
  };
  // What a replica asks of the store. Called on the replica's executor.
  class Host {
   public:
    virtual ~Host() = default;
    virtual void SendRaft(RegionId region, const Peer& to, const raft::Message& message) = 0;
    virtual void SendSnapshot(RegionId region, PeerId from, const Peer& to, Term term) = 0;
    // The engine or the log failed. Any thread.
    virtual void OnFailure(const Status& status) = 0;
    // Leader, term or members of the region have changed.
    virtual void OnStateChanged(const Replica& replica) = 0;
    // What the store's ReadAdmission says; on the replica's executor. Empty: nobody is there to.
    virtual std::string AdmitRead(RegionId region, std::string_view question) = 0;
    virtual bool IsLive(StoreId store) const = 0;  // By its beat.
    // The replica takes no further part in its region, and may have been its quiet leader.
    virtual void OnReplicaStopped(const Replica& replica) = 0;
    // Tells `peer` on store `to`, which does not know that it was removed.
    virtual void SendNews(StoreId to, PeerId peer, const Region& region) = 0;
    // Asks stores, which had members at least once, whether `self` is a member still.
    virtual void AskMembers(RegionId region, PeerId self, const std::vector<StoreId>& stores) = 0;
    // Nothing of this replica is at work any more, and nothing will be: what it has on disk may be
    // destroyed. `last` is the newest descriptor that it knows.
    virtual void OnRetired(RegionId region, PeerId self, const Region& applied,
                           const Region& last) = 0;
  };
  // What a restart found.
  struct Recovered {
    wal::RegionLog log = {};  // Empty for a new replica.
    LogSlice resident = {};   // The entries after the applied position.
    LogId applied = {};
    bool fresh = false;
    bool install_pending = false;  // The log begins with a snapshot the engine does not hold yet.
  };

  // `region` without peers: the replica waits for its first snapshot.
  static std::shared_ptr<Replica> Create(const ReplicaOptions& options, const Parts& parts,
                                         Host& host, Region region, PeerId self, std::uint64_t seed,
                                         const Recovered& recovered,
                                         std::unique_ptr<StateMachine> machine);
  Replica(const ReplicaOptions& options, const Parts& parts, Host& host, Region region, PeerId self,
          std::uint64_t seed, const Recovered& recovered,
          std::unique_ptr<StateMachine> machine);  // Create() does the rest.
  ~Replica();
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;

  // Begins to tick. Call once.
  void Start();

  // --- Any thread.

  // `done` runs at once, with ServerIsBusy, when too much waits already.
  void Write(WriteRequest request);
  void Read(ReadRequest request);
  // From the store `from`; zero for a message of this store to its own replica.
  void OnMessage(StoreId from, raft::Message message);
  void TransferLeadership(PeerId to);
  // Another store has died, or lives.
  void OnStoreLiveness(StoreId store, bool live);
  // Its log keeps old segments alive: a replica whose clock is stopped lets go of what it may.
  void CollectIfQuiet();
  void ChangeMembers(ChangeRequest request);
  // `region` was applied somewhere. Retires if this peer was removed.
  void OnNews(Region region);
  // The group goes on without this replica, for good: answers whoever waits for it, and takes no
  // further part. Host::OnRetired follows when all that is under way has ended.
  void Retire();
  // Lets go of payloads that are in memory only to be read again.
  struct Eviction {
    std::uint64_t age = 0;  // What is older than this, by LogMemory::age(),
    bool for_followers =
        false;  // and, if not this, what followers do not need that are close behind.
  };
  void EvictLog(const Eviction& eviction);
  // For what is shown of all replicas of a store; a moment old.
  struct LogHint {
    std::size_t cached_bytes = 0;     // Payload in memory.
    std::uint64_t ahead_entries = 0;  // Applied, and not on this disk yet.
    bool poisoned = false;
    bool impaired = false;
  };
  LogHint log_hint() const;
  // The snapshot for `to` was sent, or given up.
  void OnSnapshotSent(PeerId to, LogId id, bool sent);
  // Nothing if the replica is retired by then.
  void CollectStatus(UniqueFunction<void(std::optional<ReplicaStatus>)> done);
  GateState gate() const { return gate_.Get(); }
  Term ready_term() const { return gate_.ready_term(); }  // See ReadGate.
  MarksCache& marks() { return apply_.marks(); }
  std::uint64_t records_changed() const { return apply_.records_changed(); }
  RegionId region_id() const { return region_id_; }
  PeerId self() const { return self_; }
  const StateMachine& machine() const { return apply_.machine(); }

  // --- The replica's executor.

  const raft::Raft& raft() const { return raft_; }
  const Region& region() const { return *region_; }

 private:
  // A group of reads that asked together.
  using Reads = std::vector<ReadRequest>;
  struct ConfirmedReads {
    std::uint64_t generation = 0;  // In which the group has answered.
    Reads reads = {};
  };

  static raft::Options RaftOptions(const ReplicaOptions& options, PeerId self,
                                   raft::Observer* observer);
  static raft::Raft::Start RaftStart(const Region& region, const Recovered& recovered);
  ApplyQueue::Callbacks ApplyCallbacks();

  // A task that does nothing once the replica is gone.
  template <class Work>
  Task WhileAlive(Work work) {
    return [weak = weak_from_this(), work = std::move(work)]() mutable {
      if (const auto alive = weak.lock()) work();
    };
  }

  // --- replica_lifecycle.cc
  void Change(ChangeRequest request);
  void TakeNews(const Region& region);
  void BeginRetirement();
  void EndRequests();
  void MaybeRetired();
  // Learns who says this from where, and tells who was removed.
  void Hear(StoreId from, const raft::Message& message);
  // Whether the core may be given the message. One that was retired, or waits, takes less.
  bool Takes(const raft::Message& message) const;
  void AskIfSilent();
  void NoteMended();

  // --- replica_memory.cc
  void EvictNow(const Eviction& eviction);
  void NoteCachedLog();
  void HeedLogMemory();

  // What has been admitted takes its place in the queue.
  void Enqueue(WriteRequest request);
  void Enqueue(ReadRequest request);
  void Tick();
  void TellLiveness();
  void FlushWrites();
  void FlushReads();
  void FlushDurable();
  void FlushApplied();
  void CollectLog();
  // A leader whose own disk is late commits by the others' disks, and the region stands still with
  // the next of them that fails. So while the log of this store is late its replicas have the
  // lowest priority: they hand over to whoever has kept up, and do not come back before the disk
  // has been well for a while. Where all stores are late it changes nothing.
  void WatchLog();

  // Carries out what the core asks for.
  void Handle(raft::Effects effects);
  void PublishGate();
  std::uint64_t Generation() const { return raft_.term().value() + installs_; }  // Never falls.
  void NoteForwardedReads(const raft::Messages& messages);
  // What this store has to say to what readers ask of the leader's; lists, as WriteList has them.
  std::string AnswerQuestions(std::string_view questions);
  // `installs`: with it the log begins after a snapshot.
  void SubmitWrite(raft::LogWrite write, bool installs);
  void SendMessages(const raft::Messages& messages);
  void HandOut(LogSlice committed);
  void StartColdRead(const raft::ColdRead& read);
  void WantSnapshot(PeerId to);
  // Those up to `decided` are about to be handed out: they are answered by what was committed.
  void OnLeadershipLost(Index decided);
  void OnReadReady(raft::ReadReady ready);
  void ServeReads();
  std::optional<RegionError> Refusal(const std::optional<RegionEpoch>& epoch, PeerId peer) const;
  // While nobody leads, requests wait a moment for somebody to: a client that is sent away has
  // nowhere to go, and comes back with ever longer pauses. Returns whether there is room to wait.
  bool MayPark();
  // Takes parked requests up again when a leader is known, or refuses them when their time is up.
  void Unpark();
  NotLeader NotLeaderError() const;

  // Constant after construction.
  const ReplicaOptions options_;
  const Parts parts_;
  Host& host_;
  const RegionId region_id_;
  const PeerId self_;
  Admission admission_;  // Any thread. Before all that holds what it has admitted.

  // Only on the replica's executor.
  std::shared_ptr<const Region> region_;
  PeerAddresses addresses_;
  Instant heard_leader_ = {};  // Or asked whether there is one.
  bool retired_ = false;
  std::optional<Region> applied_region_;  // Once apply has stopped.
  Region last_news_ = {};                 // The newest that this peer was told, if any.
  bool told_retired_ = false;
  SeededRandom random_;
  raft::Raft raft_;
  std::deque<Proposal> proposals_;  // In the log, not yet handed out; by index.
  std::uint64_t next_read_id_ = 1;
  std::map<raft::ReadId, Reads> asked_reads_;           // Waiting for the quorum.
  std::multimap<Index, ConfirmedReads> waiting_reads_;  // Waiting for apply.
  std::vector<WriteRequest> parked_writes_;
  std::vector<ReadRequest> parked_reads_;
  Instant parked_until_ = {};
  bool ticks_ = true;  // A tick is due.
  Instant next_collect_ = {};
  Instant log_late_until_ = {};
  bool log_is_late_ = false;
  // Applied positions by the engine's sequence: what the log may forget once the engine is flushed.
  std::deque<std::pair<std::uint64_t, Index>> applied_at_;
  Index flushed_applied_ = {};
  LogAges log_ages_;
  bool held_back_ = false;           // As a follower: for want of memory.
  std::uint64_t installs_ = 0;       // Ordered since the replica was opened.
  std::optional<LogId> installing_;  // The newest, until its data are in the engine.
  // In this term this leader has let followers serve reads, which may show what it knows as
  // committed and has not applied yet.
  Term followers_read_ = {};

  // Any thread.
  std::atomic<std::size_t> undecided_ = 0;  // Size of proposals_: a hint whether others write too.
  std::atomic<std::size_t> cached_log_bytes_ = 0;  // See LogHint.
  std::atomic<std::uint64_t> ahead_entries_ = 0;
  std::atomic<bool> poisoned_ = false;
  std::atomic<bool> impaired_;  // See raft::HardState.
  ReadGate gate_;
  ApplyQueue apply_;
  Mutex mutex_;
  bool closed_ GUARDED_BY(mutex_) = false;  // Nothing gathers any more: it is being retired.
  std::vector<WriteRequest> incoming_writes_ GUARDED_BY(mutex_);
  std::vector<ReadRequest> incoming_reads_ GUARDED_BY(mutex_);
  std::size_t log_writes_ GUARDED_BY(mutex_) = 0;                // Submitted and not completed.
  bool awaits_log_ GUARDED_BY(mutex_) = false;                   // To be retired.
  std::optional<raft::Mark> durable_ GUARDED_BY(mutex_);         // Newest not yet told to the core.
  std::optional<Index> applied_ GUARDED_BY(mutex_);              // Likewise.
  std::shared_ptr<const Region> new_region_ GUARDED_BY(mutex_);  // As applied; not taken up yet.
};

}  // namespace rutile::store
