#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/time.h"
#include "client/txn_client.h"
#include "env/sim/world.h"
#include "sim/client_network.h"
#include "sim/cluster.h"
#include "sim/snapshot_isolation.h"

namespace rutile::sim {

// Clients of transactions, by way of the client library, each of which is optimistic or pessimistic
// and is committed in two phases or less: transfers between accounts, sums of all of them, appends
// to lists, and reads and writes of a few keys of which each value is written once. They remember
// what they saw. Some die between any two of the calls that they make, and leave behind what is
// locked; another takes their place.
//
// Their keys begin with kTransactionPrefix, and stand in the engine in a form that no raw key has.
class TransactionWorkload {
 public:
  struct Options {
    std::size_t clients = 0;
    std::size_t accounts = 4;
    std::size_t keys = 4;
    Duration max_think = Milliseconds(100);
    Duration max_one_way = Milliseconds(1);  // Between client and node.
    Duration timeout = Seconds(2);           // Of one attempt; an operation may have five.
    Duration lock_ttl = Seconds(1);
    std::size_t batch_keys = 256;           // Of one request.
    std::uint64_t long_value_percent = 10;  // More than what a write record holds itself.
    std::uint64_t death_percent = 0;        // Of the commits: their client dies soon after.
    bool readers_pass = true;
    bool follower_reads = false;
    std::size_t lists = 2;
    // Of the transactions.
    std::uint64_t pessimistic_percent = 0;
    std::uint64_t async_percent = 0;
    std::uint64_t one_phase_percent = 0;
    // What makes one take two phases after all.
    std::size_t async_keys = 256;
    Duration commit_window = Seconds(2);
  };
  struct Counts {
    std::uint64_t committed = 0;
    std::uint64_t failed = 0;
    std::uint64_t undetermined = 0;
    std::uint64_t died = 0;
  };

  // Both outlive the workload, which must not be destroyed before the world has stopped.
  TransactionWorkload(World& world, Cluster& cluster, const Options& options);
  ~TransactionWorkload();
  TransactionWorkload(const TransactionWorkload&) = delete;
  TransactionWorkload& operator=(const TransactionWorkload&) = delete;

  void Start();
  // From now on clients live, and have the patience that any cluster must do with whose nodes are
  // up. Where each write waits for those of all others, on a slow disk, they would come to nothing
  // for ever if their locks died before they can commit.
  void CalmDown() { is_calm_ = true; }
  // Transactions under way go on to their end; none begins.
  void Stop() { stopped_ = true; }
  bool is_idle() const { return under_way_ == 0; }
  const Counts& counts() const { return counts_; }
  const std::vector<TransactionRecord>& history() const { return history_; }
  // What should not have been, as far as clients could see that at once.
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  class MortalChannel;
  struct Life;
  struct Client;
  using Transaction = std::shared_ptr<client::Transaction>;
  using Pairs = client::Transaction::Pairs;

  void BringToLife(Client& client);
  void OnDeath(Client& client);
  void Idle(Client& client);
  void Begin(Client& client);
  client::TransactionOptions DrawProtocol();
  void DrawDeath(Client& client, std::uint64_t calls);
  void Run(Client& client, const Transaction& transaction);
  void Transfer(Client& client, const Transaction& transaction);
  void Append(Client& client, const Transaction& transaction);
  void WriteOneOfTwo(Client& client, const Transaction& transaction);
  void Sum(Client& client, const Transaction& transaction, bool by_scan);
  void CheckSum(const TransactionRecord& record, const Pairs& pairs);
  void ReadAndWrite(Client& client, const Transaction& transaction);
  void LockAndWrite(Client& client, const Transaction& transaction);
  void Write(Client& client, const Transaction& transaction);
  void ReadOwnWrite(Client& client, const Transaction& transaction);
  void Put(Client& client, const Transaction& transaction, const std::string& key,
           std::string value);
  void Commit(Client& client, const Transaction& transaction);
  void OnError(Client& client, const client::TxnError& error);
  void Finish(Client& client, TransactionRecord::Fate fate);
  // Reads `keys`, remembers it and goes on; fails the transaction if that fails.
  template <class Then>
  void Read(Client& client, const Transaction& transaction, const std::vector<std::string>& keys,
            Then then);
  // Reads `keys` in order to write them: one that is pessimistic locks them, in any order, all at
  // once or one after the other.
  template <class Then>
  void ReadForUpdate(Client& client, const Transaction& transaction, std::vector<std::string> keys,
                     Then then);
  template <class Then>
  void Lock(Client& client, const Transaction& transaction, std::vector<std::string> keys,
            Pairs found, Then then);
  template <class Then>
  void Scan(Client& client, const Transaction& transaction, const std::string& prefix, Then then);
  // A callback that nobody hears any more when the client is dead.
  template <class F>
  auto Alive(Client& client, F f);

  std::string RandomKey();
  std::set<std::string> RandomKeys(std::uint64_t most);
  std::string NewValue(const std::string& what);
  Duration Draw(Duration max);
  std::vector<std::string> Accounts() const;

  World& world_;
  const Options options_;
  SeededRandom random_;
  ClientNetwork network_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<TransactionRecord> history_;
  std::vector<std::string> problems_;
  Counts counts_;
  std::uint64_t next_value_ = 1;
  std::size_t under_way_ = 0;
  bool is_calm_ = false;
  bool stopped_ = false;
};

}  // namespace rutile::sim
