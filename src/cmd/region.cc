#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>

#include "cmd/commands.h"
#include "cmd/region_operator.h"

namespace rutile::cmd {
namespace {

struct RegionFlags {
  ClientFlags client = {};
  std::uint64_t region = 0;
  std::uint64_t peer = 0;
  std::uint64_t store = 0;
  bool learner = false;
  std::int64_t wait_seconds = 300;
};

using Action = std::function<Status(const RegionFlags&, RegionOperator&)>;

int Run(const RegionFlags& flags, const Action& action) {
  const auto session = ClientSession::Open(flags.client);
  if (!session.ok()) return Fail(session.status());
  RegionOperator region(*session.value(), flags.client, RegionId(flags.region),
                        Seconds(flags.wait_seconds));
  Status status = action(flags, region);
  if (status.ok()) std::printf("done\n");
  return status.ok() ? kExitOk : Fail(status);
}

CLI::App* AddAction(CLI::App& parent, const std::string& name, const std::string& what,
                    const std::shared_ptr<RegionFlags>& flags, int* exit_code, Action action) {
  CLI::App* command = parent.add_subcommand(name, what);
  command->add_option("REGION", flags->region, "Id of the region, as `status` shows it")
      ->required();
  flags->client.AddTo(*command);
  command
      ->add_option("--wait-seconds", flags->wait_seconds,
                   "How long to wait for a leader, and for a peer to catch up")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->callback(
      [flags, exit_code, action = std::move(action)] { *exit_code = Run(*flags, action); });
  return command;
}

}  // namespace

void AddRegion(CLI::App& app, int* exit_code) {
  CLI::App* region = app.add_subcommand("region", "Where the replicas of a region are");
  region->require_subcommand(1);
  const auto flags = std::make_shared<RegionFlags>();
  const auto peer = [&](CLI::App* command) {
    command->add_option("PEER", flags->peer, "Id of the replica, as `status --json` shows it")
        ->required();
  };
  const auto store = [&](CLI::App* command) {
    command->add_option("STORE", flags->store, "Id of the store, as `status` shows it")->required();
  };

  CLI::App* add = AddAction(*region, "add-peer", "Gives a store a replica", flags, exit_code,
                            [](const RegionFlags& given, RegionOperator& by) {
                              PeerId added;
                              return by.AddPeer(StoreId(given.store), given.learner, &added);
                            });
  store(add);
  add->add_flag("--learner", flags->learner, "It gets all data and has no vote");
  peer(AddAction(*region, "remove-peer", "Takes a replica away", flags, exit_code,
                 [](const RegionFlags& given, RegionOperator& by) {
                   return by.RemovePeer(PeerId(given.peer));
                 }));
  CLI::App* move = AddAction(*region, "move-peer", "Moves a replica to another store", flags,
                             exit_code, [](const RegionFlags& given, RegionOperator& by) {
                               return by.MovePeer(PeerId(given.peer), StoreId(given.store));
                             });
  peer(move);
  store(move);
  peer(AddAction(*region, "rebuild-peer",
                 "Replaces a replica by a new one on the same store, from its peers", flags,
                 exit_code, [](const RegionFlags& given, RegionOperator& by) {
                   return by.RebuildPeer(PeerId(given.peer));
                 }));
  peer(AddAction(*region, "transfer-leader", "Lets another replica lead", flags, exit_code,
                 [](const RegionFlags& given, RegionOperator& by) {
                   return by.TransferLeader(PeerId(given.peer));
                 }));
}

}  // namespace rutile::cmd
