#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "cmd/client_session.h"
#include "cmd/commands.h"
#include "cmd/free_port.h"
#include "proto/pdpb.pb.h"

namespace rutile::cmd {
namespace {

struct Flags {
  int nodes = 3;
  std::string dir = {};
  int base_port = 0;
  std::string api_version = "v1";
};

struct Node {
  std::string name;
  int port = 0;
  int status_port = 0;
  pid_t pid = -1;

  std::string address() const { return "127.0.0.1:" + std::to_string(port); }
};

constexpr const char* kPortsFile = "ports";

// The ports that the directory was used with before, or new ones, which are written down: members
// know each other by address, so a restart has to come back with the same.
Result<std::vector<Node>> ChoosePorts(const Flags& flags, const std::string& dir) {
  std::vector<Node> nodes;
  const std::string path = dir + "/" + kPortsFile;
  if (std::ifstream in(path); in) {
    Node node;
    while (in >> node.name >> node.port >> node.status_port) nodes.push_back(node);
    if (nodes.empty()) return Status(Code::kInvalidArgument, path + ": names no node");
    return nodes;
  }
  for (int i = 0; i < flags.nodes; ++i) {
    Node node{.name = "n" + std::to_string(i + 1)};
    if (flags.base_port != 0) {
      node.port = flags.base_port + i;
      node.status_port = flags.base_port + 100 + i;
    } else {
      RUTILE_ASSIGN_OR_RETURN(node.port, FreePort());
      RUTILE_ASSIGN_OR_RETURN(node.status_port, FreePort());
    }
    nodes.push_back(node);
  }
  std::ofstream out(path);
  for (const Node& node : nodes) {
    out << node.name << ' ' << node.port << ' ' << node.status_port << '\n';
  }
  if (!out.flush()) return Status(Code::kIoError, path + ": cannot be written");
  return nodes;
}

std::vector<std::string> ServeArguments(const Node& node, const std::vector<Node>& nodes,
                                        const Flags& flags, const std::string& dir) {
  std::string cluster;
  for (const Node& member : nodes) {
    cluster += (cluster.empty() ? "" : ",") + member.name + "=" + member.address();
  }
  return {"rutile",          "serve",
          "--name",          node.name,
          "--listen",        node.address(),
          "--status-listen", "127.0.0.1:" + std::to_string(node.status_port),
          "--data",          dir + "/" + node.name,
          "--cluster",       cluster,
          "--api-version",   flags.api_version};
}

// Starts this very program once more. The child dies with its parent, and a Ctrl-C at the terminal
// reaches the parent only.
pid_t Spawn(const std::vector<std::string>& arguments, const std::string& log_path) {
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const int log = ::open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid != 0) {
    if (log >= 0) ::close(log);
    return pid;
  }
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(kExitFailed);
  ::setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (log >= 0) {
    ::dup2(log, STDOUT_FILENO);
    ::dup2(log, STDERR_FILENO);
  }
  ::execv("/proc/self/exe", argv.data());
  ::_exit(127);
}

// Ready when a write went through and placement has a leader.
Status WaitReady(const std::vector<Node>& nodes, bool has_keyspaces) {
  ClientFlags flags;
  if (has_keyspaces) flags.keyspace = "DEFAULT";
  flags.endpoints.clear();
  for (const Node& node : nodes) {
    flags.endpoints += (flags.endpoints.empty() ? "" : ",") + node.address();
  }
  flags.timeout_ms = 30'000;
  RUTILE_ASSIGN_OR_RETURN(const auto session, ClientSession::Open(flags));
  // Nobody can say where a keyspace is before placement has a leader.
  constexpr int kTries = 600;
  Status found = session->UseKeyspace();
  for (int i = 0; !found.ok() && i < kTries; ++i) {
    ::usleep(50'000);
    found = session->UseKeyspace();
  }
  RUTILE_RETURN_IF_ERROR(found);
  RUTILE_RETURN_IF_ERROR(client::Await(session->client(), &client::RawClient::Delete,
                                       "\xff\xffrutile-playground-ready"));
  // The write needed the keys' region only; placement elects its leader by itself.
  for (int i = 0; i < kTries; ++i) {
    const Result<std::string> answer =
        session->Call(nodes.front().address(), "/pdpb.PD/GetMembers", {}, Seconds(1));
    pdpb::GetMembersResponse members;
    if (answer.ok() && members.ParseFromString(answer.value()) && members.has_leader()) return {};
    ::usleep(50'000);
  }
  return Status(Code::kUnavailable, "placement has elected no leader");
}

void StopAll(std::vector<Node>& nodes, int signal) {
  for (const Node& node : nodes) {
    if (node.pid > 0) ::kill(node.pid, signal);
  }
}

// Waits for the children to end; a signal meanwhile kills them.
void WaitStopped(std::vector<Node>& nodes, const sigset_t& signals) {
  bool killed = false;
  while (true) {
    bool running = false;
    for (Node& node : nodes) {
      if (node.pid > 0 && ::waitpid(node.pid, nullptr, WNOHANG) == node.pid) node.pid = -1;
      running |= node.pid > 0;
    }
    if (!running) return;
    const timespec pause{.tv_sec = 0, .tv_nsec = 50'000'000};
    if (::sigtimedwait(&signals, nullptr, &pause) > 0 && !killed) {
      killed = true;
      StopAll(nodes, SIGKILL);
    }
  }
}

// Sleeps until a signal comes. Says so when a node ends by itself, and goes on without it.
void WaitForSignal(std::vector<Node>& nodes, const sigset_t& signals, const std::string& dir) {
  const timespec pause{.tv_sec = 0, .tv_nsec = 200'000'000};
  while (::sigtimedwait(&signals, nullptr, &pause) < 0) {
    for (Node& node : nodes) {
      if (node.pid <= 0 || ::waitpid(node.pid, nullptr, WNOHANG) != node.pid) continue;
      node.pid = -1;
      std::printf("node %s has ended; see %s/%s.log\n", node.name.c_str(), dir.c_str(),
                  node.name.c_str());
      std::fflush(stdout);
    }
  }
}

void PrintWhere(const std::vector<Node>& nodes, const std::string& dir, bool ephemeral,
                const char* keyspace) {
  std::string endpoints;
  std::printf("\n%zu nodes are up:\n", nodes.size());
  for (const Node& node : nodes) {
    std::printf("  %-4s clients %s  status http://127.0.0.1:%d/  pid %d  log %s/%s.log\n",
                node.name.c_str(), node.address().c_str(), node.status_port,
                static_cast<int>(node.pid), dir.c_str(), node.name.c_str());
    endpoints += (endpoints.empty() ? "" : ",") + node.address();
  }
  std::printf("\nTiKV clients connect to placement at  %s\n", endpoints.c_str());
  std::printf(
      "from a shell:\n  export RUTILE_ENDPOINTS=%s\n  rutile put%s hello world && rutile get%s "
      "hello && rutile status\n",
      endpoints.c_str(), keyspace, keyspace);
  std::printf("\ndata in %s%s; Ctrl-C stops\n", dir.c_str(),
              ephemeral ? " (removed at the end)" : "");
  std::fflush(stdout);
}

int RunPlayground(const Flags& flags) {
  if (flags.nodes < 1 || flags.nodes > 7) {
    return Fail(Status(Code::kInvalidArgument, "--nodes: 1 to 7"));
  }
  if (flags.base_port < 0 || flags.base_port > 65'000) {
    return Fail(Status(Code::kInvalidArgument, "--base-port " + std::to_string(flags.base_port) +
                                                   ": 1 to 65000, or 0 for any that are free"));
  }
  const Result<codec::ApiVersion> api = codec::ParseApiVersion(flags.api_version);
  if (!api.ok()) return Fail(api.status().WithContext("--api-version"));
  const bool has_keyspaces = api.value() == codec::ApiVersion::kV2;
  std::string dir = flags.dir;
  const bool ephemeral = dir.empty();
  std::error_code error;
  if (ephemeral) {
    char pattern[] = "/tmp/rutile-playground-XXXXXX";
    if (::mkdtemp(pattern) == nullptr) {
      return Fail(Status(Code::kIoError, std::string(pattern) + ": " + std::strerror(errno)));
    }
    dir = pattern;
  } else if (std::filesystem::create_directories(dir, error); error) {
    return Fail(Status(Code::kFailedPrecondition, "--dir " + dir + ": " + error.message()));
  }
  Result<std::vector<Node>> chosen = ChoosePorts(flags, dir);
  if (!chosen.ok()) return Fail(chosen.status());
  std::vector<Node> nodes = std::move(chosen).value();

  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  for (Node& node : nodes) {
    node.pid = Spawn(ServeArguments(node, nodes, flags, dir), dir + "/" + node.name + ".log");
  }
  const Status ready = WaitReady(nodes, has_keyspaces);
  if (ready.ok()) {
    PrintWhere(nodes, dir, ephemeral, has_keyspaces ? " --keyspace DEFAULT" : "");
    WaitForSignal(nodes, signals, dir);
    std::printf("stopping\n");
    std::fflush(stdout);
  }
  StopAll(nodes, SIGTERM);
  WaitStopped(nodes, signals);
  if (!ready.ok()) {
    std::fprintf(stderr, "the logs are in %s\n", dir.c_str());
    return Fail(
        Status(Code::kUnavailable, "the cluster did not come up: " + std::string(ready.message())));
  }
  if (ephemeral) std::filesystem::remove_all(dir, error);
  return kExitOk;
}

}  // namespace

void AddPlayground(CLI::App& app, int* exit_code) {
  CLI::App* command =
      app.add_subcommand("playground", "Run a cluster on this machine, one process a node");
  auto flags = std::make_shared<Flags>();
  command->add_option("--nodes", flags->nodes, "How many nodes")->capture_default_str();
  command->add_option("--dir", flags->dir,
                      "Where the data are; starts again from there (default: a new directory "
                      "that is removed at the end)");
  command->add_option("--base-port", flags->base_port,
                      "Nodes listen from this port on, their status pages 100 above (default: any "
                      "that are free)");
  command->add_option("--api-version", flags->api_version, "Of the keys: v1, or v2 with keyspaces")
      ->capture_default_str();
  command->callback([flags, exit_code] { *exit_code = RunPlayground(*flags); });
}

}  // namespace rutile::cmd
