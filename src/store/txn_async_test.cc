// Commits whose timestamp a store chooses, asynchronous ones and those in one phase: which readers
// they meet, and clients of all kinds while leaders change.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>

#include "base/random.h"
#include "engine/testing/engines.h"
#include "store/testing/txn_stores.h"

namespace rutile::store {
namespace {

using mvcc::Timestamp;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class TxnAsyncTest : public testing::TxnStores {
 protected:
  void Lead(std::size_t i) {
    store(leader_).TransferLeadership(kRegion, PeerOf(0, i));
    ASSERT_TRUE(world_.RunUntil([&] { return LeaderOf(0) == i; }, Seconds(10)));
    world_.RunFor(Seconds(1));
    leader_ = i;
  }
};

// That the key exists is told to who inserts it, as of its start: no commit may come below that.
TEST_F(TxnAsyncTest, ACommitIsAboveWhoWasToldThatTheKeyExists) {
  Must(Await(&TxnKv::Prewrite, OnePhase({Key("a")}, "1")));
  txn::PrewriteRequest removal = OnePhase({Key("a")}, "");
  removal.mutations[0].kind = txn::Mutation::Kind::kDelete;
  txn::PrewriteRequest insert = Puts({Key("a")}, "2", Now());
  insert.mutations[0].kind = txn::Mutation::Kind::kInsert;
  const auto told = Must(Await(&TxnKv::Prewrite, insert));
  EXPECT_EQ(1u, told.outcome.errors.size());
  EXPECT_GT(Must(Await(&TxnKv::Prewrite, removal)).one_phase_commit, insert.start);
}

TEST_F(TxnAsyncTest, ACommitInOnePhaseIsAboveEveryReadAndVisibleAtOnce) {
  const txn::PrewriteRequest request = OnePhase({Key("a"), Key("b")}, "1");
  const Timestamp later = Now();
  EXPECT_EQ("absent", Read(Key("b"), later));
  const auto result = Must(Await(&TxnKv::Prewrite, request));
  EXPECT_EQ(later.Next(), result.one_phase_commit);
  EXPECT_EQ("absent", Read(Key("b"), later));
  EXPECT_EQ("1", Read(Key("b"), later.Next()));
  EXPECT_EQ(0u, kv().concurrency().locked_keys());
  // It was heard of already.
  EXPECT_EQ(later.Next(), Must(Await(&TxnKv::Prewrite, request)).one_phase_commit);
}

TEST_F(TxnAsyncTest, AReadAtTheMaximumKeepsNobodyFromCommitting) {
  EXPECT_EQ("absent", Read(Key("a"), mvcc::kMaxTimestamp));
  const auto result = Must(Await(&TxnKv::Prewrite, OnePhase({Key("a")}, "1")));
  EXPECT_NE(Timestamp(), result.one_phase_commit);
  EXPECT_LE(result.one_phase_commit, Now());
}

TEST_F(TxnAsyncTest, ScansAndReadsOfManyKeysCountAsReads) {
  const txn::PrewriteRequest first = OnePhase({Key("a")}, "1"), second = OnePhase({Key("b")}, "1");
  const Timestamp scanned = Now();
  kv().Scan(Header(), {.start = Key(""), .limit = 10}, {.at = scanned}, [](const auto&) {});
  EXPECT_EQ(scanned.Next(), Must(Await(&TxnKv::Prewrite, first)).one_phase_commit);
  const Timestamp got = Now();
  kv().BatchGet(Header(), {Key("b")}, {.at = got}, [](const auto&) {});
  EXPECT_EQ(got.Next(), Must(Await(&TxnKv::Prewrite, second)).one_phase_commit);
}

// Whoever collects garbage must not have a commit come below what it has looked through.
TEST_F(TxnAsyncTest, ALookForLocksCountsAsARead) {
  const txn::PrewriteRequest first = OnePhase({Key("a")}, "1"), second = OnePhase({Key("b")}, "2");
  std::vector<std::string> seen;
  const auto look = [&](Timestamp latest) {
    seen.clear();
    kv().ScanLocks(Header(), {.upper = Key("c"), .latest = latest},
                   [&](const TxnReply<std::vector<mvcc::KeyIsLocked>>& reply) {
                     for (const auto& locked : std::get<std::vector<mvcc::KeyIsLocked>>(reply)) {
                       seen.push_back(locked.key);
                     }
                   });
    return seen;
  };
  const Timestamp looked = Now();
  EXPECT_THAT(look(looked), IsEmpty());
  EXPECT_EQ(looked.Next(), Must(Await(&TxnKv::Prewrite, first)).one_phase_commit);
  // Likewise where the changes are on their way, with a timestamp that was chosen before.
  kv().Prewrite(Header(), second, [](const auto&) {});
  EXPECT_THAT(look(looked), IsEmpty()) << "it will be committed later";
  EXPECT_THAT(look(Now()), ElementsAre(Key("b")));
  EXPECT_THAT(look(mvcc::kMaxTimestamp), IsEmpty()) << "no time, no promise";
  world_.RunFor(Seconds(1));
  EXPECT_THAT(look(Now()), IsEmpty());
}

// While the changes are on their way to the log nothing of them is in the engine.
TEST_F(TxnAsyncTest, ReadersMeetWhatIsNotAppliedYet) {
  Write({Key("a"), Key("b"), Key("d")}, "0");
  const txn::PrewriteRequest one_phase = OnePhase({Key("b"), Key("c")}, "1");
  txn::PrewriteRequest async = Async({Key("e"), Key("f")}, "1");
  async.mutations.pop_back();  // The other one has yet to come.
  const Timestamp before = Now();
  EXPECT_EQ("0", Read(Key("b"), before));
  std::size_t answers = 0;
  for (const auto& request : {one_phase, async}) {
    kv().Prewrite(Header(), request, [&](const TxnReply<txn::PrewriteOutcome>&) { ++answers; });
  }
  ASSERT_EQ(0u, answers);
  const Timestamp now = Now();
  EXPECT_EQ(3u, kv().concurrency().locked_keys());
  EXPECT_EQ("0", Read(Key("b"), before));
  EXPECT_EQ("locked: " + Key("b"), Read(Key("b"), now));
  EXPECT_EQ("locked: " + Key("c"), Read(Key("c"), now));

  std::vector<std::string> seen;
  const auto note = [&](const TxnReply<TxnKv::Items>& reply) { seen = Show(reply); };
  const auto scan = [&](TxnScan what, Timestamp at) {
    kv().Scan(Header(), std::move(what), {.at = at}, note);
    return seen;
  };
  EXPECT_THAT(scan({.start = Key("a"), .end = Key("f"), .limit = 9}, now),
              ElementsAre("a=0", "b locked", "c locked", "d=0", "e locked"));
  EXPECT_THAT(scan({.start = Key("a"), .limit = 3}, now),
              ElementsAre("a=0", "b locked", "c locked"));
  EXPECT_THAT(scan({.start = Key("a"), .end = Key("f"), .limit = 9}, before),
              ElementsAre("a=0", "b=0", "d=0"));
  EXPECT_THAT(scan({.start = Key("f"), .end = Key("b"), .limit = 3, .reverse = true}, now),
              ElementsAre("e locked", "d=0", "c locked"));
  EXPECT_THAT(scan({.limit = 9, .reverse = true}, now),
              ElementsAre("e locked", "d=0", "c locked", "b locked", "a=0"));
  kv().BatchGet(Header(), {Key("d"), Key("c"), Key("a")}, {.at = now}, note);
  EXPECT_THAT(seen, ElementsAre("d=0", "c locked", "a=0"));
  // Who knows better than to wait for one passes it.
  kv().BatchGet(Header(), {Key("c"), Key("e")}, {.at = now, .bypassed = {one_phase.start}}, note);
  EXPECT_THAT(seen, ElementsAre("e locked"));

  world_.RunFor(Seconds(1));
  EXPECT_EQ(2u, answers);
  EXPECT_EQ(0u, kv().concurrency().locked_keys());
  EXPECT_EQ("1", Read(Key("b"), now));
  EXPECT_EQ("locked: " + Key("e"), Read(Key("e"), now));
}

TEST_F(TxnAsyncTest, WhatIsRefusedLeavesNoLockInMemory) {
  Must(Await(&TxnKv::Prewrite, Puts({Key("b")}, "1", Now())));
  const auto result = Must(Await(&TxnKv::Prewrite, OnePhase({Key("a"), Key("b")}, "2")));
  ASSERT_EQ(1u, result.outcome.errors.size());
  EXPECT_EQ(0u, kv().concurrency().locked_keys());
  txn::PrewriteRequest late = OnePhase({Key("c")}, "1");
  late.max_commit = late.start.Next();
  EXPECT_EQ("absent", Read(Key("c"), Now()));
  EXPECT_EQ(Timestamp(), Must(Await(&TxnKv::Prewrite, late)).one_phase_commit);
  EXPECT_EQ(0u, kv().concurrency().locked_keys());
  EXPECT_EQ("locked: " + Key("c"), Read(Key("c"), Now()));
}

// It does not know what was read on the store that led before.
TEST_F(TxnAsyncTest, ALeaderWithoutAFreshTimestampTakesTwoPhases) {
  has_oracle_ = false;
  Lead((leader_ + 1) % kStores);
  EXPECT_EQ(Timestamp(), Must(Await(&TxnKv::Prewrite, OnePhase({Key("a")}, "1"))).one_phase_commit);
  EXPECT_EQ(Timestamp(), Must(Await(&TxnKv::Prewrite, Async({Key("b")}, "1"))).min_commit);
  has_oracle_ = true;
  // The next one asks, and those after the answer have it.
  EXPECT_EQ(Timestamp(), Must(Await(&TxnKv::Prewrite, OnePhase({Key("c")}, "1"))).one_phase_commit);
  world_.RunFor(Milliseconds(50));
  EXPECT_NE(Timestamp(), Must(Await(&TxnKv::Prewrite, OnePhase({Key("d")}, "1"))).one_phase_commit);
  // Locks that stand say what they said.
  const txn::PrewriteRequest async = Async({Key("e")}, "1");
  const Timestamp told = Must(Await(&TxnKv::Prewrite, async)).min_commit;
  EXPECT_NE(Timestamp(), told);

  // A read whose transaction began long before the write's, on the store that leads then.
  const std::size_t first = leader_, second = (first + 1) % kStores;
  const txn::PrewriteRequest old = OnePhase({Key("f")}, "1");
  const Timestamp read = Now();
  EXPECT_EQ("absent", Read(Key("f"), read));
  has_oracle_ = false;
  Lead(second);
  EXPECT_LT(kv().concurrency().max_ts(), read);
  EXPECT_EQ(told, Must(Await(&TxnKv::Prewrite, async)).min_commit);
  EXPECT_EQ(Timestamp(), Must(Await(&TxnKv::Prewrite, OnePhase({Key("g")}, "1"))).one_phase_commit);
  has_oracle_ = true;
  // It is asked for by whoever needs it.
  EXPECT_EQ(Timestamp(), Must(Await(&TxnKv::Prewrite, OnePhase({Key("i")}, "1"))).one_phase_commit);
  world_.RunFor(Milliseconds(50));
  EXPECT_GT(Must(Await(&TxnKv::Prewrite, old)).one_phase_commit, read);
  // Each term anew.
  has_oracle_ = false;
  Lead(first);
  EXPECT_EQ(Timestamp(), Must(Await(&TxnKv::Prewrite, OnePhase({Key("h")}, "1"))).one_phase_commit);
}

// Readers and writers of two regions, of all protocols, which die at any step, while stores die and
// leaders move. Whoever meets a lock ends its transaction as all its keys say.
class AsyncClients : public TxnAsyncTest {
 protected:
  static constexpr std::uint64_t kRegions = 2;
  static constexpr int kKeys = 3;  // Of each region.
  enum class Protocol : std::uint8_t { kTwoPhases, kAsync, kOnePhase };

