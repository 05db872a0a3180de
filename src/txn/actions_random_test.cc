// Clients that read, prewrite, commit, die between any two steps and repeat themselves, and that
// resolve each other's locks: the history must be one of snapshot isolation.

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <set>

#include "engine/testing/engines.h"
#include "mvcc/reader.h"
#include "txn/commit.h"
#include "txn/prewrite.h"
#include "txn/rollback.h"

namespace rutile::txn {
namespace {

using engine::testing::EngineKind;
using engine::testing::EngineUnderTest;
using engine::testing::FromEnvironment;

// One transaction, as its client sees it.
struct Client {
  enum class State : std::uint8_t { kPrewriting, kCommitting, kDone, kFailed, kDead };
  State state = State::kPrewriting;
  Timestamp start = {};
  Timestamp commit = {};
  std::vector<Mutation> mutations = {};  // The first one's key is the primary.
  std::size_t next = 0;                  // Of the mutations: to be prewritten or committed.

  const std::string& primary() const { return mutations.front().key; }
  PrewriteRequest PrewriteOf(std::size_t i) const {
    return {.mutations = {mutations[i]}, .primary = primary(), .start = start, .ttl_ms = 1};
  }
};

struct Read {
  std::string key = {};
  Timestamp at = {};
  std::optional<std::string> value = {};
};

class World {
 public:
  explicit World(std::uint64_t seed) : random_(seed) {}

  void Step() {
    if (clients_.size() < 400 && random_.OneIn(6)) Begin();
    if (clients_.empty()) return;
    // Mostly young ones, so that there is contention; sometimes an old one wakes up.
    const std::size_t recent = std::min<std::size_t>(clients_.size(), 6);
    Client& client = random_.OneIn(12) ? clients_[random_.Below(clients_.size())]
                                       : clients_[clients_.size() - 1 - random_.Below(recent)];
    const std::uint64_t what = random_.Below(20);
    if (what == 0) {
      // A request that was sent before arrives again, or only now.
      Run(Prewrite, client.PrewriteOf(random_.Below(client.mutations.size())));
    } else if (what == 1 && IsAlive(client) && random_.OneIn(3)) {
      client.state = Client::State::kDead;
    } else if (what < 6) {
      ReadSomething();
    } else if (IsAlive(client)) {
      Advance(client);
    }
  }

  // Everything that is locked is resolved, and every read compared with the history.
  void Check() {
    for (int i = 0; i < kKeys; ++i) {
      while (const std::optional<mvcc::Lock> lock = LockOn(Key(i))) Resolve(Key(i), *lock, true);
    }
    CheckFirstCommitterWon();
    for (std::uint64_t at = 1; at <= now_; at += 7) {
      for (int i = 0; i < kKeys; ++i) {
        ASSERT_EQ(ValueAt(Key(i), Timestamp(at)), History(Key(i), Timestamp(at)))
            << Key(i) << " at " << at;
      }
    }
    for (const Read& read : reads_) {
      ASSERT_EQ(read.value, History(read.key, read.at))
          << read.key << " was read otherwise at " << ToString(read.at);
    }
    EXPECT_GT(committed_.size(), clients_.size() / 10);
    EXPECT_LT(committed_.size(), clients_.size());
    EXPECT_GT(reads_.size(), 100u);
  }

 private:
  static constexpr int kKeys = 8;
  static std::string Key(int i) { return std::string(1, static_cast<char>('a' + i)); }
  static bool IsAlive(const Client& client) {
    return client.state == Client::State::kPrewriting || client.state == Client::State::kCommitting;
  }
  Timestamp Tick() { return Timestamp(++now_); }

  void Begin() {
    Client client = {.start = Tick()};
    std::set<std::string> keys;
    for (std::uint64_t left = 1 + random_.Below(3); left > 0; --left) {
      keys.insert(Key(static_cast<int>(random_.Below(kKeys))));
    }
    for (const std::string& key : keys) {
      Mutation mutation = {.key = key};
      const std::uint64_t kind = random_.Below(10);
      if (kind == 0) {
        mutation.kind = Mutation::Kind::kLock;
      } else if (kind < 3) {
        mutation.kind = Mutation::Kind::kDelete;
      } else {
        // Every value is another one; some are long.
        mutation.value = ToString(client.start) + std::string(random_.OneIn(3) ? 300 : 0, '.');
      }
      client.mutations.push_back(std::move(mutation));
    }
    std::swap(client.mutations.front(), client.mutations[random_.Below(client.mutations.size())]);
    clients_.push_back(std::move(client));
  }

  template <class Request>
  std::vector<KeyError> Run(Result<Outcome> (*action)(mvcc::Reader&, const Request&),
                            const Request& request) {
    const auto snapshot = engine_->GetSnapshot();
    mvcc::Reader reader(*snapshot);
    Result<Outcome> outcome = action(reader, request);
    RUTILE_CHECK(outcome.ok(), outcome.status().ToString());
    engine_.Write(outcome.value().changes);
    return std::move(outcome).value().errors;
  }

