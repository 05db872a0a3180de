#include "txn/memory_locks.h"

#include <optional>
#include <utility>

#include "base/check.h"
#include "mvcc/keys.h"
#include "mvcc/records.h"

namespace rutile::txn {
namespace {

using Change = engine::WriteBatch::Change;

// What a lock takes beside its strings: itself and a node of the map.
constexpr std::size_t kLockBytes = sizeof(mvcc::Lock) + 96;

std::size_t BytesOf(const std::string& key, const mvcc::Lock& lock) {
  return kLockBytes + key.size() + lock.primary.size();
}

// The key whose lock the change replaces or removes, if it does.
std::optional<std::string> LockedKeyOf(const Change& change) {
  if (change.family != engine::Family::kLock) return std::nullopt;
  Result<std::string> key = mvcc::UserKeyOf(change.key);
  if (!key.ok()) return std::nullopt;
  return std::move(key).value();
}

// The pessimistic lock that the change adds, if it does.
std::optional<mvcc::Lock> LockOf(const Change& change) {
  if (change.kind != engine::WriteBatch::Kind::kPut) return std::nullopt;
  Result<mvcc::Lock> lock = mvcc::DecodeLock(change.value);
  if (!lock.ok() || lock.value().kind != mvcc::Lock::Kind::kPessimistic) return std::nullopt;
  return std::move(lock).value();
}

// What a region has of the term; null: nothing.
template <class Regions>
auto* InTerm(Regions& regions, RegionId region, Term term) {
  const auto found = regions.find(region);
  return found == regions.end() || found->second.term != term ? nullptr : &found->second;
}

}  // namespace

mvcc::LockMap MemoryLocks::Find(RegionId region, Term term,
                                const std::vector<std::string>& keys) const {
  mvcc::LockMap found;
  if (size() == 0) return found;
  MutexLock lock(mutex_);
  const Held* held = InTerm(regions_, region, term);
  if (held == nullptr) return found;
  for (const std::string& key : keys) {
    const auto at = held->locks.find(key);
    if (at != held->locks.end()) found.insert(*at);
  }
  return found;
}

mvcc::LockMap MemoryLocks::Scan(RegionId region, Term term, const mvcc::LockScan& scan) const {
  mvcc::LockMap found;
  if (size() == 0) return found;
  MutexLock lock(mutex_);
  const Held* held = InTerm(regions_, region, term);
  if (held == nullptr) return found;
  for (auto at = held->locks.lower_bound(scan.lower); at != held->locks.end(); ++at) {
    if (!scan.upper.empty() && at->first >= scan.upper) break;
    if (!Matches(scan, at->second)) continue;
    found.insert(*at);
    if (found.size() == scan.limit) break;
  }
  return found;
}

bool MemoryLocks::Apply(RegionId region, Term term, const engine::WriteBatch& changes) {
  if (options_.max_region_bytes == 0) return false;
  std::vector<std::pair<std::string, std::optional<mvcc::Lock>>> wanted;
  std::size_t more = 0;
  for (const Change& change : changes.changes()) {
    std::optional<std::string> key = LockedKeyOf(change);
    std::optional<mvcc::Lock> added = LockOf(change);
    if (!key || (change.kind != engine::WriteBatch::Kind::kDelete && !added)) return false;
    if (added) more += BytesOf(*key, *added);
    wanted.emplace_back(*std::move(key), std::move(added));
  }
  MutexLock lock(mutex_);
  Held* const held = Enter(region, term);
  if (held == nullptr || (more > 0 && (held->is_closed || !HasRoom(*held, more)))) return false;
  for (const auto& [key, added] : wanted) {
    if (!added && !held->locks.contains(key)) return false;
  }
  for (auto& [key, added] : wanted) {
    Remove(*held, key);
    if (added) Add(*held, std::move(key), *std::move(added));
  }
  return true;
}

std::vector<std::string> MemoryLocks::Concerned(RegionId region, Term term,
                                                const engine::WriteBatch& changes) const {
  std::vector<std::string> keys;
  if (size() == 0) return keys;
  MutexLock lock(mutex_);
  const Held* held = InTerm(regions_, region, term);
  if (held == nullptr) return keys;
  for (const Change& change : changes.changes()) {
    std::optional<std::string> key = LockedKeyOf(change);
    if (key && held->locks.contains(*key)) keys.push_back(*std::move(key));
  }
  return keys;
}

void MemoryLocks::Forget(RegionId region, Term term, const std::vector<std::string>& keys) {
  if (keys.empty()) return;
  MutexLock lock(mutex_);
  Held* const held = InTerm(regions_, region, term);
  if (held == nullptr) return;
  for (const std::string& key : keys) Remove(*held, key);
}

std::vector<std::string> MemoryLocks::Close(RegionId region, Term term) {
  std::vector<std::string> keys;
  if (options_.max_region_bytes == 0) return keys;
  MutexLock lock(mutex_);
  Held* const held = Enter(region, term);
  if (held == nullptr) return keys;
  held->is_closed = true;
  keys.reserve(held->locks.size());
  for (const auto& [key, each] : held->locks) keys.push_back(key);
  return keys;
}

void MemoryLocks::Reopen(RegionId region, Term term) {
  MutexLock lock(mutex_);
  if (Held* const held = InTerm(regions_, region, term)) held->is_closed = false;
}

void MemoryLocks::DropBefore(RegionId region, Term term) {
  MutexLock lock(mutex_);
  if (regions_.contains(region)) Enter(region, term);
}

void MemoryLocks::Drop(RegionId region) {
  MutexLock lock(mutex_);
  const auto found = regions_.find(region);
  if (found != regions_.end()) Clear(found->second);
}

void MemoryLocks::DropSome(RegionId region,
                           const std::function<bool(const std::string& key)>& which) {
  MutexLock lock(mutex_);
  const auto found = regions_.find(region);
  if (found == regions_.end()) return;
  std::vector<std::string> keys;
  for (const auto& [key, held] : found->second.locks) {
    if (which(key)) keys.push_back(key);
  }
  for (const std::string& key : keys) Remove(found->second, key);
}

std::size_t MemoryLocks::bytes() const {
  MutexLock lock(mutex_);
  return bytes_;
}

MemoryLocks::Held* MemoryLocks::Enter(RegionId region, Term term) {
  Held& held = regions_[region];
  if (held.term > term) return nullptr;
  if (held.term < term) {
    Clear(held);
    held.term = term;
    held.is_closed = false;
  }
  return &held;
}

bool MemoryLocks::HasRoom(const Held& held, std::size_t more) const {
  return held.bytes + more <= options_.max_region_bytes && bytes_ + more <= options_.max_bytes;
}

void MemoryLocks::Add(Held& held, std::string key, mvcc::Lock lock) {
  const std::size_t bytes = BytesOf(key, lock);
  const bool is_new = held.locks.emplace(std::move(key), std::move(lock)).second;
  RUTILE_CHECK(is_new);
  held.bytes += bytes;
  bytes_ += bytes;
  ++count_;
}

void MemoryLocks::Remove(Held& held, const std::string& key) {
  const auto found = held.locks.find(key);
  if (found == held.locks.end()) return;
  const std::size_t bytes = BytesOf(key, found->second);
  held.bytes -= bytes;
  bytes_ -= bytes;
  --count_;
  held.locks.erase(found);
}

void MemoryLocks::Clear(Held& held) {
  bytes_ -= held.bytes;
  count_ -= held.locks.size();
  held.bytes = 0;
  held.locks.clear();
}

}  // namespace rutile::txn
