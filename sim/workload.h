#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/time.h"
#include "client/raw_client.h"
#include "env/sim/world.h"
#include "sim/client_network.h"
#include "sim/cluster.h"
#include "sim/linearizability.h"

namespace rutile::sim {

// Clients that read and write a few keys by way of the client library, each one call at a time, and
// remember what they saw.
class RegisterWorkload {
 public:
  struct Options {
    std::size_t clients = 4;
    std::size_t keys = 3;
    Duration max_think = Milliseconds(20);
    Duration max_one_way = Milliseconds(1);  // Between client and node.
    Duration timeout = Seconds(2);           // Of one attempt; its outcome is then unknown.
    std::uint64_t read_percent = 50;
    std::size_t value_bytes = 16;  // At least; larger ones make snapshots of many parts.
    bool follower_reads = false;   // Followers serve reads too.
    // Of the calls: so many write a key that nobody has written before, or read one of those. They
    // form a set, of which nothing acknowledged may be missing at the end.
    std::uint64_t fresh_percent = 20;
  };

  // Of an attempt by a client that is calm.
  static constexpr Duration kCalmTimeout = Seconds(2);

  // Both outlive the workload, which must not be destroyed before the world has stopped.
  RegisterWorkload(World& world, Cluster& cluster, const Options& options);
  ~RegisterWorkload();
  RegisterWorkload(const RegisterWorkload&) = delete;
  RegisterWorkload& operator=(const RegisterWorkload&) = delete;

  void Start();
  // From now on clients wait for their turn: where a cluster is slow by nature, those that ask
  // again before it has come outrun it for ever.
  void CalmDown() { is_calm_ = true; }
  // Calls under way are finished or time out; none begins.
  void Stop() { stopped_ = true; }
  bool is_idle() const { return under_way_ == 0; }
  // Calls that were answered.
  std::uint64_t completed() const { return completed_; }
  // The longest time that a call took until its answer, retries included, among those that began
  // after ResetLongest().
  Duration longest() const { return longest_; }
  void ResetLongest();
  // How long the oldest of the calls under way has been so, among those.
  Duration oldest() const;

  // Calls by key, in the order in which they ended.
  const std::map<std::string, std::vector<RegisterCall>>& history() const { return history_; }
  std::size_t clients() const { return options_.clients; }
  // The elements of the set: key and value of each that was acknowledged.
  const std::map<std::string, std::string>& acknowledged() const { return acknowledged_; }

  // What should not have been: answers without an explanation, errors that make no sense.
  std::vector<std::string> Check() const;

 private:
  struct Client;

  std::unique_ptr<client::RawClient> NewLibrary(Client& client, Duration timeout);
  void Begin(Client& client);
  void BeginFresh(Client& client);
  void Attempt(Client& client);
  void OnWritten(Client& client, const Status& status);
  void OnFailed(Client& client, const Status& status);
  void Finish(Client& client, bool answered);
  void Retry(Client& client);
  void Idle(Client& client);
  Duration Draw(Duration max);

  World& world_;
  const Options options_;
  SeededRandom random_;
  ClientNetwork network_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::map<std::string, std::vector<RegisterCall>> history_;  // By key.
  std::vector<std::string> fresh_;  // Keys that were written once, or at least begun.
  std::map<std::string, std::string> acknowledged_;
  std::vector<std::string> problems_;
  std::uint64_t next_value_ = 1;
  std::uint64_t completed_ = 0;
  std::size_t under_way_ = 0;
  bool is_calm_ = false;
  bool stopped_ = false;
  Duration longest_ = {};
  Duration longest_since_ = {};
};

// Clients that ask for timestamps, which never repeat and never go back.
class TimestampWorkload {
 public:
  struct Options {
    std::size_t clients = 2;
    Duration max_think = Milliseconds(20);
    Duration max_one_way = Milliseconds(1);
    Duration timeout = Seconds(1);
  };
  TimestampWorkload(World& world, Cluster& cluster, const Options& options);

  void Start();
  void Stop() { stopped_ = true; }
  std::uint64_t completed() const { return completed_; }
  std::vector<std::string> Check() const;

 private:
  struct Client {
    std::size_t target = 0;
    std::uint64_t attempt = 0;
    std::uint64_t floor = 0;  // The highest timestamp that anybody had when the question was asked.
  };

  void Ask(std::size_t index);
  void OnAnswer(std::size_t index, std::uint64_t attempt, std::uint32_t count,
                const Result<placement::Timestamp>& answer);
  Duration Draw(Duration max);

  World& world_;
  Cluster& cluster_;
  const Options options_;
  SeededRandom random_;
  std::vector<Client> clients_;
  std::map<std::uint64_t, std::uint64_t> granted_;  // Last to first of each answer.
  std::uint64_t highest_ = 0;
  std::vector<std::string> problems_;
  std::uint64_t completed_ = 0;
  bool stopped_ = false;
};

}  // namespace rutile::sim
