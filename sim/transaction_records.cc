#include "sim/transaction_records.h"

#include <optional>
#include <utility>

#include "codec/keys.h"
#include "mvcc/keys.h"
#include "mvcc/reader.h"
#include "mvcc/records.h"
#include "mvcc/types.h"

namespace rutile::sim {
namespace {

using engine::Family;
using mvcc::Timestamp;
using Version = StoredTransactions::Version;

bool IsOfTransactions(const std::string& key) {
  static const std::string prefix = codec::DataKey(kTransactionPrefix);
  return key.starts_with(prefix);
}

// Whether collection must have left it; `newer`: a version that it hides is at or below the safe
// point, too.
bool IsNeeded(const Version& version, std::uint64_t safe_point, bool newer) {
  if (version.commit > safe_point) return true;
  return !newer && !version.is_lock_only && version.value.has_value();
}

Result<bool> IsThere(mvcc::Reader& reader, const std::string& key, const Version& version) {
  RUTILE_ASSIGN_OR_RETURN(const std::optional<mvcc::Write> write,
                          reader.RecordAt(key, Timestamp(version.commit)));
  if (!write || write->start.value() != version.start) return false;
  if (!version.value) return true;
  if (write->kind != mvcc::Write::Kind::kPut) return false;
  RUTILE_ASSIGN_OR_RETURN(const std::string value, reader.LoadValue(key, *write));
  return value == *version.value;
}

}  // namespace

void TransactionRecords::OnWrite(const engine::WriteBatch& batch) {
  for (const engine::WriteBatch::Change& change : batch.changes()) {
    if (change.kind != engine::WriteBatch::Kind::kPut || !IsOfTransactions(change.key)) continue;
    if (change.family == Family::kWrite) writes_[change.key] = change.value;
    if (change.family == Family::kDefault) values_[change.key] = change.value;
  }
}

Result<Version> TransactionRecords::VersionOf(const std::string& key, std::uint64_t commit,
                                              const mvcc::Write& write) const {
  Version version{.commit = commit,
                  .start = write.start.value(),
                  .is_lock_only = write.kind == mvcc::Write::Kind::kLock,
                  .value = write.short_value};
  if (write.kind != mvcc::Write::Kind::kPut || version.value) return version;
  const auto found = values_.find(mvcc::VersionKey(key, write.start));
  if (found == values_.end()) {
    return Status(Code::kCorruption,
                  "key " + key + " never had its value of " + std::to_string(version.start));
  }
  version.value = found->second;
  return version;
}

Result<StoredTransactions> TransactionRecords::Read(const engine::Snapshot& member) const {
  StoredTransactions stored;
  for (const auto& [engine_key, record] : writes_) {
    const auto parts = mvcc::SplitVersionKey(engine_key);
    if (!parts) return Status(Code::kCorruption, "a write record without a timestamp");
    RUTILE_ASSIGN_OR_RETURN(const std::string key, mvcc::UserKeyOf(parts->lock_key));
    RUTILE_ASSIGN_OR_RETURN(const mvcc::Write write, mvcc::DecodeWrite(record));
    if (write.kind == mvcc::Write::Kind::kRollback) continue;
    RUTILE_ASSIGN_OR_RETURN(Version version, VersionOf(key, parts->timestamp.value(), write));
    stored.keys[key].versions.push_back(std::move(version));
  }
  const auto locks = member.NewIterator(Family::kLock, {});
  for (locks->Seek(""); locks->Valid(); locks->Next()) {
    RUTILE_ASSIGN_OR_RETURN(const std::string key, mvcc::UserKeyOf(locks->key()));
    RUTILE_ASSIGN_OR_RETURN(const mvcc::Lock lock, mvcc::DecodeLock(locks->value()));
    stored.keys[key].locked_by = lock.start.value();
  }
  return stored;
}

Result<std::vector<std::string>> FindMissing(const StoredTransactions& stored,
                                             const engine::Snapshot& member,
                                             std::uint64_t safe_point) {
  std::vector<std::string> missing;
  mvcc::Reader reader(member);
  for (const auto& [key, held] : stored.keys) {
    bool newer = false;
    for (const Version& version : held.versions) {
      const bool is_needed = IsNeeded(version, safe_point, newer);
      newer = newer || (version.commit <= safe_point && !version.is_lock_only);
      if (!is_needed) continue;
      RUTILE_ASSIGN_OR_RETURN(const bool is_there, IsThere(reader, key, version));
      if (is_there) continue;
      missing.push_back("transactions: the version of key " + key + " at " +
                        std::to_string(version.commit) + " is gone; the safe point is " +
                        std::to_string(safe_point));
    }
  }
  return missing;
}

}  // namespace rutile::sim
