#pragma once

#include "env/env.h"
#include "placement/placement.h"
#include "rpc/services/methods.h"

namespace rutile::rpc {

// The calls about keyspaces: PD's, which list them, find them and change their states, and one of
// ours that makes them. Those that read are answered by any member, with what was answered before;
// those that write by the leader. Not watched: clients of PD do not know how to, either.
//
// Both outlive the server.
void RegisterKeyspaceCalls(placement::Placement& placement, const Clock& clock, Methods* methods);

}  // namespace rutile::rpc