  AsyncClients() { regions_ = kRegions; }

  struct Client {
    bool is_reader = false;
    std::uint64_t generation = 0;
    Protocol protocol = Protocol::kTwoPhases;
    Timestamp start = {};                // Of a reader: where it reads.
    std::vector<std::string> keys = {};  // The first is the primary.
    Timestamp commit = {};
    bool fell_back = false;
    int retries = 0;
  };
  struct Seen {
    std::string key = {};
    Timestamp at = {};
    std::optional<std::string> value = {};
  };
  struct Acknowledged {
    std::vector<std::string> keys = {};
    Timestamp start = {};
    Timestamp commit = {};
  };

  // --- Requests. Each step asks one thing of one store, mostly of the one that leads.

  TxnKv* StoreOf(const RequestHeader& header) {
    const auto leader = LeaderOf(header.region.value() - kFirstRegion);
    if (header.from_follower) return kv_[random_.Below(kStores)].get();
    return kv_[leader && !random_.OneIn(10) ? *leader : random_.Below(kStores)].get();
  }

  template <class T, class Request, class Then>
  void Ask(Client& client, void (TxnKv::*call)(const RequestHeader&, Request, TxnDone<T>),
           const std::string& key, Request request, Then then,
           std::function<void()> otherwise = nullptr) {
    if (!otherwise) otherwise = [this, &client] { Again(client); };
    const std::uint64_t generation = ++client.generation;
    const auto fail = [this, &client, generation, otherwise] {
      if (client.generation != generation) return;
      ++client.generation;
      // Not at once: what is refused now is refused in a moment.
      world_.After(Milliseconds(5), otherwise);
    };
    world_.After(Milliseconds(400), fail);
    TxnKv* const kv = StoreOf(HeaderOf(key));
    if (kv == nullptr) return fail();
    (kv->*call)(HeaderOf(key), std::move(request),
                [&client, generation, then, fail](TxnReply<T> reply) {
                  T* answer = std::get_if<T>(&reply);
                  if (answer == nullptr) return fail();
                  if (client.generation == generation) then(std::move(*answer));
                });
  }

