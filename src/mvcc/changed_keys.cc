#include "mvcc/changed_keys.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "mvcc/keys.h"
#include "mvcc/records.h"

namespace rutile::mvcc {
namespace {

// When the key that the iterator stands on was last changed; zero: never. Leaves the iterator on
// the key, or behind it.
Result<Timestamp> LastChange(engine::Iterator& iterator, const std::string& lock_key,
                             std::size_t* looked_at) {
  for (; iterator.Valid(); iterator.Next()) {
    const std::optional<VersionKeyParts> parts = SplitVersionKey(iterator.key());
    if (!parts || parts->lock_key != lock_key) break;
    ++*looked_at;
    RUTILE_ASSIGN_OR_RETURN(const Write write, DecodeWrite(iterator.value()));
    if (write.kind == Write::Kind::kPut || write.kind == Write::Kind::kDelete) {
      return parts->timestamp;
    }
  }
  return Timestamp();
}

}  // namespace

Result<ChangesFound> FindChanges(const engine::Snapshot& snapshot, const ChangeScan& scan,
                                 engine::Bounds within) {
  if (!scan.lower.empty()) within.lower = std::max(within.lower, LockKey(scan.lower));
  if (!scan.upper.empty()) within.upper = std::min(within.upper, LockKey(scan.upper));
  ChangesFound found;
  if (within.lower >= within.upper) return found;
  const std::unique_ptr<engine::Iterator> iterator =
      snapshot.NewIterator(engine::Family::kWrite, std::move(within));
  std::size_t looked_at = 0;
  iterator->Seek("");
  while (iterator->Valid()) {
    const std::optional<VersionKeyParts> first = SplitVersionKey(iterator->key());
    if (!first) return Status(Code::kCorruption, "a write record's key has no timestamp");
    const std::string lock_key(first->lock_key);
    RUTILE_ASSIGN_OR_RETURN(std::string key, UserKeyOf(lock_key));
    if (looked_at >= scan.max_records || found.keys.size() == scan.max_keys) {
      found.next = std::move(key);
      break;
    }
    RUTILE_ASSIGN_OR_RETURN(const Timestamp changed, LastChange(*iterator, lock_key, &looked_at));
    if (changed > scan.until) {
      return Status(Code::kFailedPrecondition, "a transaction has committed at " +
                                                   ToString(changed) + ", above " +
                                                   ToString(scan.until));
    }
    if (changed > scan.after && changed != scan.until) found.keys.push_back(std::move(key));
    iterator->Seek(EndOfVersions(lock_key));
  }
  RUTILE_RETURN_IF_ERROR(iterator->status());
  return found;
}

}  // namespace rutile::mvcc
