#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/status.h"
#include "base/task.h"
#include "engine/kv_engine.h"
#include "env/env.h"
#include "node/cluster_spec.h"
#include "node/identity.h"
#include "placement/placement.h"
#include "placement/timestamp_relay.h"
#include "store/garbage_collector.h"
#include "store/raw_kv.h"
#include "store/store.h"
#include "store/txn_kv.h"
#include "wal/log_streams.h"
#include "wal/wal.h"

namespace rutile::node {

// The version that stores report. Clients allow features by it.
inline constexpr const char* kReportedVersion = "8.5.0";

// One node: a store with its regions, and placement's replica, put together from options and an
// environment. It knows no flags, no gRPC and no signals, and has no globals, so that several fit
// into one process.
//
// Calls are safe from any thread unless they say otherwise. Stop() before the environment's
// executors are shut down; destroy after that.
class Node {
 public:
  struct Options {
    ClusterSpec cluster = {};
    Identity identity = {};
    store::ReplicaOptions replica = {};
    store::RawLimits raw = {};
    store::TxnLimits txn = {};
    store::GarbageCollector::Options garbage = {};
    wal::Options wal = {};
  };
  struct Environment {
    const Clock& clock;
    Random& random;
    FileSystem& files;
    Transport& transport;
    store::Store::Executors executors;
    Executor& requests;  // Where requests go on that had to wait for others.
    Logger& logger;
    // Opens the key-value engine in the node's directory.
    std::function<Result<std::unique_ptr<engine::KvEngine>>()> open_engine;
    // The disk has failed: stop the process. Any thread.
    std::function<void(const Status&)> on_failure;
    // As store::Store::Observer's.
    std::function<void(const wal::LogWriter::BatchReport&)> on_log_batch = {};
    // See store::Store::Observer::of_core.
    std::function<raft::Observer*(RegionId region, PeerId peer)> core_observer = {};
  };

  // Recovers what the directory holds. The log gets as many streams as it has executors. Blocking;
  // on the caller's thread.
  static Result<std::unique_ptr<Node>> Open(Options options, Environment environment);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  void Start();
  // Asks `to` to lead a region that is led here, with the locks of transactions that stand in
  // memory; see store::Store::TransferLeadership.
  void TransferLeadership(RegionId region, PeerId to);
  // Hands leadership of this node's regions to others, as far as they can take it. Returns at once.
  void Drain();
  // Answers no further requests.
  void Stop();
  // Makes the engine's data durable so that the next start has less to redo. Blocking; after the
  // executors have stopped.
  Status Flush();
  // Likewise of the engine: rewrites what is durable, and leaves out what nobody needs.
  Status Compact(engine::Family family, const engine::Bounds& bounds);

  const Identity& identity() const { return options_.identity; }
  const ClusterSpec& cluster() const { return options_.cluster; }
  store::Store& store() { return *store_; }
  store::RawKv& raw() { return *raw_; }
  store::TxnKv& txn() { return *txn_; }
  const store::GarbageCollector& garbage() const { return *garbage_; }
  placement::Placement& placement() { return *placement_; }
  const engine::KvEngine& engine() const { return *engine_; }

  // The state of this node as JSON: identity, members, and each replica with its cursors;
  // docs/operations/status.md. `done` runs on an executor of the node.
  void CollectStatus(UniqueFunction<void(std::string json)> done);

 private:
  Node(Options options, const Environment& environment);

  static Result<wal::LogStreams::Opened> OpenLogs(Options* options, const Environment& environment);
  // After the store and placement.
  void OpenTransactions(const Environment& environment);

  const Options options_;
  const Clock& clock_;
  Executor& executor_;  // For what nobody waits for.
  const Instant started_;
  std::unique_ptr<engine::KvEngine> engine_;
  placement::StateMachine* placement_state_ = nullptr;  // Owned by the placement group's replica.
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<store::RawKv> raw_;
  std::unique_ptr<placement::Placement> placement_;
  std::unique_ptr<placement::TimestampRelay> timestamps_;
  std::unique_ptr<store::TxnKv> txn_;
  std::unique_ptr<store::GarbageCollector> garbage_;
};

}  // namespace rutile::node