  void Again(Client& client) {
    const std::uint64_t generation = ++client.generation;
    if (stopping_) return;
    const auto pause = Milliseconds(1 + static_cast<std::int64_t>(random_.Below(20)));
    world_.After(pause, [this, &client, generation] {
      if (client.generation == generation)
        client.is_reader ? BeginRead(client) : BeginWrite(client);
    });
  }

  std::string AnyKey() {
    return KeyOf(random_.Below(kRegions)) + static_cast<char>('a' + random_.Below(kKeys));
  }

  // --- Readers.

  // Every second may be served by whoever is asked, and half of these by what is there.
  RequestHeader HeaderOfRead(const std::string& key) {
    RequestHeader header = HeaderOf(key);
    header.from_follower = random_.OneIn(2);
    if (header.from_follower && random_.OneIn(2)) {
      header.stale = true;
      header.epoch = RegionEpoch{.conf_version = 1, .version = 1};
    }
    return header;
  }

  void BeginRead(Client& client) {
    client.start = Now();
    const std::string key = AnyKey();
    // A while may pass between the timestamp and the read.
    Later(client, random_.OneIn(2) ? 0 : 100, [this, &client, key] {
      if (random_.OneIn(3)) return ScanAll(client, key);
      Get(client, key);
    });
  }

