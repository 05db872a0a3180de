#include "raft/testing/lone_server.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace rutile::raft::testing {
namespace {

Entries MakeEntries(LogId prev, const std::vector<std::uint64_t>& terms) {
  Entries entries;
  for (std::uint64_t term : terms) {
    prev = {Term(term), prev.index.Next()};
    entries.push_back({.id = prev, .type = EntryType::kNormal, .payload = Bytes(ToString(prev))});
  }
  return entries;
}

}  // namespace

LoneServer::LoneServer(Setup setup) : voters_(setup.voters), random_(setup.seed) {
  LogTail::Recovered found{.resident = {.entries = MakeEntries({}, setup.log)},
                           .committed = setup.state.commit};
  for (const Entry& entry : found.resident.entries) {
    if (found.runs.empty() || found.runs.back().term != entry.id.term) {
      found.runs.push_back({entry.id.index, entry.id.term});
    }
  }
  Raft::Start start{.hard_state = setup.state, .tail = LogTail::Recover(std::move(found))};
  for (std::uint64_t id = 1; id <= voters_; ++id) start.configuration.voters.emplace_back(id);
  Options options{.id = PeerId(1), .election_ticks = setup.election_ticks, .heartbeat_ticks = 2};
  options.lease = Duration::zero();
  options.vote_refusal = Duration(1);
  raft_ = std::make_unique<Raft>(options, std::move(start), random_, now_);
}

Instant LoneServer::Now() { return now_ += Microseconds(1); }

void LoneServer::Absorb(Effects effects) {
  RUTILE_CHECK(effects.poisoned.empty(), effects.poisoned);
  std::move(effects.messages.begin(), effects.messages.end(), std::back_inserter(messages_));
  std::copy(effects.committed.entries.begin(), effects.committed.entries.end(),
            std::back_inserter(applied_));
  if (effects.write) {
    writes_.push_back(*effects.write);
    Absorb(raft_->OnDurable(Now(), effects.write->log.mark));
  }
  if (!effects.committed.empty()) {
    Absorb(raft_->OnApplied(Now(), effects.committed.last().index));
  }
}

std::vector<std::uint64_t> LoneServer::Log() const {
  std::vector<std::uint64_t> terms;
  const LogTail& tail = raft_->tail();
  for (Index i = tail.first(); i <= tail.last().index; i = i.Next()) {
    terms.push_back(tail.TermAt(i)->value());
  }
  return terms;
}

void LoneServer::Step(Message message) { Absorb(raft_->Step(Now(), std::move(message))); }

void LoneServer::Tick() { Absorb(raft_->Tick(Now())); }

int LoneServer::TickUntil(MessageType type) {
  for (int ticks = 1; ticks < 1000; ++ticks) {
    Tick();
    const auto sent = [type](const Message& m) { return m.type == type; };
    if (std::any_of(messages_.begin(), messages_.end(), sent)) return ticks;
  }
  return -1;
}

void LoneServer::Campaign() { Absorb(raft_->Campaign(Now())); }

void LoneServer::Propose(const std::string& payload) {
  auto [result, effects] = raft_->Propose(Now(), {Bytes(payload)});
  RUTILE_CHECK(std::holds_alternative<Proposed>(result));
  Absorb(std::move(effects));
}

void LoneServer::Lead() {
  Campaign();
  for (std::uint64_t id = 2; id <= voters_; ++id) {
    Step(VoteReply(id, raft_->term().value(), true));
  }
  AcceptAppends();
  RUTILE_CHECK(raft_->is_leader());
  TakeMessages();
  TakeWrites();
  TakeApplied();
}

void LoneServer::AcceptAppends(PeerId by) {
  for (const Message& append : TakeMessages()) {
    if (append.type != MessageType::kAppend || (!by.IsZero() && append.to != by)) continue;
    Message reply = From(append.to.value(), MessageType::kAppendReply, append.term.value());
    reply.match = append.slice.last().index;
    Step(reply);
  }
}

Message LoneServer::From(std::uint64_t from, MessageType type, std::uint64_t term) const {
  Message message;
  message.type = type;
  message.from = PeerId(from);
  message.to = PeerId(1);
  message.term = Term(term);
  return message;
}

Message LoneServer::Append(std::uint64_t from, std::uint64_t term, LogId prev,
                           const std::vector<std::uint64_t>& entries, std::uint64_t commit) const {
  Message message = From(from, MessageType::kAppend, term);
  message.slice = {.prev = prev, .entries = MakeEntries(prev, entries)};
  message.commit = Index(commit);
  return message;
}

Message LoneServer::VoteRequest(std::uint64_t from, std::uint64_t term, LogId last) const {
  Message message = From(from, MessageType::kVote, term);
  message.last_log = last;
  return message;
}

Message LoneServer::VoteReply(std::uint64_t from, std::uint64_t term, bool granted) const {
  Message message = From(from, MessageType::kVoteReply, term);
  message.granted = granted;
  return message;
}

}  // namespace rutile::raft::testing
