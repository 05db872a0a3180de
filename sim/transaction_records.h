#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "engine/kv_engine.h"
#include "mvcc/types.h"
#include "sim/snapshot_isolation.h"

namespace rutile::sim {

// What the keys of transactions in a run begin with.
inline constexpr std::string_view kTransactionPrefix = "txn-";

// All records that transactions ever had on any member, whatever became of them: garbage is
// collected while a run goes on, and its judge needs the whole history.
//
// Applied entries are never taken back, and all members apply the same: what one of them has
// written is so.
class TransactionRecords {
 public:
  // What an engine of a member writes.
  void OnWrite(const engine::WriteBatch& batch);

  // Of `members`, one that has applied all: who still has locks. kCorruption for records that
  // cannot be read.
  Result<StoredTransactions> Read(const engine::Snapshot& member) const;

 private:
  Result<StoredTransactions::Version> VersionOf(const std::string& key, std::uint64_t commit,
                                                const mvcc::Write& write) const;

  std::map<std::string, std::string> writes_;  // By the engine's keys.
  std::map<std::string, std::string> values_;  // Those that write records do not hold themselves.
};

// What should be on `member` of all that was ever stored, and is not: every version above the safe
// point, and the newest below it. A line each.
Result<std::vector<std::string>> FindMissing(const StoredTransactions& stored,
                                             const engine::Snapshot& member,
                                             std::uint64_t safe_point);

}  // namespace rutile::sim
