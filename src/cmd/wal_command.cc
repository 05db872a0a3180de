#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "cmd/commands.h"
#include "cmd/wal_flags.h"
#include "node/identity.h"
#include "wal/log_streams.h"
#include "wal/recovery.h"

namespace rutile::cmd {
namespace {

using Action = int (*)(const WalFlags&);

CLI::App* AddAction(CLI::App& parent, const std::string& name, const std::string& what,
                    const std::shared_ptr<WalFlags>& flags, int* exit_code, Action action) {
  CLI::App* command = parent.add_subcommand(name, what);
  command->add_option("--data", flags->data, "Data directory of a node that does not run")
      ->required();
  command->callback([flags, exit_code, action] { *exit_code = action(*flags); });
  return command;
}

// Whose directory it is. Returns how many things are wrong with that.
int VerifyIdentity(const WalFlags& flags, FileSystem& files) {
  const Result<node::Identity> identity = node::LoadIdentity(files);
  if (identity.status().code() == Code::kNotFound) {
    std::printf(
        "no-identity IDENTITY at offset 0: the directory does not say whose it is; do: put "
        "the file back before a node is started here\n");
    return 1;
  }
  if (!identity.ok()) {
    std::printf("bad-identity %s\n", std::string(identity.status().message()).c_str());
    return 1;
  }
  if (flags.name.empty() || identity.value().name == flags.name) return 0;
  std::printf(
      "other-node IDENTITY at offset 0: the directory belongs to node %s (store %s), not to "
      "%s; do: give --data of the right node\n",
      identity.value().name.c_str(), ToString(identity.value().store).c_str(), flags.name.c_str());
  return 1;
}

// What `verify` counts, of all streams.
struct Verified {
  int stopping = 0;       // Findings with which a node must not start,
  int holes = 0;          // damage with which it starts,
  int short_regions = 0;  // regions that have lost entries by it,
  int notes = 0;          // and what the next start puts in order.
  std::size_t segments = 0;
  std::size_t regions = 0;
  std::uint64_t batches = 0;
};

// What of the damage still matters. Returns how many regions have lost entries.
int VerifyEntries(const wal::LogIndex& index) {
  int regions = 0;
  for (const auto& [id, region] : index.regions()) {
    const wal::RegionLog log = index.Describe(region);
    if (!log.lost) continue;
    ++regions;
    std::printf(
        "lost-entries region %s peer %s: what the log says from %s to %s is not all there; do: "
        "start the node, which asks the region's other peers for it; without any, put a backup "
        "back\n",
        ToString(id).c_str(), ToString(log.peer).c_str(), ToString(log.lost->first).c_str(),
        ToString(log.lost->last).c_str());
  }
  return regions;
}

Status VerifyLog(FileSystem& files, const std::string& directory, Verified* all) {
  const wal::LogVisitor visitor{
      .on_finding =
          [&](const wal::Finding& finding) {
            std::printf("%s\n", ToString(finding).c_str());
            ++(finding.StopsNode() ? all->stopping : finding.IsDamage() ? all->holes : all->notes);
            return Status();
          },
      .on_batch =
          [&](const wal::Segment&, const wal::ScannedBatch&) {
            ++all->batches;
            return Status();
          }};
  RUTILE_ASSIGN_OR_RETURN(const wal::Recovered log, wal::ReadLog(files, directory, visitor));
  all->short_regions += VerifyEntries(log.index);
  all->segments += log.segments.size();
  all->regions += log.index.regions().size();
  return {};
}

}  // namespace

Result<StoppedNode> StoppedNode::Open(const std::string& data,
                                      posix::PosixFileSystem::Access access) {
  StoppedNode node;
  node.files = std::make_unique<posix::PosixFileSystem>(data, access);
  const std::string first = wal::Options().directory;
  if (const Status status = node.files->List(first).status(); !status.ok()) {
    return Status(Code::kInvalidArgument,
                  "--data " + data + ": there is no log that can be read: " +
                      std::string(status.message()) + "; give the data directory of a node");
  }
  RUTILE_ASSIGN_OR_RETURN(node.lock, node.files->Lock("LOCK"));
  const Result<node::Identity> identity = node::LoadIdentity(*node.files);
  for (std::size_t i = 0;; ++i) {
    std::string directory = wal::StreamDirectory(first, i);
    const bool counts = identity.ok() ? i < identity.value().log_streams
                                      : i == 0 || node.files->List(directory).ok();
    if (!counts) return node;
    node.logs.push_back(std::move(directory));
  }
}

int WalVerify(const WalFlags& flags) {
  const Result<StoppedNode> node = StoppedNode::Open(flags.data);
  if (!node.ok()) return Fail(node.status());
  FileSystem& files = *node.value().files;
  Verified all{.stopping = VerifyIdentity(flags, files)};
  for (const std::string& directory : node.value().logs) {
    if (const Status status = VerifyLog(files, directory, &all); !status.ok()) return Fail(status);
  }
  const bool clean = all.stopping == 0 && all.holes == 0;
  std::printf("%s: %zu segments, %llu batches, %zu regions", clean ? "clean" : "damaged",
              all.segments, static_cast<unsigned long long>(all.batches), all.regions);
  if (node.value().logs.size() > 1) std::printf(" in %zu streams", node.value().logs.size());
  if (all.stopping != 0) {
    std::printf("; %d findings with which a node must not start", all.stopping);
  }
  if (all.holes != 0) {
    std::printf("; %d that a node starts with, %d regions having lost entries by it", all.holes,
                all.short_regions);
  }
  if (all.notes != 0) std::printf("; %d that the next start puts in order", all.notes);
  std::printf("\n");
  return clean ? kExitOk : kExitDataFailed;
}

void AddWal(CLI::App& app, int* exit_code) {
  CLI::App* wal = app.add_subcommand("wal", "Looks at the log of a node that does not run");
  wal->require_subcommand(1);
  const auto flags = std::make_shared<WalFlags>();
  const auto region = [&](CLI::App* command) {
    return command->add_option("--region", flags->region, "Id of the region, as `status` shows it")
        ->check(CLI::PositiveNumber);
  };
  const auto json = [&](CLI::App* command) { command->add_flag("--json", flags->json, "As JSON"); };

  CLI::App* verify = AddAction(*wal, "verify", "Reads all of it; one line for each finding", flags,
                               exit_code, WalVerify);
  verify->add_option("--name", flags->name, "Name of the node whose it must be");

  CLI::App* dump = AddAction(*wal, "dump", "Every record, in order", flags, exit_code, WalDump);
  region(dump);
  dump->add_option("--from", flags->from, "Only records with entries from this index on");
  dump->add_option("--to", flags->to, "Only records with entries up to this index");
  dump->add_option("--segment", flags->segment, "Only records of this file");
  dump->add_flag("--payload", flags->payload, "Every entry, with its first bytes in hexadecimal");
  json(dump);

  json(AddAction(*wal, "stats", "Who needs how much of it", flags, exit_code, WalStats));

  CLI::App* exported = AddAction(*wal, "export", "Copies one region's log and hard state to a file",
                                 flags, exit_code, WalExport);
  region(exported)->required();
  exported->add_option("--out", flags->out, "The file; it must not exist")->required();

  CLI::App* imported = AddAction(*wal, "import", "Puts an exported region back; read the warning",
                                 flags, exit_code, WalImport);
  region(imported);
  imported->add_option("--in", flags->in, "The file")->required();
  imported->add_flag("--replace", flags->replace, "Gives up what the log has of the region");
  imported->add_flag("--i-accept-data-loss", flags->accept_data_loss,
                     "The replica may forget entries and votes that it has promised");
}

}  // namespace rutile::cmd
