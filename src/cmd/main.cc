#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <string>

#include "cmd/commands.h"

// The one program: `rutile <command>`. Exit codes: docs/operations/running.md.
int main(int argc, char** argv) {
  CLI::App app("Rutile: a distributed, transactional, ordered key-value store");
  app.set_version_flag("--version", std::string("rutile ") + rutile::cmd::kVersion);
  app.require_subcommand(1);
  app.fallthrough(false);
  int exit_code = rutile::cmd::kExitOk;
  rutile::cmd::AddServe(app, &exit_code);
  rutile::cmd::AddPlayground(app, &exit_code);
  rutile::cmd::AddKeyCommands(app, &exit_code);
  rutile::cmd::AddKeyspace(app, &exit_code);
  rutile::cmd::AddTxn(app, &exit_code);
  rutile::cmd::AddGc(app, &exit_code);
  rutile::cmd::AddStatus(app, &exit_code);
  rutile::cmd::AddRegion(app, &exit_code);
  rutile::cmd::AddWal(app, &exit_code);
  rutile::cmd::AddBench(app, &exit_code);
  rutile::cmd::AddSim(app, &exit_code);
  const std::string first = argc > 1 ? argv[1] : "";
  const auto commands = app.get_subcommands([](const CLI::App*) { return true; });
  const bool known = first.empty() || first.front() == '-' ||
                     std::any_of(commands.begin(), commands.end(), [&](const CLI::App* command) {
                       return command->get_name() == first;
                     });
  if (!known) {
    std::fprintf(stderr, "error: unknown command '%s'; rutile --help lists them\n", first.c_str());
    return rutile::cmd::kExitUsage;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // CLI11 prints help and version to stdout with code 0, and mistakes to stderr.
    const int code = app.exit(error);
    return code == 0 ? rutile::cmd::kExitOk : rutile::cmd::kExitUsage;
  }
  return exit_code;
}
