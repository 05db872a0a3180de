// Transactions over stores of a simulated world: their calls, and clients that count together while
// leaders change.

#include "store/txn_kv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <set>

#include "base/random.h"
#include "mvcc/keys.h"
#include "mvcc/records.h"
#include "store/testing/txn_stores.h"

namespace rutile::store {
namespace {

using mvcc::Timestamp;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using TxnKvTest = testing::TxnStores;

TEST_F(TxnKvTest, WhatIsCommittedIsReadAtItsTimestamp) {
  const Timestamp before = Now();
  Write({Key("a"), Key("b")}, "1");
  const Timestamp between = Now();
  Write({Key("b")}, "2");
  EXPECT_EQ("absent", Read(Key("a"), before));
  EXPECT_EQ("1", Read(Key("b"), between));
  EXPECT_EQ("2", Read(Key("b"), Now()));
  EXPECT_EQ(0u, kv().scheduler().waiting());
}

TEST_F(TxnKvTest, AScanShowsPairsAndLocksOfItsRange) {
  Write({Key("a"), Key("b"), Key("d")}, "1");
  Must(Await(&TxnKv::Prewrite, Puts({Key("c"), Key("e")}, "2", Now())));
  EXPECT_THAT(Show(Scan({.start = Key(""), .limit = 10})),
              ElementsAre("a=1", "b=1", "c locked", "d=1", "e locked"));
  EXPECT_THAT(Show(Scan({.start = Key("b"), .end = Key("d"), .limit = 10, .key_only = true})),
              ElementsAre("b=", "c locked"));
  EXPECT_THAT(Show(Scan({.start = Key("a"), .limit = 2})), ElementsAre("a=1", "b=1"));
  EXPECT_THAT(Show(Scan({.start = Key("b"), .end = Key("a"), .limit = 2})), IsEmpty());

  const auto locks = Await(&TxnKv::ScanLocks, mvcc::LockScan{.lower = Key("d")});
  ASSERT_EQ(1u, std::get<std::vector<mvcc::KeyIsLocked>>(locks).size());
}

TEST_F(TxnKvTest, AReverseScanShowsTheLastFirst) {
  Write({Key("a"), Key("b"), Key("d")}, "1");
  Must(Await(&TxnKv::Prewrite, Puts({Key("c"), Key("e")}, "2", Now())));
  EXPECT_THAT(Show(Scan({.limit = 10, .reverse = true})),
              ElementsAre("e locked", "d=1", "c locked", "b=1", "a=1"));
  EXPECT_THAT(
      Show(Scan(
          {.start = Key("d"), .end = Key("b"), .limit = 10, .key_only = true, .reverse = true})),
      ElementsAre("c locked", "b="));
  EXPECT_THAT(Show(Scan({.start = Key("e"), .limit = 2, .reverse = true})),
              ElementsAre("d=1", "c locked"));
  EXPECT_THAT(Show(Scan({.start = Key("a"), .end = Key("b"), .limit = 2, .reverse = true})),
              IsEmpty());
  EXPECT_THAT(Show(Scan({.start = Key("e"), .reverse = true})), IsEmpty());
}

TEST_F(TxnKvTest, AScanKeepsToItsRegion) {
  Write({Key(""), Key("z")}, "1");
  SurroundRegion();
  const auto both = ElementsAre("=1", "z=1");
  const auto reversed = ElementsAre("z=1", "=1");
  EXPECT_THAT(Show(Scan({.start = Key(""), .limit = 10})), both);
  EXPECT_THAT(Show(Scan({.start = Key(""), .end = KeyOf(2), .limit = 10})), both);
  EXPECT_THAT(Show(Scan({.limit = 10, .reverse = true})), reversed);
  EXPECT_THAT(Show(Scan({.start = KeyOf(1), .limit = 10, .reverse = true})), reversed);
  EXPECT_THAT(Show(Scan({.start = KeyOf(1), .end = "0", .limit = 10, .reverse = true})), reversed);
  // Its lower bound lies above the region: that of another has the keys.
  EXPECT_THAT(Show(Scan({.end = KeyOf(2), .limit = 10, .reverse = true})), IsEmpty());
}

TEST_F(TxnKvTest, AScanThatDoesNotBeginInItsRegionIsRefused) {
  const auto refused = ElementsAre(HasSubstr("not in region"));
  EXPECT_THAT(Show(Scan({.limit = 1})), refused);
  EXPECT_THAT(Show(Scan({.start = KeyOf(1), .limit = 1})), refused);
  EXPECT_THAT(Show(Scan({.start = KeyOf(1) + "a", .limit = 1, .reverse = true})), refused);
  // What lies below its first key is in another.
  EXPECT_THAT(Show(Scan({.start = Key(""), .limit = 1, .reverse = true})), refused);
}

TEST_F(TxnKvTest, ASampleHasTheFirstAndEveryNthPairAndAllLocks) {
  Write({Key("a"), Key("b"), Key("d"), Key("e"), Key("f")}, "1");
  Must(Await(&TxnKv::Prewrite, Puts({Key("c")}, "2", Now())));
  const auto all = ElementsAre("a=1", "b=1", "c locked", "d=1", "e=1", "f=1");
  EXPECT_THAT(Show(Scan({.start = Key("a"), .limit = 10, .sample_step = 0})), all);
  EXPECT_THAT(Show(Scan({.start = Key("a"), .limit = 10, .sample_step = 1})), all);
  EXPECT_THAT(Show(Scan({.start = Key("a"), .limit = 10, .sample_step = 3})),
              ElementsAre("a=1", "c locked", "e=1"));
  EXPECT_THAT(Show(Scan({.limit = 10, .reverse = true, .sample_step = 2})),
              ElementsAre("f=1", "d=1", "c locked", "a=1"));
  // The limit is of what is shown.
  EXPECT_THAT(Show(Scan({.start = Key("a"), .limit = 3, .sample_step = 2})),
              ElementsAre("a=1", "c locked", "d=1"));
}

TEST_F(TxnKvTest, AReadSaysWhenItsValueWasCommitted) {
  const Timestamp start = Now();
  Must(Await(&TxnKv::Prewrite, Puts({Key("a"), Key("b")}, "1", start)));
  const Timestamp commit = Now();
  Must(Await(&TxnKv::Commit,
             txn::CommitRequest{.keys = {Key("a"), Key("b")}, .start = start, .commit = commit}));
  std::vector<std::optional<Timestamp>> commits;
  kv().Get(Header(), Key("a"), {.at = Now()}, [&](TxnReply<mvcc::ReadAnswer> reply) {
    const auto& found = std::get<std::optional<mvcc::Found>>(std::get<mvcc::ReadAnswer>(reply));
    commits.push_back(found ? std::optional(found->commit) : std::nullopt);
  });
  const auto items = [&](const TxnReply<TxnKv::Items>& reply) {
    for (const auto& item : std::get<TxnKv::Items>(reply)) {
      commits.push_back(std::get<mvcc::Scanner::Pair>(item).commit);
    }
  };
  kv().BatchGet(Header(), {Key("b"), Key("x")}, {.at = Now()}, items);
  world_.RunFor(Seconds(1));
  items(Scan({.start = Key("a"), .limit = 1}));
  items(Scan({.limit = 1, .key_only = true, .reverse = true}));
  EXPECT_THAT(commits, ElementsAre(commit, commit, commit, commit));
}

class DeleteRangeTest : public testing::TxnStores {
 protected:
  std::string Delete(const std::string& start, const std::string& end, bool notify_only = false) {
    std::optional<TxnReply<RangeRemoved>> answer;
    kv().DeleteRange(Header(), start, end, notify_only,
                     [&](TxnReply<RangeRemoved> reply) { answer = std::move(reply); });
    EXPECT_TRUE(world_.RunUntil([&] { return answer.has_value(); }, Seconds(10)));
    if (auto* status = std::get_if<Status>(&*answer)) return status->ToString();
    if (auto* error = std::get_if<RegionError>(&*answer)) return ToString(*error);
    return "removed";
  }
  // Records of all families that a store has.
  std::size_t RecordsOn(std::size_t i) {
    std::size_t count = 0;
    const auto snapshot = processes_[i].engine->GetSnapshot();
    for (const auto family :
         {engine::Family::kLock, engine::Family::kWrite, engine::Family::kDefault}) {
      const auto iterator = snapshot->NewIterator(family, {});
      for (iterator->Seek(""); iterator->Valid(); iterator->Next()) ++count;
    }
    return count;
  }
};

TEST_F(DeleteRangeTest, AllRecordsOfTheRangeGoFromAllReplicas) {
  const std::string large(mvcc::kShortValueMaxBytes + 1, 'x');
  Write({Key("a"), Key("b"), Key("c"), Key("d")}, large);
  Write({Key("b")}, "2");
  Must(Await(&TxnKv::Prewrite, Puts({Key("c"), Key("d")}, large, Now())));
  EXPECT_EQ("removed", Delete(Key("b"), Key("d")));
  EXPECT_EQ("absent", Read(Key("b"), Now()));
  EXPECT_EQ("absent", Read(Key("c"), Now()));
  EXPECT_EQ(large, Read(Key("a"), Now()));
  EXPECT_EQ("locked: " + Key("d"), Read(Key("d"), Now()));
  world_.RunFor(Seconds(1));
  // A write and a value of "a" and of "d", and the lock of "d" with its value.
  for (std::size_t i = 0; i < kStores; ++i) EXPECT_EQ(6u, RecordsOn(i)) << i;
}

// What locks of the dead kept from writers is theirs again.
TEST_F(DeleteRangeTest, AKeyOfTheRangeIsWrittenAnew) {
  Must(Await(&TxnKv::Prewrite, Puts({Key("a")}, "1", Now())));
  EXPECT_EQ("removed", Delete(Key("a"), Key("b")));
  Write({Key("a")}, "2");
  EXPECT_EQ("2", Read(Key("a"), Now()));
}

TEST_F(DeleteRangeTest, TheRangeLiesInTheRegion) {
  Write({Key("a")}, "1");
  for (const bool notify_only : {false, true}) {
    const auto not_here = HasSubstr("not in region");
    EXPECT_THAT(Delete(KeyOf(1), KeyOf(2), notify_only), not_here);
    EXPECT_THAT(Delete(Key("a"), KeyOf(1) + "a", notify_only), not_here);
    EXPECT_THAT(Delete(Key("a"), "", notify_only), not_here);
    EXPECT_THAT(Delete("", Key("b"), notify_only), not_here);
    EXPECT_THAT(Delete(Key("b"), Key("a"), notify_only), HasSubstr("the range is reversed"));
    EXPECT_THAT(Delete(Key("a"), Key("a"), notify_only), HasSubstr("the range is empty"));
    EXPECT_THAT(Delete(std::string(10'000, 'k'), "", notify_only), HasSubstr("max-key-bytes"));
  }
  EXPECT_EQ("1", Read(Key("a"), Now()));
  EXPECT_EQ("removed", Delete(KeyOf(0), KeyOf(1)));
  EXPECT_EQ("absent", Read(Key("a"), Now()));
}

TEST_F(DeleteRangeTest, NothingGoesWhenItIsOnlyAnnounced) {
  Write({Key("a")}, "1");
  EXPECT_EQ("removed", Delete(Key("a"), Key("b"), true));
  EXPECT_EQ("1", Read(Key("a"), Now()));
}

class InspectTest : public testing::TxnStores {
 protected:
  void SetUp() override {
    limits_.inspect = {.records = 6, .bytes = 1000};
    TxnStores::SetUp();
  }
  // How many records a key has, or why that is not told.
  std::string Count(const std::string& key) {
    const auto reply = Await<mvcc::KeyRecords>(&TxnKv::Inspect, key);
    const auto* records = std::get_if<mvcc::KeyRecords>(&reply);
    if (records == nullptr) return Why(reply);
    return std::to_string(records->writes.size()) + " writes, " +
           std::to_string(records->values.size()) + " values" + (records->lock ? ", locked" : "");
  }
  // The first key of a transaction.
  std::string First(Timestamp start) {
    const auto reply = Await<std::optional<InspectedKey>>(&TxnKv::InspectFirst, start);
    const auto* found = std::get_if<std::optional<InspectedKey>>(&reply);
    if (found == nullptr) return Why(reply);
    return *found ? (*found)->key : "none";
  }
  template <class T>
  static std::string Why(const TxnReply<T>& reply) {
    const auto* error = std::get_if<RegionError>(&reply);
    return error != nullptr ? ToString(*error) : std::get<Status>(reply).ToString();
  }
};

TEST_F(InspectTest, ALookIsAtOneKeyOfTheRegionAndHasABound) {
  const std::string large(mvcc::kShortValueMaxBytes + 1, 'x');
  Write({Key("a"), Key("aa")}, large);
  Write({Key("a")}, "2");
  Must(Await(&TxnKv::Prewrite, Puts({Key("a")}, "3", Now())));
  EXPECT_EQ("2 writes, 1 values, locked", Count(Key("a")));
  EXPECT_EQ("0 writes, 0 values", Count(Key("b")));
  EXPECT_THAT(Count(KeyOf(1)), HasSubstr("not in region"));
  for (int i = 0; i < 5; ++i) Write({Key("c")}, "1");
  EXPECT_EQ("5 writes, 0 values", Count(Key("c")));
  for (int i = 0; i < 2; ++i) Write({Key("c")}, "1");
  EXPECT_THAT(Count(Key("c")), HasSubstr("more than 6 records"));
  for (int i = 0; i < 3; ++i) Write({Key("d")}, large + large);
  EXPECT_THAT(Count(Key("d")), HasSubstr("more than 1000 bytes"));
}

TEST_F(InspectTest, TheFirstKeyOfATransactionIsLookedForInTheRegionOnly) {
  const Timestamp locked = Now(), rolled_back = Now();
  Write({Key("b")}, "1");
  Must(Await(&TxnKv::Prewrite, Puts({Key("c"), Key("d")}, "2", locked)));
  Must(Await(&TxnKv::Rollback, txn::RollbackRequest{.keys = {Key("e")}, .start = rolled_back}));
  SurroundRegion();
  EXPECT_EQ(Key("c"), First(locked));
  EXPECT_EQ(Key("e"), First(rolled_back));
  // Those of others.
  EXPECT_EQ("none", First(Timestamp(1)));
  EXPECT_EQ("none", First(Timestamp(3)));
  for (int i = 0; i < 5; ++i) Write({Key("f")}, "1");
  EXPECT_THAT(First(Timestamp(1)), HasSubstr("more than 6 records"));
}

// Each sees what the one before it has left, though all were asked for at once.
TEST_F(TxnKvTest, CommandsOfOneKeyComeOneAfterTheOther) {
  constexpr std::size_t kWriters = 50;
  std::size_t locked = 0, prewritten = 0;
  for (std::size_t i = 0; i < kWriters; ++i) {
    kv().Prewrite(Header(), Puts({Key("hot")}, "x", Now()),
                  [&](TxnReply<txn::PrewriteOutcome> reply) {
                    const txn::Outcome& outcome = std::get<txn::PrewriteOutcome>(reply).outcome;
                    EXPECT_THAT(outcome.changes.changes(), IsEmpty());
                    ++(outcome.errors.empty() ? prewritten : locked);
                  });
  }
  EXPECT_EQ(kWriters - 1, kv().scheduler().waiting());
  world_.RunFor(Seconds(2));
  EXPECT_EQ(1u, prewritten);
  EXPECT_EQ(kWriters - 1, locked);
  EXPECT_EQ(0u, kv().scheduler().waiting());
}

TEST_F(TxnKvTest, RefusesWhatItCannotTake) {
  const auto why = [](const auto& reply) {
    return std::holds_alternative<Status>(reply) ? std::string(std::get<Status>(reply).message())
                                                 : "";
  };
  EXPECT_THAT(why(Await(&TxnKv::Prewrite, Puts({""}, "x", Now()))), HasSubstr("key is empty"));
  EXPECT_THAT(why(Await(&TxnKv::Prewrite, Puts({Key(std::string(9000, 'k'))}, "x", Now()))),
              HasSubstr("max-key-bytes"));
  EXPECT_THAT(why(Await(&TxnKv::Prewrite, Puts({Key("a")}, std::string(7 << 20, 'v'), Now()))),
              HasSubstr("max-value-bytes"));
  EXPECT_THAT(why(Await(&TxnKv::Prewrite, Puts({Key("a"), Key("a")}, "x", Now()))),
              HasSubstr("twice"));
  EXPECT_THAT(why(Await(&TxnKv::Commit,
                        txn::CommitRequest{
                            .keys = {Key("a")}, .start = Timestamp(9), .commit = Timestamp(9)})),
              HasSubstr("not after its start"));
  EXPECT_THAT(Read(Key("a"), Timestamp()), HasSubstr("timestamp zero"));
  // In the region of another.
  EXPECT_THAT(Read(KeyOf(1), Now()), HasSubstr("not in region"));
  const auto outside = Await(&TxnKv::Prewrite, Puts({KeyOf(1)}, "x", Now()));
  EXPECT_TRUE(std::holds_alternative<KeyNotInRegion>(std::get<RegionError>(outside)));
  // Nothing has come of any of it.
  EXPECT_EQ("absent", Read(Key("a"), Now()));
}

TEST_F(TxnKvTest, AStoreWithTooManyCommandsIsBusy) {
  limits_.scheduler.max_commands = 2;
  Serve(leader_);
  std::vector<bool> served;
  for (int i = 0; i < 3; ++i) {
    kv().Prewrite(Header(), Puts({Key("hot")}, "x", Now()),
                  [&](TxnReply<txn::PrewriteOutcome> reply) {
                    served.push_back(std::holds_alternative<txn::PrewriteOutcome>(reply));
                  });
  }
  world_.RunFor(Seconds(2));
  EXPECT_THAT(served, ElementsAre(false, true, true));
}

TEST_F(TxnKvTest, OfALowPriorityFewerCommandsAreTakenInAndOfAHighOneMore) {
  limits_.scheduler.max_commands = 8;
  Serve(leader_);
  // All of the same key, so that they wait for each other.
  const auto taken_in = [&](Priority priority, const std::string& key) {
    RequestHeader header = Header();
    header.priority = priority;
    int served = 0, answered = 0;
    for (int i = 0; i < 12; ++i) {
      kv().Prewrite(header, Puts({Key(key)}, "x", Now()),
                    [&](const TxnReply<txn::PrewriteOutcome>& reply) {
                      served += std::holds_alternative<txn::PrewriteOutcome>(reply) ? 1 : 0;
                      ++answered;
                    });
    }
    EXPECT_TRUE(world_.RunUntil([&] { return answered == 12; }, Seconds(10)));
    return served;
  };
  EXPECT_EQ(taken_in(Priority::kLow, "a"), 4);
  EXPECT_EQ(taken_in(Priority::kNormal, "b"), 8);
  EXPECT_EQ(taken_in(Priority::kHigh, "c"), 9);
}

// What a leader has looked at is of no use to one of a later term, even on the same store: somebody
// else has led in between, and has not heard of this one's latches.
TEST_F(TxnKvTest, WhatWasSeenInAnEarlierTermIsNotProposed) {
  const std::size_t first = leader_, second = (first + 1) % kStores;
  const auto lead = [&](std::size_t i) {
    store(leader_).TransferLeadership(kRegion, PeerOf(0, i));
    ASSERT_TRUE(world_.RunUntil([&] { return LeaderOf(0) == i; }, Seconds(10)));
    world_.RunFor(Seconds(1));
    leader_ = i;
  };
  TxnScheduler scheduler(store(first), processes_[first].machine->NewExecutor("other"), {});
  std::optional<TxnScheduler::Ending> ending;
  scheduler.Run(
      Header(), {Key("a")},
      [&](mvcc::Reader& reader) {
        const auto lock = reader.LoadLock(Key("a"));
        EXPECT_TRUE(lock.ok() && !lock.value());
        lead(second);
        Write({Key("a")}, "theirs");
        lead(first);
        engine::WriteBatch changes;
        changes.Put(engine::Family::kLock, mvcc::LockKey(Key("a")),
                    mvcc::EncodeLock({.primary = Key("a"), .start = Timestamp(1)}));
        return Result<TxnScheduler::Plan>({.changes = std::move(changes)});
      },
      [&](TxnScheduler::Ending end) { ending = std::move(end); });
  ASSERT_TRUE(world_.RunUntil([&] { return ending.has_value(); }, Seconds(10)));
  const auto* error = std::get_if<RegionError>(&*ending);
  ASSERT_NE(error, nullptr);
  EXPECT_TRUE(std::holds_alternative<StaleCommand>(*error)) << ToString(*error);
  EXPECT_EQ("theirs", Read(Key("a"), Now()));
}

TEST_F(TxnKvTest, AProposalOfAnotherTermIsRefused) {
  const Term term = store(leader_).Gate(kRegion)->term;
  RequestHeader header = Header();
  header.term = Term(term.value() - 1);
  const auto reply = Await(&TxnKv::Prewrite, Puts({Key("a")}, "x", Now()), header);
  EXPECT_TRUE(std::holds_alternative<StaleCommand>(std::get<RegionError>(reply)));
  EXPECT_EQ("absent", Read(Key("a"), Now()));
}

// Clients that add one to a counter and mark that they did, in one transaction, while stores die
// and leaders move: no addition is lost, made twice or made in half.
class Counters : public TxnKvTest {
 protected:
  static constexpr std::size_t kClients = 6;

  struct Client {
    std::size_t store = 0;  // Which one it asks.
    Timestamp start = {};
    std::string counter = {};
    std::string mark = {};
    std::uint64_t generation = 0;
  };

  // What the client waits for next; after a while it gives up, as if the answer were lost.
  std::uint64_t Expect(Client& client) {
    const std::uint64_t generation = ++client.generation;
    world_.After(Milliseconds(400), [this, &client, generation] {
      if (client.generation == generation) Again(client);
    });
    return generation;
  }

  // Each step asks one thing of one store.
  template <class T, class Request, class Then>
  void Ask(Client& client, void (TxnKv::*call)(const RequestHeader&, Request, TxnDone<T>),
           Request request, Then then) {
    const std::uint64_t generation = Expect(client);
    TxnKv* const kv = kv_[client.store].get();
    if (kv == nullptr) return;
    (kv->*call)(Header(), std::move(request), [this, &client, generation, then](TxnReply<T> reply) {
      if (client.generation != generation) return;
      if (T* answer = std::get_if<T>(&reply)) return then(std::move(*answer));
      Again(client);
    });
  }

  // Begins a new transaction, by way of some store.
  void Again(Client& client) {
    ++client.generation;
    client.store = random_.Below(kStores);
    if (stopping_) return;
    world_.After(Milliseconds(1 + static_cast<std::int64_t>(random_.Below(20))),
                 [this, &client] { ReadCounter(client); });
  }

  void ReadCounter(Client& client) {
    client.start = Now();
    client.counter = Key("counter-" + std::to_string(random_.Below(2)));
    client.mark = Key("mark-" + std::to_string(client.start.value()));
    TxnKv* const kv = kv_[client.store].get();
    if (kv == nullptr) return Again(client);
    const std::uint64_t generation = Expect(client);
    kv->Get(Header(), client.counter, {.at = client.start},
            [this, &client, generation](TxnReply<mvcc::ReadAnswer> reply) {
              if (client.generation != generation) return;
              auto* answer = std::get_if<mvcc::ReadAnswer>(&reply);
              if (answer == nullptr) return Again(client);
              if (auto* locked = std::get_if<mvcc::KeyIsLocked>(answer)) {
                return Settle(client, *locked);
              }
              const auto& found = std::get<std::optional<mvcc::Found>>(*answer);
              Prewrite(client, found ? std::stoull(found->value) : 0);
            });
  }

  void Prewrite(Client& client, std::uint64_t count) {
    txn::PrewriteRequest request{.primary = client.counter, .start = client.start, .ttl_ms = 200};
    request.mutations.push_back({.key = client.counter, .value = std::to_string(count + 1)});
    request.mutations.push_back({.key = client.mark, .value = client.counter});
    if (random_.OneIn(10)) std::swap(request.mutations[0], request.mutations[1]);
    Ask(client, &TxnKv::Prewrite, std::move(request),
        [this, &client](const txn::PrewriteOutcome& result) {
          const std::vector<txn::KeyError>& errors = result.outcome.errors;
          if (!errors.empty()) {
            if (const auto* locked = std::get_if<mvcc::KeyIsLocked>(&errors.front())) {
              return Settle(client, *locked);
            }
            return Again(client);
          }
          if (random_.OneIn(8)) return Again(client);  // Dies, and leaves its locks.
          const Timestamp commit = Now();
          Ask(client, &TxnKv::Commit,
              txn::CommitRequest{.keys = {client.counter}, .start = client.start, .commit = commit},
              [this, &client, commit](const txn::Outcome& committed) {
                if (!committed.errors.empty()) return Again(client);
                acknowledged_.insert(client.mark);
                // Somebody else finds the other lock, mostly.
                if (!random_.OneIn(3)) return Again(client);
                Ask(client, &TxnKv::Commit,
                    txn::CommitRequest{
                        .keys = {client.mark}, .start = client.start, .commit = commit},
                    [this, &client](const txn::Outcome&) { Again(client); });
              });
        });
  }

  // What stands in the way is decided at its primary, and brought to its end.
  void Settle(Client& client, const mvcc::KeyIsLocked& locked) {
    Ask(client, &TxnKv::CheckStatus,
        txn::StatusRequest{.primary = locked.lock.primary,
                           .start = locked.lock.start,
                           .caller = client.start,
                           .now = Now(),
                           .rollback_if_absent = true},
        [this, &client, locked](const txn::StatusOutcome& result) {
          if (!result.outcome.errors.empty() || result.status.lock) return Again(client);
          Ask(client, &TxnKv::Resolve,
              txn::ResolveRequest{
                  .keys = {locked.key}, .start = locked.lock.start, .commit = result.status.commit},
              [this, &client](const txn::Outcome&) { Again(client); });
        });
  }

  SeededRandom random_{1};
  std::array<Client, kClients> clients_;
  std::set<std::string> acknowledged_;
  bool stopping_ = false;
};

TEST_F(Counters, NothingIsLostWhileLeadersChange) {
  for (std::uint64_t seed = 1; seed <= 2; ++seed) {
    random_ = SeededRandom(seed);
    stopping_ = false;
    for (Client& client : clients_) Again(client);
    for (int i = 0; i < 15; ++i) {
      world_.RunFor(Milliseconds(100 + static_cast<std::int64_t>(random_.Below(1000))));
      Disturb(random_, 3);
    }
    stopping_ = true;
    RestartAll();
    ResolveAllLocks();
    std::map<std::string, std::uint64_t> marks;
    std::set<std::string> found;
    kv().Scan(Header(), {.start = Key("mark"), .end = Key("mark~"), .limit = 100'000},
              {.at = Now()}, [&](TxnReply<TxnKv::Items> reply) {
                for (const auto& item : std::get<TxnKv::Items>(reply)) {
                  const auto& pair = std::get<mvcc::Scanner::Pair>(item);
                  ++marks[pair.value];
                  found.insert(pair.key);
                }
              });
    world_.RunFor(Seconds(1));
    EXPECT_GT(acknowledged_.size(), 50u * seed);
    EXPECT_TRUE(std::ranges::includes(found, acknowledged_)) << "a commit was lost";
    for (const auto& [counter, count] : marks)
      EXPECT_EQ(std::to_string(count), Read(counter, Now()));
  }
}

}  // namespace
}  // namespace rutile::store
