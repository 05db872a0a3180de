#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "cmd/commands.h"
#include "cmd/config_file.h"
#include "cmd/gc_life.h"
#include "cmd/server.h"
#include "cmd/stderr_log.h"
#include "env/posix/posix_clock.h"
#include "rpc/wire/listen_address.h"
#include "rpc/wire/tls.h"

namespace rutile::cmd {
namespace {

struct Flags {
  ServerOptions server = {};
  std::string config = {};
  std::string log_level = "info";
  std::int64_t election_timeout_ms = 1000;
  std::uint32_t late_log_ms = 500;
  std::int64_t gc_interval_ms = 600'000;
  std::int64_t gc_life_ms = 600'000;
  std::string api_version = "v1";
  bool check_config = false;
};

Result<LogLevel> ParseLevel(const std::string& name) {
  for (const LogLevel level :
       {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarn, LogLevel::kError}) {
    std::string known(ToString(level));
    for (char& c : known) c = static_cast<char>(c | 0x20);
    if (known == name) return level;
  }
  return Status(Code::kInvalidArgument,
                "--log-level " + name + ": there are debug, info, warn and error");
}

// The lease and the time in which votes are refused follow from the election timeout, which is the
// one thing an operator has an opinion on.
Status SetTimes(std::int64_t election_timeout_ms, store::ReplicaOptions* replica) {
  if (election_timeout_ms < 100 || election_timeout_ms > 60'000) {
    return Status(Code::kInvalidArgument, "--election-timeout-ms " +
                                              std::to_string(election_timeout_ms) +
                                              ": 100 to 60000 milliseconds make sense");
  }
  replica->tick = Milliseconds(election_timeout_ms) / replica->election_ticks;
  replica->vote_refusal = Milliseconds(election_timeout_ms) * 9 / 10;
  replica->lease = Milliseconds(election_timeout_ms) * 8 / 10;
  return {};
}

// A timer that never rests would be all that the node does.
Status SetGarbageTimes(std::int64_t interval_ms, std::int64_t life_ms, ServerOptions* server) {
  if (interval_ms != 0 && (interval_ms < 100 || interval_ms > kMostGcMillis)) {
    return Status(Code::kInvalidArgument,
                  "--gc-interval-ms " + std::to_string(interval_ms) +
                      ": 0 (this node makes no rounds), or 100 milliseconds to 30 days");
  }
  RUTILE_RETURN_IF_ERROR(CheckGcLife("--gc-life-ms", life_ms));
  server->gc_interval = Milliseconds(interval_ms);
  server->gc_life = Milliseconds(life_ms);
  return {};
}

// The largest write must find room beside others, or it would be refused for ever.
Status CheckLogMemory(const store::ReplicaOptions& replica) {
  const std::size_t least = 4 * replica.max_entry_bytes;
  if (replica.log_memory_bytes >= least) return {};
  return Status(Code::kInvalidArgument,
                "--log-memory-bytes " + std::to_string(replica.log_memory_bytes) +
                    ": at least four times --max-entry-bytes, which is " + std::to_string(least));
}

// Before anything is made on disk. Empty means that there is a default.
Status CheckAddress(const char* flag, const std::string& address) {
  if (address.empty()) return {};
  return rpc::CheckListenAddress(address).WithContext(flag);
}

// An address to bind on every interface, which nobody can dial from elsewhere.
bool IsWildcard(const std::string& address) {
  const Result<rpc::HostAndPort> parts = rpc::SplitAddress(address);
  if (!parts.ok()) return false;
  const std::string& host = parts.value().host;
  return host == "0.0.0.0" || host == "::" || host == "*" || host == "0";
}

Status CheckAdvertised(const std::string& flag, const std::string& address) {
  RUTILE_ASSIGN_OR_RETURN(const rpc::HostAndPort parts, rpc::SplitAddress(address));
  if (IsWildcard(address) || parts.port == "0") {
    return Status(Code::kInvalidArgument, flag + " " + address +
                                              ": clients and peers cannot dial that; name a host "
                                              "and port by which they reach this node");
  }
  return {};
}

// What clients and peers are told to dial must be something that they can.
Status CompleteAddresses(const node::ClusterSpec* cluster, ServerOptions* server) {
  if (!server->advertise.empty()) {
    RUTILE_RETURN_IF_ERROR(CheckAddress("--advertise", server->advertise));
    RUTILE_RETURN_IF_ERROR(CheckAdvertised("--advertise", server->advertise));
  }
  if (cluster == nullptr) {
    if (server->listen.empty()) server->listen = "127.0.0.1:20160";
    if (!server->advertise.empty()) return {};
    if (IsWildcard(server->listen)) {
      return Status(Code::kInvalidArgument,
                    "--listen " + server->listen +
                        ": clients cannot dial that; give the address by which they reach this "
                        "node with --advertise host:port");
    }
    server->advertise = server->listen;
    return {};
  }
  for (const placement::Member& member : cluster->members) {
    RUTILE_RETURN_IF_ERROR(CheckAdvertised("--cluster " + member.name + " =", member.address));
  }
  const std::string& listed = cluster->Find(server->name)->address;
  if (!server->advertise.empty() && server->advertise != listed) {
    return Status(Code::kInvalidArgument, "--advertise " + server->advertise +
                                              ": --cluster has this node at " + listed +
                                              ", which is what clients and peers dial");
  }
  server->advertise = listed;
  if (server->listen.empty()) server->listen = listed;
  return {};
}

Status Complete(Flags* flags) {
  RUTILE_RETURN_IF_ERROR(SetTimes(flags->election_timeout_ms, &flags->server.replica));
  if (Result<codec::ApiVersion> api = codec::ParseApiVersion(flags->api_version); api.ok()) {
    flags->server.api = api.value();
  } else {
    return api.status().WithContext("--api-version");
  }
  flags->server.replica.late_log = Milliseconds(flags->late_log_ms);
  ServerOptions& server = flags->server;
  RUTILE_RETURN_IF_ERROR(SetGarbageTimes(flags->gc_interval_ms, flags->gc_life_ms, &server));
  RUTILE_RETURN_IF_ERROR(CheckLogMemory(server.replica));
  if (server.data.empty()) return Status(Code::kInvalidArgument, "--data: no directory is named");
  if (!server.tls.empty()) {
    RUTILE_RETURN_IF_ERROR(
        rpc::TlsContext::Load(server.tls, rpc::TlsContext::Side::kServer).status());
  }
  RUTILE_RETURN_IF_ERROR(CheckAddress("--listen", server.listen));
  RUTILE_RETURN_IF_ERROR(CheckAddress("--status-listen", server.status_listen));
  if (server.cluster.empty()) return CompleteAddresses(nullptr, &server);
  RUTILE_ASSIGN_OR_RETURN(
      const node::ClusterSpec cluster,
      node::ClusterSpec::Parse(server.cluster, server.cluster_token, server.replicas, server.api));
  if (cluster.Find(server.name) == nullptr) {
    return Status(Code::kInvalidArgument,
                  "--name " + server.name + ": --cluster has no node of that name");
  }
  return CompleteAddresses(&cluster, &server);
}

// Signals are taken by the main thread only, in sigwait: no handler, no work in a signal's context.
sigset_t BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  return signals;
}

// What the server asks of this process.
Server::Process ProcessOf(StderrLog& log, const sigset_t& signals) {
  return {.on_failure =
              [&log](const Status& status) {
                // Nothing may be written any more, so nothing is torn down: what is on disk is what
                // counts.
                log.Write(LogLevel::kError, __FILE__, __LINE__,
                          "the node stops: its disk has failed; nothing that was acknowledged is "
                          "lost, mend the cause and start it again",
                          {{"error", status.ToString()}});
                log.Flush();
                ::_exit(kExitDataFailed);
              },
          .pause =
              [&signals](Duration time) {
                const timespec wait{.tv_sec = ToMilliseconds(time) / 1000,
                                    .tv_nsec = ToMilliseconds(time) % 1000 * 1'000'000};
                return ::sigtimedwait(&signals, nullptr, &wait) < 0;
              }};
}

int Serve(Flags* flags, CLI::App& command) {
  if (!flags->config.empty()) {
    if (Status status = ApplyConfigFile(flags->config, command); !status.ok()) return Fail(status);
  }
  if (Status status = Complete(flags); !status.ok()) return Fail(status);
  const Result<LogLevel> level = ParseLevel(flags->log_level);
  if (!level.ok()) return Fail(level.status());
  if (flags->check_config) {
    std::printf("the configuration is good\n");
    return kExitOk;
  }

  const sigset_t signals = BlockSignals();
  const posix::PosixClock clock;
  StderrLog log(clock);
  Logger logger(log, level.value());
  Result<std::unique_ptr<Server>> server =
      Server::Start(flags->server, logger, ProcessOf(log, signals));
  if (!server.ok()) {
    log.Flush();
    return Fail(server.status());
  }
  std::printf("rutile %s: node %s serves clients at %s", kVersion, flags->server.name.c_str(),
              server.value()->address().c_str());
  if (!server.value()->status_address().empty()) {
    std::printf(", its state at http://%s/", server.value()->status_address().c_str());
  }
  std::printf("\n");
  std::fflush(stdout);

  int signal = 0;
  sigwait(&signals, &signal);
  RUTILE_LOG(logger, kInfo, "stopping", {"signal", std::to_string(signal)});
  // A second signal ends the process at once, which is safe: a crash is.
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  server.value()->Stop();
  RUTILE_LOG(logger, kInfo, "stopped");
  return kExitOk;
}

void AddLimits(CLI::App* serve, ServerOptions* server) {
  serve->add_option("--block-cache-bytes", server->block_cache_bytes, "Of the key-value engine")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  serve->add_option("--max-key-bytes", server->raw.max_key_bytes, "Longest key")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  serve->add_option("--max-value-bytes", server->raw.max_value_bytes, "Longest value")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  serve
      ->add_option("--max-entry-bytes", server->replica.max_entry_bytes,
                   "Most that one request may write")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  serve
      ->add_option("--log-memory-bytes", server->replica.log_memory_bytes,
                   "What the log may hold in memory, of all regions together")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  serve
      ->add_option("--log-streams", server->log_streams,
                   "Streams of the log, each with a thread and a directory: wal, wal.1, ... Links "
                   "or mounts put them on disks of their own. Regions are spread over them")
      ->check(CLI::Range(1, 16))
      ->capture_default_str();
  serve
      ->add_option("--log-compress-from-bytes", server->log.compress_from_bytes,
                   "Entries of a region that are this large together are compressed; 0: none")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  serve->add_option("--max-scan-limit", server->raw.max_scan_limit, "Most pairs of one scan")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  serve
      ->add_option("--kept-log-entries", server->replica.kept_log_entries,
                   "A replica further behind than this is sent a snapshot instead of the log")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  serve
      ->add_option(
          "--memory-locks-bytes", server->memory_locks_bytes,
          "Pessimistic locks of a region that its leader keeps in memory alone; what has no "
          "room goes through the log (0: all do)")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  serve
      ->add_option("--disk-reserve-bytes", server->replica.disk_reserve_bytes,
                   "Writes that need space are refused while the disk has less left")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
}

void AddGarbageOptions(CLI::App& serve, Flags& flags) {
  serve
      .add_option("--gc-interval-ms", flags.gc_interval_ms,
                  "How often it is decided how far old versions may be removed, by the node that "
                  "leads placement (0: this node does not)")
      ->capture_default_str();
  serve
      .add_option("--gc-life-ms", flags.gc_life_ms,
                  "For how long versions of transactional keys are kept that were overwritten")
      ->capture_default_str();
}

void AddTlsOptions(CLI::App& serve, client::TlsFiles& tls) {
  serve.add_option("--tls-cert", tls.cert,
                   "This node's certificate and what signs it (PEM): connections of clients and "
                   "between nodes are encrypted");
  serve.add_option("--tls-key", tls.key, "The key to it (PEM)");
  serve.add_option("--tls-ca", tls.ca,
                   "Who may sign the certificates of other nodes and of clients (PEM), who have to "
                   "show one then");
}

void AddClusterOptions(CLI::App& serve, Flags& flags) {
  ServerOptions& server = flags.server;
  serve.add_option("--cluster", server.cluster,
                   "All nodes of the cluster: name=host:port,... (default: this node alone)");
  serve.add_option("--cluster-token", server.cluster_token,
                   "Tells clusters with the same list apart");
  serve
      .add_option("--replicas", server.replicas,
                  "On how many nodes, the first by name, the keys begin (default: all)")
      ->check(CLI::PositiveNumber);
  serve
      .add_option("--api-version", flags.api_version,
                  "Of the keys that the cluster holds, chosen when it begins: v1 (any bytes) or v2 "
                  "(keyspaces, raw and transactional)")
      ->capture_default_str();
}

}  // namespace

