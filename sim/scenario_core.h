#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "raft/testing/test_cluster.h"
#include "sim/scenario_level.h"
#include "sim/scenario_twin.h"

namespace rutile::sim {

// `level: core`. The Raft cores of one group with disks, state machines and a network in memory.
// Nothing moves unless the script says so: each message, each write and each acknowledgement of a
// write can be held and let go one by one.
//
// After every single move the cluster's checker (raft::testing::ClusterChecker) and the naive twin
// (ScenarioTwin) judge.
class CoreLevel final : public ScenarioLevel {
 public:
  CoreLevel();

  std::vector<std::string> conditions() const override;
  std::string Violation() override;
  Status Converge() override;
  std::string TakeStory() override;
  void Watch(TimelineRecorder& recorder) override;
  Duration Now() override;
  std::vector<std::pair<std::size_t, std::string>> Conditions() override;

 private:
  using Kinds = std::set<raft::MessageType>;  // Empty: all.
  enum class Part : std::uint8_t { kWriter, kApply, kReader, kSender };
  struct Filter {
    ScenarioLinks links;
    Kinds kinds;
    bool Match(const raft::Message& message) const;
  };
  enum class Which : std::uint8_t { kFirst, kLast, kAll };

  Status Open() override;
  Result<ScenarioCondition> CompileCondition(ScenarioWords& words) override;
  Result<ScenarioField> CompileField(std::size_t node, const std::string& field,
                                     const std::string& argument,
                                     const ScenarioWords& words) override;
  ScenarioField OfCore(std::size_t node, std::function<ScenarioValue(raft::Raft&)> read);
  // Fields that are a number of the log tail, or nothing.
  std::optional<ScenarioField> CompileCursor(std::size_t node, const std::string& field);

  // --- The table of verbs, by theme (scenario_core_verbs.cc).
  void AddClusterVerbs();
  void AddGroupVerbs();
  void AddLeaderVerbs();
  void AddMemberVerbs();
  void AddOperatorVerbs();
  void AddNetworkVerbs();
  void AddMessageVerbs();
  void AddDiskVerbs();
  void AddStateVerbs();
  void AddLogVerbs();
  void AddCrashVerbs();
  void AddTimeVerbs();
  Result<Filter> ReadFilter(ScenarioWords& words);
  static Result<Kinds> ReadKinds(ScenarioWords& words);
  static Which ReadWhich(ScenarioWords& words, Which otherwise);
  Result<std::pair<Part, std::size_t>> ReadPart(ScenarioWords& words) const;
  Status ReadOption(ScenarioWords& words);
  static Result<raft::ConfigurationChange> ReadChange(ScenarioWords& words);

  // --- What they do (scenario_core.cc). Each ends with Judge(), move by move.
  // After every input: lost is what was sent over a cut link; the twin compares.
  void Judge();
  void LookWhoIsUp();
  void LookWhoIsAMember();
  void Inject(raft::Message message);
  void CompleteWrite(std::size_t node, bool tell);
  Status Elect(std::size_t node, std::optional<std::uint64_t> term);
  Status Begin(std::size_t node, std::uint64_t entries);
  Status Propose(std::size_t node, const std::vector<std::string>& payloads);
  static const std::map<std::string, raft::ProposeError>& RefusalNames();
  Status Refuse(std::size_t node, const std::string& why);
  Status Change(std::size_t node, const raft::ConfigurationChange& change);
  Status RefuseChange(std::size_t node, const raft::ConfigurationChange& change,
                      const std::string& why);
  Status Wipe(std::size_t node);
  Status Crash(std::size_t node, bool lose_log, bool lose_engine, std::size_t surviving_writes);
  Status Start(std::size_t node);
  void Notice(std::size_t node, bool alive);
  Status Resend(std::size_t from, std::size_t to, std::uint64_t after,
                std::optional<std::uint64_t> until, std::optional<std::uint64_t> commit);
  // Delivers, copies or drops what matches. An error when nothing does.
  enum class Fate : std::uint8_t { kDeliver, kCopy, kDrop };
  Status Handle(const Filter& filter, const std::string& text, Which which, Fate fate);
  bool IsHeld(const raft::Message& message) const;
  bool IsPaused(Part part, std::size_t node) const { return paused_.contains({part, node}); }
  bool MoveNetwork();
  bool MoveNode(std::size_t node);
  static constexpr int kMaxTicks = 400;  // Of 100 ms: no scenario needs more to come to rest.
  // Until nothing moves that is not held, paused or down, or until `done`.
  Status Settle(const std::function<bool()>& done = nullptr);
  Status Tick(int times, const std::function<bool()>& done = nullptr);
  Status TickOne(std::size_t node, std::uint64_t times);
  // Empty when all nodes that are up hold the same, else what differs.
  std::string DescribeDifference(const std::vector<std::size_t>& nodes, bool states);
  std::vector<std::size_t> AllNodes() const;
  // Those who must come to agree: the members by the newest leader, or those of the beginning.
  std::vector<std::size_t> Group();
  Status NeedUp(std::size_t node) const;

  // --- What is asked (scenario_core_conditions.cc).
  ScenarioCondition Whether(std::function<bool()> holds, const std::string& otherwise) const;
  Result<ScenarioCondition> CompileMessage(ScenarioWords& words, bool there);
  Result<ScenarioCondition> CompileHas(ScenarioWords& words);
  Result<ScenarioCondition> CompileSame(ScenarioWords& words);
  Result<ScenarioCondition> CompileRead(ScenarioWords& words);
  Result<ScenarioCondition> CompileStory(ScenarioWords& words, bool told);
  std::vector<LogId> LogOf(std::size_t node);
  std::string Describe(const raft::Configuration& configuration) const;
  std::string NamesInsteadOfNumbers(const std::string& trace) const;
  void CollectStory();

  raft::testing::TestCluster::Setup setup_;
  std::unique_ptr<raft::testing::TestCluster> cluster_;
  std::unique_ptr<ScenarioTwin> twin_;
  std::size_t known_messages_ = 0;  // Of the network, judged when they were sent.
  std::set<std::pair<std::size_t, std::size_t>> cut_;
  std::vector<Filter> held_;
  std::set<std::pair<Part, std::size_t>> paused_;
  std::map<std::string, std::pair<std::size_t, raft::ReadId>> reads_;  // By name.
  TimelineRecorder* recorder_ = nullptr;
  std::vector<bool> is_up_;                             // As the recorder knows it.
  std::map<std::size_t, raft::Configuration> members_;  // As the story knows it, by node.
  std::string story_;                                   // Since it was last taken.
  std::string told_;                                    // Of all, for conditions.
};

}  // namespace rutile::sim
