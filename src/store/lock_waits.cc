#include "store/lock_waits.h"

#include "base/check.h"

namespace rutile::store {

std::vector<WaitId> LockWaits::Add(WaitId id, Wait wait, txn::Timestamp holder) {
  const auto [added, is_new] = waits_.emplace(id, std::move(wait));
  RUTILE_CHECK(is_new, "wait " + ToString(id) + " is there already");
  const std::string& key = added->second.key;
  Queue& queue = queues_[key];
  queue.waiters.emplace(added->second.start, id);
  return queue.holder == holder ? std::vector<WaitId>{id} : SetHolder(key, holder);
}

bool LockWaits::Remove(WaitId id) {
  const auto found = waits_.find(id);
  if (found == waits_.end()) return false;
  const auto queue = queues_.find(found->second.key);
  queue->second.waiters.erase({found->second.start, id});
  if (queue->second.waiters.empty()) queues_.erase(queue);
  waits_.erase(found);
  return true;
}

const LockWaits::Wait* LockWaits::Find(WaitId id) const {
  const auto found = waits_.find(id);
  return found == waits_.end() ? nullptr : &found->second;
}

txn::Timestamp LockWaits::HolderOf(const std::string& key) const {
  const auto queue = queues_.find(key);
  return queue == queues_.end() ? txn::Timestamp() : queue->second.holder;
}

std::vector<WaitId> LockWaits::SetHolder(const std::string& key, txn::Timestamp holder) {
  std::vector<WaitId> waiting;
  const auto queue = queues_.find(key);
  if (queue == queues_.end() || queue->second.holder == holder) return waiting;
  queue->second.holder = holder;
  waiting.reserve(queue->second.waiters.size());
  for (const auto& [start, id] : queue->second.waiters) waiting.push_back(id);
  return waiting;
}

std::optional<WaitId> LockWaits::TakeNext(const std::string& key) {
  const auto queue = queues_.find(key);
  if (queue == queues_.end() || !queue->second.holder.IsZero()) return std::nullopt;
  const WaitId id = queue->second.waiters.begin()->second;
  Remove(id);
  return id;
}

}  // namespace rutile::store
