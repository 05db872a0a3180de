#include "cmd/server.h"

#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include "base/random.h"
#include "client/garbage_keeper.h"
#include "engine/rocks/rocks_engine.h"
#include "env/posix/event_loop.h"
#include "env/posix/posix_clock.h"
#include "env/posix/posix_files.h"
#include "env/posix/thread_executor.h"
#include "node/identity.h"
#include "node/node.h"
#include "rpc/garbage_report.h"
#include "rpc/h2_server.h"
#include "rpc/health.h"
#include "rpc/http_status.h"
#include "rpc/node_metrics.h"
#include "rpc/node_service.h"
#include "rpc/peer_transport.h"
#include "rpc/services/batch_service.h"
#include "rpc/services/methods.h"
#include "rpc/services/placement_service.h"
#include "rpc/services/raw_service.h"
#include "rpc/services/txn_service.h"
#include "rpc/wire/h2_channel.h"

namespace rutile::cmd {
namespace {

// How long a stop waits for others to take over leadership, and for requests under way.
constexpr Duration kDrainTime = Seconds(2);
constexpr Duration kGraceTime = Seconds(5);
constexpr Duration kDrainPoll = Milliseconds(20);
// How often a node that cannot start for want of space tries, and how often it says so.
constexpr Duration kSpacePoll = Seconds(1);
constexpr Duration kSpaceReminder = Seconds(60);
// With less, an engine is not even asked to open: RocksDB as Debian builds it has its assertions,
// and one of them fails when it finds no space for its first bytes.
constexpr std::uint64_t kSpaceToOpen = std::uint64_t{16} << 20;

Status NoSpaceToOpen(const std::string& directory, std::uint64_t free_bytes) {
  return Status(Code::kResourceExhausted,
                "no space to start in " + directory + ": " + std::to_string(free_bytes) +
                    " bytes free, " + std::to_string(kSpaceToOpen) +
                    " needed; free some space on this disk or move the data directory");
}
// Between nodes something is always said. After a cut, the system's own retries come ever more
// seldom: a new connection is there sooner.
rpc::ChannelOptions PeerChannel(std::shared_ptr<const rpc::TlsContext> tls) {
  return {.keepalive_interval = Seconds(1), .keepalive_timeout = Seconds(2), .tls = std::move(tls)};
}

}  // namespace

// In the order in which parts are made; they go in the reverse order.
class Server::Parts {
 public:
  Parts(const ServerOptions& options, Logger& logger)
      : options_(options),
        logger_(logger),
        files_(options.data),
        random_(posix::RandomSeed()),
        garbage_random_(posix::RandomSeed()) {}

  ~Parts() {
    if (server_ != nullptr) {
      Stop();
    } else if (node_ != nullptr) {
      // Brought up as far as that, but it could not listen.
      node_->Stop();
      StopExecutors();
    }
  }

  Status Start(const Process& process);
  void Stop();
  const std::string& address() const { return address_; }
  const std::string& status_address() const { return status_address_; }

 private:
  Status OpenNode(const std::function<void(const Status&)>& on_failure);
  Status OpenNodeOnceThereIsSpace(const Process& process);
  // Of the disk with the data; where that cannot be told, as much as it takes to try.
  std::uint64_t FreeBytes();
  Status Listen();
  void MakeTransport();
  void StartGarbageKeeper();
  void Drain();
  void StopExecutors();

  const ServerOptions options_;
  Logger& logger_;
  const posix::PosixClock clock_;
  posix::PosixFileSystem files_;
  SeededRandom random_;
  SeededRandom garbage_random_;  // On the background executor.
  std::unique_ptr<DirectoryLock> lock_;
  std::shared_ptr<const rpc::TlsContext> server_tls_;  // Null: connections are not encrypted.
  std::shared_ptr<const rpc::TlsContext> client_tls_;  // Of connections to other nodes.
  node::ClusterSpec cluster_;
  node::Identity identity_;
  std::string address_;
  std::string status_address_;

  rpc::LogMetrics log_metrics_;
  rpc::GarbageReport garbage_report_{logger_, clock_};

  // Their threads are stopped before the node goes; the objects outlive whoever may still post.
  posix::EventLoop client_loop_{"client"};  // Requests, and reads.
  posix::EventLoop region_loop_{"region"};  // Raft, and the streams between nodes.
  std::vector<std::unique_ptr<posix::ThreadExecutor>> log_executors_;  // One for each stream.
  posix::ThreadExecutor apply_executor_{"apply"};
  posix::ThreadExecutor background_executor_{"background"};

