#include "bench/core/trio.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace rutile::bench {

Trio::Trio(std::uint64_t seed) : random_(seed) {
  const raft::Configuration configuration{.voters = {PeerId(1), PeerId(2), PeerId(3)}};
  members_.reserve(configuration.voters.size());
  for (PeerId id : configuration.voters) {
    raft::Raft::Start start{.hard_state = {.term = Term(1)},
                            .tail = raft::LogTail(LogId{Term(1), Index(5)}),
                            .configuration = configuration,
                            .fresh = true};
    members_.push_back({.core = std::make_unique<raft::Raft>(raft::Options{.id = id},
                                                             std::move(start), random_, now_)});
  }
}

void Trio::Propose(std::span<Bytes> payloads) {
  auto [outcome, effects] = leader().Propose(now_, payloads);
  RUTILE_CHECK(std::holds_alternative<raft::Proposed>(outcome));
  Handle(members_[0], std::move(effects));
  Deliver();
}

void Trio::Tick() {
  now_ += kTick;
  for (Member& member : members_) Handle(member, member.core->Tick(now_));
  Deliver();
}

void Trio::Elect() {
  Handle(members_[0], leader().Campaign(now_));
  Deliver();
  RUTILE_CHECK(leader().HasCommittedInTerm());
}

void Trio::Compact(std::size_t keep) {
  for (Member& member : members_) {
    const Index applied = member.core->tail().applied();
    if (applied.value() > keep) member.core->CompactTo(Index(applied.value() - keep));
  }
}

void Trio::DropQueues() {
  RUTILE_CHECK(sent_.empty() && arriving_.empty());
  sent_.shrink_to_fit();
  arriving_.shrink_to_fit();
}

std::uint64_t Trio::applied() const {
  return std::min_element(members_.begin(), members_.end(),
                          [](const Member& a, const Member& b) { return a.applied < b.applied; })
      ->applied;
}

void Trio::Handle(Member& member, raft::Effects&& effects) {
  RUTILE_CHECK(effects.poisoned.empty(), effects.poisoned);
  for (raft::Message& message : effects.messages) sent_.push_back(std::move(message));
  for (const Entry& entry : effects.committed.entries) {
    member.applied += entry.type == EntryType::kNormal ? 1 : 0;
  }
  if (!effects.committed.empty()) {
    const raft::Effects more = member.core->OnApplied(now_, effects.committed.last().index);
    RUTILE_CHECK(more.empty());
  }
  // Each completion may have effects of its own; an empty one ends it.
  if (effects.write) Handle(member, member.core->OnDurable(now_, effects.write->log.mark));
}

void Trio::Deliver() {
  while (!sent_.empty()) {
    arriving_.swap(sent_);
    for (raft::Message& message : arriving_) {
      Member& member = members_[message.to.value() - 1];
      Handle(member, member.core->Step(now_, std::move(message)));
    }
    arriving_.clear();
  }
}

}  // namespace rutile::bench
