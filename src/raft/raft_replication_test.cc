// Raft 5.3, 5.4.2, 7: how logs become the same, what is committed, and who must be sent a snapshot.

#include <gtest/gtest.h>

#include <algorithm>

#include "raft/testing/test_cluster.h"

namespace rutile::raft {
namespace {

using testing::SmallOptions;
using testing::TestCluster;

auto Hold(MessageType type) {
  return [type](const Message& m) { return m.type == type; };
}

std::size_t Count(TestCluster& cluster, MessageType type, std::size_t to) {
  const auto& network = cluster.network();
  return static_cast<std::size_t>(
      std::count_if(network.begin(), network.end(),
                    [&](const Message& m) { return m.type == type && m.to == PeerId(to); }));
}

PeerStatus Peer(TestCluster& cluster, std::size_t leader, std::size_t id) {
  for (const PeerStatus& peer : cluster.raft(leader).Peers()) {
    if (peer.id == PeerId(id)) return peer;
  }
  return {};
}

TEST(RaftReplication, LeaderSendsBeforeItsOwnDiskAndCountsItselfAfter) {
  TestCluster cluster({});
  cluster.Elect(1);
  cluster.PauseWriter(1);
  cluster.PauseWriter(3);
  ASSERT_TRUE(cluster.Propose(1, "x"));
  EXPECT_TRUE(cluster.InNetwork(MessageType::kAppend, 1, 2));
  cluster.Settle();
  EXPECT_EQ(Index(1), cluster.raft(1).tail().committed()) << "2 has it, 1 does not yet";
  cluster.CompleteWrite(1);
  EXPECT_EQ(Index(2), cluster.raft(1).tail().committed());
  EXPECT_EQ("", cluster.violation());
}

TEST(RaftReplication, TheCommitIndexIsAnnouncedIfTheHostWantsIt) {
  for (const bool announce : {false, true}) {
    TestCluster::Setup setup;
    setup.options.announce_commit = announce;
    TestCluster cluster(setup);
    cluster.Elect(1);
    ASSERT_TRUE(cluster.Propose(1, "x"));
    cluster.Settle();
    EXPECT_EQ(Index(2), cluster.raft(1).tail().committed());
    EXPECT_EQ(Index(announce ? 2 : 1), cluster.raft(2).tail().committed()) << announce;
    // Once for each advance: who knows is not told again.
    cluster.TakeTrace();
    cluster.Settle();
    EXPECT_EQ("", cluster.TakeTrace());
    EXPECT_EQ("", cluster.violation());
  }
}

TEST(RaftReplication, ALateAnswerIsToldWhatIsCommittedMeanwhile) {
  TestCluster::Setup setup;
  setup.options.announce_commit = true;
  TestCluster cluster(setup);
  cluster.Elect(1);
  cluster.PauseWriter(3);
  ASSERT_TRUE(cluster.Propose(1, "x"));
  cluster.Settle();
  ASSERT_EQ(Index(2), cluster.raft(1).tail().committed());
  // What it was told while it had nothing to commit is lost.
  cluster.Isolate(3);
  ASSERT_TRUE(cluster.Propose(1, "y"));
  cluster.Settle();
  cluster.Heal();
  cluster.PauseWriter(3, false);
  cluster.TickAll(4);
  EXPECT_EQ(Index(3), cluster.raft(3).tail().committed());
  EXPECT_EQ("", cluster.violation());
}

TEST(RaftReplication, NobodyIsToldOfACommitWhileItCanBeSentNothing) {
  TestCluster::Setup setup;
  setup.options.announce_commit = true;
  setup.options.max_inflight_messages = 1;
  TestCluster cluster(setup);
  cluster.Elect(1);
  cluster.hold = [](const Message& m) { return m.to == PeerId(3); };
  ASSERT_TRUE(cluster.Propose(1, "x"));
  ASSERT_TRUE(cluster.Propose(1, "y"));
  cluster.Settle();
  EXPECT_EQ(Index(3), cluster.raft(1).tail().committed());
  EXPECT_EQ(Index(3), cluster.raft(2).tail().committed());
  EXPECT_TRUE(Peer(cluster, 1, 3).paused);
  EXPECT_FALSE(Peer(cluster, 1, 2).paused);
  EXPECT_EQ(1u, Count(cluster, MessageType::kAppend, 3)) << "the window is full";
  EXPECT_EQ("", cluster.violation());
}

TEST(RaftReplication, SlowDiskOfTheLeaderHoldsNobodyBack) {
  TestCluster cluster({});
  cluster.Elect(1);
  cluster.PauseWriter(1);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(cluster.Propose(1, "x"));
  cluster.Settle();
  EXPECT_EQ(Index(21), cluster.raft(1).tail().committed());
  EXPECT_EQ(Index(21), cluster.machine(1).applied.index);
  EXPECT_EQ(Index(1), cluster.raft(1).tail().durable());
  EXPECT_EQ("", cluster.violation());
}

TEST(RaftReplication, SeveralProposalsAreOneAppendAndOneWrite) {
  TestCluster cluster({});
  cluster.Elect(1);
  cluster.PauseWriter(1);
  cluster.ProposeBatch(1, {Bytes("a"), Bytes("b"), Bytes("c")});
  EXPECT_EQ(1u, Count(cluster, MessageType::kAppend, 2));
  EXPECT_EQ(1u, cluster.writes_in_flight(1));
  cluster.PauseWriter(1, false);
  cluster.Settle();
  EXPECT_EQ(Index(4), cluster.raft(3).tail().last().index);
}

// Several appends that became durable together are acknowledged by one reply.
TEST(RaftReplication, GroupCommitIsAcknowledgedOnce) {
  TestCluster cluster({});
  cluster.Elect(1);
  cluster.PauseWriter(2);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(cluster.Propose(1, "x"));
  cluster.hold = Hold(MessageType::kAppendReply);
  cluster.Settle();
  cluster.network().clear();
  for (int i = 0; i < 4; ++i) cluster.CompleteWrite(2, false);
  cluster.CompleteWrite(2);
  ASSERT_EQ(1u, Count(cluster, MessageType::kAppendReply, 1));
  EXPECT_EQ(Index(6), cluster.network().front().match);
}

// Figure 7: whatever a follower lacks or has too much, it ends with the leader's log.
TEST(RaftReplication, EveryDivergentLogOfFigure7BecomesTheLeaders) {
  TestCluster cluster({.voters = 7,
                       .logs = {{1, 1, 1, 4, 4, 5, 5, 6, 6, 6},
                                {1, 1, 1, 4, 4, 5, 5, 6, 6},
                                {1, 1, 1, 4},
                                {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6},
                                {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7},
                                {1, 1, 1, 4, 4, 4, 4},
                                {1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3}}});
  cluster.Elect(1);
  ASSERT_EQ(1u, cluster.Leader());
  cluster.TickAll(10);
  for (std::size_t id = 1; id <= 7; ++id) {
    EXPECT_EQ("0@0 1 1 1 4 4 5 5 6 6 6 8", cluster.Log(id)) << id;
    EXPECT_EQ(cluster.machine(1).hash, cluster.machine(id).hash);
  }
  EXPECT_EQ("", cluster.violation());
}

// 5.3, end: whole terms are skipped, not single entries.
TEST(RaftReplication, RejectionSkipsWholeTerms) {
  std::vector<std::uint64_t> leader{1};
  std::vector<std::uint64_t> follower{1};
  leader.insert(leader.end(), 50, 5);
  for (const std::uint64_t term : {2u, 3u, 4u}) follower.insert(follower.end(), 30, term);
  TestCluster cluster({.logs = {leader, leader, follower}});
  cluster.Elect(1);
  cluster.TickAll(3);
  EXPECT_EQ(cluster.Log(1), cluster.Log(3));
  const std::string trace = cluster.TakeTrace();
  std::size_t rejections = 0;
  for (std::size_t at = 0; (at = trace.find(" rejected ", at)) != std::string::npos; ++at) {
    ++rejections;
  }
  EXPECT_LE(rejections, 2u);
  EXPECT_EQ("", cluster.violation());
}

// Figure 8: an old entry on a majority is not committed by that, and may be replaced.
TEST(RaftReplication, OldTermsAreNotCommittedByCounting) {
  TestCluster cluster({.voters = 5, .logs = {{1, 2}, {1, 2}, {1}, {1}, {1, 3}}});
  // S1 leads again and brings 2@2 to S3, so that three have it; its own entry reaches nobody.
  cluster.Isolate(5);
  cluster.CutLink(1, 4);
  cluster.hold = Hold(MessageType::kAppend);
  cluster.Elect(1);
  cluster.network().clear();
  cluster.Elapse(SmallOptions().vote_refusal);
  cluster.Heal();
  cluster.Isolate(5);
  cluster.hold = nullptr;
  cluster.Campaign(1);
  ASSERT_TRUE(cluster.raft(1).is_leader());
  Message old{.from = PeerId(1), .to = PeerId(3), .term = cluster.raft(1).term()};
  old.slice = *cluster.raft(1).tail().Read(Index(1), Index(2), SIZE_MAX);
  Message same = old;
  same.to = PeerId(2);
  same.slice = {.prev = {Term(2), Index(2)}};
  cluster.hold = Hold(MessageType::kAppend);
  cluster.Inject(old);
  cluster.Inject(same);
  cluster.Settle();
  ASSERT_EQ("0@0 1 2", cluster.Log(3));
  ASSERT_EQ(Index(2), Peer(cluster, 1, 2).match);
  ASSERT_EQ(Index(2), Peer(cluster, 1, 3).match);
  EXPECT_EQ(Index(0), cluster.raft(1).tail().committed());
  cluster.Crash(1);
  cluster.network().clear();
  cluster.Heal();
  cluster.hold = nullptr;
  for (int i = 0; i < 3 && cluster.Leader() != 5; ++i) cluster.Elect(5);
  ASSERT_EQ(5u, cluster.Leader());
  cluster.TickAll(5);
  EXPECT_EQ(cluster.Log(5), cluster.Log(3));
  EXPECT_EQ("", cluster.violation());
}

// Beyond what a message has verified, the follower's entries may be others (museum B21).
TEST(RaftReplication, FollowerCommitsNoFurtherThanVerified) {
  TestCluster cluster({.logs = {{1, 1, 1}}});
  Message empty{.from = PeerId(2), .to = PeerId(1), .term = Term(2)};
  empty.slice.prev = {Term(1), Index(1)};
  empty.commit = Index(3);
  cluster.Inject(empty);
  EXPECT_EQ(Index(1), cluster.raft(1).tail().committed());
}

TEST(RaftReplication, HeartbeatCommitIsCappedAtWhatMatches) {
  TestCluster cluster({.logs = {{1, 1}, {1, 1}, {1, 1, 1, 1}}});
  cluster.CutLink(3, 1);  // It refuses, and does not acknowledge.
  for (int i = 0; i < 2; ++i) cluster.Elect(1);
  ASSERT_TRUE(cluster.Propose(1, "x"));
  cluster.Settle();
  ASSERT_EQ(Index(4), cluster.raft(1).tail().committed());
  cluster.hold = Hold(MessageType::kHeartbeat);
  cluster.TickAll(2);
  for (const Message& m : cluster.network()) {
    EXPECT_TRUE(m.to != PeerId(3) || m.commit.IsZero()) << ToString(m);
  }
}

TEST(RaftReplication, RepliesNameWhatTheMessageVerified) {
  TestCluster cluster({.logs = {{1, 1, 1, 1}}});
  Message old{.from = PeerId(2), .to = PeerId(1), .term = Term(2)};
  old.slice.prev = {Term(1), Index(1)};
  cluster.hold = [](const Message&) { return true; };
  cluster.Inject(old);
  cluster.Settle();
  ASSERT_EQ(1u, cluster.network().size());
  EXPECT_EQ(Index(1), cluster.network().front().match) << "not the end of the log (museum C3)";
}

// --- Flow control.

TEST(RaftReplication, WindowBoundsWhatIsOnItsWay) {
  Options options = SmallOptions();
  options.max_inflight_messages = 3;
  TestCluster cluster({.options = options});
  cluster.Elect(1);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(cluster.Propose(1, "x"));
  EXPECT_EQ(3u, Count(cluster, MessageType::kAppend, 2));
  cluster.Settle();
  EXPECT_EQ(Index(11), cluster.raft(2).tail().last().index);
  EXPECT_EQ(0u, Peer(cluster, 1, 2).inflight);
}

TEST(RaftReplication, WindowBoundsBytes) {
  Options options = SmallOptions();
  options.max_inflight_bytes = 1000;
  options.max_append_bytes = 500;
  TestCluster cluster({.options = options});
  cluster.Elect(1);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(cluster.Propose(1, std::string(400, 'x')));
  EXPECT_EQ(3u, Count(cluster, MessageType::kAppend, 2)) << "the third goes over the limit";
  cluster.Settle();
  EXPECT_EQ(Index(11), cluster.raft(2).tail().last().index);
}

TEST(RaftReplication, LostAppendsAreFoundOutByAHeartbeat) {
  for (const std::size_t window : {1u, 8u}) {
    Options options = SmallOptions();
    options.max_inflight_messages = window;
    TestCluster cluster({.options = options});
    cluster.Elect(1);
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(cluster.Propose(1, "x"));
    cluster.network().clear();
    cluster.TickAll(2 * options.heartbeat_ticks);
    EXPECT_EQ(Index(4), cluster.raft(1).tail().committed()) << window;
    EXPECT_EQ(Index(4), cluster.raft(3).tail().last().index) << window;
  }
}

TEST(RaftReplication, UnreachablePeerIsProbed) {
  TestCluster cluster({});
  cluster.Elect(1);
  ASSERT_EQ("replicate", Peer(cluster, 1, 2).state);
  cluster.Isolate(2);
  cluster.Unreachable(1, 2);
  EXPECT_EQ("probe", Peer(cluster, 1, 2).state);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(cluster.Propose(1, "x"));
  EXPECT_EQ(0u, Count(cluster, MessageType::kAppend, 2));
  cluster.Settle();
  cluster.Heal();
  cluster.TickAll(3);
  EXPECT_EQ("replicate", Peer(cluster, 1, 2).state);
  EXPECT_EQ(Index(6), Peer(cluster, 1, 2).match);
}

TEST(RaftReplication, ProposalsAreRefusedWhileTooMuchIsNotCommitted) {
  Options options = SmallOptions();
  options.max_uncommitted_bytes = 500;
  TestCluster cluster({.options = options});
  EXPECT_EQ(ProposeError::kNotLeader,
            std::get<ProposeError>(cluster.ProposeBatch(1, {Bytes("x")})));
  cluster.Elect(1);
  cluster.PauseWriter(2);
  cluster.PauseWriter(3);
  EXPECT_TRUE(cluster.Propose(1, std::string(300, 'x')));
  EXPECT_TRUE(cluster.Propose(1, std::string(300, 'x')));
  EXPECT_EQ(ProposeError::kBusy, std::get<ProposeError>(cluster.ProposeBatch(1, {Bytes("x")})));
  cluster.PauseWriter(2, false);
  cluster.Settle();
  EXPECT_TRUE(cluster.Propose(1, "x"));
}

// --- What is no longer in memory, and what is no longer there at all.

TEST(RaftReplication, LaggardIsServedFromTheDisk) {
  Options options = SmallOptions();
  options.max_append_bytes = 100;
  TestCluster cluster({.options = options});
  cluster.Elect(1);
  cluster.Isolate(3);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(cluster.Propose(1, "xxxxxxxxxx"));
  cluster.Settle();
  cluster.Evict(1);
  ASSERT_EQ(Index(22), cluster.raft(1).tail().first_resident());
  cluster.PauseReader(1);
  cluster.Heal();
  cluster.TickAll(4);
  // The first read fails; a sign of life asks again.
  ASSERT_TRUE(cluster.AnswerColdRead(1, true));
  EXPECT_FALSE(cluster.AnswerColdRead(1)) << "one at a time, and not at once again";
  cluster.PauseReader(1, false);
  cluster.TickAll(4);
  EXPECT_EQ(cluster.Log(1), cluster.Log(3));
  EXPECT_EQ("", cluster.violation());
}

// A read that was asked for in an earlier leadership answers nothing (museum A8).
TEST(RaftReplication, ColdReadOfAnotherTermIsVoid) {
  TestCluster cluster({});
  cluster.Elect(1);
  cluster.Isolate(3);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(cluster.Propose(1, "x"));
  cluster.Settle();
  cluster.Evict(1);
  cluster.PauseReader(1);
  cluster.Heal();
  cluster.TickAll(4);
  cluster.CutLink(2, 3);  // 2 still has it all in memory, and would bring 3 up.
  cluster.Transfer(1, 2);
  cluster.Settle();
  ASSERT_EQ(2u, cluster.Leader());
  cluster.Transfer(2, 1);
  cluster.Settle();
  ASSERT_EQ(1u, cluster.Leader());
  ASSERT_EQ(Term(3), cluster.raft(1).term());
  cluster.network().clear();
  cluster.Evict(1);
  cluster.TickAll(4);  // And asks again, in this term.
  cluster.TakeTrace();
  ASSERT_TRUE(cluster.AnswerColdRead(1));
  EXPECT_EQ(std::string::npos, cluster.TakeTrace().find("Append")) << "the old answer";
  ASSERT_TRUE(cluster.AnswerColdRead(1));
  EXPECT_NE(std::string::npos, cluster.TakeTrace().find("Append")) << "the new one";
  cluster.PauseReader(1, false);
  cluster.TickAll(4);
  EXPECT_EQ(cluster.Log(1), cluster.Log(3));
  EXPECT_EQ("", cluster.violation());
}

TEST(RaftReplication, LaggardBehindTheCompactedLogGetsASnapshot) {
  TestCluster cluster({});
  cluster.Elect(1);
  cluster.Isolate(3);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(cluster.Propose(1, "x"));
  cluster.Settle();
  cluster.Compact(1, 15);
  cluster.TickAll(12);  // 3 is not heard any more: no snapshot is made for nobody.
  EXPECT_NE("snapshot", Peer(cluster, 1, 3).state);
  cluster.Heal();
  cluster.TickAll(6);
  EXPECT_EQ(cluster.machine(1).hash, cluster.machine(3).hash);
  EXPECT_EQ("replicate", Peer(cluster, 1, 3).state);
  EXPECT_NE(std::string::npos, cluster.TakeTrace().find("3 installs 21@1"));
  EXPECT_EQ("", cluster.violation());
}

// What follows a snapshot that the log contains may have been acknowledged.
TEST(RaftReplication, SnapshotOfWhatTheLogHasCutsNothing) {
  TestCluster cluster({});
  cluster.Elect(1);
  cluster.hold = [](const Message& m) { return m.from == PeerId(2); };
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(cluster.Propose(1, "x"));
  cluster.Settle();
  ASSERT_EQ(Index(5), cluster.raft(2).tail().durable());
  ASSERT_LT(cluster.raft(2).tail().committed(), Index(3));
  testing::MachineState state{.applied = {Term(1), Index(3)}};
  cluster.OfferSnapshot(1, 2, state);
  cluster.Settle();
  EXPECT_EQ(Index(3), cluster.raft(2).tail().committed());
  EXPECT_EQ(Index(5), cluster.raft(2).tail().last().index);
  EXPECT_EQ(Epoch(0), cluster.raft(2).tail().epoch());
  EXPECT_EQ("", cluster.violation());
}

TEST(RaftReplication, SnapshotIsAcknowledgedWhenItsResetIsDurable) {
  TestCluster cluster({});
  cluster.Elect(1);
  cluster.Isolate(3);
  for (int i = 0; i < 9; ++i) ASSERT_TRUE(cluster.Propose(1, "x"));
  cluster.Settle();
  cluster.Compact(1, 9);
  cluster.Heal();
  cluster.PauseWriter(3);
  cluster.OfferSnapshot(1, 3, cluster.machine(1));
  cluster.hold = Hold(MessageType::kAppendReply);
  cluster.Settle();
  EXPECT_EQ(Index(10), cluster.raft(3).tail().base().index);
  EXPECT_FALSE(cluster.InNetwork(MessageType::kAppendReply, 3, 1));
  cluster.Crash(3);  // Before the reset: the old log is as it was.
  cluster.Restart(3);
  EXPECT_EQ("", cluster.violation());
  cluster.PauseWriter(3, false);
  cluster.hold = nullptr;
  cluster.TickAll(20);
  EXPECT_EQ(cluster.machine(1).hash, cluster.machine(3).hash);
  EXPECT_EQ("", cluster.violation());
}

}  // namespace
}  // namespace rutile::raft
