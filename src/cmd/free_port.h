#pragma once

#include "base/status.h"

namespace rutile::cmd {

// A port of the loopback interface that nobody listens on at the moment.
Result<int> FreePort();

}  // namespace rutile::cmd