  template <class F>
  void Later(Client& client, std::uint64_t most_ms, F then) {
    const std::uint64_t generation = ++client.generation;
    const auto pause = Milliseconds(static_cast<std::int64_t>(random_.Below(most_ms + 1)));
    world_.After(pause, [&client, generation, then] {
      if (client.generation == generation) then();
    });
  }

  void Get(Client& client, const std::string& key) {
    const std::uint64_t generation = ++client.generation;
    const RequestHeader header = HeaderOfRead(key);
    TxnKv* const kv = StoreOf(header);
    if (kv == nullptr) return Again(client);
    world_.After(Milliseconds(400), [this, &client, generation] {
      if (client.generation == generation) Again(client);
    });
    kv->Get(
        header, key, {.at = client.start},
        [this, &client, generation, key](TxnReply<mvcc::ReadAnswer> reply) {
          if (client.generation != generation) return;
          auto* answer = std::get_if<mvcc::ReadAnswer>(&reply);
          if (answer == nullptr) return Again(client);
          if (const auto* locked = std::get_if<mvcc::KeyIsLocked>(answer)) {
            return Settle(client, *locked);
          }
          const auto& found = std::get<std::optional<mvcc::Found>>(*answer);
          seen_.push_back({key, client.start, found ? std::optional(found->value) : std::nullopt});
          Again(client);
        });
  }

