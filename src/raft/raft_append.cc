// What a follower does with entries from its leader: Raft 5.3.

#include <algorithm>
#include <utility>

#include "raft/raft_core.h"

namespace rutile::raft {

void Raft::Core::HandleAppend(Message& message) {
  const LogSlice& slice = message.slice;
  if (!slice.Validate() || slice.last().term > message.term) return;
  if (!HearLeader(message.from)) return;

  Message reply = Make(MessageType::kAppendReply, message.from);
  // What is compacted here is committed, and so in every leader's log: it matches without looking.
  if (slice.prev.index >= tail_.base().index && !tail_.Contains(slice.prev)) {
    if (slice.prev.index <= tail_.committed()) {
      return Poison("the leader's log lacks what is committed here: " + ToString(message));
    }
    reply.rejected = true;
    reply.match = slice.prev.index;
    reply.hint = tail_.FindAgreement(slice.prev);
    return Promise(std::move(reply), Index());
  }

  // One message, one change: cut, append, commit; handed out when the call finishes.
  const LogId verified = slice.last();
  const bool configures =
      std::any_of(slice.entries.begin(), slice.entries.end(),
                  [](const Entry& entry) { return entry.type == EntryType::kConfig; });
  const std::vector<Entry> configurations = configures ? slice.entries : std::vector<Entry>();
  const Epoch epoch = tail_.epoch();
  if (!tail_.Append(std::move(message.slice))) {
    return Poison("the leader replaces what is committed here: up to " + ToString(verified));
  }
  if (configures || tail_.epoch() != epoch) NoteConfigurations(configurations);
  // Raft 5.3: beyond what this message has verified the log may still differ from the leader's.
  tail_.CommitTo(std::min(message.commit, verified.index));
  reply.match = std::max(verified.index, tail_.committed());
  Promise(std::move(reply), reply.match);
}

}  // namespace rutile::raft
