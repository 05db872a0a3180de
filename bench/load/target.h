#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "bench/load/h2_client.h"
#include "bench/load/workload.h"

namespace rutile::bench {

// What is loaded, and by which calls.
enum class TargetKind : std::uint8_t {
  kRawUnary,  // Rutile, or another server of TiKV's protocol: RawPut, RawGet, RawScan.
  kRawBatch,  // The same requests inside a BatchCommands stream.
  kEtcd,      // etcd's version 3 API: Put and linearizable Range.
};

struct TargetOptions {
  TargetKind kind = TargetKind::kRawUnary;
  // "host:port". Of a raw target: whom to ask for the others. etcd: all members; the first is used
  // for as long as it answers, so the leader comes first.
  std::vector<std::string> endpoints = {};
  // Most requests in a message of a stream.
  std::size_t batch = 64;
  // An operation is tried again until this long after its start.
  Duration op_timeout = Seconds(10);
};

// `found` tells whether a get or scan returned anything.
using OpDone = std::function<void(const Status& status, bool found)>;

// A store under load. Operations that reach the wrong place, or find nobody there, are tried again,
// elsewhere or later; a put may therefore be carried out twice.
//
// Use from the thread of the client.
class Target {
 public:
  virtual ~Target() = default;
  // Learns where everything is. Polls the client until that is known, or fails after op_timeout.
  virtual Status Connect() = 0;
  // Copies what it needs of `op`. `done` runs from a Poll.
  virtual void Start(const Op& op, OpDone done) = 0;
  // How often an operation was sent again.
  virtual std::uint64_t retries() const = 0;
};

// kInvalidArgument without endpoints. `client` outlives the target.
Result<std::unique_ptr<Target>> NewTarget(const TargetOptions& options, H2Client& client);

std::unique_ptr<Target> NewRawTarget(const TargetOptions& options, H2Client& client);
std::unique_ptr<Target> NewEtcdTarget(const TargetOptions& options, H2Client& client);

}  // namespace rutile::bench
