#include "mvcc/inspect.h"

#include <memory>
#include <utility>

#include "codec/keys.h"
#include "mvcc/keys.h"
#include "mvcc/records.h"

namespace rutile::mvcc {
namespace {

using engine::Family;

// What is left of the limits.
class Allowance {
 public:
  explicit Allowance(const InspectLimits& limits) : limits_(limits) {}

  // One more record, of which `bytes` are kept.
  Status Take(std::size_t bytes) {
    if (++records_ > limits_.records) {
      return Status(
          Code::kResourceExhausted,
          "there are more than " + std::to_string(limits_.records) + " records to look at");
    }
    bytes_ += bytes;
    if (bytes_ > limits_.bytes) {
      return Status(Code::kResourceExhausted,
                    "the records have more than " + std::to_string(limits_.bytes) + " bytes");
    }
    return {};
  }

 private:
  const InspectLimits limits_;
  std::size_t records_ = 0;
  std::size_t bytes_ = 0;
};

// Calls `visit(timestamp, bytes)` for each version of the key in a family.
template <class Visit>
Status WalkVersions(const engine::Snapshot& snapshot, Family family, const std::string& lock_key,
                    Allowance& allowance, Visit visit) {
  const std::unique_ptr<engine::Iterator> iterator = snapshot.NewIterator(
      family,
      {.lower = VersionOfLockKey(lock_key, kMaxTimestamp), .upper = EndOfVersions(lock_key)});
  for (iterator->Seek(""); iterator->Valid(); iterator->Next()) {
    const std::optional<VersionKeyParts> parts = SplitVersionKey(iterator->key());
    // A raw key may stand between those of transactions.
    if (!parts || parts->lock_key != lock_key) continue;
    RUTILE_RETURN_IF_ERROR(allowance.Take(iterator->value().size()));
    RUTILE_RETURN_IF_ERROR(visit(parts->timestamp, iterator->value()));
  }
  return iterator->status();
}

// The first lock of the transaction; the bounds end there from then on.
Result<std::optional<std::string>> FirstLockOf(const engine::Snapshot& snapshot, Timestamp start,
                                               engine::Bounds* within, Allowance& allowance) {
  const std::unique_ptr<engine::Iterator> iterator = snapshot.NewIterator(Family::kLock, *within);
  for (iterator->Seek(""); iterator->Valid(); iterator->Next()) {
    RUTILE_RETURN_IF_ERROR(allowance.Take(0));
    RUTILE_ASSIGN_OR_RETURN(const Lock lock, DecodeLock(iterator->value()));
    if (lock.start != start) continue;
    within->upper = std::string(iterator->key());
    RUTILE_ASSIGN_OR_RETURN(std::string key, UserKeyOf(iterator->key()));
    return std::optional(std::move(key));
  }
  RUTILE_RETURN_IF_ERROR(iterator->status());
  return std::optional<std::string>();
}

}  // namespace

Result<KeyRecords> RecordsOf(const engine::Snapshot& snapshot, std::string_view key,
                             const InspectLimits& limits) {
  Allowance allowance(limits);
  KeyRecords found;
  RUTILE_ASSIGN_OR_RETURN(found.lock, Reader(snapshot).LoadLock(key));
  const std::string lock_key = LockKey(key);
  RUTILE_RETURN_IF_ERROR(WalkVersions(snapshot, Family::kWrite, lock_key, allowance,
                                      [&](Timestamp commit, std::string_view bytes) -> Status {
                                        RUTILE_ASSIGN_OR_RETURN(Write write, DecodeWrite(bytes));
                                        found.writes.push_back(
                                            {.commit = commit, .write = std::move(write)});
                                        return {};
                                      }));
  RUTILE_RETURN_IF_ERROR(WalkVersions(snapshot, Family::kDefault, lock_key, allowance,
                                      [&](Timestamp start, std::string_view bytes) -> Status {
                                        found.values.push_back(
                                            {.start = start, .value = std::string(bytes)});
                                        return {};
                                      }));
  return found;
}

Result<std::optional<std::string>> FirstKeyOf(const engine::Snapshot& snapshot, Timestamp start,
                                              engine::Bounds within, const InspectLimits& limits) {
  Allowance allowance(limits);
  RUTILE_ASSIGN_OR_RETURN(std::optional<std::string> locked,
                          FirstLockOf(snapshot, start, &within, allowance));
  const std::unique_ptr<engine::Iterator> iterator =
      snapshot.NewIterator(Family::kWrite, std::move(within));
  for (iterator->Seek(""); iterator->Valid(); iterator->Next()) {
    RUTILE_RETURN_IF_ERROR(allowance.Take(0));
    RUTILE_ASSIGN_OR_RETURN(const Write write, DecodeWrite(iterator->value()));
    const std::optional<VersionKeyParts> parts = SplitVersionKey(iterator->key());
    if (!parts) return Status(Code::kCorruption, "a key of a write record is too short");
    // Its rollback may stand in another's record that is at its start.
    const bool is_rolled_back = write.has_overlapped_rollback && parts->timestamp == start;
    if (write.start != start && !is_rolled_back) continue;
    RUTILE_ASSIGN_OR_RETURN(std::string key, UserKeyOf(parts->lock_key));
    return std::optional(std::move(key));
  }
  RUTILE_RETURN_IF_ERROR(iterator->status());
  return locked;
}

}  // namespace rutile::mvcc
