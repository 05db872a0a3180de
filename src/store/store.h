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
#include "store/options.h"
#include "store/peer_message.h"
#include "store/region.h"
#include "store/region_error.h"
#include "store/replica.h"
#include "store/snapshot_receiver.h"
#include "store/snapshot_sender.h"
#include "store/state_machine.h"
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
};

// What a reader sees: the engine at a moment at which it holds every write acknowledged before the
// read was asked for.
struct ReadView {
  const engine::Snapshot& snapshot;
  const Region& region;
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
    Executor* log = nullptr;
    Executor* background = nullptr;  // Snapshots, cold reads, flushes: may block for long.
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
    wal::LogWriter::OnBatch on_log_batch = {};
  };

  // `opened` is the log as recovered; regions of the engine and of `initial` are brought to life.
  // `initial` are the regions of a cluster that begins; those the engine knows already are left
  // out.
  static Result<std::unique_ptr<Store>> Open(Options options, Parts parts, wal::Wal::Opened opened,
                                             const std::vector<Region>& initial, Observer observer);
  ~Store() override;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  void Start();
  // Answers no further requests.
  void Stop();

  StoreId id() const { return options_.id; }

  // Proposes `command` to the region; `done` runs once it is applied here or has failed.
  void Write(const RequestHeader& header, Command command, WriteDone done);
  // Proposes bytes that the group's own state machine understands.
  void WritePayload(const RequestHeader& header, std::string payload, WriteDone done);
  // Runs `reader` on the caller's thread when the lease allows it, else on the background executor
  // after a round of the group.
  void Read(const RequestHeader& header, Reader reader);

  // Runs `done` once this store's replica of a group, the system's own included, holds every write
  // acknowledged before the call. On the caller's thread when the lease allows it, else on the
  // background executor.
  void CatchUp(RegionId region, UniqueFunction<void(std::optional<RegionError>)> done);

  // What is known here without asking anybody; nothing when the region is not on this store.
  std::optional<GateState> Gate(RegionId region) const;
  std::vector<GateState> Gates() const;
  void TransferLeadership(RegionId region, PeerId to);
  // Asks every replica; `done` runs on the executor of the last one to answer.
  void CollectStatus(UniqueFunction<void(std::vector<ReplicaStatus>)> done);

  void SendDatagram(StoreId to, const Datagram& datagram);
  std::size_t pending_log_bytes() const { return log_writer_->pending_bytes(); }

 private:
  Store(Options options, Parts parts, std::unique_ptr<wal::Wal> wal, Observer observer);

  Status Recover(std::map<RegionId, wal::RegionLog> logs, const std::vector<Region>& initial);
  Result<std::vector<Region>> LoadRegions(const std::vector<Region>& initial);
  Result<std::unique_ptr<Replica>> OpenReplica(const Region& region, const wal::RegionLog* log);
  Replica* Find(RegionId region) const;
  void ServeRead(Replica& replica, const RequestHeader& header, Reader reader);
  void Receive(StoreId from, std::string_view bytes);
  void ReceiveSnapshot(const SnapshotPart& part);
  void Maintain();

  // Replica::Host.
  void SendRaft(RegionId region, const Peer& to, const raft::Message& message) override;
  void SendSnapshot(RegionId region, PeerId from, const Peer& to, Term term,
                    const raft::Configuration& configuration) override;
  void OnFailure(const Status& status) override;
  void OnStateChanged(const Replica& replica) override;

  const Options options_;
  Parts parts_;
  Observer observer_;
  const std::unique_ptr<wal::Wal> wal_;
  std::unique_ptr<wal::LogWriter> log_writer_;
  std::unique_ptr<SnapshotSender> sender_;      // Only on the background executor.
  std::unique_ptr<SnapshotReceiver> receiver_;  // Likewise.

  mutable Mutex mutex_;
  std::map<RegionId, std::unique_ptr<Replica>> replicas_ GUARDED_BY(mutex_);
  bool stopped_ GUARDED_BY(mutex_) = false;
};

}  // namespace rutile::store
