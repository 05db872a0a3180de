#include "cmd/gc_life.h"

namespace rutile::cmd {

Status CheckGcLife(const std::string& flag, std::int64_t life_ms) {
  if (life_ms >= 1000 && life_ms <= kMostGcMillis) return {};
  return Status(Code::kInvalidArgument,
                flag + " " + std::to_string(life_ms) +
                    ": 1000 milliseconds to 30 days make sense; transactions that take longer than "
                    "that have to begin anew");
}

}  // namespace rutile::cmd
