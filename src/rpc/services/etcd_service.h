#pragma once

#include "placement/placement.h"
#include "rpc/services/methods.h"

namespace rutile::rpc {

// The corner of etcd's API that TiKV's clients use at placement's address: small values (the safe
// point of transactions above all) and the list of members.
//
// Values have no history: revisions and versions are all 1, and what needs more is refused with
// kUnimplemented (leases, old revisions, comparisons with a revision above 0). A transaction either
// only reads, or writes one key on a condition on that same key. `scheme`: of the members' URLs.
void RegisterEtcdCalls(placement::Placement& placement, const std::string& scheme,
                       Methods* methods);

}  // namespace rutile::rpc