  void Advance(Client& client) {
    if (client.state == Client::State::kCommitting) {
      CommitNext(client);
      return;
    }
    const std::vector<KeyError> errors = Run(Prewrite, client.PrewriteOf(client.next));
    if (errors.empty()) {
      if (++client.next < client.mutations.size()) return;
      client.state = Client::State::kCommitting;
      client.commit = Tick();
      client.next = 0;
    } else if (const auto* locked = std::get_if<KeyIsLocked>(&errors.front())) {
      Resolve(locked->key, locked->lock, random_.OneIn(4));
    } else {
      client.state = Client::State::kFailed;
      std::vector<std::string> keys;
      for (const Mutation& mutation : client.mutations) keys.push_back(mutation.key);
      EXPECT_TRUE(Run(Rollback, {.keys = keys, .start = client.start}).empty());
    }
  }

  void CommitNext(Client& client) {
    const std::string& key = client.mutations[client.next].key;
    const std::vector<KeyError> errors =
        Run(Commit, {.keys = {key}, .start = client.start, .commit = client.commit});
    if (!errors.empty()) {
      // Somebody lost patience. That is possible only before the transaction is committed.
      EXPECT_EQ(client.next, 0u);
      EXPECT_TRUE(std::holds_alternative<LockNotFound>(errors.front()));
      client.state = Client::State::kFailed;
      return;
    }
    if (client.next == 0)
      committed_.emplace(client.commit, static_cast<std::size_t>(&client - clients_.data()));
    if (++client.next == client.mutations.size()) client.state = Client::State::kDone;
  }

  std::optional<mvcc::Lock> LockOn(const std::string& key) {
    const auto snapshot = engine_->GetSnapshot();
    return mvcc::Reader(*snapshot).LoadLock(key).value();
  }

  // Finishes the lock's transaction on `key` as its primary key says. While that is undecided, only
  // the impatient act.
  void Resolve(const std::string& key, const mvcc::Lock& lock, bool impatient) {
    const auto snapshot = engine_->GetSnapshot();
    const mvcc::Fate fate = mvcc::Reader(*snapshot).FateOf(lock.primary, lock.start).value();
    if (const auto* committed = std::get_if<mvcc::Committed>(&fate)) {
      EXPECT_TRUE(
          Run(Commit, {.keys = {key}, .start = lock.start, .commit = committed->commit}).empty());
    } else if (std::holds_alternative<mvcc::RolledBack>(fate) || impatient) {
      EXPECT_TRUE(Run(Rollback, {.keys = {lock.primary}, .start = lock.start}).empty());
      EXPECT_TRUE(Run(Rollback, {.keys = {key}, .start = lock.start}).empty());
    }
  }

  void ReadSomething() {
    const std::string key = Key(static_cast<int>(random_.Below(kKeys)));
    // Now, or at some moment of the past.
    const Timestamp at = random_.OneIn(2) ? Tick() : Timestamp(1 + random_.Below(now_));
    const auto snapshot = engine_->GetSnapshot();
    const mvcc::ReadAnswer answer = mvcc::Reader(*snapshot).Get(key, {.at = at}).value();
    if (const auto* locked = std::get_if<KeyIsLocked>(&answer)) {
      Resolve(key, locked->lock, random_.OneIn(4));
    } else {
      reads_.push_back({key, at, std::get<std::optional<std::string>>(answer)});
    }
  }

  std::optional<std::string> ValueAt(const std::string& key, Timestamp at) {
    const auto snapshot = engine_->GetSnapshot();
    const mvcc::ReadAnswer answer = mvcc::Reader(*snapshot).Get(key, {.at = at}).value();
    const auto* value = std::get_if<std::optional<std::string>>(&answer);
    return value == nullptr ? "locked" : *value;
  }

  // What the committed transactions alone make of a key.
  std::optional<std::string> History(const std::string& key, Timestamp at) const {
    std::optional<std::string> value;
    for (const auto& [commit, client] : committed_) {
      if (commit > at) break;
      for (const Mutation& mutation : clients_[client].mutations) {
        if (mutation.key != key || mutation.kind == Mutation::Kind::kLock) continue;
        value.reset();
        if (mutation.kind == Mutation::Kind::kPut) value = mutation.value;
      }
    }
    return value;
  }

  // Of two transactions that overlap in time and touch one key, one is not committed.
  void CheckFirstCommitterWon() {
    std::map<std::string, Timestamp> last;
    for (const auto& [commit, client] : committed_) {
      const Client& committed = clients_[client];
      for (const Mutation& mutation : committed.mutations) {
        Timestamp& before = last[mutation.key];
        ASSERT_LT(before, committed.start) << mutation.key;
        before = commit;
      }
    }
  }

  EngineUnderTest engine_{EngineKind::kMemory};
  SeededRandom random_;
  std::uint64_t now_ = 0;
  std::vector<Client> clients_;
  std::map<Timestamp, std::size_t> committed_;  // By commit; places in clients_.
  std::vector<Read> reads_;
};

TEST(TxnActions, HistoryIsOneOfSnapshotIsolation) {
  const std::uint64_t first = FromEnvironment("RUTILE_SEED", 1);
  const std::uint64_t seeds = 30 * FromEnvironment("RUTILE_TEST_SCALE", 1);
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    SCOPED_TRACE("RUTILE_SEED=" + std::to_string(seed));
    World world(seed);
    for (int i = 0; i < 4000; ++i) world.Step();
    world.Check();
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace rutile::txn
