#include "sim/cluster.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "engine/memory/memory_engine.h"
#include "node/identity.h"
#include "rpc/services/methods.h"
#include "rpc/services/placement_service.h"
#include "rpc/services/raw_service.h"
#include "rpc/services/txn_service.h"
#include "sim/observed_engine.h"

namespace rutile::sim {
namespace {

std::string NameOf(std::size_t node) { return "n" + std::to_string(node + 1); }

node::ClusterSpec SpecOf(std::size_t nodes, std::size_t replicas) {
  std::string list;
  for (std::size_t i = 0; i < nodes; ++i) {
    list += (list.empty() ? "" : ",") + NameOf(i) + "=127.0.0.1:" + std::to_string(20'160 + i);
  }
  return node::ClusterSpec::Parse(list, "sim", replicas).value();
}

}  // namespace

// The calls that clients make, as a server registers them.
struct Cluster::Services {
  Services(node::Node& node, const Clock& clock)
      : raw(node.raw(), {.cluster = node.cluster().id}),
        txn(node.txn(), {.cluster = node.cluster().id}),
        placement(node.placement(), clock) {
    raw.Register(&methods);
    txn.Register(&methods);
    placement.Register(&methods);
  }
  rpc::RawService raw;
  rpc::TxnService txn;
  rpc::PlacementService placement;
  rpc::Methods methods;
};

Cluster::Cluster(World& world, Options options)
    : world_(world),
      options_(std::move(options)),
      spec_(SpecOf(options_.machines.size(), options_.replicas)),
      network_(world, options_.network),
      processes_(options_.machines.size()) {
  for (std::size_t i = 0; i < size(); ++i) {
    Process& process = processes_[i];
    process.machine = std::make_unique<Machine>(world_, network_, store(i), options_.machines[i]);
    process.sink = std::make_unique<SimLogSink>(world_, store(i), options_.log);
    process.logger = std::make_unique<Logger>(*process.sink, options_.log_level);
  }
}

Cluster::~Cluster() {
  for (std::size_t i = 0; i < size(); ++i) Kill(i);
}

node::Node* Cluster::node(std::size_t node) { return processes_[node].node.get(); }

const rpc::Methods& Cluster::services(std::size_t node) const {
  return processes_[node].services->methods;
}

std::size_t Cluster::NodeAt(std::string_view address) const {
  std::size_t node = 0;
  while (spec_.members[node].address != address) {
    ++node;
    RUTILE_CHECK(node < size(), address);
  }
  return node;
}

void Cluster::Start(std::size_t node) {
  RUTILE_CHECK(!machine(node).is_running());
  machine(node).Boot();
  world_.After(Duration(0), [this, node, boot = machine(node).boots()] {
    if (machine(node).is_running() && machine(node).boots() == boot) Recover(node);
  });
}

std::size_t Cluster::StreamsOf(std::size_t node) {
  if (!options_.log_streams_change) return options_.log_streams;
  return 1 + (node + machine(node).boots()) % options_.log_streams;
}

void Cluster::Recover(std::size_t node) {
  const Status status = Open(node);
  if (!status.ok()) OnFailure(node, status);
}

Result<std::unique_ptr<engine::KvEngine>> Cluster::OpenEngine(FileSystem& files) const {
  RUTILE_ASSIGN_OR_RETURN(std::unique_ptr<engine::KvEngine> engine,
                          engine::OpenMemoryEngine(files, "kv"));
  return std::unique_ptr<engine::KvEngine>(
      std::make_unique<ObservedEngine>(std::move(engine), write_observer_));
}

Status Cluster::Open(std::size_t index) {
  Process& process = processes_[index];
  Machine& machine = *process.machine;
  SimFileSystem& files = machine.disk();
  RUTILE_ASSIGN_OR_RETURN(process.lock, files.Lock("LOCK"));
  RUTILE_ASSIGN_OR_RETURN(node::Identity identity,
                          node::EstablishIdentity(files, spec_, NameOf(index)));
  process.requests = &machine.NewExecutor("requests");
  store::Store::Executors executors;
  executors.regions = {&machine.NewExecutor("region-1"), &machine.NewExecutor("region-2")};
  executors.apply = {&machine.NewExecutor("apply")};
  for (std::size_t i = 0; i < StreamsOf(index); ++i) {
    executors.log.push_back(&machine.NewExecutor(i == 0 ? "log" : "log-" + std::to_string(i)));
  }
  executors.background = &machine.NewExecutor("background");
  RUTILE_ASSIGN_OR_RETURN(
      std::unique_ptr<node::Node> node,
      node::Node::Open(
          {.cluster = spec_,
           .identity = std::move(identity),
           .replica = options_.replica,
           .txn = {.scheduler = {.memory_locks = options_.memory_locks}},
           .garbage = options_.garbage,
           .wal = options_.wal},
          {.clock = machine.clock(),
           .random = machine.random(),
           .files = files,
           .transport = machine.transport(),
           .executors = executors,
           .requests = *executors.background,
           .logger = *process.logger,
           .open_engine = [this, &files] { return OpenEngine(files); },
           .on_failure = [this, index](const Status& failure) { OnFailure(index, failure); },
           .core_observer = [this, index](RegionId region, PeerId peer) -> raft::Observer* {
             return core_observer_ ? core_observer_(index, region, peer) : nullptr;
           }}));
  process.recovered = std::move(node);
  // Recovery took time: until it is over nobody can reach the node.
  world_.After(Duration(0), [this, index, boot = machine.boots()] {
    Process& begun = processes_[index];
    if (!begun.machine->is_running() || begun.machine->boots() != boot) return;
    begun.node = std::move(begun.recovered);
    begun.services = std::make_shared<Services>(*begun.node, begun.machine->clock());
    begun.node->Start();
  });
  return {};
}

void Cluster::OnFailure(std::size_t node, const Status& status) {
  Process& process = processes_[node];
  SimFileSystem& disk = machine(node).disk();
  // Without any space a node does not start, and its engine cannot flush; it says so, and all goes
  // on once there is some. A disk that stands still may tell of it when there is.
  const std::uint64_t exceeded = disk.exceeded_capacity_bytes();
  const std::uint64_t least =
      exceeded == 0 ? disk.capacity_bytes() : std::min(disk.capacity_bytes(), exceeded);
  const bool is_full = status.code() == Code::kResourceExhausted && least < capacity_bytes(node);
  if (disk.has_power() && !process.may_fail && !is_full && !damaged_.contains(node)) {
    const std::string what = "node " + NameOf(node) + " stopped: " + status.ToString();
    if (stopped_.insert(what).second) {
      violations_.push_back("at " + std::to_string(ToSeconds(world_.Now())) + " s: " + what);
    }
  }
  // The process stops, though not at this instant; what it does until then must be harmless. Its
  // machine is rebooted: after a failed sync the cache shows what the disk does not have.
  world_.After(world_.Between(Duration(0), Milliseconds(1)),
               [this, node, boot = machine(node).boots()] {
                 if (machine(node).boots() != boot) return;
                 CutPower(node);
               });
}

void Cluster::Forget(std::size_t node) {
  Process& process = processes_[node];
  process.services = nullptr;
  process.node = nullptr;
  process.recovered = nullptr;
  process.lock = nullptr;
  process.requests = nullptr;
  process.may_fail = false;
}

void Cluster::Kill(std::size_t node) {
  if (!machine(node).is_running()) return;
  machine(node).Kill();
  Forget(node);
}

void Cluster::CutPower(std::size_t node, Loss loss) {
  if (!machine(node).is_running()) return;
  machine(node).CutPower(loss);
  Forget(node);
}

void Cluster::CutPowerAfter(std::size_t node, std::uint64_t changes) {
  machine(node).disk().FailPowerAfter(changes, [this, node] {
    // Whatever process runs by then: the one of now may be killed before, and another begin.
    world_.After(Duration(0), [this, node, boot = machine(node).boots()] {
      if (machine(node).boots() == boot) CutPower(node);
    });
  });
}

}  // namespace rutile::sim
