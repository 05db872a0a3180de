#pragma once

#include <cstdint>

#include "env/env.h"
#include "placement/placement.h"
#include "rpc/services/methods.h"

namespace rutile::rpc {

// Where collectors of garbage keep, as decimal text among the values, the point below which
// transactions must not read any more.
inline constexpr char kTxnSafePointKey[] = "/tidb/store/gcworker/saved_safe_point";

// The point below which transactions must not read: no less than what may be collected.
std::uint64_t TxnSafePoint(const placement::State& state);

// Adds the calls on safe points and on the external timestamp. Both outlive the server.
void RegisterSafePointCalls(placement::Placement& placement, const Clock& clock, Methods* methods);

}  // namespace rutile::rpc
