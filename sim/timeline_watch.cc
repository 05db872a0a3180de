#include "sim/timeline_watch.h"

#include <algorithm>
#include <utility>

namespace rutile::sim {
namespace {

constexpr std::size_t kRuns = 6;  // Of a log's terms: more do not fit on a screen.

// "11@2", "11@2..14@2".
std::string ShowEntries(const LogSlice& slice) {
  const std::string first = ToString(slice.entries.front().id);
  return slice.entries.size() == 1 ? first : first + ".." + ToString(slice.last());
}

// The last entry that was handed out.
std::string ShowLast(const TimelineReplica& replica) {
  Term term = replica.base.term;
  for (const raft::TermRun& run : replica.runs) {
    if (run.start <= replica.applying) term = run.term;
  }
  return ToString(LogId{term, replica.applying});
}

// Without who sends and who receives.
std::string ShowContent(const raft::Message& message) {
  std::string text = ToString(message);
  text.erase(0, text.find(' ') + 1);
  if (!message.slice.empty()) text += " [" + ShowEntries(message.slice) + "]";
  return text;
}

}  // namespace

std::string GroupWatch::NameOf(PeerId peer) const {
  const std::size_t node = recorder_.NodeOf(group_, peer);
  return node == kNoNode ? "peer " + ToString(peer) : recorder_.options_.nodes[node];
}

TimelineMessage GroupWatch::Show(const raft::Message& message) const {
  return {.group = group_,
          .from = recorder_.NodeOf(group_, message.from),
          .to = recorder_.NodeOf(group_, message.to),
          .type = message.type,
          .text = ShowContent(message)};
}

std::string GroupWatch::Show(const raft::HardState& state) const {
  return "term " + ToString(state.term) +
         (state.vote.IsZero() ? "" : ", vote " + NameOf(state.vote)) + ", commit " +
         ToString(state.commit);
}

TimelineReplica GroupWatch::Look(const raft::CoreView& view) const {
  TimelineReplica out{.is_up = true,
                      .role = view.role,
                      .term = view.term,
                      .vote = recorder_.NodeOf(group_, view.vote),
                      .leader = recorder_.NodeOf(group_, view.leader),
                      .base = view.base,
                      .applied = view.applied,
                      .applying = view.applying,
                      .committed = view.committed,
                      .durable = view.durable,
                      .submitted = view.submitted,
                      .last = view.last.index,
                      .first_resident = view.first_resident};
  for (LogId end = view.last; end.index > view.base.index && out.runs.size() < kRuns;) {
    LogId before = view.base;
    if (!end.term.IsZero()) before = view.tail->FindAgreement({end.term.Prev(), end.index});
    out.runs.push_back({before.index.Next(), end.term});
    end = before;
  }
  std::reverse(out.runs.begin(), out.runs.end());
  return out;
}

std::optional<std::uint64_t> GroupWatch::Add(PeerId peer, TimelineStep::Kind kind,
                                             const std::string& text) {
  return recorder_.Add({.kind = kind,
                        .node = recorder_.NodeOf(group_, peer),
                        .group = group_,
                        .text = text,
                        .after = replicas_[peer].now});
}

void GroupWatch::OnStart(const raft::CoreView& view, const raft::HardState& hard_state) {
  replicas_[view.id] = {.now = Look(view)};
  Add(view.id, TimelineStep::Kind::kStart,
      "starts with " + Show(hard_state) + ", log " + ToString(view.base) + " to " +
          ToString(view.last) + ", applied " + ToString(view.applied));
}

void GroupWatch::OnInput(const raft::CoreView& view, const raft::CoreInput& input) {
  using Kind = raft::CoreInput::Kind;
  Replica& replica = replicas_[view.id];
  replica.received.reset();
  replica.is_in_input = true;
  switch (input.kind) {
    case Kind::kTick: replica.input = "tick"; return;
    case Kind::kPropose: replica.input = "is given writes"; return;
    case Kind::kReadIndex: replica.input = "is asked for a read"; return;
    case Kind::kCampaign: replica.input = "is told to campaign"; return;
    case Kind::kTransfer: replica.input = "is told to hand over"; return;
    case Kind::kDurable:
      replica.input = "has on disk what it wrote up to " + ToString(input.mark->index);
      return;
    case Kind::kApplied: replica.input = "has applied up to " + ToString(input.index); return;
    case Kind::kColdRead: replica.input = "has read old entries"; return;
    case Kind::kSnapshotSent: replica.input = "has sent a snapshot"; return;
    case Kind::kUnreachable: replica.input = "cannot reach a peer"; return;
    case Kind::kPriority: replica.input = "is told its priority"; return;
    case Kind::kLimits: replica.input = "is told its limits"; return;
    case Kind::kLiveness: replica.input = "is told which node lives"; return;
    case Kind::kMessage:
      replica.received = Show(*input.message);
      replica.input = "gets from " + NameOf(input.message->from) + ": " + replica.received->text;
      return;
  }
}

std::string GroupWatch::Show(const raft::LogWrite& write) const {
  std::string text;
  const LogSlice& slice = write.log.slice;
  if (write.log.reset) {
    text = "writes that its log begins after " + ToString(slice.prev);
  } else if (write.log.cut) {
    text = "writes that its log ends at " + ToString(slice.prev);
  }
  if (!slice.empty()) {
    text += text.empty() ? "writes " : ", then ";
    text += ShowEntries(slice);
  }
  if (write.hard_state) {
    text += (text.empty() ? "writes " : ", with ") + Show(*write.hard_state);
  }
  return text;
}

std::string GroupWatch::Describe(const TimelineReplica& before, const TimelineReplica& after,
                                 const raft::Effects& effects) const {
  std::vector<std::string> parts;
  if (before.role != after.role || (before.term != after.term)) {
    parts.push_back("is " + std::string(ToString(after.role)) + " in term " + ToString(after.term));
  }
  if (before.leader != after.leader && after.leader != kNoNode &&
      after.role != raft::Role::kLeader) {
    parts.push_back("follows " + recorder_.options_.nodes[after.leader]);
  }
  if (effects.install) parts.push_back("installs a snapshot at " + ToString(effects.install->id));
  if (effects.write) {
    if (const std::string text = Show(*effects.write); !text.empty()) parts.push_back(text);
  }
  if (before.committed < after.committed) parts.push_back("commits " + ToString(after.committed));
  if (!effects.committed.empty()) {
    parts.push_back("hands out " + ShowEntries(effects.committed));
  } else if (before.applying < after.applying && !effects.install) {
    // A core that finds itself broken says nothing of what it did before.
    parts.push_back("hands out " + ShowLast(after));
  }
  for (const raft::ReadReady& read : effects.reads) {
    parts.push_back("may read at " + ToString(read.index));
  }
  for (const raft::ColdRead& read : effects.cold_reads) {
    parts.push_back("reads back what follows " + ToString(read.prev));
  }
  for (const raft::SnapshotWanted& wanted : effects.snapshots) {
    parts.push_back("wants a snapshot sent to " + NameOf(wanted.to_peer));
  }
  if (!effects.poisoned.empty()) {
    // What follows is the whole core, for its log.
    const std::string why = effects.poisoned.substr(0, effects.poisoned.find(": peer "));
    parts.push_back("finds itself broken: " + why);
  }
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : "; ") + part;
  return text;
}

