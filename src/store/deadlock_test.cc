// Deadlocks: what stores tell each other of their waits, and circles of waits on stores of a
// simulated world.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "codec/crc64.h"
#include "store/deadlock_judge.h"
#include "store/deadlock_report.h"
#include "store/testing/lock_clients.h"

namespace rutile::store {
namespace {

using mvcc::Timestamp;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr Instant kNow{};

txn::WaitFor Wait(std::uint64_t waiter, std::uint64_t holder, const std::string& key = "k") {
  return {.waiter = Timestamp(waiter),
          .holder = Timestamp(holder),
          .key = key,
          .key_hash = codec::Crc64(key),
          .tag = "t"};
}

TEST(DeadlockMessages, ComeBackAndAreNotTakenWhenCutOff) {
  const DeadlockReport report{
      .number = 300, .is_all = true, .waits = {{WaitId(7), Wait(1, 2)}}, .ended = {WaitId(5)}};
  const std::string bytes = Encode(report);
  const auto decoded = std::get<DeadlockReport>(DecodeDeadlockMessage(bytes).value());
  EXPECT_EQ(report.number, decoded.number);
  EXPECT_TRUE(decoded.is_all);
  EXPECT_EQ(report.waits, decoded.waits);
  EXPECT_EQ(report.ended, decoded.ended);
  const DeadlockVerdict verdict{
      .id = WaitId(7),
      .deadlock = {
          .key = "k", .holder = Timestamp(2), .closing = Wait(2, 1), .chain = {Wait(2, 1)}}};
  const std::string verdict_bytes = Encode(verdict);
  const auto decoded_verdict =
      std::get<DeadlockVerdict>(DecodeDeadlockMessage(verdict_bytes).value());
  EXPECT_EQ(verdict.id, decoded_verdict.id);
  EXPECT_EQ(verdict.deadlock, decoded_verdict.deadlock);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(DecodeDeadlockMessage(bytes.substr(0, size)).ok());
  }
  for (std::size_t size = 0; size < verdict_bytes.size(); ++size) {
    EXPECT_FALSE(DecodeDeadlockMessage(verdict_bytes.substr(0, size)).ok());
  }
  EXPECT_FALSE(DecodeDeadlockMessage(bytes + "x").ok());
}

TEST(WaitReporter, TellsWhatIsNewAndAnotherJudgeEverything) {
  WaitReporter reporter(StoreId(1), 10, 100);
  EXPECT_FALSE(reporter.Note(WaitId(1), Wait(1, 2), kNow));
  EXPECT_FALSE(reporter.Note(WaitId(2), Wait(3, 4), kNow));
  auto reports = reporter.Take(StoreId(2), Term(5), false);
  ASSERT_THAT(reports, SizeIs(1));
  EXPECT_TRUE(reports[0].is_all);
  EXPECT_EQ(101u, reports[0].number);
  EXPECT_THAT(reports[0].waits, SizeIs(2));
  EXPECT_THAT(reporter.Take(StoreId(2), Term(5), false), IsEmpty());

  reporter.Forget(WaitId(1));
  EXPECT_FALSE(reporter.Note(WaitId(2), Wait(3, 4), kNow));  // Not new.
  EXPECT_TRUE(reporter.has_news());
  reports = reporter.Take(StoreId(2), Term(5), false);
  ASSERT_THAT(reports, SizeIs(1));
  EXPECT_FALSE(reports[0].is_all);
  EXPECT_EQ(102u, reports[0].number);
  EXPECT_THAT(reports[0].waits, IsEmpty());
  EXPECT_THAT(reports[0].ended, SizeIs(1));

  EXPECT_THAT(reporter.Take(StoreId(2), Term(6), false).at(0).waits, SizeIs(1));
  EXPECT_THAT(reporter.Take(StoreId(3), Term(6), false).at(0).waits, SizeIs(1));
  EXPECT_THAT(reporter.Take(StoreId(3), Term(6), true).at(0).waits, SizeIs(1));
}

TEST(WaitReporter, TellsManyWaitsInPieces) {
  WaitReporter reporter(StoreId(1), 1000, 0);
  for (std::uint64_t i = 1; i <= 100; ++i) {
    EXPECT_FALSE(
        reporter.Note(WaitId(i), Wait(i, 1000, std::string(std::size_t{8} << 10, 'k')), kNow));
  }
  const auto reports = reporter.Take(StoreId(2), Term(5), false);
  std::size_t waits = 0;
  for (std::size_t i = 0; i < reports.size(); ++i) {
    EXPECT_EQ(i == 0, reports[i].is_all);
    EXPECT_EQ(i + 1, reports[i].number);
    EXPECT_LT(Encode(reports[i]).size(), std::size_t{150} << 10);
    waits += reports[i].waits.size();
  }
  EXPECT_EQ(100u, waits);
  EXPECT_GT(reports.size(), 4u);
}

class DeadlockJudgeTest : public ::testing::Test {
 protected:
  std::size_t Tell(std::uint64_t store, const DeadlockReport& report, Instant now = kNow) {
    return judge_.OnReport(StoreId(store), report, term_, now).size();
  }
  // Store 2 tells that transaction 2 waits for 1: which is a circle if the judge knows that 1 waits
  // for 2.
  bool Closes(Instant now = kNow) {
    const std::size_t closed =
        Tell(2, {.number = ++asked_, .is_all = true, .waits = {{WaitId(1), Wait(2, 1)}}}, now);
    Tell(2, {.number = ++asked_, .ended = {WaitId(1)}}, now);
    return closed > 0;
  }

