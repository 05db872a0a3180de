#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

#include "base/random.h"
#include "client/garbage_rounds.h"
#include "cmd/client_session.h"
#include "cmd/commands.h"
#include "cmd/gc_life.h"
#include "env/posix/posix_clock.h"
#include "env/posix/thread_executor.h"

namespace rutile::cmd {
namespace {

struct GcFlags {
  ClientFlags client = {};
  std::int64_t life_ms = 600'000;
  std::string api_version = "v1";
};

int Print(const client::GarbageRound& round) {
  const std::string held = round.held_by.empty() ? "" : "; held back by " + round.held_by;
  if (round.is_raised) {
    std::printf("the safe point was raised to %s%s\n", ToString(round.safe_point).c_str(),
                held.c_str());
  } else {
    std::printf("nothing to do: the safe point stays at %s%s\n", ToString(round.safe_point).c_str(),
                held.c_str());
  }
  std::printf("locks resolved: %zu, regions: %zu\n", round.locks_resolved, round.regions);
  return kExitOk;
}

// One round, to its end.
int RunRound(const GcFlags& flags) {
  if (Status status = CheckGcLife("--life-ms", flags.life_ms); !status.ok()) return Fail(status);
  const Result<codec::ApiVersion> api = codec::ParseApiVersion(flags.api_version);
  if (!api.ok()) return Fail(api.status().WithContext("--api-version"));
  const posix::PosixClock clock;
  SeededRandom random(posix::RandomSeed());
  posix::ThreadExecutor executor("gc");
  client::GarbageOptions options;
  options.client.endpoints = flags.client.EndpointList();
  options.client.timeout = Milliseconds(flags.client.timeout_ms);
  options.client.api = api.value();
  options.life = Milliseconds(flags.life_ms);
  // For its connections.
  const auto client = client::Client::Open(flags.client.ToOptions());
  if (!client.ok()) return Fail(client.status());
  client::GarbageRounds rounds(options, client.value()->connect(), clock, random, executor);
  const Result<client::GarbageRound> round = client::Await(rounds, &client::GarbageRounds::Run);
  client::AwaitClosed(rounds);
  return round.ok() ? Print(round.value()) : Fail(round.status());
}

}  // namespace

void AddGc(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<GcFlags>();
  CLI::App* command = app.add_subcommand(
      "gc", "Resolve old locks and let versions be removed that are older than a time");
  flags->client.AddTo(*command);
  command
      ->add_option("--life-ms", flags->life_ms,
                   "For how long versions are kept that were overwritten")
      ->capture_default_str();
  command->add_option("--api-version", flags->api_version, "As the cluster was started with")
      ->capture_default_str();
  command->callback([flags, exit_code] { *exit_code = RunRound(*flags); });
}

}  // namespace rutile::cmd
