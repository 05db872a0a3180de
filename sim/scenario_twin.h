#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "raft/testing/test_cluster.h"

namespace rutile::sim {

// The naive twin: for each node one plain map of its log in memory and one of its log on disk, kept
// by the rules of Raft from what goes into the node, never from what its core says. Every
// entry gets a number when it is appended that is not given twice, so that an entry which was cut
// and came back with the same (index, term) is another one, and "is it on disk" has an answer.
//
// After each input everything that can be read of each core is compared with it:
//   L1  entries and terms in memory and on disk are the twin's
//   L3  durable is not beyond what the disk has of this very log
//   L4  no acknowledgement leaves before that
//   L5  only a leader hands out what its disk does not have
//   P1  a leader's match is on that follower's disk
class ScenarioTwin {
 public:
  // `cluster` outlives the twin, and has had no input yet.
  explicit ScenarioTwin(raft::testing::TestCluster& cluster);

  // --- What goes into the nodes, numbered from 1. Each before or after it happens, as named.
  void BeforeMessage(const raft::Message& message);
  void AfterPropose(std::size_t node, const std::vector<Bytes>& payloads);
  void AfterChange(std::size_t node, const raft::ConfigurationChange& change);
  void AfterDiskWrite(std::size_t node);  // Its oldest write in flight was done.
  void AfterCrash(std::size_t node, std::size_t surviving_writes);
  void AfterStart(std::size_t node);
  void AfterWipe(std::size_t node);  // It has nothing any more.
  // The disk has lost entries behind `last` that it had; what others believe of it is not judged.
  void AfterLoss(std::size_t node, Index last);
  // A message has left its sender.
  void OnSent(const raft::Message& message);

  // After every input.
  void Compare();
  // The first thing that was not as it must be.
  const std::string& violation() const { return violation_; }

 private:
  struct Item {
    Entry entry = {};
    std::uint64_t number = 0;
  };
  using Log = std::map<Index, Item>;
  struct Flight {
    LogId after = {};
    bool reset = false;
    Log items = {};
  };
  struct Node {
    LogId base = {};  // What `log` follows.
    raft::Configuration at_base = {};
    Log log = {};
    LogId disk_base = {};
    Log disk = {};
    std::deque<Flight> flights = {};
    std::uint64_t issued_writes = 0;  // Of this process, seen so far.
    Index applying = {};
    Term led = {};  // The last term that began with an entry of this node.
    bool lost = false;
  };

  Node& At(std::size_t node) { return nodes_[node - 1]; }
  bool IsLive(std::size_t node) const;
  LogId Last(const Node& node) const;
  bool Contains(const Node& node, LogId id) const;
  void Append(Node& node, Entry entry);
  void TakeSlice(Node& node, const LogSlice& slice);
  void Land(Node& node, const Flight& flight);
  Index Durable(std::size_t node);
  void NoteNewTerm(std::size_t node);
  void NoteLeave(std::size_t node);
  void AppendConfiguration(std::size_t node, const Result<raft::Configuration>& next);
  // The newest in the log, or what the log follows.
  raft::Configuration InForce(const Node& node) const;
  void NoteWrites(std::size_t node);
  void CompareMemory(std::size_t node);
  void CompareDisk(std::size_t node);
  void CompareMatches(std::size_t leader);
  void Violate(std::size_t node, const std::string& what);

  raft::testing::TestCluster& cluster_;
  std::vector<Node> nodes_;
  std::uint64_t next_number_ = 1;
  std::string violation_;
};

}  // namespace rutile::sim
