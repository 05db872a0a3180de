#include "sim/trace_recorder.h"

#include <cstdint>
#include <memory>

namespace rutile::sim {
namespace {

using raft::MessageType;

TraceRole RoleOf(raft::Role role) {
  switch (role) {
    case raft::Role::kFollower: return TraceRole::kFollower;
    case raft::Role::kPreCandidate: return TraceRole::kPreCandidate;
    case raft::Role::kCandidate: return TraceRole::kCandidate;
    case raft::Role::kLeader: return TraceRole::kLeader;
  }
  return TraceRole::kFollower;
}

// Nothing for what traces have no word for.
std::optional<TraceMessage> MessageOf(const raft::Message& message) {
  TraceMessage out{.term = message.term, .from = message.from, .to = message.to};
  switch (message.type) {
    case MessageType::kVote:
      out.type = TraceMessageType::kMsgVote;
      out.log_term = message.last_log.term;
      out.index = message.last_log.index;
      return out;
    case MessageType::kVoteReply:
      out.type = TraceMessageType::kMsgVoteResp;
      out.reject = !message.granted;
      return out;
    case MessageType::kAppend:
      out.type = TraceMessageType::kMsgApp;
      out.entries = message.slice.entries.size();
      out.log_term = message.slice.prev.term;
      out.index = message.slice.prev.index;
      out.commit = message.commit;
      return out;
    case MessageType::kAppendReply:
      out.type = TraceMessageType::kMsgAppResp;
      out.reject = message.rejected;
      out.index = message.match;
      out.log_term = message.hint.term;
      out.reject_hint = message.hint.index;
      return out;
    case MessageType::kHeartbeat:
      out.type = TraceMessageType::kMsgHeartbeat;
      out.commit = message.commit;
      return out;
    case MessageType::kHeartbeatReply: out.type = TraceMessageType::kMsgHeartbeatResp; return out;
    case MessageType::kSnapshot:
      if (!message.snapshot) return std::nullopt;
      out.type = TraceMessageType::kMsgSnap;
      out.entries = message.snapshot->id.index.value();
      return out;
    default: return std::nullopt;
  }
}

TraceName Sending(TraceMessageType type) {
  switch (type) {
    case TraceMessageType::kMsgApp:
    case TraceMessageType::kMsgSnap:
    case TraceMessageType::kMsgHeartbeat: return TraceName::kSendAppendEntriesRequest;
    case TraceMessageType::kMsgAppResp:
    case TraceMessageType::kMsgHeartbeatResp: return TraceName::kSendAppendEntriesResponse;
    case TraceMessageType::kMsgVote: return TraceName::kSendRequestVoteRequest;
    case TraceMessageType::kMsgVoteResp: return TraceName::kSendRequestVoteResponse;
  }
  return TraceName::kSendAppendEntriesRequest;
}

TraceName Receiving(TraceMessageType type) {
  switch (Sending(type)) {
    case TraceName::kSendAppendEntriesResponse: return TraceName::kReceiveAppendEntriesResponse;
    case TraceName::kSendRequestVoteRequest: return TraceName::kReceiveRequestVoteRequest;
    case TraceName::kSendRequestVoteResponse: return TraceName::kReceiveRequestVoteResponse;
    default: return TraceName::kReceiveAppendEntriesRequest;
  }
}

TraceLog LogOf(const raft::CoreView& view) {
  TraceLog log{.base = view.base};
  for (Index i = view.base.index.Next(); i <= view.last.index; i = i.Next()) {
    const Term term = view.tail->TermAt(i).value_or(Term());
    if (log.runs.empty() || log.runs.back().term != term) log.runs.push_back({i, term});
  }
  return log;
}

// Who votes by the newest entry, if it is one that says so.
std::shared_ptr<const TraceConf> ConfOfLast(const raft::CoreView& view) {
  const Index last = view.last.index;
  const auto slice = view.tail->Read(last.Prev(), last, SIZE_MAX);
  if (!slice || slice->empty() || slice->entries[0].type != EntryType::kConfig) return nullptr;
  const auto all = raft::DecodeConfiguration(slice->entries[0].payload.view());
  if (!all) return nullptr;
  return std::make_shared<const TraceConf>(TraceConf{all->voters, all->outgoing});
}

}  // namespace

// What has changed since the last event is an event of its own.
void TraceRecorder::NoteConf(const raft::CoreView& view, TraceName next) {
  Replica& replica = replicas_[view.id];
  std::shared_ptr<const TraceConf>& known = replica.conf;
  const raft::Configuration& now = *view.configuration;
  const bool begins = known == nullptr;
  if (!begins && known->voters == now.voters && known->outgoing == now.outgoing) return;
  known = std::make_shared<const TraceConf>(TraceConf{now.voters, now.outgoing});
  if (begins) return;
  const Term term = replica.term;
  const PeerId vote = replica.vote;
  const TraceRole role = replica.role;
  TraceEvent event = Make(view, TraceName::kApplyConfChange);
  event.new_conf = event.conf;
  // Who is the only voter by it may win an election in the same step: it was in force before that.
  if (Becomes(next)) {
    event.term = term;
    event.vote = vote;
    event.role = role;
  }
  Emit(event);
}

TraceEvent TraceRecorder::Make(const raft::CoreView& view, TraceName name) {
  NoteConf(view, name);
  Replica& replica = replicas_[view.id];
  replica.term = view.term;
  replica.vote = view.vote;
  replica.role = RoleOf(view.role);
  return {.group = group_,
          .name = name,
          .node = view.id,
          .term = view.term,
          .vote = view.vote,
          .commit = view.committed,
          .role = replica.role,
          .log = view.last.index,
          .conf = replica.conf};
}

void TraceRecorder::OnStart(const raft::CoreView& view, const raft::HardState& hard_state) {
  replicas_[view.id] = {.durable = hard_state};
  TraceEvent event = Make(view, TraceName::kInitState);
  event.durable = {hard_state.term, hard_state.vote, view.durable, hard_state.impaired_until};
  event.found = LogOf(view);
  Emit(event);
}

void TraceRecorder::OnInput(const raft::CoreView& view, const raft::CoreInput& input) {
  Replica& replica = replicas_[view.id];
  if (input.kind == raft::CoreInput::Kind::kDurable) {
    while (!replica.flights.empty() && replica.flights.front().first <= input.mark->write) {
      replica.durable = replica.flights.front().second;
      replica.flights.pop_front();
    }
    replica.ready = true;
  }
  if (input.message == nullptr) return;
  // What the core passes over without a look.
  const raft::Message& message = *input.message;
  if (message.to != view.id || message.from == view.id || message.from.IsZero()) return;
  if (auto received = MessageOf(message)) {
    TraceEvent event = Make(view, Receiving(received->type));
    event.message = *received;
    if (message.snapshot) event.snapshot = message.snapshot->id;
    Emit(event);
  }
}

void TraceRecorder::EmitReady(const raft::CoreView& view) {
  Replica& replica = replicas_[view.id];
  if (!replica.ready) return;
  replica.ready = false;
  TraceEvent event = Make(view, TraceName::kReady);
  event.durable = {replica.durable.term, replica.durable.vote, view.durable,
                   replica.durable.impaired_until};
  Emit(event);
}

void TraceRecorder::EmitToSelf(const raft::CoreView& view, TraceMessageType type, Index index) {
  TraceEvent event = Make(view, Sending(type));
  event.message = {.type = type, .term = view.term, .from = view.id, .to = view.id, .index = index};
  Emit(event);
  event.name = Receiving(type);
  Emit(event);
}

void TraceRecorder::OnChange(const raft::CoreView& view, raft::CoreChange change) {
  switch (change) {
    case raft::CoreChange::kFollower: return Emit(Make(view, TraceName::kBecomeFollower));
    case raft::CoreChange::kPreCandidate: return;  // Changes nothing that the specification knows.
    case raft::CoreChange::kCandidate: return Emit(Make(view, TraceName::kBecomeCandidate));
    case raft::CoreChange::kLeader: return Emit(Make(view, TraceName::kBecomeLeader));
    case raft::CoreChange::kOwnVote:
      EmitReady(view);
      return EmitToSelf(view, TraceMessageType::kMsgVoteResp, Index());
    case raft::CoreChange::kOwnDurable:
      EmitReady(view);
      return EmitToSelf(view, TraceMessageType::kMsgAppResp, view.durable);
    case raft::CoreChange::kOwnEntry: {
      TraceEvent event = Make(view, TraceName::kReplicate);
      event.log = event.log.Prev();
      event.new_conf = ConfOfLast(view);
      if (event.new_conf != nullptr) event.name = TraceName::kChangeConf;
      return Emit(event);
    }
    case raft::CoreChange::kOwnConfiguration: return NoteConf(view, TraceName::kApplyConfChange);
    case raft::CoreChange::kCommitted: return Emit(Make(view, TraceName::kCommit));
  }
}

void TraceRecorder::OnFinish(const raft::CoreView& view, const raft::Effects& effects) {
  Replica& replica = replicas_[view.id];
  EmitReady(view);
  if (effects.write && effects.write->hard_state) {
    replica.flights.emplace_back(effects.write->log.mark.write, *effects.write->hard_state);
  }
  for (const raft::Message& message : effects.messages) {
    if (auto sent = MessageOf(message)) {
      TraceEvent event = Make(view, Sending(sent->type));
      event.message = *sent;
      Emit(event);
    }
  }
}

}  // namespace rutile::sim