void AddServe(CLI::App& app, int* exit_code) {
  CLI::App* serve = app.add_subcommand("serve", "Run one node");
  auto flags = std::make_shared<Flags>();
  flags->server.name = "n1";
  flags->server.data = "rutile-data";
  ServerOptions& server = flags->server;
  serve->add_option("--name", server.name, "Name of this node")->capture_default_str();
  serve->add_option("--listen", server.listen,
                    "host:port for clients and peers (default: this node's address in --cluster, "
                    "or 127.0.0.1:20160)");
  serve->add_option("--advertise", server.advertise,
                    "host:port by which clients reach a node on its own (default: --listen)");
  serve->add_option("--status-listen", server.status_listen,
                    "host:port of the status page and metrics over HTTP (default: none)");
  serve->add_option("--data", server.data, "Data directory")->capture_default_str();
  AddClusterOptions(*serve, *flags);
  AddTlsOptions(*serve, server.tls);
  serve->add_option("--config", flags->config, "TOML file; its keys are these options' names");
  serve->add_option("--log-level", flags->log_level, "debug, info, warn or error")
      ->capture_default_str();
  serve
      ->add_option("--election-timeout-ms", flags->election_timeout_ms,
                   "A leader silent for this long is replaced")
      ->capture_default_str();
  serve
      ->add_option("--lease-reads", server.replica.lease_reads,
                   "Serve reads under the leader's lease (false: ask a quorum every time)")
      ->capture_default_str();
  serve
      ->add_option(
          "--quiet-groups", server.replica.quiet_groups,
          "Regions with nothing to do send nothing; one beat a pair of nodes watches over all")
      ->capture_default_str();
  serve
      ->add_option(
          "--late-log-ms", flags->late_log_ms,
          "While a write to this node's log waits for so long, others lead (0: it does not "
          "mind)")
      ->capture_default_str();
  serve
      ->add_option("--apply-before-durable", server.replica.apply_before_durable,
                   "A leader applies what a quorum has before its own disk has it")
      ->capture_default_str();
  AddGarbageOptions(*serve, *flags);
  AddLimits(serve, &server);
  serve
      ->add_option("--allow-empty-values", server.raw.allow_empty_values,
                   "Accept values without a byte")
      ->capture_default_str();
  serve->add_flag("--check-config", flags->check_config, "Check the configuration and exit");
  serve->callback([flags, serve, exit_code] { *exit_code = Serve(flags.get(), *serve); });
}

}  // namespace rutile::cmd
