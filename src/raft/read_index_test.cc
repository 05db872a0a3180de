#include "raft/read_index.h"

#include <gtest/gtest.h>

namespace rutile::raft {
namespace {

ReadRounds::Read MakeRead(std::uint64_t id) { return {.id = ReadId(id), .index = Index(id)}; }

Instant At(std::int64_t ms) { return Instant(Milliseconds(ms)); }

TEST(ReadRounds, ReadRidesOnARoundThatIsSentAfterIt) {
  ReadRounds rounds;
  EXPECT_EQ(Round(1), rounds.Start(At(0)));
  rounds.Add(MakeRead(7));
  EXPECT_TRUE(rounds.Confirm(Round(1)).empty()) << "sent before the read came";
  ASSERT_TRUE(rounds.WantsRound());
  EXPECT_EQ(Round(2), rounds.Start(At(10)));
  EXPECT_FALSE(rounds.WantsRound());
  const auto ready = rounds.Confirm(Round(2));
  ASSERT_EQ(1u, ready.size());
  EXPECT_EQ(ReadId(7), ready[0].id);
  EXPECT_TRUE(rounds.Confirm(Round(2)).empty()) << "answered once";
}

TEST(ReadRounds, ReadsThatComeWhileARoundIsOnItsWayShareTheNext) {
  ReadRounds rounds;
  rounds.Add(MakeRead(1));
  rounds.Start(At(0));
  for (std::uint64_t id = 2; id < 10; ++id) {
    rounds.Add(MakeRead(id));
    EXPECT_FALSE(rounds.WantsRound());
  }
  EXPECT_EQ(1u, rounds.Confirm(Round(1)).size());
  EXPECT_TRUE(rounds.WantsRound());
  rounds.Start(At(1));
  EXPECT_EQ(8u, rounds.Confirm(Round(2)).size());
}

TEST(ReadRounds, LostRoundIsMadeGoodByAnyLaterOne) {
  ReadRounds rounds;
  rounds.Add(MakeRead(1));
  rounds.Start(At(0));
  rounds.Add(MakeRead(2));
  EXPECT_EQ(Round(2), rounds.Start(At(100))) << "the next heartbeat";
  EXPECT_EQ(2u, rounds.Confirm(Round(2)).size());
}

TEST(ReadRounds, LeaseRunsFromTheSendingOfTheNewestAnsweredRound) {
  ReadRounds rounds;
  EXPECT_FALSE(rounds.lease_start().has_value());
  rounds.Start(At(100));
  rounds.Start(At(200));
  rounds.Start(At(300));
  rounds.Confirm(Round(2));
  EXPECT_EQ(At(200), *rounds.lease_start());
  rounds.ForgetLease();
  rounds.Confirm(Round(3));
  EXPECT_FALSE(rounds.lease_start().has_value()) << "sent before it was given up";
  rounds.Start(At(400));
  rounds.Confirm(Round(4));
  EXPECT_EQ(At(400), *rounds.lease_start());
}

TEST(ForwardedReads, NumbersAreNeverUsedTwiceAndAnswersCountOnce) {
  ForwardedReads reads(100);
  const ReadId first = reads.Add(ReadId(1), 3);
  EXPECT_EQ(std::vector<ReadId>{ReadId(1)}, reads.Abandon());
  const ReadId second = reads.Add(ReadId(1), 3);
  EXPECT_NE(first, second);
  EXPECT_FALSE(reads.Take(first).has_value()) << "a late answer to the first question";
  EXPECT_EQ(ReadId(1), reads.Take(second));
  EXPECT_FALSE(reads.Take(second).has_value());
}

TEST(ForwardedReads, GivesUpInTime) {
  ForwardedReads reads(0);
  reads.Add(ReadId(5), 2);
  EXPECT_TRUE(reads.Tick().empty());
  EXPECT_EQ(std::vector<ReadId>{ReadId(5)}, reads.Tick());
  EXPECT_TRUE(reads.Tick().empty());
}

}  // namespace
}  // namespace rutile::raft
