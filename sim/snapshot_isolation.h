#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"

namespace rutile::sim {

// A transaction as its client saw it. Timestamps are the oracle's; zero: it never had one.
struct TransactionRecord {
  enum class Fate : std::uint8_t {
    kCommitted,
    kFailed,   // Certainly not committed.
    kUnknown,  // Undetermined, or its client died.
  };
  struct Read {
    std::string key = {};
    std::optional<std::string> seen = {};
  };
  struct Scan {
    std::string from = {};
    std::string to = {};  // Exclusive.
    std::map<std::string, std::string> seen = {};
  };
  struct Write {
    enum class Kind : std::uint8_t { kPut, kInsert, kDelete, kLock };
    Kind kind = Kind::kPut;
    std::string value = {};  // kPut, kInsert.
  };

  std::uint64_t client = 0;
  std::uint64_t start = 0;
  std::uint64_t commit = 0;  // kCommitted.
  Fate fate = Fate::kUnknown;
  // All before the first write; of the state at the start.
  std::vector<Read> reads = {};
  std::vector<Scan> scans = {};
  std::map<std::string, Write> writes = {};
  std::string primary = {};  // Of the writes; empty: the first.
  // Of a pessimistic one: what it was told when it locked keys, of the state at a timestamp.
  struct Lock {
    std::optional<std::string> seen = {};
    std::uint64_t at = 0;
  };
  std::map<std::string, Lock> locks = {};
  // Its stores may have chosen the timestamp of the commit, without a second phase.
  bool is_early = false;
  std::string existing = {};  // It failed because this key exists; empty: it did not.
  Duration invoked = {};
  Duration committing = {};  // When the commit was invoked, if it was.
  std::optional<Duration> returned = {};

  const std::string& primary_key() const {
    return primary.empty() ? writes.begin()->first : primary;
  }
  // From when on nobody else may have written a key that it has.
  std::uint64_t SinceWhen(const std::string& key) const {
    const auto lock = locks.find(key);
    return lock == locks.end() ? start : lock->second.at;
  }
};

std::string ToString(const TransactionRecord& transaction);

// What stores have held of transactions.
struct StoredTransactions {
  struct Version {
    std::uint64_t commit = 0;
    std::uint64_t start = 0;
    bool is_lock_only = false;
    std::optional<std::string> value = {};  // Nothing: a deletion, if it is no lock.
  };
  struct Key {
    std::vector<Version> versions = {};  // The newest first.
    std::uint64_t locked_by = 0;         // The start of a transaction.
  };
  std::map<std::string, Key> keys = {};
};

// What is not as snapshot isolation has it, a line each. The state that a transaction may see is
// known from what has been committed: the commits are replayed in the order of their timestamps.
//
//   - Every read is that state at the timestamp of the start, whatever became of the reader; and
//     what was told of locked keys is that state at the timestamp at which they were locked, or
//     before if the transaction is not committed.
//   - Of two that overlap and write (or lock) the same key one is not committed. One that has
//     locked the key first overlaps from then on.
//   - What was committed is stored, on every key at the one timestamp, or still locked, on others
//     than the primary unless it is without a second phase; and nothing else is stored. That also
//     tells the fate of those whose clients do not know it.
//   - No timestamp is given twice, who begins after a commit was answered sees it, and who commits
//     after it does so later. A timestamp that a store has chosen may also be somebody's start.
std::vector<std::string> FindAnomalies(const std::vector<TransactionRecord>& history,
                                       const StoredTransactions& stored);

}  // namespace rutile::sim
