#pragma once

#include "base/status.h"
#include "mvcc/inspect.h"
#include "mvcc/types.h"
#include "txn/outcome.h"

namespace deadlock {
class WaitForEntry;
}
namespace kvrpcpb {
class KeyError;
class LockInfo;
class MvccInfo;
}  // namespace kvrpcpb

namespace rutile::rpc {

// What stands in the way of a transaction, in the protocol's words. docs/transactions.md has the
// table of what a client does about each.

void ToProto(const mvcc::KeyIsLocked& locked, kvrpcpb::LockInfo* out);
// A key's records as they are, for whoever looks into them.
void ToProto(const mvcc::KeyRecords& records, kvrpcpb::MvccInfo* out);
void ToProto(const txn::KeyError& error, kvrpcpb::KeyError* out);
void ToProto(const txn::WaitFor& wait, deadlock::WaitForEntry* out);
// A request that cannot be carried out whoever sends it, and again: final.
void ToProto(const Status& status, kvrpcpb::KeyError* out);

}  // namespace rutile::rpc