  // All keys of the region of `key`.
  void ScanAll(Client& client, const std::string& key) {
    const std::uint64_t generation = ++client.generation;
    const RequestHeader header = HeaderOfRead(key);
    TxnKv* const kv = StoreOf(header);
    if (kv == nullptr) return Again(client);
    world_.After(Milliseconds(400), [this, &client, generation] {
      if (client.generation == generation) Again(client);
    });
    const std::string begin = key.substr(0, 8);
    kv->Scan(header, {.start = begin, .limit = 100}, {.at = client.start},
             [this, &client, generation, begin](TxnReply<TxnKv::Items> reply) {
               if (client.generation != generation) return;
               const auto* items = std::get_if<TxnKv::Items>(&reply);
               if (items == nullptr) return Again(client);
               TakeScan(client, begin, *items);
             });
  }
  void TakeScan(Client& client, const std::string& begin, const TxnKv::Items& items) {
    std::map<std::string, std::optional<std::string>> values;
    for (int i = 0; i < kKeys; ++i) values[begin + static_cast<char>('a' + i)];
    std::optional<mvcc::KeyIsLocked> locked;
    for (const auto& item : items) {
      if (const auto* pair = std::get_if<mvcc::Scanner::Pair>(&item)) {
        values[pair->key] = pair->value;
      } else {
        locked = std::get<mvcc::KeyIsLocked>(item);
        values.erase(locked->key);
      }
    }
    for (auto& [key, value] : values) seen_.push_back({key, client.start, std::move(value)});
    if (locked) return Settle(client, *locked);
    Again(client);
  }

  // --- Writers.

  void BeginWrite(Client& client) {
    client.protocol = static_cast<Protocol>(random_.Below(3));
    client.start = Now();
    client.commit = {};
    client.fell_back = false;
    client.retries = 0;
    std::set<std::string> keys;
    for (std::uint64_t left = 1 + random_.Below(3); left > 0; --left) keys.insert(AnyKey());
    client.keys.assign(keys.begin(), keys.end());
    if (client.protocol == Protocol::kOnePhase) {
      std::erase_if(client.keys, [&](const std::string& key) {
        return HeaderOf(key).region != HeaderOf(client.keys.front()).region;
      });
    }
    std::swap(client.keys.front(), client.keys[random_.Below(client.keys.size())]);
    // It has read something, and thinks.
    Later(client, random_.OneIn(2) ? 10 : 500, [this, &client] {
      PrewriteFrom(client, std::vector<std::string>(client.keys.rbegin(), client.keys.rend()));
    });
  }