  std::unique_ptr<rpc::PeerTransport> transport_;
  std::unique_ptr<node::Node> node_;
  std::unique_ptr<rpc::RawService> raw_;
  std::unique_ptr<rpc::TxnService> txn_;
  std::unique_ptr<rpc::BatchService> batch_;
  std::unique_ptr<rpc::PlacementService> placement_;
  std::unique_ptr<rpc::NodeService> status_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<rpc::HttpStatusServer> http_;
  std::unique_ptr<client::GarbageKeeper> garbage_;  // Null: this node makes no rounds.
  std::atomic<bool> serving_ = false;
};

Status Server::Parts::Start(const Process& process) {
  if (!options_.tls.empty()) {
    using Side = rpc::TlsContext::Side;
    RUTILE_ASSIGN_OR_RETURN(server_tls_, rpc::TlsContext::Load(options_.tls, Side::kServer));
    RUTILE_ASSIGN_OR_RETURN(client_tls_, rpc::TlsContext::Load(options_.tls, Side::kClient));
  }
  RUTILE_RETURN_IF_ERROR(files_.CreateDirectories("."));
  RUTILE_ASSIGN_OR_RETURN(lock_, files_.Lock("LOCK"));
  if (options_.cluster.empty()) {
    cluster_ = node::ClusterSpec::Single(options_.name, options_.advertise,
                                         std::to_string(random_.Next()), options_.api);
  } else {
    RUTILE_ASSIGN_OR_RETURN(cluster_,
                            node::ClusterSpec::Parse(options_.cluster, options_.cluster_token,
                                                     options_.replicas, options_.api));
  }
  RUTILE_ASSIGN_OR_RETURN(identity_, node::EstablishIdentity(files_, cluster_, options_.name));
  MakeTransport();
  RUTILE_RETURN_IF_ERROR(OpenNodeOnceThereIsSpace(process));
  node_->Start();
  RUTILE_RETURN_IF_ERROR(Listen());
  StartGarbageKeeper();
  serving_ = true;
  RUTILE_LOG(logger_, kInfo, "node is serving", {"name", identity_.name}, {"address", address_},
             {"cluster", ToString(identity_.cluster)}, {"store", ToString(identity_.store)});
  return {};
}

void Server::Parts::MakeTransport() {
  rpc::PeerTransportOptions options;
  options.cluster = identity_.cluster;
  options.self = identity_.store;
  options.log = [this](std::string_view line) { RUTILE_LOG(logger_, kWarn, line); };
  transport_ = std::make_unique<rpc::PeerTransport>(
      std::move(options), clock_, region_loop_, std::make_unique<SeededRandom>(random_.Next()),
      [this](const std::string& address) {
        return rpc::NewH2Channel(address, region_loop_, PeerChannel(client_tls_));
      });
  for (const placement::Member& member : cluster_.members) {
    transport_->SetAddress(member.store, member.address);
  }
}

// A node that died beside a full disk comes back by itself, as one that kept running does.
Status Server::Parts::OpenNodeOnceThereIsSpace(const Process& process) {
  int unexplained = 0;  // Failures in a row after which there was enough.
  for (Duration waited{0};; waited += kSpacePoll) {
    const std::uint64_t free = FreeBytes();
    Status status =
        free < kSpaceToOpen ? NoSpaceToOpen(options_.data, free) : OpenNode(process.on_failure);
    if (status.code() != Code::kResourceExhausted || !process.pause) return status;
    // Looked at again: others fill the disk, too, and it may have been enough at first. Limits of
    // other kinds do not go away by waiting; but once it may be that the space has just come back.
    const bool is_enough =
        FreeBytes() >= options_.replica.disk_reserve_bytes + options_.log.segment_bytes;
    unexplained = is_enough ? unexplained + 1 : 0;
    if (unexplained > 1) return status;
    if (waited % kSpaceReminder == Duration(0)) {
      RUTILE_LOG(logger_, kWarn, "the disk is full, the node starts when there is space",
                 {"directory", options_.data}, {"free_bytes", std::to_string(FreeBytes())},
                 {"error", status.ToString()});
    }
    if (!process.pause(kSpacePoll)) return status;
  }
}

std::uint64_t Server::Parts::FreeBytes() {
  const Result<std::uint64_t> free = files_.FreeBytes();
  return free.ok() ? free.value() : kSpaceToOpen;
}

Status Server::Parts::OpenNode(const std::function<void(const Status&)>& on_failure) {
  log_executors_.clear();  // Of an attempt that failed.
  engine::RocksOptions engine_options;
  engine_options.directory = options_.data + "/kv";
  engine_options.block_cache_bytes = options_.block_cache_bytes;
  std::vector<Executor*> log;
  for (std::size_t i = 0; i < options_.log_streams; ++i) {
    log_executors_.push_back(
        std::make_unique<posix::ThreadExecutor>(i == 0 ? "log" : "log-" + std::to_string(i)));
    log.push_back(log_executors_.back().get());
  }
  RUTILE_ASSIGN_OR_RETURN(
      node_,
      node::Node::Open(
          {.cluster = cluster_,
           .identity = identity_,
           .replica = options_.replica,
           .raw = options_.raw,
           .txn = {.max_key_bytes = options_.raw.max_key_bytes,
                   .max_value_bytes = options_.raw.max_value_bytes,
                   .max_scan_limit = options_.raw.max_scan_limit,
                   .scheduler = {.memory_locks = {.max_region_bytes =
                                                      options_.memory_locks_bytes}}},
           .wal = options_.log},
          {.clock = clock_,
           .random = random_,
           .files = files_,
           .transport = *transport_,
           .executors = {.regions = {&region_loop_},
                         .apply = {&apply_executor_},
                         .log = std::move(log),
                         .background = &background_executor_},
           .requests = client_loop_,
           .logger = logger_,
           .open_engine = [engine_options] { return engine::OpenRocksEngine(engine_options); },
           .on_failure = on_failure,
           .on_log_batch =
               [this](const wal::LogWriter::BatchReport& report) {
                 log_metrics_.OnBatch(report);
               }}));
  return {};
}

Status Server::Parts::Listen() {
  rpc::Methods methods;
  const rpc::Served served{.cluster = identity_.cluster, .api = identity_.api};
  raw_ = std::make_unique<rpc::RawService>(node_->raw(), served);
  raw_->Register(&methods);
  txn_ = std::make_unique<rpc::TxnService>(node_->txn(), served);
  txn_->Register(&methods);
  batch_ = std::make_unique<rpc::BatchService>(*raw_, *txn_);
  batch_->Register(&methods);
  placement_ = std::make_unique<rpc::PlacementService>(node_->placement(), clock_,
                                                       server_tls_ == nullptr ? "http" : "https");
  placement_->Register(&methods);
  status_ = std::make_unique<rpc::NodeService>(*node_);
  status_->Register(&methods);
  transport_->Register(methods);
  rpc::RegisterHealth(methods, [this] { return serving_.load(std::memory_order_relaxed); });

  rpc::ServerOptions server;
  server.listen = options_.listen;
  server.tls = server_tls_;
  RUTILE_ASSIGN_OR_RETURN(server_, rpc::StartH2Server(server, std::move(methods), {&client_loop_}));
  address_ = options_.listen;
  if (options_.status_listen.empty()) return {};
  RUTILE_ASSIGN_OR_RETURN(http_,
                          rpc::HttpStatusServer::Start(
                              options_.status_listen, *node_, [this] { return serving_.load(); },
                              [this] { return log_metrics_.Render() + garbage_report_.Render(); }));
  status_address_ = options_.status_listen;
  return {};
}

// Rounds reach the cluster as any client does, by the members' addresses: this node is one of them.
void Server::Parts::StartGarbageKeeper() {
  if (options_.gc_interval == Duration()) return;
  client::GarbageOptions options;
  options.life = options_.gc_life;
  options.client.api = identity_.api;
  for (const placement::Member& member : cluster_.members) {
    options.client.endpoints.push_back(member.address);
  }
  garbage_ = std::make_unique<client::GarbageKeeper>(
      std::move(options), options_.gc_interval,
      client::GarbageKeeper::Node{.makes_rounds = [this] { return node_->placement().IsLeader(); },
                                  .on_round =
                                      [this](const Result<client::GarbageRound>& round) {
                                        garbage_report_.OnRound(round);
                                      }},
      [this](const std::string& address) {
        return rpc::NewH2Channel(address, client_loop_, {.tls = client_tls_});
      },
      clock_, garbage_random_, background_executor_);
  garbage_->Start();
}

void Server::Parts::Drain() {
  const auto leads = [this] {
    for (const store::GateState& gate : node_->store().Gates()) {
      if (gate.is_leader && gate.region->peers.size() > 1) return true;
    }
    return false;
  };
  const Instant end = clock_.Now() + kDrainTime;
  node_->Drain();
  while (leads() && clock_.Now() < end) std::this_thread::sleep_for(kDrainPoll);
}

void Server::Parts::StopExecutors() {
  for (const auto& executor : log_executors_) executor->Shutdown();
  apply_executor_.Shutdown();
  background_executor_.Shutdown();
  region_loop_.Shutdown();
  client_loop_.Shutdown();
}

void Server::Parts::Stop() {
  serving_ = false;
  if (garbage_ != nullptr) garbage_->Stop();
  Drain();
  http_.reset();
  server_->Stop(kGraceTime);
  node_->Stop();
  StopExecutors();
  if (Status status = node_->Flush(); !status.ok()) {
    RUTILE_LOG(logger_, kWarn, "the engine was not flushed; the next start has more to redo",
               {"error", status.ToString()});
  }
  server_.reset();
  // What of a round was still under way has gone with the executors.
  garbage_.reset();
}

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Server::~Server() = default;

Result<std::unique_ptr<Server>> Server::Start(const ServerOptions& options, Logger& logger,
                                              const Process& process) {
  auto parts = std::make_unique<Parts>(options, logger);
  RUTILE_RETURN_IF_ERROR(parts->Start(process));
  return std::unique_ptr<Server>(new Server(std::move(parts)));
}

void Server::Stop() { parts_->Stop(); }
const std::string& Server::address() const { return parts_->address(); }
const std::string& Server::status_address() const { return parts_->status_address(); }

}  // namespace rutile::cmd
