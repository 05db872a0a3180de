#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/log.h"
#include "base/status.h"
#include "base/time.h"
#include "client/tls_files.h"
#include "codec/api_version.h"
#include "node/cluster_spec.h"
#include "store/options.h"
#include "store/raw_kv.h"
#include "txn/memory_locks.h"
#include "wal/wal.h"

namespace rutile::cmd {

// What `rutile serve` was told, checked.
struct ServerOptions {
  std::string name = {};
  std::string listen = {};         // host:port of clients and peers.
  std::string advertise = {};      // host:port that clients dial; of a node on its own.
  std::string status_listen = {};  // host:port of HTTP; empty: none.
  std::string data = {};           // The directory.
  std::string cluster = {};        // The list; empty: a node on its own.
  std::string cluster_token = {};
  codec::ApiVersion api = codec::ApiVersion::kV1;  // Of the keys, for good.
  client::TlsFiles tls = {};  // Of connections from clients, and between nodes.
  std::size_t replicas = 0;   // Of the keys, when the cluster begins; zero: one on every node.
  std::uint64_t block_cache_bytes = std::uint64_t{64} << 20;
  wal::Options log = {};
  std::size_t log_streams = 1;  // Each with a thread and a directory.
  std::size_t memory_locks_bytes = txn::MemoryLocks::Options().max_region_bytes;
  store::ReplicaOptions replica = {};
  Duration gc_interval = Seconds(600);  // Between rounds of collection; zero: there are none.
  Duration gc_life = Seconds(600);      // For how long versions are kept that were overwritten.
  store::RawLimits raw = {};
};

// A node with everything around it that the machine provides: threads, disk, engine, network.
// Several may run in one process.
class Server {
 public:
  // What a server asks of the process that it runs in.
  struct Process {
    // Runs once, on some thread, when the disk has failed: the process must then end without
    // stopping the server.
    std::function<void(const Status&)> on_failure = {};
    // Lets this time pass; false: the process is to end now. A server that finds its disk full
    // tries to start again after each pause, for the space may come back. Null: it does not wait.
    std::function<bool(Duration)> pause = {};
  };

  // Brings the node up; returns when it listens. `logger` outlives it.
  static Result<std::unique_ptr<Server>> Start(const ServerOptions& options, Logger& logger,
                                               const Process& process);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Hands leadership over, finishes what is under way and writes out what a restart would redo.
  // After that, only destruction.
  void Stop();

  const std::string& address() const;  // Where clients connect.
  const std::string& status_address() const;

 private:
  class Parts;
  explicit Server(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace rutile::cmd