void GroupWatch::OnFinish(const raft::CoreView& view, const raft::Effects& effects) {
  Replica& replica = replicas_[view.id];
  replica.is_in_input = false;
  const TimelineReplica before = std::exchange(replica.now, Look(view));
  const std::string did = Describe(before, replica.now, effects);
  const bool is_seen = !did.empty() || !effects.messages.empty() || before != replica.now;
  if (!replica.received && !is_seen) return;
  const auto step = Add(view.id, TimelineStep::Kind::kInput,
                        replica.input + (did.empty() ? "" : " \u2192 " + did));
  if (!step) return;
  if (replica.received) recorder_.OnReceived(*step, *replica.received);
  for (const raft::Message& message : effects.messages) recorder_.OnSent(*step, Show(message));
}

void GroupWatch::OnCutShort() {
  for (auto& [peer, replica] : replicas_) {
    if (!std::exchange(replica.is_in_input, false)) continue;
    const auto step =
        Add(peer, TimelineStep::Kind::kInput, replica.input + " \u2192 comes to no end");
    if (step && replica.received) recorder_.OnReceived(*step, *replica.received);
  }
}

void GroupWatch::OnLetGo(const raft::CoreView& view) {
  Replica& replica = replicas_[view.id];
  const TimelineReplica before = std::exchange(replica.now, Look(view));
  if (before == replica.now) return;
  Add(view.id, TimelineStep::Kind::kInput,
      before.base != replica.now.base
          ? "forgets its log up to " + ToString(replica.now.base.index)
          : "evicts what is before " + ToString(replica.now.first_resident));
}

}  // namespace rutile::sim
