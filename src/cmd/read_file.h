#pragma once

#include <string>

#include "base/status.h"

namespace rutile::cmd {

// All of a file that the user has named; kInvalidArgument with the path and the reason otherwise,
// also for a directory, which opens like a file.
Result<std::string> ReadFile(const std::string& path);

}  // namespace rutile::cmd
