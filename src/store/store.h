#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/random.h"
#include "base/status.h"
#include "base/task.h"
#include "engine/kv_engine.h"
#include "env/env.h"
#include "store/command.h"
#include "store/disk_guard.h"
#include "store/garbage_filter.h"
#include "store/log_memory.h"
#include "store/log_metrics.h"
#include "store/log_repair.h"
#include "store/member_change.h"
#include "store/node_beat.h"
#include "store/options.h"
#include "store/peer_message.h"
#include "store/priority.h"
#include "store/read_admission.h"
#include "store/region.h"
#include "store/region_error.h"
#include "store/replica.h"
#include "store/snapshot_receiver.h"
#include "store/snapshot_sender.h"
#include "store/state_machine.h"
#include "store/tombstone.h"
#include "wal/log_streams.h"
#include "wal/wal.h"

namespace rutile::store {

// Which region, as the client believes, a request is about. Zero parts are not compared.
struct RequestHeader {
  RegionId region = {};
  std::optional<RegionEpoch> epoch = {};
  PeerId peer = {};
  StoreId store = {};
  Term term = {};
  bool from_follower = false;  // Reads: a follower may serve it after asking its leader.
  // Reads of transactions: or without, if it knows that it has all that is seen at the timestamp.
  bool stale = false;
  // The client has asked for it before, and may not know what became of that.
  bool is_retry = false;
  Priority priority = Priority::kNormal;
  // Transactional calls: for how long from its arrival the request may wait; zero: for as long as
  // it takes.
  Duration time_limit = {};
};

// What a reader sees: the engine at a moment at which it holds every write acknowledged before the
// read was asked for.
struct ReadView {
  const engine::Snapshot& snapshot;
  const Region& region;
  // Of the leader's store to the reader's question, unless this one leads: then it is empty.
  std::string_view answer = {};
  // Who may know the region's marks as the snapshot has them, by version; null: nobody.
  MarksCache* marks = nullptr;
  std::uint64_t marks_version = 0;
};
// Exactly one of the two is given: a view, valid during the call, or why there is none.
using Reader = UniqueFunction<void(const ReadView* view, const RegionError* error)>;

// The regions of one node: routes requests and messages to replicas, and owns what they share.
//
// Calls are safe from any thread. Start() once; then Stop() before the executors are shut down, and
// destroy only after they have stopped.
class Store final : private Replica::Host {
 public:
  struct Options {
    StoreId id = {};
    ReplicaOptions replica = {};
    wal::LogWriter::Options log_writer = {};
    // The state machine of a group; regions of users' keys get a KvStateMachine where it gives
    // null.
    std::function<std::unique_ptr<StateMachine>(const Region&)> machine_of = {};
  };
  struct Executors {
    std::vector<Executor*> regions = {};  // A region belongs to one of them.
    std::vector<Executor*> apply = {};
    std::vector<Executor*> log = {};  // One for each stream of the log.
    Executor* background = nullptr;   // Snapshots, cold reads, flushes: may block for long.
  };
  struct Parts {
    const Clock& clock;
    Random& random;
    FileSystem& files;
    Transport& transport;
    engine::KvEngine& engine;
    Executors executors;
    Logger& logger;
  };
  struct Observer {
    // The log or the engine failed: the node must stop. Any thread, possibly more than once.
    UniqueFunction<void(const Status&)> on_failure = {};
    // A replica's leader, term or members have changed. On the replica's executor.
    std::function<void(const Replica&)> on_region_changed = {};
    // A datagram of `channel` from another store. On a transport's thread.
    std::function<void(StoreId from, const Datagram&)> on_datagram = {};
    // All stores of the cluster, as far as this node has heard: who else may know of a region. On
    // any executor.
    std::function<std::vector<StoreId>()> known_stores = {};
    // Told after each batch; on the executors of the log.
    std::function<void(const wal::LogWriter::BatchReport&)> on_log_batch = {};
    // Who looks on at the core of a replica, null for nobody; outlives the store.
    std::function<raft::Observer*(RegionId region, PeerId peer)> of_core = {};
  };

  // Others who are told, on the same threads as the observer.
  class Watcher {
   public:
    virtual ~Watcher() = default;
    // A replica's leader, term or members have changed, or it has stopped.
    virtual void OnRegionChanged(RegionId region) = 0;
    // Of any channel.
    virtual void OnDatagram(StoreId /*from*/, const Datagram& /*datagram*/) {}
  };

