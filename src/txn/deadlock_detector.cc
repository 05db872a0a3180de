#include "txn/deadlock_detector.h"

#include <algorithm>
#include <utility>

namespace rutile::txn {

std::optional<Deadlock> DeadlockDetector::Add(Id id, const WaitFor& wait, Instant now) {
  Remove(id);
  if (std::optional<Deadlock> deadlock = FindCircle(wait)) return deadlock;
  if (waits_.size() >= max_waits_) return std::nullopt;
  waits_.emplace(id, Wait{.wait = wait, .told = now});
  of_waiter_[wait.waiter].insert(id);
  return std::nullopt;
}

std::optional<Deadlock> DeadlockDetector::FindCircle(const WaitFor& wait) const {
  // By transaction that can be reached from the holder: the wait that leads to it.
  std::map<Timestamp, const WaitFor*> reached = {{wait.holder, nullptr}};
  std::vector<Timestamp> open = {wait.holder};
  while (!open.empty()) {
    const Timestamp at = open.back();
    open.pop_back();
    const auto ids = of_waiter_.find(at);
    if (ids == of_waiter_.end()) continue;
    for (const Id& id : ids->second) {
      const WaitFor& next = waits_.at(id).wait;
      if (next.holder != wait.waiter) {
        if (reached.emplace(next.holder, &next).second) open.push_back(next.holder);
        continue;
      }
      Deadlock deadlock{.key = wait.key, .holder = wait.holder, .closing = next, .chain = {next}};
      for (const WaitFor* step = reached.at(at); step != nullptr; step = reached.at(step->waiter)) {
        deadlock.chain.push_back(*step);
      }
      std::ranges::reverse(deadlock.chain);
      deadlock.chain.push_back(wait);
      return deadlock;
    }
  }
  return std::nullopt;
}

void DeadlockDetector::Remove(Id id) {
  const auto found = waits_.find(id);
  if (found == waits_.end()) return;
  const auto ids = of_waiter_.find(found->second.wait.waiter);
  ids->second.erase(id);
  if (ids->second.empty()) of_waiter_.erase(ids);
  waits_.erase(found);
}

template <class Predicate>
void DeadlockDetector::RemoveIf(Predicate predicate) {
  std::vector<Id> gone;
  for (const auto& [id, wait] : waits_) {
    if (predicate(id, wait)) gone.push_back(id);
  }
  for (const Id& id : gone) Remove(id);
}

void DeadlockDetector::RemoveTransaction(Timestamp waiter) {
  const auto ids = of_waiter_.find(waiter);
  if (ids == of_waiter_.end()) return;
  for (const Id& id : ids->second) waits_.erase(id);
  of_waiter_.erase(ids);
}

void DeadlockDetector::RemoveStore(StoreId store) {
  RemoveIf([&](const Id& id, const Wait&) { return id.store == store; });
}

void DeadlockDetector::Expire(Instant then) {
  RemoveIf([&](const Id&, const Wait& wait) { return wait.told < then; });
}

}  // namespace rutile::txn
