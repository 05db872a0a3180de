// Limits, changed while all runs, and what a peer under pressure tells.
//
// What a peer has been given and has not worked off lies in memory: entries that its disk does not
// have yet, and entries that are handed out and not applied. Both shrink without any further
// message, whatever the group does, so a peer may refuse more of either without ever holding up
// what it waits for itself. (Entries that wait to be committed are none of them: those go only when
// more entries come.)
//
// A leader under pressure refuses proposals. A follower tells its leader, with every answer, how
// many bytes more it takes; silence would look like a dead peer, and an unanswered stream like a
// lost one. When it has recovered it says so by itself.

#include <algorithm>
#include <utility>

#include "base/probe.h"
#include "raft/raft_core.h"

namespace rutile::raft {
namespace {

std::size_t BytesOf(const LogSlice& slice) {
  std::size_t bytes = 0;
  for (const Entry& entry : slice.entries) bytes += entry.size_bytes();
  return bytes;
}

}  // namespace

Effects Raft::Core::SetLimits(Instant now, const Limits& limits) {
  return Run(now, {.kind = CoreInput::Kind::kLimits}, [&] {
    options_.max_inflight_messages = std::max<std::size_t>(1, limits.max_inflight_messages);
    options_.max_inflight_bytes = std::max<std::size_t>(1, limits.max_inflight_bytes);
    options_.max_append_bytes = limits.max_append_bytes;
    options_.max_uncommitted_bytes = std::max<std::size_t>(1, limits.max_uncommitted_bytes);
    options_.max_backlog_bytes = std::max<std::size_t>(1, limits.max_backlog_bytes);
    // What is on its way beyond a smaller window stays there; a wider one is used at once.
    for (auto& [to, peer] : peers_) {
      if (peer.state() == Progress::State::kReplicate) SendAppends(to, peer);
    }
  });
}

Limits Raft::Core::limits() const {
  return {.max_inflight_messages = options_.max_inflight_messages,
          .max_inflight_bytes = options_.max_inflight_bytes,
          .max_append_bytes = options_.max_append_bytes,
          .max_uncommitted_bytes = options_.max_uncommitted_bytes,
          .max_backlog_bytes = options_.max_backlog_bytes};
}

bool Raft::Core::IsBusy() const {
  return uncommitted_bytes_ >= options_.max_uncommitted_bytes ||
         backlog_bytes() >= options_.max_backlog_bytes;
}

// How much more this peer takes. Says nothing while half of what it may hold is free.
std::uint64_t Raft::Core::Room() const {
  const std::size_t held = backlog_bytes();
  const std::size_t limit = options_.max_backlog_bytes;
  if (held <= limit / 2) return kAnyRoom;
  RUTILE_SOMETIMES(held >= limit, "raft: a follower takes no more entries");
  return limit - std::min(limit, held);
}

// Ends every call: by now it is known what the call gives to disk and apply.
void Raft::Core::NotePressure() {
  if (out_->write) {
    writing_.Add(out_->write->log.mark.write.value(), BytesOf(out_->write->log.slice));
  }
  if (!out_->committed.empty()) {
    applying_.Add(tail_.applying().value(), BytesOf(out_->committed));
  }
  if (role_ == Role::kLeader || out_->messages.empty()) return;
  const std::uint64_t room = Room();
  for (Message& message : out_->messages) {
    if (message.type != MessageType::kAppendReply && message.type != MessageType::kHeartbeatReply) {
      continue;
    }
    message.applied = tail_.applied();
    message.room = room;
    message.impaired = IsImpaired();
    told_room_ = room;
  }
}

// Before messages are settled: a leader that was told to wait need not wait for its next round.
void Raft::Core::TellRoom() {
  if (told_room_ == kAnyRoom || Room() != kAnyRoom) return;
  told_room_ = kAnyRoom;
  if (leader_.IsZero() || leader_ == id()) return;
  RUTILE_SOMETIMES(true, "raft: a follower takes entries again");
  Message message = Make(MessageType::kAppendReply, leader_);
  message.match = tail_.committed();
  const Index promised = message.match;
  Promise(std::move(message), promised);
}

}  // namespace rutile::raft
