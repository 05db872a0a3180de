// What a core does with input that should not be: it ignores what a network may do, and falls
// silent, once and for all, when an invariant is broken (rule 9).

#include <gtest/gtest.h>

#include "raft/raft.h"
#include "raft/testing/test_cluster.h"

namespace rutile::raft {
namespace {

LogSlice Slice(LogId prev, std::vector<std::uint64_t> terms) {
  LogSlice slice{.prev = prev};
  for (std::uint64_t term : terms) {
    slice.entries.push_back({.id = {Term(term), slice.last().index.Next()}});
  }
  return slice;
}

// A follower of peer 2 in term 2 with entries 1@1 2@1 on disk, both committed.
class RaftInput : public ::testing::Test {
 protected:
  RaftInput() {
    LogTail::Recovered found{.committed = Index(2)};
    found.resident = Slice({}, {1, 1});
    Raft::Start start{.hard_state = {.term = Term(2)},
                      .tail = LogTail::Recover(std::move(found)),
                      .configuration = {.voters = {PeerId(1), PeerId(2), PeerId(3)}}};
    Options options = testing::SmallOptions();
    options.id = PeerId(1);
    raft_ = std::make_unique<Raft>(options, std::move(start), random_, now_);
    Message heartbeat = FromLeader(MessageType::kHeartbeat);
    EXPECT_EQ(1u, raft_->Step(now_, heartbeat).messages.size());
    // The first call hands out what was committed before the restart.
    EXPECT_EQ(Index(2), raft_->tail().applying());
  }

  static Message FromLeader(MessageType type) {
    return {.type = type, .from = PeerId(2), .to = PeerId(1), .term = Term(2)};
  }

