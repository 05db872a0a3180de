#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/status.h"
#include "engine/kv_engine.h"
#include "env/sim/machine.h"
#include "env/sim/sim_log.h"
#include "env/sim/sim_network.h"
#include "env/sim/world.h"
#include "node/cluster_spec.h"
#include "node/node.h"

namespace rutile::rpc {
class Methods;
}

namespace rutile::sim {

// A whole cluster in one world: real nodes, with their logs and engines, on simulated machines. A
// node's process may be killed at any time and started again on its disk.
class Cluster {
 public:
  struct Options {
    std::vector<Machine::Options> machines = {};  // One a node.
    std::size_t replicas = 0;  // On how many nodes the user's data begin; zero: on all.
    LinkOptions network = {};
    store::ReplicaOptions replica = {};
    wal::Options wal = {};
    store::GarbageCollector::Options garbage = {};
    txn::MemoryLocks::Options memory_locks = {};
    std::size_t log_streams = 1;
    bool log_streams_change = false;  // From start to start, from one up to log_streams.
    LogLevel log_level = LogLevel::kWarn;
    std::function<void(const std::string&)> log = {};  // Gets every line.
  };

  Cluster(World& world, Options options);
  ~Cluster();
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  // Says who looks on at the core of each replica that is opened from now on: called with the
  // node, its group and the replica's id. May give null. What it gives outlives the cluster.
  using CoreObserver = std::function<raft::Observer*(std::size_t node, RegionId, PeerId)>;
  void SetCoreObserver(CoreObserver observer) { core_observer_ = std::move(observer); }

  // Says who looks on at what the engines of members write. Likewise.
  void SetWriteObserver(std::function<void(const engine::WriteBatch&)> observer) {
    write_observer_ = std::move(observer);
  }

  // Begins the process of a node that is down. Its recovery is an event that takes time.
  void Start(std::size_t node);
  // Both end it if it runs. Call them from events of the world, not from the node's own tasks.
  void Kill(std::size_t node);
  void CutPower(std::size_t node, Loss loss = Loss::kAny);
  // The power goes during the `changes`-th change of the disk from now.
  void CutPowerAfter(std::size_t node, std::uint64_t changes);

  std::size_t size() const { return processes_.size(); }
  StoreId store(std::size_t node) const { return StoreId(node + 1); }
  // Null while the node is down or recovers.
  node::Node* node(std::size_t node);
  bool is_up(std::size_t node) const { return processes_[node].node != nullptr; }
  // Where requests of clients arrive, as the threads of a server. Requires the node to be up.
  Executor& requests(std::size_t node) { return *processes_[node].requests; }
  // What the node serves, on that executor. Requires it to be up.
  const rpc::Methods& services(std::size_t node) const;
  // By which clients know the nodes. The second requires that there is such a node.
  const std::string& address(std::size_t node) const { return spec_.members[node].address; }
  std::size_t NodeAt(std::string_view address) const;
  Machine& machine(std::size_t node) { return *processes_[node].machine; }
  SimNetwork& network() { return network_; }

  // What must never happen on its own: a node that cannot recover, or that stopped although its
  // disk did not fail.
  const std::vector<std::string>& violations() const { return violations_; }
  // The disk of this node is going to fail, so its node may stop. Forgotten with the process.
  void ExpectFailure(std::size_t node) { processes_[node].may_fail = true; }
  // What lies on the disk of this node is damaged: it may stop, and not start again, for good.
  void ExpectDamage(std::size_t node) { damaged_.insert(node); }
  std::uint64_t capacity_bytes(std::size_t node) const {
    return options_.machines[node].disk.capacity_bytes;
  }

 private:
  struct Services;  // Of a process.
  struct Process {
    std::unique_ptr<Machine> machine;
    std::unique_ptr<SimLogSink> sink;
    std::unique_ptr<Logger> logger;
    // Of the running process.
    std::unique_ptr<DirectoryLock> lock = {};
    std::unique_ptr<node::Node> recovered = {};  // Not begun yet.
    std::unique_ptr<node::Node> node = {};
    std::shared_ptr<Services> services =
        {};  // Shared for its deleter only: it is known in cluster.cc.
    Executor* requests = nullptr;
    bool may_fail = false;
  };

  // With how many streams of its log the node starts now.
  std::size_t StreamsOf(std::size_t node);
  void Recover(std::size_t node);
  Status Open(std::size_t node);
  Result<std::unique_ptr<engine::KvEngine>> OpenEngine(FileSystem& files) const;
  // The node's disk has failed, or it cannot start.
  void OnFailure(std::size_t node, const Status& status);
  void Forget(std::size_t node);

  World& world_;
  const Options options_;
  node::ClusterSpec spec_;
  SimNetwork network_;
  std::vector<Process> processes_;
  CoreObserver core_observer_;
  std::function<void(const engine::WriteBatch&)> write_observer_ = [](const auto&) {};
  std::vector<std::string> violations_;
  std::set<std::size_t> damaged_;
  std::set<std::string> stopped_;  // What was said once is not said at every further start.
};

}  // namespace rutile::sim
