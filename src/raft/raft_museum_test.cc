// Bugs of other systems, and the one that this design starts from, as whole scenarios: several
// nodes, slow disks, eviction at the worst moment. Each is named for what it was.

#include <gtest/gtest.h>

#include <algorithm>

#include "raft/testing/test_cluster.h"

namespace rutile::raft {
namespace {

using testing::TestCluster;

// Ten entries that all have, durable, committed and applied, with node 1 leading.
void TenEntries(TestCluster& cluster) {
  cluster.Elect(1);
  while (cluster.raft(1).tail().last().index < Index(10)) {
    ASSERT_TRUE(cluster.Propose(1, "x"));
    cluster.Settle();
  }
  cluster.TickAll(4);
  for (std::size_t id = 1; id <= cluster.size(); ++id) {
    ASSERT_EQ(Index(10), cluster.machine(id).applied.index);
  }
}

// What the leader `from` would send to `to` after `prev`.
Message AppendFrom(TestCluster& cluster, std::size_t from, std::size_t to, Index prev) {
  Raft& leader = cluster.raft(from);
  Message message{.from = PeerId(from), .to = PeerId(to), .term = leader.term()};
  message.slice = *leader.tail().Read(prev, leader.tail().last().index, SIZE_MAX);
  message.commit = leader.tail().committed();
  return message;
}

// A leader is cut off with an entry of its own; another one is committed in its place; one message
// both replaces and commits. With and without the first entry on the old leader's disk.
void ReplaceAndCommitInOneMessage(bool slow_disk) {
  TestCluster cluster({});
  TenEntries(cluster);
  cluster.Isolate(1);
  cluster.PauseWriter(1, slow_disk);
  ASSERT_TRUE(cluster.Propose(1, "never committed"));
  cluster.Settle();
  cluster.Elect(2);
  ASSERT_EQ(Index(11), cluster.raft(2).tail().committed());
  const LogId replaced = cluster.raft(1).tail().last();
  const LogId committed = cluster.raft(2).tail().last();
  ASSERT_EQ(replaced.index, committed.index);
  ASSERT_NE(replaced, committed);

  cluster.PauseWriter(1);
  cluster.Heal();
  cluster.Inject(AppendFrom(cluster, 2, 1, Index(10)));

  const LogTail& tail = cluster.raft(1).tail();
  EXPECT_EQ(committed, tail.last());
  EXPECT_EQ(Index(11), tail.committed());
  EXPECT_EQ(Index(10), tail.durable());
  EXPECT_EQ(Index(10), tail.applying()) << "a follower applies what its disk has";
  while (cluster.writes_in_flight(1) > 1) cluster.CompleteWrite(1);
  EXPECT_EQ(Index(10), tail.durable()) << "the first write held what was replaced";
  EXPECT_FALSE(cluster.InNetwork(MessageType::kAppendReply, 1, 2));
  cluster.CompleteWrite(1);
  EXPECT_EQ(Index(11), tail.applying());
  cluster.PauseWriter(1, false);
  cluster.TickAll(4);
  EXPECT_EQ(committed, cluster.machine(1).applied);
  EXPECT_EQ("", cluster.violation());
}

TEST(RaftMuseum, DesignBug) { ReplaceAndCommitInOneMessage(false); }

TEST(RaftMuseum, MuseumA1) { ReplaceAndCommitInOneMessage(true); }

// Entries in flight to apply whose disk write is not done are not let go of.
TEST(RaftMuseum, MuseumA5) {
  TestCluster cluster({});
  TenEntries(cluster);
  cluster.PauseWriter(1);
  cluster.PauseApply(1);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(cluster.Propose(1, "x"));
  cluster.Settle();
  const LogTail& tail = cluster.raft(1).tail();
  ASSERT_EQ(Index(15), tail.applying()) << "committed by the others, applied before durable";
  ASSERT_EQ(Index(10), tail.durable());
  cluster.Evict(1);
  cluster.raft(1).CompactTo(Index(14));
  EXPECT_EQ(Index(11), tail.first_resident());
  cluster.PauseApply(1, false);
  cluster.Settle();
  EXPECT_EQ(Index(15), cluster.machine(1).applied.index);
  cluster.raft(1).CompactTo(Index(14));
  EXPECT_EQ(Index(10), tail.base().index) << "the log is not compacted past the disk";
  cluster.PauseWriter(1, false);
  cluster.Settle();
  cluster.Evict(1);
  EXPECT_EQ(Index(16), tail.first_resident());
  EXPECT_EQ("", cluster.violation());
}

// The flush of an entry completes after the entry was truncated and replaced.
TEST(RaftMuseum, MuseumA13) {
  TestCluster cluster({.voters = 5});
  TenEntries(cluster);
  cluster.PauseWriter(3);
  cluster.hold = [](const Message& m) { return m.to != PeerId(3) && m.from == PeerId(1); };
  ASSERT_TRUE(cluster.Propose(1, "only on 1 and 3"));
  cluster.Settle();
  ASSERT_EQ(1u, cluster.writes_in_flight(3));
  cluster.Isolate(1);
  cluster.network().clear();
  cluster.hold = nullptr;
  cluster.Elect(2);
  ASSERT_EQ(2u, cluster.Leader());
  cluster.TickAll(2);
  ASSERT_EQ(cluster.raft(2).tail().last(), cluster.raft(3).tail().last());

  cluster.CompleteWrite(3);  // The flush of the old entry.
  EXPECT_EQ(Index(10), cluster.raft(3).tail().durable());
  for (const PeerStatus& peer : cluster.raft(2).Peers()) {
    EXPECT_TRUE(peer.id != PeerId(3) || peer.match < Index(11));
  }
  cluster.PauseWriter(3, false);
  cluster.TickAll(4);
  EXPECT_EQ(cluster.machine(2).applied, cluster.machine(3).applied);
  EXPECT_EQ("", cluster.violation());
}

// Leaders A, C, A write 2@2, 2@3 and 2@2 again to B, whose disk has done only the first of them.
void SameEntryThrice(bool crash_between) {
  TestCluster cluster({.voters = 5, .logs = {{1}, {1}, {1}, {1}, {1}}});
  const auto only_appends_to_2 = [](const Message& m) {
    return m.type == MessageType::kAppend && m.to != PeerId(2);
  };
  const auto elect = [&](std::size_t id) {
    cluster.PauseWriter(2);
    cluster.hold = only_appends_to_2;
    for (int i = 0; i < 2 && cluster.Leader() != id; ++i) cluster.Elect(id);  // Its term may lag.
    ASSERT_EQ(id, cluster.Leader());
    cluster.network().clear();
  };
  elect(1);
  ASSERT_EQ("0@0 1 2", cluster.Log(2));
  cluster.Isolate(1);
  elect(3);
  cluster.TickAll(3);  // A probe, refused, and its repetition.
  ASSERT_EQ("0@0 1 3", cluster.Log(2));
  cluster.Heal();
  cluster.Isolate(3);
  cluster.TickAll(2);  // 1 learns that it leads no more.
  elect(1);
  cluster.hold = nullptr;
  cluster.TickAll(2);
  ASSERT_EQ(Index(3), cluster.raft(1).tail().committed()) << "by 1, 4 and 5";
  cluster.Inject(AppendFrom(cluster, 1, 2, Index(1)));
  ASSERT_EQ("0@0 1 2 4", cluster.Log(2));
  ASSERT_EQ(Index(3), cluster.raft(2).tail().committed());

  // The writes up to and with the first that holds 2@2.
  while (!cluster.disk(2).Has({Term(2), Index(2)})) cluster.CompleteWrite(2);
  EXPECT_EQ(Index(1), cluster.raft(2).tail().durable());
  EXPECT_LE(cluster.raft(2).tail().applying(), Index(1));
  EXPECT_FALSE(cluster.InNetwork(MessageType::kAppendReply, 2, 1));
  cluster.Evict(2);
  EXPECT_LE(cluster.raft(2).tail().first_resident(), Index(2));
  if (crash_between) {
    while (!cluster.disk(2).Has({Term(3), Index(2)})) cluster.CompleteWrite(2);
    EXPECT_LE(cluster.raft(2).tail().applying(), Index(1));
    cluster.Crash(2);
    cluster.Restart(2);
  }
  cluster.PauseWriter(2, false);
  cluster.Heal();
  cluster.TickAll(30);
  EXPECT_EQ(cluster.machine(1).applied, cluster.machine(2).applied);
  EXPECT_GE(cluster.machine(2).applied.index, Index(3));
  EXPECT_EQ("", cluster.violation());
}

TEST(RaftMuseum, MuseumK1) { SameEntryThrice(false); }

TEST(RaftMuseum, MuseumK1WithACrashBetween) { SameEntryThrice(true); }

// A conflict cut, a slow disk and eviction: the superseded entry is still on the disk, and its term
// must not make a later append match.
TEST(RaftMuseum, MuseumK2) {
  TestCluster cluster({.voters = 5});  // D=1, F=2, C=3, E=4, G=5.
  TenEntries(cluster);
  const auto only_to_2 = [](const Message& m) {
    return m.type == MessageType::kAppend && m.to != PeerId(2);
  };
  cluster.hold = only_to_2;
  cluster.PauseWriter(1);
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(cluster.Propose(1, "of the first"));
  cluster.Settle();
  ASSERT_EQ(Index(16), cluster.raft(2).tail().durable());
  ASSERT_EQ(Index(10), cluster.raft(2).tail().committed());
  cluster.Crash(1, 3);  // Comes back with 13.
  cluster.PauseWriter(1, false);
  cluster.network().clear();

  cluster.hold = [](const Message& m) { return m.type == MessageType::kAppend; };
  cluster.Elect(3);
  ASSERT_EQ(3u, cluster.Leader());
  cluster.network().clear();  // The first probe is lost; the next has all.
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(cluster.Propose(3, "of the second"));
  cluster.TickAll(2);
  cluster.PauseWriter(2);
  cluster.hold = only_to_2;
  cluster.Settle();
  ASSERT_EQ(cluster.raft(3).tail().last(), cluster.raft(2).tail().last());
  ASSERT_EQ(Index(10), cluster.raft(2).tail().durable());
  cluster.network().clear();
  cluster.Evict(2);
  EXPECT_EQ(Index(11), cluster.raft(2).tail().first_resident());

  cluster.Isolate(3);
  cluster.Restart(1);
  ASSERT_EQ(Index(13), cluster.raft(1).tail().last().index);
  cluster.hold = only_to_2;
  for (int i = 0; i < 2; ++i) cluster.Elect(1);  // Its term lags.
  ASSERT_EQ(1u, cluster.Leader());
  EXPECT_EQ(cluster.disk(2).last(), (LogId{Term(1), Index(16)})) << "still the superseded entries";
  EXPECT_FALSE(cluster.raft(2).tail().Contains(cluster.raft(1).tail().last()))
      << "an entry of the third leader behind one of the second";

  cluster.hold = nullptr;
  cluster.PauseWriter(2, false);
  cluster.Heal();
  cluster.TickAll(10);
  for (std::size_t id = 2; id <= 5; ++id) {
    EXPECT_EQ(cluster.Log(1), cluster.Log(id));
    EXPECT_EQ(cluster.machine(1).hash, cluster.machine(id).hash);
  }
  // What followed 13 of the first leader was refused: 13 is another entry here.
  const std::string trace = cluster.TakeTrace();
  EXPECT_NE(std::string::npos, trace.find("1->2 Append term 3 prev 13@1 +1")) << trace;
  EXPECT_NE(std::string::npos, trace.find("2->1 AppendReply term 3 rejected 13")) << trace;
  EXPECT_EQ("", cluster.violation());
}

// The leader has applied what its disk did not have, and lost power. An old snapshot reaches it.
TEST(RaftMuseum, MuseumB1) {
  TestCluster cluster({});
  TenEntries(cluster);
  cluster.PauseWriter(1);
  testing::MachineState old;
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(cluster.Propose(1, "x"));
    cluster.TickAll(2);
    if (i == 2) old = cluster.machine(2);
  }
  ASSERT_EQ(Index(13), old.applied.index);
  ASSERT_EQ(Index(15), cluster.machine(1).applied.index);
  ASSERT_EQ(Index(10), cluster.raft(1).tail().durable());
  cluster.Crash(1);
  cluster.PauseWriter(1, false);
  cluster.Elect(2);
  cluster.TickAll(4);
  cluster.Compact(2, 14);
  ASSERT_EQ(Index(14), cluster.raft(2).tail().base().index);

