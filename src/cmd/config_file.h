#pragma once

#include <string>

#include "base/status.h"

namespace CLI {
class App;
}

namespace rutile::cmd {

// Gives the options of `command` that were not on the command line the values of the TOML file at
// `path`; its keys are the options' names without dashes. All mistakes are reported at once, each
// with its line and column.
Status ApplyConfigFile(const std::string& path, CLI::App& command);

}  // namespace rutile::cmd