  DeadlockJudge judge_{DeadlockJudge::Options()};
  Term term_{5};
  std::uint64_t asked_ = 0;
};

TEST_F(DeadlockJudgeTest, FindsCirclesBetweenStores) {
  Tell(1, {.number = 1, .is_all = true, .waits = {{WaitId(1), Wait(1, 2)}}});
  EXPECT_TRUE(Closes());
  EXPECT_TRUE(Closes());
  Tell(1, {.number = 2, .ended = {WaitId(1)}});
  EXPECT_FALSE(Closes());
}

TEST_F(DeadlockJudgeTest, DoesNotListenAfterAGapUntilItIsToldEverything) {
  Tell(1, {.number = 1, .is_all = true});
  Tell(1, {.number = 3, .waits = {{WaitId(1), Wait(1, 2)}}});
  EXPECT_FALSE(Closes());
  Tell(1, {.number = 4, .waits = {{WaitId(1), Wait(1, 2)}}});
  EXPECT_FALSE(Closes());
  Tell(1, {.number = 5, .is_all = true, .waits = {{WaitId(1), Wait(1, 2)}}});
  EXPECT_EQ(0u, Tell(1, {.number = 4, .is_all = true}));  // Late.
  EXPECT_TRUE(Closes());
}

TEST_F(DeadlockJudgeTest, ForgetsTheSilentAndEverythingInAnotherOffice) {
  const DeadlockReport report{.number = 1, .is_all = true, .waits = {{WaitId(1), Wait(1, 2)}}};
  Tell(1, report);
  EXPECT_TRUE(Closes(kNow + Milliseconds(2900)));
  EXPECT_FALSE(Closes(kNow + Seconds(3)));
  Tell(1, report, kNow + Seconds(3));  // Of a process that counts anew.
  EXPECT_TRUE(Closes(kNow + Seconds(3)));
  term_ = Term(6);
  EXPECT_FALSE(Closes(kNow + Seconds(3)));
}

// Two regions, and a third one whose leader judges.
class Deadlocks : public testing::LockClients {
 protected:
  void SetUp() override {
    regions_ = 3;
    limits_.locks.judges = RegionOf(2);
    limits_.locks.default_wait = limits_.locks.max_wait = Seconds(8);
    LockClients::SetUp();
  }
  void Lead(std::uint64_t region, std::size_t i) {
    const std::size_t leader = AwaitLeaderOf(region);
    if (leader != i) store(leader).TransferLeadership(RegionOf(region), PeerOf(region, i));
    ASSERT_TRUE(world_.RunUntil([&] { return LeaderOf(region) == i; }, Seconds(10)));
    world_.RunFor(Seconds(1));
  }
  // Asks the leader of the key's region.
  Answer Ask(std::uint64_t region, const std::string& suffix, Timestamp start) {
    return AskOf(*kv_[LeaderOf(region).value()], KeyOf(region) + suffix, start, {.region = region});
  }
};

TEST_F(Deadlocks, OfTwoOnOneStoreAreToldAtOnce) {
  const Timestamp first = Now(), second = Now();
  EXPECT_EQ("locked, absent", Await(Ask(0, "a", first)));
  EXPECT_EQ("locked, absent", Await(Ask(0, "b", second)));
  const Answer waits = Ask(0, "b", first);
  world_.RunFor(Milliseconds(50));
  std::optional<txn::Deadlock> told;
  kv().PessimisticLock(Header(),
                       {.lock = {.keys = {{.key = Key("a")}},
                                 .primary = Key("b"),
                                 .start = second,
                                 .for_update = second,
                                 .ttl_ms = 1000},
                        .tag = "select"},
                       [&](PessimisticLocks::Reply reply) {
                         const auto& result = std::get<txn::PessimisticLockOutcome>(reply);
                         told = std::get<txn::Deadlock>(result.outcome.errors.at(0));
                       });
  world_.RunFor(Milliseconds(20));
  ASSERT_TRUE(told);
  EXPECT_EQ(Key("a"), told->key);
  EXPECT_EQ(first, told->holder);
  ASSERT_THAT(told->chain, SizeIs(2));
  EXPECT_EQ(told->closing, told->chain[0]);
  EXPECT_EQ(Key("b"), told->closing.key);
  EXPECT_EQ(codec::Crc64(Key("b")), told->closing.key_hash);
  EXPECT_EQ("select", told->chain[1].tag);
  // The other one waits on, and has the key when this one gives up.
  EXPECT_EQ("waits", Await(waits, Milliseconds(50)));
  GiveUp(Key("b"), second);
  EXPECT_EQ("locked, absent", Await(waits, Milliseconds(50)));
}

TEST_F(Deadlocks, OfThreeOnOneStoreAreToldAtOnce) {
  const std::vector<Timestamp> starts = {Now(), Now(), Now()};
  const std::vector<std::string> keys = {"a", "b", "c"};
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ("locked, absent", Await(Ask(0, keys[i], starts[i])));
  }
  const Answer first = Ask(0, "b", starts[0]);
  const Answer second = Ask(0, "c", starts[1]);
  EXPECT_EQ("waits", Await(second, Milliseconds(50)));
  EXPECT_EQ("deadlock of 3", Await(Ask(0, "a", starts[2]), Milliseconds(20)));
  EXPECT_EQ("waits", Await(first, Milliseconds(50)));
}

