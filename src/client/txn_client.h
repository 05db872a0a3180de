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
#include "client/channel.h"
#include "client/txn_error.h"
#include "client/write_buffer.h"
#include "codec/api_version.h"
#include "env/env.h"

namespace rutile::client {

class HeldLocks;
class TxnCore;

// How a transaction works.
struct TransactionOptions {
  // It may lock keys before it knows what it will write: see Transaction::Lock().
  bool is_pessimistic = false;
  // The stores choose the timestamp of the commit, which is done when all keys are locked. For
  // small transactions: see TxnClientOptions. Others, and those for which a store declines, take
  // two phases.
  bool use_async_commit = true;
  // Likewise, and done in one step, if one request holds all keys.
  bool try_one_phase = true;
};

// Which cluster, how long to try, and how commits are made.
struct TxnClientOptions {
  std::vector<std::string> endpoints = {};  // Of placement, "host:port".
  // How long an operation may take with all its retries, waiting for others' locks included. A
  // commit has it twice: until all keys are locked, and for the commit itself.
  Duration timeout = Seconds(20);
  Duration attempt_timeout = Seconds(5);
  Duration backoff_min = Milliseconds(10);
  Duration backoff_max = Milliseconds(500);
  // How long a lock protects its transaction without a sign of life, and how much longer for each
  // MiB that it writes, up to the largest. A commit that takes longer gives signs of life, and so
  // does a transaction that has locked keys.
  Duration lock_ttl = Seconds(3);
  Duration lock_ttl_per_mib = Seconds(1);
  Duration lock_ttl_max = Seconds(20);
  // A transaction gives signs of life for no longer: its locks keep garbage from being collected.
  Duration max_life = Seconds(3600);
  // What is sent to one region at a time.
  std::size_t batch_keys = 256;
  std::size_t batch_bytes = std::size_t{1} << 20;
  // An asynchronous commit has no more keys than this, nor more bytes of them: the lock of its
  // primary key names all.
  std::size_t async_keys = 256;
  std::size_t async_key_bytes = 4096;
  // How far above the present a store may choose a commit's timestamp. It does where somebody reads
  // at timestamps that do not exist yet: the commit then takes two phases.
  Duration commit_window = Seconds(2);
  // Readers at an earlier timestamp need not wait for this client's locks: they have its commit
  // made later instead.
  bool readers_pass = true;
  // Reads are served by all peers of a region in turn. They see the same; a follower asks the
  // leader first, unless it knows that it has all that there is at the timestamp.
  bool follower_reads = false;
  // A commit is answered when all keys are committed, rather than when the transaction is.
  bool await_all_keys = false;
  // What the cluster was started with.
  codec::ApiVersion api = codec::ApiVersion::kV1;
  std::uint32_t keyspace = 0;  // Of V2: the one whose keys transactions read and write.
};

// How keys are locked.
struct LockOptions {
  // How long to wait for others' locks; zero: not at all. Nothing: as long as an operation may
  // take.
  std::optional<Duration> wait = {};
};

// Reads at a timestamp and gathers writes, which nobody sees until Commit(). Snapshot isolation: it
// sees the state at its start with its own writes, and of two transactions that overlap and write
// the same key one fails.
//
// An optimistic one locks nothing before Commit(). A pessimistic one may take keys as it goes, with
// Lock(), and then knows that nobody else writes them until it is over.
//
// Used by one thread at a time, one operation after the other; `done` runs on the client's executor
// and must not block. Everything fails with kRefused after Commit() or Rollback(). Ends like
// Rollback() when the last reference to it is gone.
class Transaction {
 public:
  using Pair = std::pair<std::string, std::string>;
  using Pairs = std::map<std::string, std::string>;

  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  Timestamp start() const { return start_; }
  bool is_pessimistic() const { return held_ != nullptr; }
  // As of when the last Lock() has told the values of its keys. Pessimistic only.
  Timestamp for_update() const;

