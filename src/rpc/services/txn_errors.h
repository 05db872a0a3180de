#pragma once

#include "base/status.h"
#include "mvcc/types.h"
#include "txn/outcome.h"

namespace kvrpcpb {
class KeyError;
class LockInfo;
}  // namespace kvrpcpb

namespace rutile::rpc {

// What stands in the way of a transaction, in the protocol's words. docs/transactions.md has the
// table of what a client does about each.

void ToProto(const mvcc::KeyIsLocked& locked, kvrpcpb::LockInfo* out);
void ToProto(const txn::KeyError& error, kvrpcpb::KeyError* out);
// A request that cannot be carried out whoever sends it, and again: final.
void ToProto(const Status& status, kvrpcpb::KeyError* out);

}  // namespace rutile::rpc