  cluster.Restart(1);
  EXPECT_EQ(Index(15), cluster.raft(1).tail().base().index) << "a local snapshot";
  cluster.OfferSnapshot(2, 1, old);
  cluster.Settle();
  EXPECT_GE(cluster.machine(1).applied.index, Index(15)) << "below applied: ignored";
  ASSERT_TRUE(cluster.Propose(2, "after"));
  cluster.TickAll(6);
  EXPECT_EQ(cluster.machine(2).applied, cluster.machine(1).applied);
  EXPECT_EQ(cluster.machine(2).hash, cluster.machine(1).hash);
  EXPECT_EQ(std::string::npos, cluster.TakeTrace().find("installs"));
  EXPECT_EQ("", cluster.violation());
}

// A retransmission is answered only when what it repeats is durable.
TEST(RaftMuseum, MuseumA23) {
  TestCluster cluster({});
  TenEntries(cluster);
  cluster.PauseWriter(2);
  cluster.hold = [](const Message& m) { return m.type == MessageType::kAppend; };
  ASSERT_TRUE(cluster.Propose(1, "x"));
  const Message append = *std::find_if(cluster.network().begin(), cluster.network().end(),
                                       [](const Message& m) { return m.to == PeerId(2); });
  for (int i = 0; i < 3; ++i) cluster.Inject(append);
  Message empty = append;
  empty.slice = {.prev = append.slice.last()};
  cluster.Inject(empty);
  EXPECT_FALSE(cluster.InNetwork(MessageType::kAppendReply, 2, 1));
  Message heartbeat{.type = MessageType::kHeartbeat, .from = PeerId(1), .to = PeerId(2)};
  heartbeat.term = append.term;
  cluster.Inject(heartbeat);
  EXPECT_FALSE(cluster.InNetwork(MessageType::kAppendReply, 2, 1));
  cluster.CompleteWrite(2);
  const auto& network = cluster.network();
  EXPECT_EQ(1, std::count_if(network.begin(), network.end(), [](const Message& m) {
              return m.type == MessageType::kAppendReply && m.match == Index(11);
            }));
  EXPECT_EQ("", cluster.violation());
}

}  // namespace
}  // namespace rutile::raft
