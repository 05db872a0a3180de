#pragma once

#include <map>
#include <string>
#include <vector>

#include "sim/linearizability.h"

namespace rutile::sim {

// A history of register calls, by key, as texts that others' checkers read. Both list invocations
// and completions by time (nanoseconds of the world); a call that was never answered is completed
// as :info, and its caller goes on as another process, as Jepsen wants it. A compare-and-swap that
// found another value is a :fail. Values are [key value]; of a compare-and-swap
// [key [expected new]].
//
// EDN: one map a line, as Jepsen's history.edn.
std::string HistoryAsEdn(const std::map<std::string, std::vector<RegisterCall>>& history);
// The same as one JSON array of objects.
std::string HistoryAsJson(const std::map<std::string, std::vector<RegisterCall>>& history);

}  // namespace rutile::sim
