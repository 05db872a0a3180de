#include "raft/testing/etcd_node.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <string_view>

#include "base/check.h"

namespace rutile::raft::testing {
namespace {

constexpr int kScriptElectionTicks = 3;  // Of all nodes in all scripts; a heartbeat is one tick.
constexpr Duration kTickTime = Milliseconds(100);
constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max() / 2;

Options MakeOptions(PeerId id, const EtcdGroup& group) {
  Options options{.id = id, .election_ticks = kScriptElectionTicks, .heartbeat_ticks = 1};
  options.lease = Duration::zero();
  // etcd's nodes refuse votes only when they check the quorum.
  options.vote_refusal = group.check_quorum ? kScriptElectionTicks * kTickTime : Duration(1);
  options.max_inflight_messages = group.inflight == 0 ? kUnlimited : group.inflight;
  options.max_inflight_bytes = kUnlimited;
  options.max_append_bytes = kUnlimited;
  options.max_uncommitted_bytes = kUnlimited;
  options.max_hand_out_bytes =
      group.max_committed_bytes == 0 ? kUnlimited : group.max_committed_bytes;
  options.apply_before_durable = !group.async;
  options.announce_commit = true;
  return options;
}

// What a node says to others only after it has stored something.
bool WaitsForStorage(const Message& message) {
  return message.type == MessageType::kAppendReply || message.type == MessageType::kVoteReply ||
         message.type == MessageType::kPreVoteReply;
}

std::string_view RoleText(Role role) {
  switch (role) {
    case Role::kFollower: return "StateFollower";
    case Role::kPreCandidate: return "StatePreCandidate";
    case Role::kCandidate: return "StateCandidate";
    case Role::kLeader: return "StateLeader";
  }
  RUTILE_UNREACHABLE();
}

std::string_view TypeText(MessageType type) {
  switch (type) {
    case MessageType::kPreVote: return "MsgPreVote";
    case MessageType::kPreVoteReply: return "MsgPreVoteResp";
    case MessageType::kVote: return "MsgVote";
    case MessageType::kVoteReply: return "MsgVoteResp";
    case MessageType::kAppend: return "MsgApp";
    case MessageType::kAppendReply: return "MsgAppResp";
    case MessageType::kHeartbeat: return "MsgHeartbeat";
    case MessageType::kHeartbeatReply: return "MsgHeartbeatResp";
    case MessageType::kSnapshot: return "MsgSnap";
    case MessageType::kTimeoutNow: return "MsgTimeoutNow";
    case MessageType::kReadIndex: return "MsgReadIndex";
    case MessageType::kReadIndexReply: return "MsgReadIndexResp";
  }
  RUTILE_UNREACHABLE();
}

// Our first members begin after an entry of term 0, so that their own terms are those of etcd's,
// which begin with term 0 and a snapshot of term 1.
LogId EtcdId(LogId id) {
  const bool begins = id.term.IsZero() && !id.index.IsZero();
  return {begins ? Term(1) : id.term, id.index};
}

std::string What(const Entry& entry) {
  if (entry.type != EntryType::kConfig) return Quoted(entry.payload.view());
  std::string_view steps;
  RUTILE_CHECK(DecodeConfiguration(entry.payload.view(), &steps).has_value());
  return steps.empty() ? "conf" : "conf " + std::string(steps);
}

std::string EntryLine(const Entry& entry) { return EntryText(EtcdId(entry.id), What(entry)); }

std::vector<std::string> EntryLines(const rutile::Entries& entries) {
  std::vector<std::string> lines;
  for (const Entry& entry : entries) lines.push_back(EntryLine(entry));
  return lines;
}

}  // namespace

EtcdNode::EtcdNode(PeerId id, const EtcdGroup& group)
    : id_(id),
      async_(group.async),
      pre_vote_(group.pre_vote),
      check_quorum_(group.check_quorum),
      lease_reads_(group.lease_reads),
      inflight_(group.inflight),
      one_at_a_time_(group.max_committed_bytes == 1),
      disk_base_{Term(), group.index},
      machine_{Term(), group.index},
      machine_configuration_(group.configuration),
      said_hard_{.commit = group.index} {
  Raft::Start start;
  start.tail = LogTail(disk_base_);
  start.configuration = group.configuration;
  start.fresh = true;
  raft_ = std::make_unique<Raft>(MakeOptions(id, group), std::move(start), random_, now_);
}

// --- Inputs.

Instant EtcdNode::Now() {
  if (!check_quorum_) now_ += Microseconds(1);  // Then no promise outlasts the input.
  return now_;
}

void EtcdNode::Absorb(Effects effects) {
  if (!effects.poisoned.empty()) violation_ += "poisoned: " + effects.poisoned + "\n";
  const std::pair<Role, Term> before = std::exchange(office_, {raft_->role(), raft_->term()});
  if (office_ != before && office_.first != Role::kFollower) {
    offices_.push_back(Say("becomes " + std::string(ToString(raft_->role())) + " at term " +
                           ToString(raft_->term())));
  }
  if (effects.write) pending_.writes.push_back(*std::move(effects.write));
  for (Message& message : effects.messages) {
    const bool said =
        message.type == MessageType::kHeartbeatReply && answered_early_.erase(message.round) > 0;
    if (!said) pending_.messages.push_back(std::move(message));
  }
  for (Entry& entry : effects.committed.entries) pending_.committed.push_back(std::move(entry));
  if (effects.install) pending_.install = effects.install;
  for (const SnapshotWanted& wanted : effects.snapshots) {
    pending_.messages.push_back(MakeSnapshot(wanted.to_peer));
  }
  if (wanted_change_) RetryChange();
}

void EtcdNode::Campaign() {
  if (!pre_vote_) return Absorb(raft_->Campaign(Now()));
  // Our core asks for pre-votes when time is up.
  now_ += kScriptElectionTicks * kTickTime;
  for (int tick = 0; tick < kScriptElectionTicks && !raft_->is_leader(); ++tick) {
    Effects effects = raft_->Tick(now_);
    const bool campaigns = effects.state_changed;
    Absorb(std::move(effects));
    if (campaigns) return;
  }
}

void EtcdNode::Tick(int times) {
  for (; times > 0; --times) {
    now_ += kTickTime;
    if (withheld_ticks_ > 0) {
      --withheld_ticks_;
    } else {
      Absorb(raft_->Tick(Now()));
    }
  }
}

void EtcdNode::ForgetLeader() {
  if (check_quorum_ && !lease_reads_ && !raft_->is_leader()) {
    now_ += kScriptElectionTicks * kTickTime;
  }
}

// With so few ticks ours draws no other timeout than kScriptElectionTicks. What is more is
// withheld.
void EtcdNode::StretchTimeout(int ticks) {
  withheld_ticks_ = std::max(0, ticks - kScriptElectionTicks);
}

bool EtcdNode::Propose(const std::string& payload) {
  auto [result, effects] = raft_->Propose(Now(), {Bytes(payload)});
  Absorb(std::move(effects));
  return std::holds_alternative<Proposed>(result);
}

bool EtcdNode::ProposeChange(const ConfigurationChange& change) {
  auto [result, effects] = raft_->ProposeChange(Now(), change);
  const bool again = !result.ok() && result.status().code() == Code::kUnavailable;
  if (again) wanted_change_ = change;
  Absorb(std::move(effects));
  return result.ok() || again;
}

void EtcdNode::RetryChange() {
  if (!raft_->is_leader() || !raft_->HasCommittedInTerm()) return;
  if (raft_->configuration_since() > raft_->tail().applied()) return;
  const ConfigurationChange change = *std::exchange(wanted_change_, std::nullopt);
  ProposeChange(change);
}

void EtcdNode::Transfer(PeerId to) { Absorb(raft_->TransferLeadership(Now(), to)); }

void EtcdNode::Unreachable(PeerId peer) { Absorb(raft_->OnUnreachable(Now(), peer)); }

void EtcdNode::Deliver(const EtcdDelivery& delivery, std::vector<std::string>& lines) {
  if (delivery.local) {
    // For some the first time that the core hears of it, for others the second.
    for (const Mark& mark : delivery.durable) Absorb(raft_->OnDurable(Now(), mark));
    if (!delivery.covers.IsZero()) {
      lines.push_back(Say(StoredText(delivery.covers, raft_->tail().durable() >= delivery.covers)));
    }
    if (!delivery.applied.IsZero()) Absorb(raft_->OnApplied(Now(), delivery.applied));
    return;
  }
  Effects effects = raft_->Step(Now(), delivery.message);
  if (effects.install) {
    lines.push_back(Say("config " + ConfigurationText(effects.install->configuration)));
  }
  const bool early = async_ && delivery.message.type == MessageType::kHeartbeat &&
                     delivery.message.term == raft_->term() && effects.messages.empty();
  Absorb(std::move(effects));
  if (early) AnswerHeartbeatEarly(delivery.message);
}

// Ours answers when its term is on disk; etcd's at once, and its script goes by that.
void EtcdNode::AnswerHeartbeatEarly(const Message& heartbeat) {
  Message reply;
  reply.type = MessageType::kHeartbeatReply;
  reply.from = id_;
  reply.to = heartbeat.from;
  reply.term = raft_->term();
  reply.round = heartbeat.round;
  answered_early_.insert(heartbeat.round);
  pending_.messages.push_back(std::move(reply));
}

Message EtcdNode::MakeSnapshot(PeerId to) const {
  Message message;
  message.type = MessageType::kSnapshot;
  message.from = id_;
  message.to = to;
  message.term = raft_->term();
  message.snapshot = SnapshotMeta{.id = machine_, .configuration = machine_configuration_};
  return message;
}

void EtcdNode::Compact(Index index) {
  raft_->CompactTo(index);
  if (raft_->tail().base().index <= disk_base_.index) return;
  disk_base_ = raft_->tail().base();
  disk_.erase(disk_.begin(), disk_.upper_bound(disk_base_.index));
}

// --- The loop.

bool EtcdNode::HasReady() const {
  const HardState& hard = raft_->hard_state();
  return !pending_.writes.empty() || !pending_.messages.empty() || !pending_.committed.empty() ||
         pending_.install || said_lead_ != Lead(raft_->leader(), raft_->role()) ||
         said_hard_.term != hard.term || said_hard_.vote != hard.vote ||
         said_hard_.commit != raft_->tail().committed();
}

// Says role, leader and hard state if they are others than last time. Returns whether the term or
// the vote is.
bool EtcdNode::SayState(std::vector<std::string>& lines) {
  const Lead lead(raft_->leader(), raft_->role());
  if (lead != said_lead_) {
    lines.push_back(Say("lead " + ToString(lead.first) + " " + std::string(RoleText(lead.second))));
  }
  said_lead_ = lead;
  HardState hard = raft_->hard_state();
  hard.commit = raft_->tail().committed();
  const bool vote = hard.term != said_hard_.term || hard.vote != said_hard_.vote;
  if (hard != said_hard_) {
    lines.push_back(
        Say("hard " + HardText(hard.term.value(), hard.vote.value(), hard.commit.value())));
  }
  said_hard_ = hard;
  return vote;
}

// What the writes come to, if one replaces what another has written.
std::vector<std::string> EtcdNode::Entries(const std::vector<LogWrite>& writes) {
  std::map<Index, Entry> entries;
  for (const LogWrite& write : writes) {
    if (write.log.cut || write.log.reset) {
      entries.erase(entries.upper_bound(write.log.slice.prev.index), entries.end());
    }
    for (const Entry& entry : write.log.slice.entries) entries[entry.id.index] = entry;
  }
  std::vector<std::string> texts;
  for (const auto& [index, entry] : entries) texts.push_back(EntryLine(entry));
  return texts;
}

void EtcdNode::ProcessReady(std::vector<std::string>& lines, std::vector<EtcdDelivery>& network) {
  Pending turn = std::exchange(pending_, {});
  const HardState before = said_hard_;
  std::vector<std::string> state;
  const bool new_vote = SayState(state);
  const bool new_hard = !(before == said_hard_);
  const std::vector<std::string> entries = Entries(turn.writes);
  if (new_vote || !entries.empty()) lines.push_back(Say("sync"));
  lines.insert(lines.end(), state.begin(), state.end());
  for (const std::string& entry : entries) lines.push_back(Say("appends " + entry));
  if (turn.install) {
    machine_ = turn.install->id;
    machine_configuration_ = turn.install->configuration;
    lines.push_back(
        Say("installs " + IdText(machine_) + " " + ConfigurationText(machine_configuration_)));
  }
  if (!async_) return FinishSync(std::move(turn), lines, network);
  const std::string hard = new_hard ? HardText(said_hard_.term.value(), said_hard_.vote.value(),
                                               said_hard_.commit.value()) +
                                          " "
                                    : "";
  FinishAsync(std::move(turn), hard, entries, lines, network);
}

void EtcdNode::FinishSync(Pending turn, std::vector<std::string>& lines,
                          std::vector<EtcdDelivery>& network) {
  const Index committed = raft_->tail().committed();
  for (const LogWrite& write : turn.writes) Complete(write, turn.messages);
  // Ours hands out what is committed when it is stored, which is now.
  while (!pending_.committed.empty() && pending_.committed.front().id.index <= committed) {
    turn.committed.push_back(pending_.committed.front());
    pending_.committed.erase(pending_.committed.begin());
  }
  if (one_at_a_time_ && turn.committed.size() > 1) {
    const auto rest = std::next(turn.committed.begin());
    pending_.committed.insert(pending_.committed.begin(), rest, turn.committed.end());
    turn.committed.erase(rest, turn.committed.end());
  }
  for (const Entry& entry : turn.committed) lines.push_back(Say("applies " + EntryLine(entry)));
  SendAll(turn.messages, lines, network);
  if (turn.committed.empty()) return;
  Apply(turn.committed, lines);
  Absorb(raft_->OnApplied(Now(), turn.committed.back().id.index));
}

void EtcdNode::FinishAsync(Pending turn, const std::string& hard,
                           const std::vector<std::string>& entries, std::vector<std::string>& lines,
                           std::vector<EtcdDelivery>& network) {
  AppendJob job{.text = hard + EntriesText(entries)};
  const LogTail& tail = raft_->tail();
  if (tail.last().index > tail.durable()) job.covers = tail.last().index;
  const auto answer = std::stable_partition(turn.messages.begin(), turn.messages.end(),
                                            [](const Message& m) { return !WaitsForStorage(m); });
  job.answers.assign(answer, turn.messages.end());
  turn.messages.erase(answer, turn.messages.end());
  job.writes = std::move(turn.writes);
  // Ours asks for votes when its own is stored; the script wants them asked for at once.
  if (raft_->role() == Role::kCandidate && append_jobs_.empty()) {
    for (const LogWrite& write : job.writes) Complete(write, turn.messages);
    job.done = true;
  }
  if (!job.writes.empty() || !job.answers.empty() || !hard.empty()) {
    append_jobs_.push_back(std::move(job));
  }
  for (const Entry& entry : turn.committed) lines.push_back(Say("applies " + EntryLine(entry)));
  if (!turn.committed.empty()) apply_jobs_.push_back(std::move(turn.committed));
  SendAll(turn.messages, lines, network);
}

void EtcdNode::ProcessAppendThread(std::vector<std::string>& lines,
                                   std::vector<EtcdDelivery>& network) {
  if (append_jobs_.empty()) return lines.push_back(Say("has nothing to store"));
  AppendJob job = std::move(append_jobs_.front());
  append_jobs_.pop_front();
  lines.push_back(Say("stores " + job.text));
  EtcdDelivery told{.local = true, .covers = job.covers};
  told.message.to = id_;
  // A leader waits only for itself: as in etcd, it hears of its disk by a message. What a follower
  // says to others leaves now.
  const bool leads = raft_->is_leader();
  for (const LogWrite& write : job.writes) {
    told.durable.push_back(write.log.mark);
    if (job.done) continue;
    leads ? Write(write) : Complete(write, job.answers);
  }
  SendAll(job.answers, lines, network);
  network.push_back(std::move(told));
}

void EtcdNode::ProcessApplyThread(std::vector<std::string>& lines,
                                  std::vector<EtcdDelivery>& network) {
  if (apply_jobs_.empty()) return lines.push_back(Say("has nothing to apply"));
  const rutile::Entries entries = std::move(apply_jobs_.front());
  apply_jobs_.pop_front();
  lines.push_back(Say("has applied " + EntriesText(EntryLines(entries))));
  Apply(entries, lines);
  EtcdDelivery told{.local = true, .applied = entries.back().id.index};
  told.message.to = id_;
  network.push_back(std::move(told));
}

void EtcdNode::Write(const LogWrite& write) {
  const LogSlice& slice = write.log.slice;
  if (write.log.reset) {
    disk_.clear();
    disk_base_ = slice.prev;
  }
  disk_.erase(disk_.upper_bound(slice.prev.index), disk_.end());
  for (const Entry& entry : slice.entries) disk_[entry.id.index] = entry;
}

void EtcdNode::Complete(const LogWrite& write, std::vector<Message>& answers) {
  Write(write);
  Effects effects = raft_->OnDurable(Now(), write.log.mark);
  const auto leaves = [this](const Message& m) {
    const bool said = m.type == MessageType::kHeartbeatReply && answered_early_.contains(m.round);
    return !said && (WaitsForStorage(m) || m.type == MessageType::kVote ||
                     m.type == MessageType::kHeartbeatReply);
  };
  std::copy_if(effects.messages.begin(), effects.messages.end(), std::back_inserter(answers),
               leaves);
  erase_if(effects.messages, leaves);
  Absorb(std::move(effects));
}

void EtcdNode::Apply(const rutile::Entries& entries, std::vector<std::string>& lines) {
  for (const Entry& entry : entries) {
    if (entry.id.index != machine_.index.Next()) violation_ += "applied out of order\n";
    machine_ = entry.id;
    if (entry.type != EntryType::kConfig) continue;
    machine_configuration_ = *DecodeConfiguration(entry.payload.view());
    lines.push_back(Say("config " + ConfigurationText(machine_configuration_)));
  }
}

void EtcdNode::SendAll(const std::vector<Message>& messages, std::vector<std::string>& lines,
                       std::vector<EtcdDelivery>& network) {
  for (const Message& message : messages) {
    lines.push_back(Say("sends " + MessageText(message)));
    EtcdDelivery& delivery = network.emplace_back(EtcdDelivery{.message = message});
    // Without a check of the quorum nobody refuses a vote for the sake of a leader.
    if (!check_quorum_ && message.type == MessageType::kVote) delivery.message.transfer = true;
  }
}

// --- For the script's eyes.

std::string EtcdNode::IdText(LogId id) const {
  return ToString(EtcdId(id).term) + "/" + ToString(id.index);
}

std::string EtcdNode::MessageText(const Message& message) const {
  EtcdMessage text{.from = ToString(message.from),
                   .to = ToString(message.to),
                   .type = std::string(TypeText(message.type)),
                   .term = message.term.value(),
                   .commit = message.commit.value()};
  switch (message.type) {
    case MessageType::kPreVote:
    case MessageType::kVote: text.log = EtcdId(message.last_log); break;
    case MessageType::kPreVoteReply:
    case MessageType::kVoteReply: text.rejected = !message.granted; break;
    case MessageType::kAppend:
      text.log = EtcdId(message.slice.prev);
      text.entries = EntryLines(message.slice.entries);
      break;
    case MessageType::kAppendReply:
      text.rejected = message.rejected;
      text.log = {EtcdId(message.hint).term, message.match};
      text.hint = message.hint.index.value();
      break;
    case MessageType::kHeartbeatReply:
      // Of no round: only its term is said. etcd has no message of its own for that.
      if (message.round.IsZero()) text.type = "MsgAppResp";
      break;
    case MessageType::kSnapshot:
      text.snapshot =
          IdText(message.snapshot->id) + " " + ConfigurationText(message.snapshot->configuration);
      break;
    default: break;
  }
  return Text(text);
}

std::vector<std::string> EtcdNode::LogLines() const {
  std::vector<std::string> lines;
  for (const auto& [index, entry] : disk_) lines.push_back(Say("log " + EntryLine(entry)));
  if (lines.empty()) {
    lines.push_back(Say("log ends before it begins: log is empty: first index=" +
                        ToString(disk_base_.index.Next()) +
                        ", last index=" + ToString(disk_base_.index)));
  }
  return lines;
}

std::vector<std::string> EtcdNode::StatusLines() const {
  std::vector<std::string> lines;
  if (!raft_->is_leader()) return lines;
  const Configuration& configuration = raft_->configuration();
  const auto line = [](PeerId id, const std::string& state, Index match, Index next) {
    return ToString(id) + " State" + state + " match=" + ToString(match) +
           " next=" + ToString(next);
  };
  if (configuration.IsMember(id_)) {
    // Its own disk is one follower among others.
    const Index durable = raft_->tail().durable();
    lines.push_back(line(id_, "Replicate", durable, durable.Next()));
  }
  for (const PeerStatus& peer : raft_->Peers()) {
    std::string state = peer.state;
    state[0] = static_cast<char>(state[0] - 'a' + 'A');
    std::string text = line(peer.id, state, peer.match, peer.next);
    if (!configuration.IsVoter(peer.id)) text += " learner";
    if (peer.paused) text += " paused";
    if (!peer.active) text += " inactive";
    if (peer.inflight > 0) text += " inflight=" + std::to_string(peer.inflight);
    if (inflight_ > 0 && peer.inflight >= inflight_) text += "[full]";
    lines.push_back(text);
  }
  return lines;
}

std::string EtcdNode::StateLine() const {
  return Say("is " + std::string(RoleText(raft_->role())) +
             (raft_->configuration().IsVoter(id_) ? " (Voter)" : " (Non-Voter)") +
             " Term:" + ToString(raft_->term()) + " Lead:" + ToString(raft_->leader()));
}

}  // namespace rutile::raft::testing
