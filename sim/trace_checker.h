#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "sim/trace_event.h"

namespace rutile::sim {

// Replays a trace by the rules of Raft (Ongaro, "Consensus: Bridging Theory and Practice", chapters
// 3 and 4) and says at which event it is no run of that protocol. Shares no code with the core: it
// keeps each node's term, vote, role, log and commit index, what was sent, and what was committed,
// and asks of each event whether it may happen and whether it leaves the state that it shows.
//
// Messages may be lost, repeated and late. Requests for votes may be ignored, appends may not. What
// a trace does not show (elections before the vote, orders to campaign) is not judged.
class TraceChecker {
 public:
  TraceChecker();
  ~TraceChecker();

  // Nothing while the trace is a run of Raft, else why it is not. What follows a rejected event of
  // a group is not looked at.
  std::optional<std::string> Take(const TraceEvent& event);
  // How many were accepted.
  std::uint64_t events() const { return events_; }

 private:
  class Group;
  std::map<RegionId, std::unique_ptr<Group>> groups_;
  std::uint64_t events_ = 0;
};

// Reads and replays a whole trace; returns how many events it has. kInvalidArgument names `file`,
// the line, and what was expected of it (a line that is no event) or which rule was broken.
Result<std::uint64_t> CheckTrace(std::string_view text, const std::string& file);

}  // namespace rutile::sim
