#pragma once

#include <string>

#include "base/status.h"

namespace CLI {
class App;
}

namespace rutile::cmd {

inline constexpr const char* kVersion = "0.1.0";

// What the process returns; docs/operations/running.md.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;       // The operation failed.
inline constexpr int kExitUsage = 2;        // Wrong flags or configuration.
inline constexpr int kExitUnreachable = 3;  // No server answered.
inline constexpr int kExitUnhealthy = 4;    // `status`: it answered, but all is not well.
inline constexpr int kExitDataFailed = 70;  // The disk failed or the data do not verify: a restart
                                            // alone does not help.

// Each adds its subcommands to `app`; one that runs sets `*exit_code`.
void AddServe(CLI::App& app, int* exit_code);
void AddPlayground(CLI::App& app, int* exit_code);
void AddKeyCommands(CLI::App& app, int* exit_code);
void AddKeyspace(CLI::App& app, int* exit_code);
void AddTxn(CLI::App& app, int* exit_code);
void AddGc(CLI::App& app, int* exit_code);
void AddStatus(CLI::App& app, int* exit_code);
void AddRegion(CLI::App& app, int* exit_code);
void AddWal(CLI::App& app, int* exit_code);
void AddBench(CLI::App& app, int* exit_code);
void AddSim(CLI::App& app, int* exit_code);

// Prints "error: <message>" to stderr and returns the code that fits the status.
int Fail(const Status& status);

}  // namespace rutile::cmd
