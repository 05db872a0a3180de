#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "raft/types.h"

namespace rutile::sim {

// What happens to one Raft node, in the alphabet and the line format of the trace validation of
// etcd's Raft library (its directory tla/): one JSON object a line,
//   {"tag":"trace","group":2,"event":{"name":..,"nid":..,"state":{..},"role":..,"log":..,
//    "conf":[[..],[..]],"msg":{..},"prop":{..}}}
// Other members of the outer object are ignored. `state`, `role`, `log` and `conf` are those after
// the event; for what is received, and for Replicate, those before it.
enum class TraceName : std::uint8_t {
  kInitState,
  kBecomeCandidate,
  kBecomeFollower,
  kBecomeLeader,
  kCommit,
  kReplicate,
  kChangeConf,
  kApplyConfChange,
  kReady,
  kSendAppendEntriesRequest,
  kReceiveAppendEntriesRequest,
  kSendAppendEntriesResponse,
  kReceiveAppendEntriesResponse,
  kSendRequestVoteRequest,
  kReceiveRequestVoteRequest,
  kSendRequestVoteResponse,
  kReceiveRequestVoteResponse,
  kSendSnapshot,
  kReceiveSnapshot,
};
std::string_view ToString(TraceName name);
// An event by which a node changes its role.
bool Becomes(TraceName name);

enum class TraceRole : std::uint8_t { kFollower, kCandidate, kLeader, kPreCandidate };
std::string_view ToString(TraceRole role);

enum class TraceMessageType : std::uint8_t {
  kMsgApp,
  kMsgAppResp,
  kMsgVote,
  kMsgVoteResp,
  kMsgSnap,
  kMsgHeartbeat,
  kMsgHeartbeatResp,
};
std::string_view ToString(TraceMessageType type);

struct TraceMessage {
  TraceMessageType type = TraceMessageType::kMsgApp;
  Term term = {};
  PeerId from = {};
  PeerId to = {};
  std::uint64_t entries = 0;  // How many; MsgSnap: the snapshot's index.
  Term log_term = {};
  Index index = {};
  Index commit = {};
  bool reject = false;
  Index reject_hint = {};

  friend bool operator==(const TraceMessage&, const TraceMessage&) = default;
};

// Who votes: of both configurations while they are joint.
struct TraceConf {
  raft::PeerIds voters = {};
  raft::PeerIds outgoing = {};

  friend bool operator==(const TraceConf&, const TraceConf&) = default;
};

// From `start` up to the next run entries have `term`.
struct TraceRun {
  Index start = {};
  Term term = {};

  friend bool operator==(const TraceRun&, const TraceRun&) = default;
};

// In prop.durable of Ready and InitState: what is on the node's disk. A trace without it says
// nothing of disks, and is not judged by them.
struct TraceDurable {
  Term term = {};
  PeerId vote = {};
  Index log = {};
  // Until its log is as new as this the node does not vote: the disk has lost some of it.
  Rare<LogId> impaired = {};

  friend bool operator==(const TraceDurable&, const TraceDurable&) = default;
};

// In prop.log of InitState: what the log is.
struct TraceLog {
  LogId base = {};
  std::vector<TraceRun> runs = {};

  friend bool operator==(const TraceLog&, const TraceLog&) = default;
};

struct TraceEvent {
  RegionId group = {};
  TraceName name = TraceName::kInitState;
  PeerId node = {};
  Term term = {};
  PeerId vote = {};
  Index commit = {};
  TraceRole role = TraceRole::kFollower;
  Index log = {};                              // The last index.
  std::shared_ptr<const TraceConf> conf = {};  // Never null.
  std::optional<TraceMessage> message = {};    // Of Send... and Receive....
  std::optional<TraceDurable> durable = {};    // prop.durable.
  std::optional<TraceLog> found = {};          // prop.log.
  std::optional<LogId> snapshot = {};          // prop.snapshot of a received MsgSnap.
  // prop.cc of ChangeConf (what the appended entry says; null if the trace does not tell) and of
  // ApplyConfChange (what is in force now).
  std::shared_ptr<const TraceConf> new_conf = {};
};

// One line, without its end.
std::string ToJson(const TraceEvent& event);
// Nothing for a line that is an object without "tag":"trace". kInvalidArgument says which member is
// missing or wrong, and what was expected.
Result<std::optional<TraceEvent>> ParseTraceEvent(std::string_view line);

}  // namespace rutile::sim
