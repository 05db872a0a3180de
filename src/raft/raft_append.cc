// What a follower does with entries from its leader: Raft 5.3.

#include <algorithm>
#include <utility>

#include "base/probe.h"
#include "raft/raft_core.h"

namespace rutile::raft {

void Raft::Core::HandleAppend(Message& message) {
  if (!message.slice.Validate() || message.slice.last().term > message.term) return;
  if (!TakeAsKept(message.slice)) return;
  const LogSlice& slice = message.slice;
  if (!HearLeader(message.from)) return;

  Message reply = Make(MessageType::kAppendReply, message.from);
  // What is compacted here is committed, and so in every leader's log: it matches without looking.
  if (slice.prev.index >= tail_.base().index && !tail_.Contains(slice.prev)) {
    if (slice.prev.index <= tail_.committed()) {
      return Poison("the leader's log lacks what is committed here: " + ToString(message));
    }
    RUTILE_SOMETIMES(slice.prev.index <= tail_.last().index, "raft: another entry stands there");
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
  const Entries configurations = configures ? slice.entries : Entries();
  const Epoch epoch = tail_.epoch();
  const Index cached_from = tail_.first_resident();
  if (!tail_.Append(std::move(message.slice))) {
    return Poison("the leader replaces what is committed here: up to " + ToString(verified));
  }
  if (configures || tail_.epoch() != epoch) NoteConfigurations(configurations);
  const bool cut = tail_.epoch() != epoch;
  RUTILE_SOMETIMES(cut, "raft: a follower's log was cut");
  RUTILE_SOMETIMES(cut && message.commit >= verified.index && cached_from <= verified.index,
                   "raft: one message replaces cached entries and commits the new ones");
  RUTILE_SOMETIMES(verified.index <= tail_.base().index, "raft: all of it is compacted here");
  RUTILE_SOMETIMES(verified.index < tail_.last().index,
                   "raft: an old message says less than is here");
  // Raft 5.3: beyond what this message has verified the log may still differ from the leader's.
  tail_.CommitTo(std::min(message.commit, verified.index));
  reply.match = std::max(verified.index, tail_.committed());
  const Index promised = reply.match;
  Promise(std::move(reply), promised);
}

}  // namespace rutile::raft
