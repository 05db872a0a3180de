#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/time.h"
#include "client/connections.h"
#include "client/txn_error.h"
#include "client/write_buffer.h"
#include "env/env.h"

namespace rutile::client {

class TxnCore;

struct TxnClientOptions {
  std::vector<std::string> endpoints = {};  // Of placement, "host:port".
  // How long an operation may take with all its retries, waiting for others' locks included. A
  // commit has it twice: until all keys are locked, and for the commit itself.
  Duration timeout = Seconds(20);
  Duration attempt_timeout = Seconds(5);
  Duration backoff_min = Milliseconds(10);
  Duration backoff_max = Milliseconds(500);
  // How long a lock protects its transaction without a sign of life, and how much longer for each
  // MiB that it writes, up to the largest. A commit that takes longer gives signs of life.
  Duration lock_ttl = Seconds(3);
  Duration lock_ttl_per_mib = Seconds(1);
  Duration lock_ttl_max = Seconds(20);
  // What is sent to one region at a time.
  std::size_t batch_keys = 256;
  std::size_t batch_bytes = std::size_t{1} << 20;
  // Readers at an earlier timestamp need not wait for this client's locks: they have its commit
  // made later instead.
  bool readers_pass = true;
  // A commit is answered when all keys are committed, rather than when the primary key is and with
  // it the transaction.
  bool await_all_keys = false;
};

// Reads at a timestamp and gathers writes, which nobody sees until Commit(). Snapshot isolation: it
// sees the state at its start with its own writes, and of two transactions that overlap and write
// the same key one fails.
//
// Optimistic: nothing is locked before Commit(). Used by one thread at a time, one operation after
// the other; `done` runs on the client's executor and must not block. Everything fails with
// kRefused after Commit() or Rollback().
class Transaction {
 public:
  using Pair = std::pair<std::string, std::string>;
  using Pairs = std::map<std::string, std::string>;

  Timestamp start() const { return start_; }

  // Errors: kLocked, kUnavailable, kRefused, kInternal. They may be tried again.
  void Get(const std::string& key, TxnDone<std::optional<std::string>> done);
  // Only the keys that exist.
  void BatchGet(std::vector<std::string> keys, TxnDone<Pairs> done);
  // From `start` on to below `end` (empty: no end), at most `limit`.
  void Scan(std::string start, std::string end, std::size_t limit, TxnDone<std::vector<Pair>> done);

  void Put(std::string key, std::string value) { writes_.Put(std::move(key), std::move(value)); }
  // A put that makes the commit fail with kAlreadyExists if the key exists.
  void Insert(std::string key, std::string value) {
    writes_.Insert(std::move(key), std::move(value));
  }
  void Delete(std::string key) { writes_.Delete(std::move(key)); }
  // Conflicts with others' writes of these keys as if it wrote them, and does not.
  void LockKeys(const std::vector<std::string>& keys);

  // Makes the writes visible, all at one timestamp, which it hands on; without writes, that of the
  // start. After any error but kUndetermined none of them ever will be.
  void Commit(TxnDone<Timestamp> done);
  // Forgets the writes.
  void Rollback();

 private:
  friend class TxnClient;
  Transaction(std::shared_ptr<TxnCore> core, Timestamp start, Instant began)
      : core_(std::move(core)), start_(start), began_(began) {}

  const std::shared_ptr<TxnCore> core_;
  const Timestamp start_;
  const Instant began_;  // Not after the start by the oracle.
  WriteBuffer writes_;
  bool is_over_ = false;
};

// A client of transactions: finds regions, takes timestamps from placement, and carries out
// Percolator's two-phase commit (Peng and Dabek, 2010; docs/transactions.md). Locks of others that
// it meets it brings to their end when their transaction is over or its client silent.
//
// Safe from any thread. What is left to do when a commit has been answered (locks of a transaction
// that is decided) goes on in the background, also when the client is gone; if it does not come to
// its end, others do it when they come across it.
class TxnClient {
 public:
  // `clock`, `random` and `executor` outlive the client and all that is under way: see Close().
  // `random` is used on `executor` only.
  TxnClient(const TxnClientOptions& options, Connect connect, const Clock& clock, Random& random,
            Executor& executor);
  ~TxnClient();

  void Begin(TxnDone<std::shared_ptr<Transaction>> done);
  // The last call. `done` runs, on any thread, when all transactions are destroyed and nothing is
  // under way any more, which takes no longer than a commit may.
  void Close(std::function<void()> done);

 private:
  std::shared_ptr<TxnCore> core_;  // Shared with what is under way. Constant until Close().
};

}  // namespace rutile::client