  // `opened` is the log as recovered; regions of the engine and of `initial` are brought to life.
  // `initial` are the regions of a cluster that begins; those the engine knows already are left
  // out.
  static Result<std::unique_ptr<Store>> Open(Options options, Parts parts,
                                             wal::LogStreams::Opened opened,
                                             const std::vector<Region>& initial, Observer observer);
  ~Store() override;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  void Start();
  // Answers no further requests.
  void Stop();

  // From now on `watcher` is told too, for as long as it lives.
  void Watch(std::weak_ptr<Watcher> watcher);
  // Who answers what readers elsewhere ask of the leaders here.
  void AdmitReadsBy(std::weak_ptr<ReadAdmission> admission);

  StoreId id() const { return options_.id; }
  const Clock& clock() const { return parts_.clock; }

  // Proposes `command` to the region; `done` runs once it is applied here or has failed.
  void Write(const RequestHeader& header, Command command, WriteDone done);
  // Proposes bytes that the group's own state machine understands.
  void WritePayload(const RequestHeader& header, std::string payload, WriteDone done);
  // Runs `reader` on the caller's thread when the lease allows it, else on the background executor
  // after a round of the group. `question` goes to the ReadAdmission of the leader's store, if that
  // is asked; empty: there is none.
  void Read(const RequestHeader& header, Reader reader, std::string question = {});
  // Runs `reader` on the caller's thread on what the replica has applied, however old that is.
  // False, and nothing is called, if there is no such state just now, because a snapshot takes its
  // place, or the replica is not what the header says.
  bool ReadHere(const RequestHeader& header, Reader& reader);

  // Runs `done` once this store's replica of a group, the system's own included, holds every write
  // acknowledged before the call. On the caller's thread when the lease allows it, else on the
  // background executor.
  void CatchUp(RegionId region, UniqueFunction<void(std::optional<RegionError>)> done);

  // What is known here without asking anybody; nothing when the region is not on this store.
  std::optional<GateState> Gate(RegionId region) const;
  std::vector<GateState> Gates() const;
  void TransferLeadership(RegionId region, PeerId to);
  // Changes who has replicas of a region of keys: all of `steps` or none (see PlanChange). Ids of
  // new peers are fresh ones of placement. `done` runs on an executor of the store, or at once.
  void ChangeMembers(const RequestHeader& header, std::vector<MemberStep> steps, ChangeDone done);
  // Asks every replica; `done` runs on the executor of the last one to answer.
  void CollectStatus(UniqueFunction<void(std::vector<ReplicaStatus>)> done);

  void SendDatagram(StoreId to, const Datagram& datagram);
  const DiskGuard& disk() const { return disk_; }
  std::size_t pending_log_bytes() const { return logs_->pending_bytes(); }
  const LogMemory& log_memory() const { return log_memory_; }
  const LogMetrics& log_metrics() const { return log_metrics_; }
  const GarbageFilter& garbage_filter() const { return *garbage_filter_; }
  // Of transactions, by a region's replica since it was opened; nothing: there is none here.
  std::optional<std::uint64_t> RecordsChanged(RegionId region) const;
  LogTotals log_totals() const;

 private:
  Store(Options options, Parts parts, std::unique_ptr<wal::LogStreams> logs, Observer observer);

  // --- store_recovery.cc: how replicas come to be.
  Status Recover(const std::map<RegionId, wal::RegionLog>& logs,
                 const std::vector<Region>& initial);
  // Those that the engine knows, and those of `initial` that are new here.
  Result<std::map<RegionId, Region>> LoadRegions(const std::map<RegionId, wal::RegionLog>& logs,
                                                 const std::vector<Region>& initial);
  Status LoadTombstones();
  // `region` is without peers if the replica waits for its first snapshot.
  // What is to be done about a log with lost entries comes to `repairs`, which then is not null.
  Result<std::shared_ptr<Replica>> OpenReplica(Region region, PeerId self,
                                               const wal::RegionLog* log,
                                               std::vector<LogRepair>* repairs = nullptr);
  Status ReadInstall(const wal::RegionLog& log, Region* region, Replica::Recovered* recovered);

