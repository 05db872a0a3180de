// Who of those that could lead is wanted to: raft_priority.cc. The museum's F14.

#include <gtest/gtest.h>

#include <cstdint>

#include "raft/testing/test_cluster.h"

namespace rutile::raft {
namespace {

using testing::kElectionTicks;
using testing::TestCluster;

// Ticks until somebody leads, at most `limit`; zero when nobody came to.
int TicksToLeader(TestCluster& cluster, int limit) {
  for (int ticks = 1; ticks <= limit; ++ticks) {
    cluster.TickAll();
    if (cluster.Leader() != 0) return ticks;
  }
  return 0;
}

TEST(RaftPriority, TheHighestThatLivesIsElectedFirst) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    TestCluster cluster({.voters = 5, .seed = seed});
    for (std::size_t id = 1; id <= 5; ++id) {
      cluster.SetPriority(id, id == 4 ? 5 : static_cast<std::int32_t>(id == 2));
    }
    // Nobody knows of anybody's priority yet: another may come first, and hands over.
    cluster.TickAll(4 * kElectionTicks);
    EXPECT_EQ(4u, cluster.Leader()) << seed;
    // It dies, and those who could follow let one of them go first.
    cluster.TickAll(2 * kElectionTicks);
    cluster.Crash(4);
    ASSERT_NE(0, TicksToLeader(cluster, 3 * kElectionTicks)) << seed;
    EXPECT_EQ(2u, cluster.Leader()) << seed;
    EXPECT_EQ("", cluster.violation());
  }
}

TEST(RaftPriority, ALeaderHandsOverToOneOfHigherPriorityThatHasKeptUp) {
  TestCluster cluster({});
  cluster.Elect(1);
  cluster.TickAll(3 * kElectionTicks);
  ASSERT_EQ(1u, cluster.Leader());
  // Far behind: it does not lead.
  cluster.CutLink(1, 3);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(cluster.Propose(1, "x"));
  cluster.Settle();
  cluster.Heal();
  cluster.PauseWriter(3);
  cluster.SetPriority(3, 1);
  cluster.TickAll(3 * kElectionTicks);
  EXPECT_TRUE(cluster.raft(1).is_leader());
  EXPECT_TRUE(cluster.Propose(1, "taken"));
  cluster.PauseWriter(3, false);
  cluster.TickAll(2 * kElectionTicks);
  EXPECT_EQ(3u, cluster.Leader());
  // Changed while all runs.
  cluster.SetPriority(2, 7);
  cluster.TickAll(2 * kElectionTicks);
  EXPECT_EQ(2u, cluster.Leader());
  EXPECT_EQ("", cluster.violation());
}

TEST(RaftPriority, TheLowestWinsAtOnceWhenOnlyItHasTheNewestEntry) {
  // 2 of 3 live, and 2 lacks what 1 has.
  TestCluster cluster({.logs = {{1, 1, 1}, {1, 1}, {1, 1, 1}}});
  cluster.SetPriority(1, -5);
  cluster.SetPriority(2, 5);
  cluster.Crash(3);
  ASSERT_NE(0, TicksToLeader(cluster, 5 * kElectionTicks));
  EXPECT_EQ(1u, cluster.Leader());
  // And hands over when the other has it too.
  cluster.TickAll(2 * kElectionTicks);
  EXPECT_EQ(2u, cluster.Leader());
  EXPECT_EQ("", cluster.violation());
}

// The one that is preferred lives, and can lead nobody: it does not reach a majority. It tells each
// that could to stand back, but not for ever.
TEST(RaftPriority, WhoCannotWinKeepsNobodyFromWinning) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    TestCluster cluster({.voters = 5, .seed = seed});
    cluster.SetPriority(1, 9);
    cluster.Crash(4);
    cluster.Crash(5);
    cluster.CutLink(1, 3);
    cluster.CutLink(3, 1);
    ASSERT_NE(0, TicksToLeader(cluster, 6 * kElectionTicks)) << seed;
    EXPECT_EQ(2u, cluster.Leader()) << seed;
    EXPECT_EQ("", cluster.violation());
  }
}

TEST(RaftPriority, FutileHandoversGrowRare) {
  TestCluster cluster({});
  cluster.SetPriority(3, 1);
  // It is told to campaign, and nobody hears it do so.
  cluster.hold = [](const Message& m) { return m.type == MessageType::kTimeoutNow; };
  cluster.Elect(1);
  int refused = 0;
  constexpr int kTicks = 300 * kElectionTicks;
  for (int tick = 0; tick < kTicks; ++tick) {
    cluster.TickAll();
    cluster.network().clear();
    refused += cluster.Propose(1, "x") ? 0 : 1;
    cluster.Settle();
  }
  EXPECT_EQ(1u, cluster.Leader());
  EXPECT_GT(refused, 0);
  // 1 2 4 8 16 32 64 64 64 election timeouts apart, and a check or two; each lasts one at the most.
  EXPECT_LE(refused, 11 * kElectionTicks);
  EXPECT_EQ("", cluster.violation());
}

}  // namespace
}  // namespace rutile::raft