// Who waits may come to wait for another, who has taken the key when it was given up.
TEST_F(Deadlocks, AreFoundWhenTheKeyChangesHands) {
  const Timestamp holder = Now(), old = Now(), young = Now();
  EXPECT_EQ("locked, absent", Await(Ask(0, "a", holder)));
  EXPECT_EQ("locked, absent", Await(Ask(0, "b", young)));
  const Answer old_waits = Ask(0, "a", old);
  const Answer young_waits = Ask(0, "a", young);
  const Answer old_waits_too = Ask(0, "b", old);
  EXPECT_EQ("waits", Await(old_waits_too, Milliseconds(50)));
  GiveUp(Key("a"), holder);
  EXPECT_EQ("locked, absent", Await(old_waits, Milliseconds(50)));
  EXPECT_EQ("deadlock of 2", Await(young_waits, Milliseconds(50)));
}

TEST_F(Deadlocks, BetweenTwoStoresAreFoundByTheJudge) {
  for (std::size_t judge = 0; judge < kStores; ++judge) {
    Lead(0, 0);
    Lead(1, 1);
    Lead(2, judge);
    const Timestamp first = Now(), second = Now();
    const std::string key = std::to_string(judge);
    EXPECT_EQ("locked, absent", Await(Ask(0, key, first)));
    EXPECT_EQ("locked, absent", Await(Ask(1, key, second)));
    const Answer waits = Ask(1, key, first);
    EXPECT_EQ("waits", Await(waits, Milliseconds(100)));
    EXPECT_EQ("deadlock of 2", Await(Ask(0, key, second), Milliseconds(200)));
    EXPECT_EQ("waits", Await(waits, Milliseconds(100)));
    world_.RunFor(Seconds(10));
  }
}

// The old judge knew of the first wait; the new one is told of it again.
TEST_F(Deadlocks, AreFoundByAJudgeWhoIsNew) {
  Lead(0, 0);
  Lead(1, 1);
  Lead(2, 2);
  const Timestamp first = Now(), second = Now();
  EXPECT_EQ("locked, absent", Await(Ask(0, "a", first)));
  EXPECT_EQ("locked, absent", Await(Ask(1, "a", second)));
  const Answer waits = Ask(1, "a", first);
  EXPECT_EQ("waits", Await(waits, Milliseconds(100)));
  Stop(2);
  const Answer closing = Ask(0, "a", second);
  EXPECT_EQ("waits", Await(closing, Milliseconds(300)));
  world_.RunUntil([&] { return waits->has_value() || closing->has_value(); }, Seconds(5));
  EXPECT_NE(waits->has_value(), closing->has_value()) << "one of them must give up";
  EXPECT_EQ("deadlock of 2", Await(waits->has_value() ? waits : closing, Seconds(1)));
}

TEST_F(Deadlocks, AWaitThatHasEndedIsInNone) {
  Lead(0, 0);
  Lead(1, 1);
  Lead(2, 2);
  const Timestamp first = Now(), second = Now();
  EXPECT_EQ("locked, absent", Await(Ask(0, "a", first)));
  EXPECT_EQ("locked, absent", Await(Ask(1, "a", second)));
  const Answer waits = Ask(1, "a", first);
  EXPECT_EQ("waits", Await(waits, Milliseconds(100)));
  txn::PessimisticRollbackRequest give_up{
      .keys = {KeyOf(1) + "a"}, .start = second, .for_update = Now()};
  kv_[1]->PessimisticRollback({.region = RegionOf(1)}, std::move(give_up),
                              [](const TxnReply<txn::Outcome>&) {});
  EXPECT_EQ("locked, absent", Await(waits, Milliseconds(50)));
  world_.RunFor(Milliseconds(50));
  EXPECT_EQ("waits", Await(Ask(0, "a", second), Seconds(3)));
}

}  // namespace
}  // namespace rutile::store
