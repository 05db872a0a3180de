#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "mvcc/reader.h"
#include "txn/outcome.h"

namespace rutile::txn {

struct HeartbeatRequest {
  std::string primary = {};
  Timestamp start = {};
  std::uint64_t ttl_ms = 0;
  // Of a pipelined transaction: it will not be committed below, and others are told so.
  Timestamp min_commit = {};
};

struct HeartbeatOutcome {
  Outcome outcome = {};  // With at most one error.
  std::uint64_t ttl_ms = 0;
};

// The client of a long transaction lives: its primary lock's time to live becomes at least
// `ttl_ms`, and is what is answered; its least commit timestamp likewise at least `min_commit`.
// Fails when the lock is gone. Terms as for Prewrite().
Result<HeartbeatOutcome> Heartbeat(mvcc::Reader& reader, const HeartbeatRequest& request);

}  // namespace rutile::txn