  // Region by region.
  void PrewriteFrom(Client& client, std::vector<std::string> left) {
    if (left.empty()) return AllPrewritten(client);
    txn::PrewriteRequest request{
        .primary = client.keys.front(), .start = client.start, .ttl_ms = 200};
    request.use_async_commit = client.protocol == Protocol::kAsync;
    request.try_one_phase = client.protocol == Protocol::kOnePhase;
    if (request.use_async_commit) {
      request.secondaries.assign(client.keys.begin() + 1, client.keys.end());
    }
    const std::string key = left.back();
    std::vector<std::string> rest;
    for (const std::string& one : left) {
      if (HeaderOf(one).region == HeaderOf(key).region) {
        request.mutations.push_back({.key = one, .value = ToString(client.start)});
      } else {
        rest.push_back(one);
      }
    }
    Ask(
        client, &TxnKv::Prewrite, key, request,
        [this, &client, rest](const txn::PrewriteOutcome& result) {
          if (!result.outcome.errors.empty()) {
            const auto* locked = std::get_if<mvcc::KeyIsLocked>(&result.outcome.errors.front());
            return locked != nullptr ? Settle(client, *locked) : Again(client);
          }
          if (client.protocol == Protocol::kOnePhase) client.commit = result.one_phase_commit;
          if (client.protocol == Protocol::kAsync) {
            if (result.min_commit.IsZero()) client.fell_back = true;
            client.commit = std::max(client.commit, result.min_commit);
          }
          if (random_.OneIn(12)) return Again(client);  // Dies.
          PrewriteFrom(client, rest);
        },
        [this, &client, left] {
          // Asks again what it has no answer to, now and then.
          if (++client.retries > 5 || stopping_) return Again(client);
          PrewriteFrom(client, left);
        });
  }

  void AllPrewritten(Client& client) {
    const bool is_committed = !client.fell_back && !client.commit.IsZero();
    if (is_committed) {
      acknowledged_.push_back({client.keys, client.start, client.commit});
      ++chosen_[client.protocol == Protocol::kOnePhase];
      if (client.protocol == Protocol::kOnePhase) return Again(client);
    } else {
      client.commit = Now();
    }
    if (random_.OneIn(8)) return Again(client);  // Dies, and leaves its locks.
    CommitFrom(client, 0, is_committed);
  }

  void CommitFrom(Client& client, std::size_t next, bool is_committed) {
    if (next == client.keys.size()) return Again(client);
    const std::string key = client.keys[next];
    Ask(client, &TxnKv::Commit, key,
        txn::CommitRequest{.keys = {key}, .start = client.start, .commit = client.commit},
        [this, &client, next, is_committed](const txn::Outcome& outcome) {
          if (!outcome.errors.empty()) {
            EXPECT_TRUE(next == 0 && !is_committed) << "a committed transaction lost a lock";
            return Again(client);
          }
          if (!is_committed) acknowledged_.push_back({client.keys, client.start, client.commit});
          if (random_.OneIn(3)) return Again(client);  // Somebody else finds the other locks.
          CommitFrom(client, next + 1, true);
        });
  }

  // --- Whoever meets a lock.

  void Settle(Client& client, const mvcc::KeyIsLocked& locked) { AskStatus(client, locked, false); }
  void AskStatus(Client& client, const mvcc::KeyIsLocked& locked, bool force) {
    Ask(client, &TxnKv::CheckStatus, locked.lock.primary,
        txn::StatusRequest{.primary = locked.lock.primary,
                           .start = locked.lock.start,
                           .caller = client.start,
                           .now = Now(),
                           .rollback_if_absent = true,
                           .force_sync_commit = force},
        [this, &client, locked, force](const txn::StatusOutcome& result) {
          if (!result.outcome.errors.empty()) return Again(client);
          const std::optional<mvcc::Lock>& lock = result.status.lock;
          if (!lock) {
            return End(client, locked.lock.start, result.status.commit, {locked.key});
          }
          if (!lock->is_async_commit || force || !lock->IsExpired(Now())) return Again(client);
          AskSecondaries(client, *lock, lock->secondaries, lock->min_commit);
        });
  }

  // `commit`: the highest that is told so far.
  void AskSecondaries(Client& client, const mvcc::Lock& primary, std::vector<std::string> left,
                      Timestamp commit) {
    std::vector<std::string> all = primary.secondaries;
    all.push_back(primary.primary);
    if (left.empty()) return End(client, primary.start, commit, all);
    const std::string key = left.back();
    left.pop_back();
    Ask(client, &TxnKv::CheckSecondaryLocks, key,
        txn::SecondaryLocksRequest{.keys = {key}, .start = primary.start},
        [this, &client, primary, left, commit, all](const txn::SecondaryLocksOutcome& result) {
          if (result.locks.empty()) return End(client, primary.start, result.commit, all);
          const mvcc::Lock& lock = result.locks.front().lock;
          if (!lock.is_async_commit) {
            return AskStatus(client, {.key = primary.primary, .lock = primary}, true);
          }
          AskSecondaries(client, primary, left, std::max(commit, lock.min_commit));
        });
  }

