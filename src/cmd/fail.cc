#include <cstdio>

#include "cmd/commands.h"

namespace rutile::cmd {

int Fail(const Status& status) {
  std::fprintf(stderr, "error: %s\n", std::string(status.message()).c_str());
  switch (status.code()) {
    case Code::kInvalidArgument: return kExitUsage;
    case Code::kUnavailable:
    case Code::kDeadlineExceeded: return kExitUnreachable;
    case Code::kCorruption:
    case Code::kIoError: return kExitDataFailed;
    default: return kExitFailed;
  }
}

}  // namespace rutile::cmd