  SeededRandom random_{1};
  Instant now_ = {};
  std::unique_ptr<Raft> raft_;
};

TEST_F(RaftInput, WhatIsNotForThisPeerIsIgnored) {
  Message message = FromLeader(MessageType::kAppend);
  message.slice = Slice({Term(1), Index(2)}, {2});
  Message other = message;
  other.to = PeerId(3);
  EXPECT_TRUE(raft_->Step(now_, other).empty());
  Message own = message;
  own.from = PeerId(1);
  EXPECT_TRUE(raft_->Step(now_, own).empty());
  Message nobody = message;
  nobody.from = PeerId();
  EXPECT_TRUE(raft_->Step(now_, nobody).empty());
}

TEST_F(RaftInput, MalformedSlicesAreIgnored) {
  Message gap = FromLeader(MessageType::kAppend);
  gap.slice = Slice({Term(1), Index(2)}, {2, 2});
  gap.slice.entries[1].id.index = Index(9);
  EXPECT_TRUE(raft_->Step(now_, gap).empty());
  Message falling = FromLeader(MessageType::kAppend);
  falling.slice = Slice({Term(1), Index(2)}, {2, 1});
  EXPECT_TRUE(raft_->Step(now_, falling).empty());
  Message future = FromLeader(MessageType::kAppend);
  future.slice = Slice({Term(1), Index(2)}, {5});
  EXPECT_TRUE(raft_->Step(now_, future).empty()) << "an entry of a term after its sender's";
  Message bare = FromLeader(MessageType::kSnapshot);
  EXPECT_TRUE(raft_->Step(now_, bare).empty());
}

TEST_F(RaftInput, AnswersToAFollowerAreIgnored) {
  for (const MessageType type :
       {MessageType::kAppendReply, MessageType::kHeartbeatReply, MessageType::kVoteReply,
        MessageType::kPreVoteReply, MessageType::kReadIndexReply}) {
    EXPECT_TRUE(raft_->Step(now_, FromLeader(type)).empty()) << ToString(type);
  }
}

TEST_F(RaftInput, OldTermsAreToldSoAndNothingElse) {
  Message old = FromLeader(MessageType::kAppend);
  old.term = Term(1);
  old.slice = Slice({Term(1), Index(2)}, {1});
  const Effects effects = raft_->Step(now_, old);
  ASSERT_EQ(1u, effects.messages.size());
  EXPECT_TRUE(effects.messages[0].rejected);
  EXPECT_EQ(Term(2), effects.messages[0].term);
  EXPECT_EQ(Index(2), raft_->tail().last().index);
}

void ExpectSilence(Raft& raft, Instant now) {
  EXPECT_TRUE(raft.poisoned());
  EXPECT_TRUE(raft.Tick(now + Seconds(100)).empty());
  Message vote{.type = MessageType::kVote, .from = PeerId(3), .to = PeerId(1), .term = Term(9)};
  vote.last_log = {Term(8), Index(99)};
  EXPECT_TRUE(raft.Step(now + Seconds(100), vote).empty());
  EXPECT_EQ(ProposeError::kPoisoned,
            std::get<ProposeError>(raft.Propose(now + Seconds(100), {Bytes("x")}).outcome));
  const Effects read = raft.ReadIndex(now + Seconds(100), ReadId(1));
  ASSERT_EQ(1u, read.reads.size());
  EXPECT_EQ(Index(0), read.reads[0].index);
}

TEST_F(RaftInput, PoisonedByALeaderThatReplacesWhatIsCommitted) {
  Message message = FromLeader(MessageType::kAppend);
  message.slice = Slice({Term(1), Index(1)}, {2});
  const Effects effects = raft_->Step(now_, message);
  EXPECT_NE("", effects.poisoned);
  EXPECT_TRUE(effects.messages.empty());
  EXPECT_FALSE(effects.write.has_value());
  EXPECT_EQ(Term(1), raft_->tail().TermAt(Index(2))) << "nothing was changed";
  ExpectSilence(*raft_, now_);
}

TEST_F(RaftInput, PoisonedByALeaderThatLacksWhatIsCommitted) {
  Message message = FromLeader(MessageType::kAppend);
  message.slice.prev = {Term(2), Index(2)};
  EXPECT_NE("", raft_->Step(now_, message).poisoned);
  ExpectSilence(*raft_, now_);
}

// It has acknowledged what it does not have: its disk has lost data (museum B6).
TEST_F(RaftInput, PoisonedByTheLossOfAcknowledgedEntries) {
  Message message = FromLeader(MessageType::kHeartbeat);
  message.commit = Index(3);
  EXPECT_NE("", raft_->Step(now_, message).poisoned);
  ExpectSilence(*raft_, now_);
}

TEST_F(RaftInput, PoisonedByASecondLeaderOfTheTerm) {
  Message message = FromLeader(MessageType::kHeartbeat);
  message.from = PeerId(3);
  EXPECT_NE("", raft_->Step(now_, message).poisoned);
  ExpectSilence(*raft_, now_);
}

TEST_F(RaftInput, PoisonedByAConfigurationThatCannotBeRead) {
  Message message = FromLeader(MessageType::kAppend);
  message.slice = Slice({Term(1), Index(2)}, {2});
  message.slice.entries[0].type = EntryType::kConfig;
  message.slice.entries[0].payload = Bytes("not one");
  EXPECT_NE("", raft_->Step(now_, message).poisoned);
  ExpectSilence(*raft_, now_);
}

// A snapshot may outlast the leadership of its sender: it is taken for what it is, committed state.
TEST_F(RaftInput, SnapshotOfAnOldTermIsInstalledAndMakesNobodyLeader) {
  Message message = FromLeader(MessageType::kSnapshot);
  message.from = PeerId(3);
  message.term = Term(1);
  message.snapshot =
      SnapshotMeta{.id = {Term(1), Index(9)}, .configuration = raft_->configuration()};
  const Effects effects = raft_->Step(now_, message);
  ASSERT_TRUE(effects.install.has_value());
  ASSERT_TRUE(effects.write.has_value());
  EXPECT_TRUE(effects.write->log.reset);
  EXPECT_EQ(PeerId(2), raft_->leader());
  EXPECT_TRUE(effects.messages.empty()) << "not before the reset is durable";
  const Effects durable = raft_->OnDurable(now_, effects.write->log.mark);
  ASSERT_EQ(1u, durable.messages.size());
  EXPECT_EQ(PeerId(2), durable.messages[0].to) << "who leads is told";
  EXPECT_EQ(Index(9), durable.messages[0].match);
}

TEST_F(RaftInput, SnapshotsOfWhatCannotBeAreIgnored) {
  Message message = FromLeader(MessageType::kSnapshot);
  const auto impossible = {LogId{Term(2), Index(~std::uint64_t{0})}, LogId{Term(3), Index(9)}};
  for (LogId id : impossible) {
    message.snapshot = SnapshotMeta{.id = id, .configuration = raft_->configuration()};
    EXPECT_FALSE(raft_->Step(now_, message).install.has_value()) << ToString(id);
  }
  EXPECT_EQ(Index(2), raft_->tail().last().index);
  EXPECT_FALSE(raft_->poisoned());
}

// In force from append, reverted with the cut, and kept when the log behind it is let go of.
TEST_F(RaftInput, ConfigurationFollowsTheLog) {
  const Configuration before = raft_->configuration();
  const Configuration joint{.voters = {PeerId(1), PeerId(4)}, .outgoing = before.voters};
  Message message = FromLeader(MessageType::kAppend);
  message.slice = Slice({Term(1), Index(2)}, {2, 2});
  message.slice.entries[1].type = EntryType::kConfig;
  message.slice.entries[1].payload = EncodeConfiguration(joint);
  const Effects appended = raft_->Step(now_, message);
  EXPECT_TRUE(appended.state_changed);
  EXPECT_EQ(joint, raft_->configuration());

  Message other = FromLeader(MessageType::kAppend);
  other.from = PeerId(3);
  other.term = Term(3);
  other.slice = Slice({Term(2), Index(3)}, {3});
  raft_->Step(now_, other);
  EXPECT_EQ(before, raft_->configuration()) << "cut with its entry";

  Message again = other;
  again.slice = Slice({Term(3), Index(4)}, {3, 3});
  again.slice.entries[0].type = EntryType::kConfig;
  again.slice.entries[0].payload = EncodeConfiguration(joint);
  again.commit = Index(6);
  Effects effects = raft_->Step(now_, again);
  raft_->OnDurable(now_, effects.write->log.mark);
  raft_->OnApplied(now_, Index(6));
  raft_->CompactTo(Index(6));
  EXPECT_EQ(Index(6), raft_->tail().base().index);
  EXPECT_EQ(joint, raft_->configuration());
}

}  // namespace
}  // namespace rutile::raft
