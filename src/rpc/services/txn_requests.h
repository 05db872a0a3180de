#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/status.h"
#include "mvcc/reader.h"
#include "store/pessimistic_locks.h"
#include "store/region_resolver.h"
#include "txn/prewrite.h"

namespace kvrpcpb {
class Context;
class FlushRequest;
class PessimisticLockRequest;
class PrewriteRequest;
class ResolveLockRequest;
}  // namespace kvrpcpb

namespace rutile::rpc {

// What transactions ask for, from the protocol's words into ours. A Status is for who asked: what
// no client should send.

// How a reader looks at the data at `version`. With `needs_commits` no value is read from a lock,
// which does not know when its transaction was committed.
Result<mvcc::View> ToView(const kvrpcpb::Context& context, std::uint64_t version,
                          bool needs_commits);
Result<txn::PrewriteRequest> ToPrewrite(const kvrpcpb::PrewriteRequest& request);
Result<txn::PrewriteRequest> ToPrewrite(const kvrpcpb::FlushRequest& request);
Result<store::LockRequest> ToLockRequest(const kvrpcpb::PessimisticLockRequest& request);
store::Fates ToFates(const kvrpcpb::ResolveLockRequest& request);

}  // namespace rutile::rpc
