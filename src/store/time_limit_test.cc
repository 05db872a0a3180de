// Requests that may not wait for long, over stores of a simulated world.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/testing/lock_clients.h"

namespace rutile::store {
namespace {

using mvcc::Timestamp;
using ::testing::HasSubstr;

class TimeLimitTest : public testing::LockClients {
 protected:
  static constexpr const char* kTimeIsUp = "server is busy: deadline is exceeded";

  static RequestHeader Within(Duration limit) { return {.region = kRegion, .time_limit = limit}; }
  Answer PrewriteWithin(Duration limit, Timestamp start) {
    auto answer = std::make_shared<std::optional<std::string>>();
    kv().Prewrite(Within(limit), Puts({Key("a")}, "x", start),
                  [answer](const TxnReply<txn::PrewriteOutcome>& reply) {
                    EXPECT_FALSE(answer->has_value()) << "answered twice";
                    if (const auto* error = std::get_if<RegionError>(&reply)) {
                      *answer = ToString(*error);
                    } else if (const auto* status = std::get_if<Status>(&reply)) {
                      *answer = status->ToString();
                    } else {
                      const auto& outcome = std::get<txn::PrewriteOutcome>(reply).outcome;
                      *answer = outcome.errors.empty() ? "ok" : Show(outcome.errors.front());
                    }
                  });
    return answer;
  }
  // What the leader sends reaches nobody; it leads for about a second more.
  void CutLeaderOff() {
    std::set<StoreId> others;
    for (std::size_t i = 0; i < kStores; ++i) {
      if (i != leader_) others.insert(StoreId(i + 1));
    }
    network_.Partition({StoreId(leader_ + 1)}, others);
  }
};

TEST_F(TimeLimitTest, ACommandDoesNotWaitForALatchForLonger) {
  CutLeaderOff();
  const Timestamp first = Now();
  const Answer has_the_key = PrewriteWithin({}, first);
  const Answer waits = PrewriteWithin(Milliseconds(200), Now());
  const Answer behind = PrewriteWithin(Seconds(60), Now());
  EXPECT_EQ(2u, kv().scheduler().waiting());
  EXPECT_EQ("waits", Await(waits, Milliseconds(190)));
  EXPECT_EQ(kTimeIsUp, Await(waits, Milliseconds(20)));
  EXPECT_EQ(1u, kv().scheduler().waiting()) << "it has given up its place";
  // Those behind it are not kept waiting for it.
  network_.HealAll();
  EXPECT_EQ("ok", Await(has_the_key, Milliseconds(500)));
  EXPECT_EQ("locked by " + ToString(first), Await(behind, Milliseconds(500)));
  world_.RunFor(Seconds(1));
  EXPECT_EQ(0u, kv().scheduler().waiting());
}

TEST_F(TimeLimitTest, WhatIsProposedIsCarriedToItsEnd) {
  CutLeaderOff();
  const Answer answer = PrewriteWithin(Milliseconds(100), Now());
  EXPECT_EQ("waits", Await(answer, Milliseconds(300)));
  network_.HealAll();
  EXPECT_EQ("ok", Await(answer, Milliseconds(500)));
}

TEST_F(TimeLimitTest, AWaiterForALockIsRefusedWhenItsTimeIsUp) {
  const Timestamp first = Now();
  EXPECT_EQ("locked, absent", Await(Ask(Key("a"), first)));
  const auto ask_within = [&](Duration limit) {
    LockRequest request{.lock = {.keys = {{.key = Key("a")}},
                                 .primary = Key("a"),
                                 .start = Now(),
                                 .for_update = Now(),
                                 .ttl_ms = 10'000,
                                 .return_values = true}};
    auto answer = std::make_shared<std::optional<std::string>>();
    kv().PessimisticLock(Within(limit), std::move(request),
                         [answer](const PessimisticLocks::Reply& reply) {
                           EXPECT_FALSE(answer->has_value()) << "answered twice";
                           *answer = Show(reply);
                         });
    return answer;
  };
  const Answer soon = ask_within(Milliseconds(300)), later = ask_within(Seconds(5));
  EXPECT_EQ("waits", Await(soon, Milliseconds(290)));
  EXPECT_EQ(kTimeIsUp, Await(soon, Milliseconds(20)));
  EXPECT_EQ(1u, kv().locks().waiting());
  GiveUp(Key("a"), first);
  EXPECT_EQ("locked, absent", Await(later, Milliseconds(100)));
}

class TimeLimitOfReadsTest : public TimeLimitTest {
 protected:
  void SetUp() override {
    options_.lease_reads = false;
    TimeLimitTest::SetUp();
  }
  // What a read and a command are answered of which the leader learns only now whether it leads.
  void ReadWithin(Duration limit, std::string* read, Answer* command) {
    kv().Get(Within(limit), Key("a"), {.at = Now()}, [read](TxnReply<mvcc::ReadAnswer> reply) {
      const auto* error = std::get_if<RegionError>(&reply);
      *read = error == nullptr ? "read" : ToString(*error);
    });
    *command = PrewriteWithin(limit, Now());
  }
};

TEST_F(TimeLimitOfReadsTest, NoRoundOfTheGroupIsWaitedForForLonger) {
  CutLeaderOff();
  std::string short_read, long_read;
  Answer short_command, long_command;
  ReadWithin(Milliseconds(100), &short_read, &short_command);
  world_.RunFor(Milliseconds(300));
  network_.HealAll();
  world_.RunFor(Milliseconds(500));
  EXPECT_EQ(kTimeIsUp, short_read);
  EXPECT_EQ(kTimeIsUp, Await(short_command, Seconds(1)));
  EXPECT_EQ("absent", Read(Key("a"), Now())) << "nothing was locked";
  CutLeaderOff();
  ReadWithin(Seconds(5), &long_read, &long_command);
  world_.RunFor(Milliseconds(300));
  network_.HealAll();
  world_.RunFor(Milliseconds(500));
  EXPECT_EQ("read", long_read);
  EXPECT_EQ("ok", Await(long_command, Seconds(1)));
}

}  // namespace
}  // namespace rutile::store
