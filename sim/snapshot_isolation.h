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
  std::map<std::string, Write> writes = {};  // The first is the primary key.
  std::string existing = {};  // It failed because this key exists; empty: it did not.
  Duration invoked = {};
  std::optional<Duration> returned = {};
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
//   - Every read is that state at the timestamp of the start, whatever became of the reader.
//   - Of two that overlap and write (or lock) the same key one is not committed.
//   - What was committed is stored, on every key at the one timestamp, or still locked on others
//     than the primary; and nothing else is stored. That also tells the fate of those whose
//     clients do not know it.
//   - No timestamp is used twice, and who begins after a commit was answered sees it.
std::vector<std::string> FindAnomalies(const std::vector<TransactionRecord>& history,
                                       const StoredTransactions& stored);

}  // namespace rutile::sim