  // In any order, as far as it lives.
  void End(Client& client, Timestamp start, Timestamp commit, std::vector<std::string> keys) {
    if (keys.empty() || random_.OneIn(20)) return Again(client);
    std::swap(keys.back(), keys[random_.Below(keys.size())]);
    const std::string key = keys.back();
    keys.pop_back();
    Ask(client, &TxnKv::Resolve, key,
        txn::ResolveRequest{.keys = {key}, .start = start, .commit = commit},
        [this, &client, start, commit, keys](const txn::Outcome& outcome) {
          EXPECT_THAT(outcome.errors, IsEmpty());
          End(client, start, commit, keys);
        });
  }

  // --- The world.

  // Whatever is locked is ended by one more client, which lives.
  void Finish() {
    stopping_ = true;
    RestartAll();
    Client& last = clients_.emplace_back();
    for (std::uint64_t region = 0; region < kRegions; ++region) {
      for (int round = 0; round < 200; ++round) {
        leader_ = AwaitLeaderOf(region);
        const auto locks = Must(Await(&TxnKv::ScanLocks, mvcc::LockScan{.lower = KeyOf(region)},
                                      {.region = RegionOf(region)}));
        if (locks.empty()) break;
        ASSERT_LT(round, 199) << locks.front().key << " stays locked";
        Settle(last, locks.front());
        world_.RunFor(Milliseconds(300));
      }
    }
  }

  // What is read in the end at a timestamp is what was read there before.
  void Check() {
    std::map<std::pair<std::string, Timestamp>, std::string> again;
    const auto value = [&](const std::string& key, Timestamp at) {
      leader_ = *LeaderOf(HeaderOf(key).region.value() - kFirstRegion);
      return Read(key, at, HeaderOf(key));
    };
    for (const Seen& read : seen_) {
      ASSERT_EQ(value(read.key, read.at), read.value.value_or("absent"))
          << read.key << " was read otherwise at " << ToString(read.at);
    }
    for (const Acknowledged& one : acknowledged_) {
      for (const std::string& key : one.keys) {
        ASSERT_EQ(value(key, one.commit), ToString(one.start)) << key << " lost a commit";
      }
    }
  }

  void Run(std::uint64_t seed) {
    random_ = SeededRandom(seed);
    stopping_ = false;
    seen_.clear();
    acknowledged_.clear();
    for (std::size_t i = 0; i < 9; ++i) {
      clients_.push_back({.is_reader = i % 3 == 0});
      Again(clients_.back());
    }
    for (int i = 0; i < 40; ++i) {
      world_.RunFor(Milliseconds(50 + static_cast<std::int64_t>(random_.Below(400))));
      Disturb(random_, 8, random_.Below(kRegions));
    }
    Finish();
    Check();
    read_ += seen_.size();
  }

  SeededRandom random_{1};
  bool stopping_ = false;
  std::deque<Client> clients_;  // What they have asked may be answered late.
  std::vector<Seen> seen_;
  std::vector<Acknowledged> acknowledged_;
  std::array<std::size_t, 2> chosen_ = {};  // Commits: asynchronous, in one phase.
  std::size_t read_ = 0;
};

TEST_F(AsyncClients, NoReadMissesACommitAtOrBelowItWhileLeadersChange) {
  const std::uint64_t first = engine::testing::FromEnvironment("RUTILE_SEED", 1);
  const std::uint64_t seeds = 6 * engine::testing::FromEnvironment("RUTILE_TEST_SCALE", 1);
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    SCOPED_TRACE("RUTILE_SEED=" + std::to_string(seed));
    Run(seed);
    if (HasFailure()) return;
  }
  EXPECT_GT(chosen_[0], 20 * seeds);
  EXPECT_GT(chosen_[1], 20 * seeds);
  EXPECT_GT(read_, 200 * seeds);
}

}  // namespace
}  // namespace rutile::store
