#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "raft/raft.h"
#include "raft/testing/etcd_text.h"

namespace rutile::raft::testing {

// What etcd's scripts ask of a group.
struct EtcdGroup {
  Configuration configuration = {};
  Index index = {};  // What the first members begin after; etcd gives it term 1.
  std::uint64_t inflight = 0;
  std::uint64_t max_committed_bytes = 0;  // Zero: no limit, as for inflight.
  bool async = false;
  bool pre_vote = false;
  bool check_quorum = false;
  bool lease_reads = false;
};

// What is between two nodes, or between a node and its own threads of storage.
struct EtcdDelivery {
  Message message = {};            // When it is between nodes.
  bool local = false;              // From the node's own storage to itself.
  std::vector<Mark> durable = {};  // local: these writes are on disk.
  Index covers = {};               // local: up to here, if nothing has come between.
  Index applied = {};              // local, not zero: its state machine has come here.
};

// One core with a host in the shape of etcd's: effects are collected until the script calls for
// one turn of its loop ("Ready"), which stores, sends and applies what has come up by then; or,
// with asynchronous storage, gives jobs to a thread that writes and one that applies.
//
// Where our core is driven in another way, the host adapts and never what is compared:
// docs/design/etcd-scripts.md lists how.
class EtcdNode {
 public:
  EtcdNode(PeerId id, const EtcdGroup& group);

  const Raft& raft() const { return *raft_; }
  PeerId id() const { return id_; }
  // What went wrong that may not, in no script.
  const std::string& violation() const { return violation_; }

  // --- Inputs.
  void Campaign();
  void Tick(int times);
  // Ours remembers who leads; but votes are not refused for the leader's sake any more.
  void ForgetLeader();
  // The next election timeout is so many ticks.
  void StretchTimeout(int ticks);
  bool Propose(const std::string& payload);
  // Kept, and proposed again, while the core says that it is worth another try. False: refused.
  bool ProposeChange(const ConfigurationChange& change);
  void Transfer(PeerId to);
  void Unreachable(PeerId peer);
  void Deliver(const EtcdDelivery& delivery, std::vector<std::string>& lines);
  Message MakeSnapshot(PeerId to) const;
  void Compact(Index index);

  // --- The loop of the host. What happens is said in `lines`, what is sent goes to `network`.
  bool HasReady() const;
  void ProcessReady(std::vector<std::string>& lines, std::vector<EtcdDelivery>& network);
  bool HasAppendWork() const { return !append_jobs_.empty(); }
  void ProcessAppendThread(std::vector<std::string>& lines, std::vector<EtcdDelivery>& network);
  bool HasApplyWork() const { return !apply_jobs_.empty(); }
  void ProcessApplyThread(std::vector<std::string>& lines, std::vector<EtcdDelivery>& network);

  // --- For the script's eyes.
  // The offices it has taken since the last call.
  std::vector<std::string> TakeOffices() { return std::exchange(offices_, {}); }
  std::vector<std::string> LogLines() const;
  std::vector<std::string> StatusLines() const;
  std::string StateLine() const;
  std::string MessageText(const Message& message) const;

 private:
  // What the core has asked for since the last turn.
  struct Pending {
    std::vector<LogWrite> writes = {};
    std::vector<Message> messages = {};
    rutile::Entries committed = {};
    Rare<SnapshotMeta> install = {};
  };
  struct AppendJob {
    std::vector<LogWrite> writes = {};
    Index covers = {};                  // The end of the log by then, if it was not on disk.
    bool done = false;                  // Written already.
    std::string text = {};              // Of the job.
    std::vector<Message> answers = {};  // That wait for it as etcd's do, though ours need not.
  };
  using Lead = std::pair<PeerId, Role>;

  Instant Now();
  void Absorb(Effects effects);
  void RetryChange();
  void Write(const LogWrite& write);
  // Makes it durable, and tells the core, whose answers to others go to `answers`; what comes of it
  // otherwise waits for the next turn.
  void Complete(const LogWrite& write, std::vector<Message>& answers);
  void Apply(const rutile::Entries& entries, std::vector<std::string>& lines);
  bool SayState(std::vector<std::string>& lines);
  static std::vector<std::string> Entries(const std::vector<LogWrite>& writes);
  void SendAll(const std::vector<Message>& messages, std::vector<std::string>& lines,
               std::vector<EtcdDelivery>& network);
  void FinishSync(Pending turn, std::vector<std::string>& lines,
                  std::vector<EtcdDelivery>& network);
  void FinishAsync(Pending turn, const std::string& hard, const std::vector<std::string>& entries,
                   std::vector<std::string>& lines, std::vector<EtcdDelivery>& network);
  void AnswerHeartbeatEarly(const Message& heartbeat);
  std::string IdText(LogId id) const;
  std::string Say(const std::string& what) const { return ToString(id_) + " " + what; }

  const PeerId id_;
  const bool async_;
  const bool pre_vote_;
  const bool check_quorum_;
  const bool lease_reads_;
  const std::uint64_t inflight_;
  const bool one_at_a_time_;
  const Index begins_;
  SeededRandom random_{1};
  Instant now_ = {};
  int withheld_ticks_ = 0;
  std::unique_ptr<Raft> raft_ = {};

  LogId disk_base_ = {};
  std::map<Index, Entry> disk_ = {};
  LogId machine_ = {};  // What is applied.
  Configuration machine_configuration_ = {};

  Pending pending_ = {};
  Lead said_lead_ = {};
  HardState said_hard_ = {};
  std::deque<AppendJob> append_jobs_ = {};
  std::deque<rutile::Entries> apply_jobs_ = {};
  std::optional<ConfigurationChange> wanted_change_ = {};
  std::set<Round> answered_early_ = {};
  std::vector<std::string> offices_ = {};
  std::pair<Role, Term> office_ = {};
  std::string violation_ = {};
};

}  // namespace rutile::raft::testing