  // --- Reads, of the state at the start, whatever is locked. Errors: kLocked, kUnavailable,
  // kRolledBack (too old), kRefused, kInternal. The first two may be tried again.

  void Get(const std::string& key, TxnDone<std::optional<std::string>> done);
  // Only the keys that exist.
  void BatchGet(std::vector<std::string> keys, TxnDone<Pairs> done);
  // From `start` on to below `end` (empty: no end), at most `limit`.
  void Scan(const std::string& start, const std::string& end, std::size_t limit,
            TxnDone<std::vector<Pair>> done);
  // From below `end` (empty: from the last key) down to `start`, at most `limit`.
  void ReverseScan(const std::string& start, const std::string& end, std::size_t limit,
                   TxnDone<std::vector<Pair>> done);

  // --- Writes.

  void Put(const std::string& key, std::string value);
  // A put that makes the commit fail with kAlreadyExists if the key exists.
  void Insert(const std::string& key, std::string value);
  void Delete(const std::string& key);
  // Conflicts with others' writes of these keys as if it wrote them, and does not.
  void LockKeys(const std::vector<std::string>& keys);

  // Pessimistic only: waits until nobody else has the keys, takes them, and hands on the values of
  // those that exist, without own writes: the newest there are, also where they were committed
  // after the start. They stay true until this transaction is over; if its client is silent for so
  // long that others take a key from it, the commit fails with kRolledBack. What is locked is
  // committed as LockKeys() has it, unless it is written too. A key that it has already costs
  // nothing.
  //
  // Errors: kLocked (the wait is over), kDeadlock (it would never have been), kRolledBack,
  // kUnavailable, kRefused, kInternal. After one, keys that it had before are still locked and none
  // of the others is. It may be tried again; after kDeadlock only when something was given up: the
  // other one waits for a key that this transaction has.
  void Lock(const std::vector<std::string>& keys, const LockOptions& options, TxnDone<Pairs> done);

  // --- The end.

  // Makes the writes visible, all at one timestamp, which it hands on; without writes, that of the
  // start. After any error but kUndetermined none of them ever will be. A pessimistic transaction
  // conflicts with nobody on the keys that it has locked; on others it writes like an optimistic
  // one.
  void Commit(TxnDone<Timestamp> done);
  // Forgets the writes, and gives up what is locked, in the background.
  void Rollback();

 private:
  friend class TxnClient;
  Transaction(std::shared_ptr<TxnCore> core, const TransactionOptions& options, Timestamp start,
              Instant began);
  void StartScan(const std::string& start, const std::string& end, std::size_t limit,
                 bool is_reverse, TxnDone<std::vector<Pair>> done);

  const std::shared_ptr<TxnCore> core_;
  const TransactionOptions options_;
  const Timestamp start_;
  const Instant began_;                    // Not after the start by the oracle.
  const std::shared_ptr<HeldLocks> held_;  // Null: optimistic.
  WriteBuffer writes_;                     // By keys as they are sent.
  bool is_over_ = false;
};

// A client of transactions: finds regions, takes timestamps from placement, and carries out
// Percolator's commits (Peng and Dabek, 2010; docs/transactions.md), in two phases or less. Locks
// of others that it meets it brings to their end when their transaction is over or its client
// silent.
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

  // Takes a timestamp: kUnavailable if there is none in time.
  void Begin(const TransactionOptions& options, TxnDone<std::shared_ptr<Transaction>> done);
  // Optimistic.
  void Begin(TxnDone<std::shared_ptr<Transaction>> done) { Begin({}, std::move(done)); }
  // The last call. `done` runs, on any thread, when all transactions are destroyed and nothing is
  // under way any more, which takes no longer than a commit may.
  void Close(std::function<void()> done);

 private:
  std::shared_ptr<TxnCore> core_;  // Shared with what is under way. Constant until Close().
};

}  // namespace rutile::client
