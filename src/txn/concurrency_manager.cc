#include "txn/concurrency_manager.h"

#include "base/check.h"

namespace rutile::txn {

using mvcc::Timestamp;

KeyLocks::KeyLocks(KeyLocks&& other) noexcept
    : manager_(std::exchange(other.manager_, nullptr)), keys_(std::move(other.keys_)) {}

KeyLocks& KeyLocks::operator=(KeyLocks&& other) noexcept {
  if (this == &other) return *this;
  Release();
  manager_ = std::exchange(other.manager_, nullptr);
  keys_ = std::move(other.keys_);
  return *this;
}

void KeyLocks::SetMinCommit(Timestamp min_commit) {
  if (manager_ != nullptr) manager_->SetMinCommit(keys_, min_commit);
}

void KeyLocks::Release() {
  if (manager_ != nullptr) std::exchange(manager_, nullptr)->Unlock(keys_);
}

void ConcurrencyManager::RaiseMaxTs(Timestamp at) {
  if (at == mvcc::kMaxTimestamp) return;
  std::uint64_t highest = max_ts_.load();
  while (highest < at.value() && !max_ts_.compare_exchange_weak(highest, at.value())) {
  }
}

ConcurrencyManager::Locks ConcurrencyManager::AdmitRead(const mvcc::View& view,
                                                        const std::vector<std::string>& keys) {
  RaiseMaxTs(view.at);
  Locks found;
  if (count_.load() == 0) return found;
  MutexLock lock(mutex_);
  for (const std::string& key : keys) {
    const auto at = locks_.find(key);
    if (at != locks_.end() && mvcc::Blocks(at->second, view)) found.insert(*at);
  }
  return found;
}

ConcurrencyManager::Locks ConcurrencyManager::AdmitScan(const mvcc::View& view,
                                                        std::string_view lower,
                                                        std::string_view upper, std::size_t limit) {
  RaiseMaxTs(view.at);
  Locks found;
  if (count_.load() == 0) return found;
  MutexLock lock(mutex_);
  for (auto at = locks_.lower_bound(lower); at != locks_.end() && found.size() < limit; ++at) {
    if (!upper.empty() && at->first >= upper) break;
    if (mvcc::Blocks(at->second, view)) found.insert(found.end(), *at);
  }
  return found;
}

KeyLocks ConcurrencyManager::Lock(Locks locks) {
  std::vector<std::string> keys;
  keys.reserve(locks.size());
  for (const auto& [key, lock] : locks) keys.push_back(key);
  {
    MutexLock lock(mutex_);
    locks_.merge(locks);
    count_.store(locks_.size());
  }
  RUTILE_CHECK(locks.empty(), "a key is locked in memory already");
  return KeyLocks(this, std::move(keys));
}

void ConcurrencyManager::SetMinCommit(const std::vector<std::string>& keys, Timestamp min_commit) {
  MutexLock lock(mutex_);
  for (const std::string& key : keys) locks_.find(key)->second.min_commit = min_commit;
}

void ConcurrencyManager::Unlock(const std::vector<std::string>& keys) {
  MutexLock lock(mutex_);
  for (const std::string& key : keys) locks_.erase(key);
  count_.store(locks_.size());
}

}  // namespace rutile::txn
