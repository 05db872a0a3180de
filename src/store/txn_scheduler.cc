#include "store/txn_scheduler.h"

#include <optional>
#include <utility>

#include "base/buggify.h"
#include "base/probe.h"
#include "codec/keys.h"
#include "codec/memcomparable.h"
#include "store/command.h"
#include "store/safe_point.h"

namespace rutile::store {
namespace {

constexpr Duration kBusyBackoff = Milliseconds(100);
constexpr Duration kStandstill = Seconds(3);

// Keys of the engine become those of commands, which name users' keys: here that is the comparable
// form, and what follows it.
Mutation ToMutation(const engine::WriteBatch::Change& change) {
  using Kind = engine::WriteBatch::Kind;
  Mutation mutation{.family = change.family, .key = std::string(codec::UserKey(change.key))};
  switch (change.kind) {
    case Kind::kPut: mutation.value = change.value; return mutation;
    case Kind::kDelete: mutation.kind = Mutation::Kind::kDelete; return mutation;
    case Kind::kDeleteRange:
      mutation.kind = Mutation::Kind::kDeleteRange;
      mutation.value = std::string(codec::UserKey(change.value));
      return mutation;
  }
  RUTILE_UNREACHABLE();
}

}  // namespace

std::optional<Instant> DeadlineOf(const RequestHeader& header, const Clock& clock) {
  if (header.time_limit == Duration::zero()) return std::nullopt;
  return clock.Now() + header.time_limit;
}

std::optional<RegionError> KeyOutside(const Region& region, const std::string& key) {
  if (region.Contains(codec::EncodeMemcomparable(key))) return std::nullopt;
  return NotIn(region, key);
}

void TxnScheduler::Run(const RequestHeader& header, std::vector<std::string> keys, Action action,
                       Done done, Task finished, mvcc::Timestamp flashback) {
  Command command{.header = header,
                  .keys = std::move(keys),
                  .action = std::move(action),
                  .done = std::move(done),
                  .finished = std::move(finished),
                  .flashback = flashback,
                  .deadline = DeadlineOf(header, store_.clock())};
  const std::optional<Admitted> admitted = Admit(command);
  if (!admitted) {
    return command.done(
        RegionError(ServerIsBusy{.reason = "too many commands of transactions are under way: " +
                                           std::to_string(RoomFor(header)),
                                 .backoff = kBusyBackoff}));
  }
  RUTILE_SOMETIMES(!admitted->has_keys, "store: a transaction's command waits for another");
  if (admitted->has_keys) return Begin(admitted->id);
  if (header.time_limit > Duration::zero()) {
    executor_.PostAfter(header.time_limit, [this, id = admitted->id] { GiveUp(id); });
  }
}

std::optional<TxnScheduler::Admitted> TxnScheduler::Admit(Command& command) {
  MutexLock lock(mutex_);
  if (commands_.size() >= RoomFor(command.header)) return std::nullopt;
  const txn::CommandId id(++last_id_);
  const bool has_keys = latches_.Acquire(id, command.keys);
  commands_.emplace(id, std::move(command));
  return Admitted{.id = id, .has_keys = has_keys};
}

TxnScheduler::Command& TxnScheduler::Find(txn::CommandId id) {
  MutexLock lock(mutex_);
  return commands_.at(id);
}

void TxnScheduler::BeginSoon(const std::vector<txn::CommandId>& commands) {
  // Not from here: a queue of commands that all end at once would be as deep as it is long.
  for (const txn::CommandId id : commands) {
    executor_.Post([this, id] { Begin(id); });
  }
}

void TxnScheduler::GiveUp(txn::CommandId id) {
  Command command;
  std::vector<txn::CommandId> next;
  {
    MutexLock lock(mutex_);
    const auto found = commands_.find(id);
    if (found == commands_.end() || !found->second.waits_for_keys) return;
    command = std::move(found->second);
    commands_.erase(found);
    next = latches_.Release(id);
  }
  BeginSoon(next);
  command.done(RegionError(TimeIsUp()));
}

bool TxnScheduler::IsLate(const Command& command) const {
  return command.deadline && store_.clock().Now() >= *command.deadline;
}

void TxnScheduler::Begin(txn::CommandId id) {
  {
    MutexLock lock(mutex_);
    const auto found = commands_.find(id);
    if (found == commands_.end()) return;
    found->second.waits_for_keys = false;
  }
  Command& command = Find(id);
  // Before the snapshot: see the class.
  const std::optional<GateState> gate = store_.Gate(command.header.region);
  if (gate && command.header.term.IsZero()) command.header.term = gate->term;
  RequestHeader header = command.header;
  header.from_follower = false;
  store_.Read(header, [this, id](const ReadView* view, const RegionError* error) {
    if (error != nullptr) return Finish(id, *error);
    Evaluate(id, *view);
  });
}

void TxnScheduler::Evaluate(txn::CommandId id, const ReadView& view) {
  Command& command = Find(id);
  if (IsLate(command)) return Finish(id, TimeIsUp());
  for (const std::string& key : command.keys) {
    if (std::optional<RegionError> error = KeyOutside(view.region, key)) {
      return Finish(id, *std::move(error));
    }
  }
  // The keys are the region's for as long as its descriptor is this one.
  command.header.epoch = view.region.epoch;
  const Result<RegionMarks> marks = MarksOf(view);
  if (!marks.ok()) return Finish(id, marks.status());
  // Looked at again where it is applied. Here nobody is told anything that is not true any more.
  if (auto error = RefusedBy(marks.value().flashback, view.region.id, command.flashback)) {
    return Finish(id, *std::move(error));
  }
  const RegionId region = view.region.id;
  const Term term = command.header.term;
  mvcc::Reader reader(view.snapshot, marks.value().safe_point,
                      memory_locks_.Find(region, term, command.keys));
  Result<Plan> plan = command.action(reader);
  if (!plan.ok()) return Finish(id, plan.status());
  if (plan.value().changes.empty()) return Finish(id, Finished{});
  if (StaysInMemory(command, reader, plan.value())) return Finish(id, Finished{});
  command.written_over = memory_locks_.Concerned(region, term, plan.value().changes);
  command.locks = std::move(plan.value().locks);
  if (RUTILE_BUGGIFY("buggify store: a transaction's command stands still before its proposal")) {
    // For long enough that others can lead meanwhile.
    executor_.PostAfter(kStandstill, [this, id, changes = std::move(plan.value().changes)] {
      Propose(id, changes);
    });
    return;
  }
  Propose(id, plan.value().changes);
}

bool TxnScheduler::StaysInMemory(const Command& command, const mvcc::Reader& reader,
                                 const Plan& plan) {
  if (!plan.may_stay_in_memory) return false;
  const RequestHeader& header = command.header;
  const bool stays = !reader.has_met_stored_lock() &&
                     memory_locks_.Apply(header.region, header.term, plan.changes);
  ++(stays ? in_memory_ : in_log_);
  RUTILE_SOMETIMES(stays, "store: a pessimistic lock is taken in memory");
  return stays;
}

void TxnScheduler::Propose(txn::CommandId id, const engine::WriteBatch& changes) {
  const Command& command = Find(id);
  store::Command proposal;
  proposal.mutations.reserve(changes.changes().size() + 1);
  if (!command.flashback.IsZero()) {
    proposal.mutations.push_back({.kind = Mutation::Kind::kOfFlashback,
                                  .key = codec::EncodeMemcomparable(command.keys.front()),
                                  .value = EncodeMark(command.flashback)});
  }
  for (const auto& change : changes.changes()) proposal.mutations.push_back(ToMutation(change));
  const RequestHeader header = command.header;
  store_.Write(header, std::move(proposal), [this, id](WriteOutcome outcome) {
    auto* error = std::get_if<RegionError>(&outcome);
    if (error != nullptr) {
      RUTILE_SOMETIMES(std::holds_alternative<StaleCommand>(*error),
                       "store: the term changed between a transaction's snapshot and its proposal");
      return Finish(id, std::move(*error));
    }
    Finish(id, Finished{});
  });
}

void TxnScheduler::Finish(txn::CommandId id, Ending ending) {
  Command& command = Find(id);
  if (std::holds_alternative<Finished>(ending)) {
    memory_locks_.Forget(command.header.region, command.header.term, command.written_over);
    if (command.finished) command.finished();
  }
  // The next command that gets the keys may lock them, too. Where it is not known whether the
  // changes will be applied, this store leads no more in their term, and reads for nobody before it
  // has applied all that became of that.
  command.locks.Release();
  Done done = std::move(command.done);
  std::vector<txn::CommandId> next;
  {
    MutexLock lock(mutex_);
    commands_.erase(id);
    next = latches_.Release(id);
  }
  BeginSoon(next);
  done(std::move(ending));
}

std::size_t TxnScheduler::waiting() const {
  MutexLock lock(mutex_);
  return latches_.waiting();
}

}  // namespace rutile::store