  // --- store_lifecycle.cc: how they come by a message, and how they go.
  // A message for a peer that is not here, or not yet: `replica` is the one that is, if any.
  void ReceiveStray(StoreId from, Replica* replica, RaftEnvelope envelope);
  void CreateReplica(StoreId from, RaftEnvelope envelope);
  void AnswerQuery(StoreId from, const MembershipQuery& query);
  // Tells `peer` of `region` what this store knows of the region; nothing if that is nothing.
  void TellWhatIsKnown(StoreId to, RegionId region, PeerId peer);
  // Three steps, each durable before the next, on the background executor. After a crash the first
  // is repeated, or what is left of the others.
  struct Ending {
    PeerId self = {};
    bool buried = false;  // Leaves a tombstone.
    Region last = {};
    std::vector<DataRange> ranges = {};
  };
  void DestroyReplica(RegionId region, const Ending& ending);
  void CleanLog(RegionId region, PeerId self, Task done);
  void FinishDestruction(RegionId region, const Ending& ending);

  // Null if there is none, or the store has stopped. Whoever is given one may use it as long as it
  // holds it; it may be retired meanwhile, and then refuses what it is asked.
  std::shared_ptr<Replica> Find(RegionId region) const;
  // Whether a read that found `ready` before its snapshot and `gate` after it may be served.
  bool LeaseHolds(const GateState& gate, Term ready) const;
  // A read whose moment is known, by a round of the group.
  struct ConfirmedRead {
    std::weak_ptr<Replica> asked = {};
    RequestHeader header = {};
    std::uint64_t generation = 0;  // Of the replica, then.
    std::string question = {};
    std::string answer = {};
  };
  // Why a read of the replica that is described so is refused, whoever leads.
  static std::optional<RegionError> Mismatch(const RequestHeader& header, const GateState& gate);
  void ServeRead(Replica& replica, const RequestHeader& header, Reader reader,
                 std::string question);
  void ServeConfirmed(ConfirmedRead read, Reader reader);
  // Those that live.
  std::vector<std::shared_ptr<Watcher>> watchers() const;
  void Receive(StoreId from, std::string_view bytes);
  void ReceivePart(StoreId from, const SnapshotPart& part);
  void ReceiveSnapshot(const SnapshotPart& part);
  // Of another store, which all replicas that have a peer there must learn.
  void OnLiveness(StoreId store, bool live);
  void GreetPeersOf(const Region& region);
  void Maintain();
  // Looks at the disk once.
  void ObserveDisk();
  void WatchDisk();

  // --- store_memory.cc: how memory is got back from the logs.
  void RelieveLogMemory();
  void EvictLogs(std::size_t step);

  // Replica::Host.
  void SendRaft(RegionId region, const Peer& to, const raft::Message& message) override;
  void SendSnapshot(RegionId region, PeerId from, const Peer& to, Term term) override;
  void OnFailure(const Status& status) override;
  void OnStateChanged(const Replica& replica) override;
  bool IsLive(StoreId store) const override { return beat_->IsLive(store); }
  void OnReplicaStopped(const Replica& replica) override;
  std::string AdmitRead(RegionId region, std::string_view question) override;
  void SendNews(StoreId to, PeerId peer, const Region& region) override;
  void AskMembers(RegionId region, PeerId self, const std::vector<StoreId>& stores) override;
  void OnRetired(RegionId region, PeerId self, const Region& applied, const Region& last) override;

  const Options options_;
  Parts parts_;
  Observer observer_;
  const std::unique_ptr<wal::LogStreams> logs_;
  DiskGuard disk_;
  std::unique_ptr<NodeBeat> beat_;  // Outlives the replicas.
  LogMemory log_memory_;            // Likewise.
  LogMetrics log_metrics_;          // Likewise.
  const std::shared_ptr<GarbageFilter> garbage_filter_;
  std::unique_ptr<SnapshotSender> sender_;      // Only on the background executor.
  std::unique_ptr<SnapshotReceiver> receiver_;  // Likewise.

  mutable Mutex mutex_;
  // One replica of a region at a time. A retired one stays until nothing of it is left on disk, and
  // keeps its place: a later peer of the region finds log, engine and files as if nobody had been
  // here. By its region's id it is on the same executors.
  std::map<RegionId, std::shared_ptr<Replica>> replicas_ GUARDED_BY(mutex_);
  std::map<RegionId, Tombstone> tombstones_ GUARDED_BY(mutex_);
  std::vector<std::weak_ptr<Watcher>> watchers_ GUARDED_BY(mutex_);
  std::weak_ptr<ReadAdmission> read_admission_ GUARDED_BY(mutex_);
  bool started_ GUARDED_BY(mutex_) = false;
  bool stopped_ GUARDED_BY(mutex_) = false;
};

}  // namespace rutile::store
