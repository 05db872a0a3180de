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
#include "store/apply_queue.h"
#include "store/options.h"
#include "store/read_gate.h"
#include "store/region.h"
#include "store/region_error.h"
#include "store/state_machine.h"
#include "wal/wal.h"

namespace rutile::store {

// Numbers of one replica, for status pages and metrics.
struct ReplicaStatus {
  Region region = {};
  PeerId self = {};
  PeerId leader = {};
  raft::Role role = raft::Role::kFollower;
  Term term = {};
  Index base = {};
  Index applied = {};
  Index committed = {};
  Index durable = {};
  Index last = {};
  std::size_t resident_bytes = 0;
  std::vector<raft::PeerStatus> peers = {};  // On the leader.
  std::string poisoned = {};
};

// A command on its way into the log.
struct WriteRequest {
  std::string payload = {};  // Encoded for the group's state machine.
  // What the client believed; zero or absent parts are not compared.
  std::optional<RegionEpoch> epoch = {};
  PeerId peer = {};
  Term term = {};
  WriteDone done = {};
};

// Where the moment of a linearizable read lies: `done` runs once the state machine holds every
// write that was acknowledged before the question. Runs on the replica's executor: it should only
// post.
struct ReadRequest {
  std::optional<RegionEpoch> epoch = {};
  PeerId peer = {};
  bool from_follower = false;  // A follower may ask the leader on the reader's behalf.
  UniqueFunction<void(std::optional<RegionError>)> done = {};
};

// One replica of one region: runs a raft::Raft against the node's disk, network and engine.
//
// Everything happens on the replica's executor; calls marked "any thread" post to it. Must be
// destroyed only after the executors have stopped.
class Replica {
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
  };
  // What a replica asks of the store. Called on the replica's executor.
  class Host {
   public:
    virtual ~Host() = default;
    virtual void SendRaft(RegionId region, const Peer& to, const raft::Message& message) = 0;
    virtual void SendSnapshot(RegionId region, PeerId from, const Peer& to, Term term,
                              const raft::Configuration& configuration) = 0;
    // The engine or the log failed. Any thread.
    virtual void OnFailure(const Status& status) = 0;
    // Leader, term or members of the region have changed.
    virtual void OnStateChanged(const Replica& replica) = 0;
  };
  // What a restart found.
  struct Recovered {
    wal::RegionLog log = {};  // Empty for a new replica.
    LogSlice resident = {};   // The entries after the applied position.
    LogId applied = {};
    bool fresh = false;
    bool install_pending =
        false;  // The log begins with a snapshot that the engine does not hold yet.
  };

  Replica(const ReplicaOptions& options, const Parts& parts, Host& host, Region region, PeerId self,
          std::uint64_t seed, Recovered recovered, std::unique_ptr<StateMachine> machine);
  ~Replica();
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;

  // Begins to tick. Call once.
  void Start();

  // --- Any thread.

  void Write(WriteRequest request);
  void Read(ReadRequest request);
  void OnMessage(raft::Message message);
  void TransferLeadership(PeerId to);
  // The snapshot for `to` was sent, or given up.
  void OnSnapshotSent(PeerId to, LogId id, bool sent);
  void CollectStatus(UniqueFunction<void(ReplicaStatus)> done);
  GateState gate() const { return gate_.Get(); }
  RegionId region_id() const { return region_id_; }
  PeerId self() const { return self_; }
  const StateMachine& machine() const { return apply_.machine(); }

  // --- The replica's executor.

  const raft::Raft& raft() const { return raft_; }
  const Region& region() const { return *region_; }

 private:
  // A group of reads that asked together.
  using Reads = std::vector<ReadRequest>;

  static raft::Options RaftOptions(const ReplicaOptions& options, PeerId self);
  static raft::Raft::Start RaftStart(const Region& region, Recovered recovered);
  ApplyQueue::Callbacks ApplyCallbacks();

  void Tick();
  void FlushWrites();
  void FlushReads();
  void FlushDurable();
  void FlushApplied();
  void CollectLog();

  // Carries out what the core asks for.
  void Handle(raft::Effects effects);
  void PublishGate();
  void SubmitWrite(raft::LogWrite write);
  void SendMessages(const std::vector<raft::Message>& messages);
  void HandOut(LogSlice committed);
  void StartColdRead(const raft::ColdRead& read);
  void OnLeadershipLost();
  void OnReadReady(const raft::ReadReady& ready);
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

  // Only on the replica's executor.
  std::shared_ptr<const Region> region_;
  SeededRandom random_;
  raft::Raft raft_;
  std::deque<Proposal> proposals_;  // In the log, not yet handed out; by index.
  std::uint64_t next_read_id_ = 1;
  std::map<raft::ReadId, Reads> asked_reads_;  // Waiting for the quorum.
  std::multimap<Index, Reads> waiting_reads_;  // Waiting for apply.
  std::vector<WriteRequest> parked_writes_;
  std::vector<ReadRequest> parked_reads_;
  Instant parked_until_ = {};
  Instant next_collect_ = {};
  // Applied positions by the engine's sequence: what the log may forget once the engine is flushed.
  std::deque<std::pair<std::uint64_t, Index>> applied_at_;
  Index flushed_applied_ = {};

  // Any thread.
  std::atomic<std::size_t> undecided_ = 0;  // Size of proposals_: a hint whether others write too.
  ReadGate gate_;
  ApplyQueue apply_;
  Mutex mutex_;
  std::vector<WriteRequest> incoming_writes_ GUARDED_BY(mutex_);
  std::vector<ReadRequest> incoming_reads_ GUARDED_BY(mutex_);
  std::optional<raft::Mark> durable_ GUARDED_BY(mutex_);  // Newest not yet told to the core.
  std::optional<Index> applied_ GUARDED_BY(mutex_);       // Likewise.
};

}  // namespace rutile::store
