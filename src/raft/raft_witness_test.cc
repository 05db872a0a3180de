// Voters that keep no data: raft_witness.cc.

#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <vector>

#include "raft/conf_change.h"
#include "raft/testing/test_cluster.h"
#include "raft/witness.h"

namespace rutile::raft {
namespace {

using testing::kElectionTicks;
using testing::SmallOptions;
using testing::TestCluster;
using Kind = ChangeStep::Kind;

PeerIds Ids(std::initializer_list<std::uint64_t> numbers) {
  PeerIds ids;
  for (std::uint64_t number : numbers) ids.emplace_back(number);
  return ids;
}

// 1 and 2 have data, 3 has none; led by 1.
TestCluster::Setup TwoAndAWitness() { return {.voters = 3, .witnesses = 1}; }

std::size_t BytesOnDisk(const TestCluster& cluster, std::size_t id) {
  std::size_t bytes = 0;
  for (const auto& [index, entry] : cluster.disk(id).log) bytes += entry.payload.size();
  return bytes;
}

TEST(Witness, StripsDataAndNothingElse) {
  LogSlice slice{.prev = {Term(1), Index(1)},
                 .entries = {{{Term(1), Index(2)}, EntryType::kNormal, Bytes("data")},
                             {{Term(2), Index(3)}, EntryType::kEmpty, Bytes()},
                             {{Term(2), Index(4)}, EntryType::kConfig, Bytes("members")}}};
  StripData(slice);
  EXPECT_TRUE(slice.Validate());
  EXPECT_EQ(EntryType::kStripped, slice.entries[0].type);
  EXPECT_EQ("", slice.entries[0].payload.view());
  EXPECT_EQ(EntryType::kEmpty, slice.entries[1].type);
  EXPECT_EQ("members", slice.entries[2].payload.view());
}

TEST(Witness, AcknowledgesAndKeepsNoData) {
  TestCluster cluster(TwoAndAWitness());
  cluster.Elect(1);
  cluster.Crash(2);
  ASSERT_TRUE(cluster.Propose(1, std::string(1000, 'x')));
  cluster.Settle();
  EXPECT_EQ(Index(1), cluster.raft(1).tail().committed()) << "2 may only be slow";
  cluster.TickAll(3 * kElectionTicks);
  EXPECT_EQ(Index(2), cluster.raft(1).tail().committed());
  EXPECT_EQ(cluster.Log(1), cluster.Log(3));
  EXPECT_EQ(Index(2), cluster.raft(3).tail().applied());
  EXPECT_EQ(0u, BytesOnDisk(cluster, 3));
  EXPECT_EQ(1000u, BytesOnDisk(cluster, 1));
  EXPECT_EQ("", cluster.violation());
}

TEST(Witness, NeverCampaignsWhateverHappens) {
  TestCluster cluster(TwoAndAWitness());
  cluster.Elect(1);
  cluster.Transfer(1, 3);
  cluster.Settle();
  EXPECT_TRUE(cluster.raft(1).is_leader());
  cluster.SetPriority(3, 100);
  cluster.TickAll(3 * kElectionTicks);
  EXPECT_TRUE(cluster.raft(1).is_leader());
  cluster.Inject({.type = MessageType::kTimeoutNow,
                  .from = PeerId(1),
                  .to = PeerId(3),
                  .term = cluster.raft(1).term()});
  cluster.Campaign(3);
  cluster.Crash(1);
  cluster.Crash(2);
  cluster.TickAll(20 * kElectionTicks);
  EXPECT_EQ(Role::kFollower, cluster.raft(3).role());
  EXPECT_EQ(Term(1), cluster.raft(3).term());
  EXPECT_EQ("", cluster.violation());
}

TEST(Witness, LetsTheOtherWithDataLead) {
  TestCluster cluster(TwoAndAWitness());
  cluster.Elect(1);
  ASSERT_TRUE(cluster.Propose(1, "x"));
  cluster.Settle();
  cluster.Crash(1);
  cluster.TickAll(4 * kElectionTicks);
  ASSERT_EQ(2u, cluster.Leader());
  ASSERT_TRUE(cluster.Propose(2, "y"));
  cluster.TickAll(2);
  EXPECT_EQ(cluster.raft(2).tail().last().index, cluster.machine(2).applied.index);
  cluster.Restart(1);
  cluster.TickAll(4 * kElectionTicks);
  EXPECT_EQ(cluster.machine(2).hash, cluster.machine(1).hash);
  EXPECT_EQ("", cluster.violation());
}

// Entries that only the leader has would keep 2 and 3, who have less, from being elected: in a
// group of four they are not even of use.
TEST(Witness, IsSentNothingThatNoOtherHasOnDisk) {
  TestCluster cluster({.voters = 4, .witnesses = 1});
  cluster.Elect(1);
  cluster.PauseWriter(2);
  cluster.PauseWriter(3);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(cluster.Propose(1, "x"));
  cluster.TickAll(3 * kElectionTicks);
  EXPECT_EQ(Index(1), cluster.raft(4).tail().last().index);
  cluster.Crash(1);
  cluster.PauseWriter(2, false);
  cluster.PauseWriter(3, false);
  cluster.TickAll(4 * kElectionTicks);
  EXPECT_NE(0u, cluster.Leader());
  EXPECT_EQ("", cluster.violation());
}

// What one voter with data and the witness have committed is not forgotten, even if nobody can go
// on.
TEST(Witness, RefusesItsVoteToWhoHasLess) {
  TestCluster cluster(TwoAndAWitness());
  cluster.Elect(1);
  cluster.Isolate(2);
  ASSERT_TRUE(cluster.Propose(1, "only 1 and 3 have it"));
  cluster.TickAll(3 * kElectionTicks);
  ASSERT_EQ(Index(2), cluster.raft(1).tail().committed());
  cluster.Crash(1);
  cluster.Heal();
  cluster.TickAll(10 * kElectionTicks);
  EXPECT_EQ(0u, cluster.Leader());
  cluster.Restart(1);
  cluster.TickAll(4 * kElectionTicks);
  EXPECT_EQ(1u, cluster.Leader());
  EXPECT_EQ(cluster.machine(1).hash, cluster.machine(2).hash);
  EXPECT_EQ("", cluster.violation());
}

TEST(Witness, ServesNoReads) {
  TestCluster cluster(TwoAndAWitness());
  cluster.Elect(1);
  cluster.ReadIndex(3);
  ASSERT_EQ(1u, cluster.reads(3).size());
  EXPECT_TRUE(cluster.reads(3)[0].index.IsZero());
}

TEST(Witness, IsBroughtUpByASnapshotWithoutData) {
  TestCluster cluster(TwoAndAWitness());
  cluster.Elect(1);
  cluster.Crash(3);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(cluster.Propose(1, "x"));
  cluster.TickAll(4);
  cluster.Compact(1, 8);
  cluster.Restart(3);
  cluster.TickAll(6);
  EXPECT_EQ(cluster.raft(1).tail().last(), cluster.raft(3).tail().last());
  EXPECT_GE(cluster.raft(3).tail().base().index, Index(8));
  EXPECT_EQ(0u, cluster.machine(3).hash);
  EXPECT_EQ(0u, BytesOnDisk(cluster, 3));
  EXPECT_EQ("", cluster.violation());
}

// From the leader's disk, where its log is whole.
TEST(Witness, IsSentColdEntriesWithoutData) {
  TestCluster cluster(TwoAndAWitness());
  cluster.Elect(1);
  cluster.Isolate(3);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(cluster.Propose(1, "x"));
  cluster.TickAll(2);
  cluster.Evict(1);
  cluster.Heal();
  cluster.TickAll(6);
  EXPECT_EQ(cluster.Log(1), cluster.Log(3));
  EXPECT_EQ(0u, BytesOnDisk(cluster, 3));
  EXPECT_EQ("", cluster.violation());
}

TEST(Witness, WhoHasDataTakesNoEntriesWithoutIt) {
  TestCluster cluster(TwoAndAWitness());
  cluster.Elect(1);
  Message message{.from = PeerId(1), .to = PeerId(2), .term = Term(1)};
  message.slice = {.prev = cluster.raft(2).tail().last(),
                   .entries = {{{Term(1), Index(2)}, EntryType::kStripped, Bytes()}}};
  cluster.Inject(message);
  EXPECT_EQ(Index(1), cluster.raft(2).tail().last().index);
  // The other way round the witness sees to it itself.
  message.to = PeerId(3);
  message.slice.entries[0] = {{Term(1), Index(2)}, EntryType::kNormal, Bytes("data")};
  cluster.Inject(message);
  EXPECT_EQ(Index(2), cluster.raft(3).tail().last().index);
  cluster.Settle();
  EXPECT_EQ(0u, BytesOnDisk(cluster, 3));
}

TEST(Witness, ComesAndGoesByChangesOfTheConfiguration) {
  TestCluster cluster({});
  cluster.Elect(1);
  ASSERT_TRUE(cluster.Propose(1, "data"));
  cluster.Settle();
  ASSERT_TRUE(
      cluster
          .ProposeChange(1, {.steps = {{Kind::kRemove, PeerId(3)}, {Kind::kAddWitness, PeerId(4)}}})
          .ok());
  cluster.TickAll(4);
  EXPECT_EQ("voters (1,2,4) witnesses (4)", ToString(cluster.raft(1).configuration()));
  EXPECT_EQ(cluster.raft(1).tail().last(), cluster.raft(4).tail().last());
  cluster.Crash(2);
  ASSERT_TRUE(cluster.Propose(1, "with its help"));
  cluster.TickAll(3 * kElectionTicks);
  EXPECT_EQ(cluster.raft(1).tail().last().index, cluster.raft(1).tail().committed());
  EXPECT_EQ("", cluster.violation());
}

// --- The laws.

TEST(Witness, LawsOfConfigurations) {
  EXPECT_TRUE((Configuration{.voters = Ids({1, 2, 3}), .witnesses = Ids({3})}).IsValid());
  EXPECT_FALSE((Configuration{.voters = Ids({1, 2, 3}), .witnesses = Ids({2, 3})}).IsValid());
  EXPECT_FALSE((Configuration{.voters = Ids({1}), .witnesses = Ids({1})}).IsValid());
  EXPECT_TRUE((Configuration{.voters = Ids({1, 2}), .witnesses = Ids({2})}).IsValid());
  EXPECT_FALSE((Configuration{.voters = Ids({1, 2, 3}), .witnesses = Ids({4})}).IsValid());
  EXPECT_FALSE(
      (Configuration{.voters = Ids({1, 2, 3}), .learners = Ids({4}), .witnesses = Ids({4})})
          .IsValid());
  EXPECT_FALSE((Configuration{.voters = Ids({1, 2}),
                              .outgoing = Ids({1, 2, 3}),
                              .learners_next = Ids({3}),
                              .witnesses = Ids({3})})
                   .IsValid());
}

TEST(Witness, EncodingIsRoundTripAndOfOneForm) {
  const Configuration with{.voters = Ids({1, 2, 3}), .witnesses = Ids({3}), .auto_leave = false};
  const Bytes bytes = EncodeConfiguration(with, "context");
  std::string_view context;
  EXPECT_EQ(with, DecodeConfiguration(bytes.view(), &context));
  EXPECT_EQ("context", context);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(DecodeConfiguration(bytes.view().substr(0, size)).has_value()) << size;
  }
  // The flag with an empty list, which has a shorter form.
  const Bytes without = EncodeConfiguration({.voters = Ids({1})});
  std::string longer(without.view());
  longer[1] = 2;
  longer.insert(longer.size() - 8, 8, 0);
  EXPECT_FALSE(DecodeConfiguration(longer).has_value());
}

TEST(Witness, NobodyIsMadeOneOrUnmade) {
  const Configuration from{.voters = Ids({1, 2, 3}), .learners = Ids({5}), .witnesses = Ids({3})};
  const auto refused = [&from](std::vector<ChangeStep> steps) {
    const Result<Configuration> to = Apply(from, {.steps = std::move(steps)});
    return !to.ok() && to.status().code() == Code::kFailedPrecondition;
  };
  EXPECT_TRUE(refused({{Kind::kAddVoter, PeerId(3)}}));
  EXPECT_TRUE(refused({{Kind::kAddLearner, PeerId(3)}}));
  EXPECT_TRUE(refused({{Kind::kAddWitness, PeerId(2)}}));
  EXPECT_TRUE(refused({{Kind::kAddWitness, PeerId(5)}}));
  // Nor in one change by way of a removal.
  EXPECT_TRUE(refused({{Kind::kRemove, PeerId(3)}, {Kind::kAddVoter, PeerId(3)}}));
  EXPECT_TRUE(refused({{Kind::kRemove, PeerId(5)}, {Kind::kAddWitness, PeerId(5)}}));
  EXPECT_TRUE(refused({{Kind::kAddWitness, PeerId(6)}, {Kind::kAddVoter, PeerId(6)}}));
  EXPECT_TRUE(refused({{Kind::kAddLearner, PeerId(6)}, {Kind::kAddWitness, PeerId(6)}}));
  // Nor may there be so many that they decide alone.
  EXPECT_TRUE(refused({{Kind::kRemove, PeerId(2)}, {Kind::kAddWitness, PeerId(6)}}));
  EXPECT_TRUE(refused({{Kind::kRemove, PeerId(1)}, {Kind::kRemove, PeerId(2)}}));
  EXPECT_EQ("voters (1,2) learners (5)",
            ToString(Apply(from, {.steps = {{Kind::kRemove, PeerId(3)}}}).value()));
  EXPECT_EQ("voters (1,2,3) learners (5) witnesses (3)",
            ToString(Apply(from, {.steps = {{Kind::kAddWitness, PeerId(3)}}}).value()));
}

TEST(Witness, JointConfigurationsKeepThemWhileTheyVote) {
  const Configuration from{.voters = Ids({1, 2, 3}), .witnesses = Ids({3})};
  const Configuration joint =
      EnterJoint(from, {{Kind::kRemove, PeerId(3)}, {Kind::kAddWitness, PeerId(4)}}, true).value();
  EXPECT_EQ("voters (1,2,4) outgoing (1,2,3) witnesses (3,4) auto leave", ToString(joint));
  EXPECT_EQ("voters (1,2,4) witnesses (4)", ToString(LeaveJoint(joint).value()));
}

}  // namespace
}  // namespace rutile::raft
